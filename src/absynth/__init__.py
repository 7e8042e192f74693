"""absynth: analysis by synthesis. Energy-based generative models in PyTorch.

A log density is a function, a model returns densities, an algorithm turns a batch into one loss per player, and one
loop trains everything. Names are imported when they are first used, so that the command line starts at once.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_EXPORTS: dict[str, str] = {
    "fit": "training",
    "update": "updates",
    "load": "checkpoint",
    "pretrained": "released",
    **dict.fromkeys(("from_pretrained", "push_to_hub", "save_pretrained"), "sharing"),
    **dict.fromkeys(("EBM", "Density", "observe", "product", "restrict", "score"), "density"),
    **dict.fromkeys(
        ("Bernoulli", "GaussianGenerator", "GaussianInference", "Normal", "StandardNormal", "Uniform"), "distributions"
    ),
    **dict.fromkeys(("from_classifier", "to_classifier"), "classifiers"),
    **dict.fromkeys(("Gaussian", "GaussianMixture", "Whitened"), "gaussian"),
    **dict.fromkeys(("Diverged", "InputError", "Unsupported"), "errors"),
    **dict.fromkeys(("Streams", "stream"), "seeding"),
    **dict.fromkeys(("Batch", "LogDensity", "Sampler"), "types"),
    **dict.fromkeys(("Recipe",), "recipes"),
    **dict.fromkeys(("Dataset",), "data"),
}
_MODULES = ("algorithms", "data", "experiments", "metrics", "networks", "recipes", "samplers", "tasks")
_STARRED = ("algorithms", "samplers")
"""Packages whose ``__all__`` is exported whole: every method and every sampler is ``ab.NAME``."""

if TYPE_CHECKING:
    from absynth import algorithms, data, metrics, networks, recipes, samplers, tasks
    from absynth.algorithms import *
    from absynth.checkpoint import load
    from absynth.classifiers import from_classifier, to_classifier
    from absynth.data import Dataset
    from absynth.density import EBM, Density, observe, product, restrict, score
    from absynth.distributions import (
        Bernoulli,
        GaussianGenerator,
        GaussianInference,
        Normal,
        StandardNormal,
        Uniform,
    )
    from absynth.errors import Diverged, InputError, Unsupported
    from absynth.gaussian import Gaussian, GaussianMixture, Whitened
    from absynth.recipes import Recipe
    from absynth.recipes import build as recipe
    from absynth.released import pretrained
    from absynth.samplers import *
    from absynth.seeding import Streams, stream
    from absynth.sharing import from_pretrained, push_to_hub, save_pretrained
    from absynth.training import fit
    from absynth.types import Batch, LogDensity, Sampler
    from absynth.updates import update


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"absynth.{name}")
    if name == "recipe":
        found: Any = importlib.import_module("absynth.recipes").build
    elif name in _EXPORTS:
        found = getattr(importlib.import_module(f"absynth.{_EXPORTS[name]}"), name)
    elif importlib.util.find_spec(f"absynth.{name}") is not None:  # from absynth import density
        return importlib.import_module(f"absynth.{name}")
    else:
        packages = (importlib.import_module(f"absynth.{package}") for package in _STARRED if not name.startswith("_"))
        package = next((p for p in packages if name in p.__all__), None)
        if package is None:
            raise AttributeError(f"module 'absynth' has no attribute {name!r}")
        found = getattr(package, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    starred = [n for package in _STARRED for n in importlib.import_module(f"absynth.{package}").__all__]
    return sorted({*globals(), *_EXPORTS, *_MODULES, *starred, "recipe"})
