"""One published experiment, one file, named as the command line calls it; each holds one recipe class."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil

from absynth.errors import InputError
from absynth.recipes.recipe import Recipe

__all__ = ["Recipe", "find", "names"]


def names() -> list[str]:
    """The recipes that come with absynth."""
    modules = (m.name for m in pkgutil.iter_modules(__path__))
    return sorted(m for m in modules if m != "recipe" and not m.startswith("_"))


def find(name: str) -> type[Recipe]:
    """The recipe class of that name, or of ``module:Class`` for a user's own."""
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        try:
            cls = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise InputError(f"expected an importable recipe module:Class, got {name!r} ({error})") from None
        if not (inspect.isclass(cls) and issubclass(cls, Recipe)):
            raise InputError(f"{name} must be a subclass of absynth.Recipe, got {cls!r}")
        return cls
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.3)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a recipe, got {name!r}{hint}: absynth train --help lists them")
    module = importlib.import_module(f"{__name__}.{name}")
    own = (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__)
    return next(c for c in own if issubclass(c, Recipe))
