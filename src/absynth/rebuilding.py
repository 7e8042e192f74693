"""Networks rebuilt from a config.json, which may be a stranger's: never larger than the weights that came with it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module

from absynth.errors import InputError

if TYPE_CHECKING:
    from absynth.algorithms import Algorithm
    from absynth.recipes.recipe import Recipe

SPARE = 1 << 26
"""Numbers that networks may hold beyond those of the file: constants that are not saved."""


class _TooLarge(Exception):
    """Networks hold more numbers than the file."""


def is_shared(run: Path) -> bool:
    """Whether a folder came from elsewhere: a saved model has a model card, a run has none."""
    return (run / "README.md").is_file()


def anew(run: Path) -> str:
    """What to do about damaged files of a run or of a saved model."""
    return "download or copy the folder again" if is_shared(run) else "train again"


def read_recipe(config: dict[str, Any], run: Path) -> Recipe:
    """The recipe of a run, from the contents of its config.json.

    Raises:
        InputError: It is damaged, or the recipe's module is not at hand.
    """
    from absynth.recipes.recipe import Recipe

    with _named(run):
        try:
            return Recipe.from_entry(config)
        except InputError as error:
            raise type(error)(f"{run}/config.json: {error}") from error


def rebuild(recipe: Recipe, config: dict[str, Any], weights: Mapping[str, Tensor], run: Path) -> Algorithm:
    """The untrained algorithm of a run.

    Args:
        recipe: Its recipe.
        config: Contents of its config.json.
        weights: Its stored tensors.
        run: Its directory, for messages.

    Raises:
        InputError: The configuration is damaged, or describes networks that hold more numbers than the weights.
    """
    from absynth.guard import Remedies

    stored = sum(tensor.numel() for tensor in weights.values())
    larger = f"{run}/config.json describes networks larger than the {stored} numbers of model.safetensors: {anew(run)}"
    with _named(run):
        try:
            with torch.random.fork_rng(devices=[]), _at_most(2 * stored + SPARE):
                algorithm = recipe.algorithm()
        except (_TooLarge, MemoryError):
            raise InputError(larger) from None
        except RuntimeError as error:
            if any(word in str(error) for word in ("allocate", "overflow", "out of memory")):
                raise InputError(larger) from None
            raise
        Remedies(**config["remedies"]).apply(algorithm)
    algorithm.recipe = recipe
    return algorithm


@contextmanager
def _named(run: Path) -> Iterator[None]:
    """Say of errors in what a config.json holds where it lies."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{run}/config.json is damaged ({reason}): {anew(run)}") from error


@contextmanager
def _at_most(numbers: int) -> Iterator[None]:
    """Stop this thread from making modules that hold more numbers than these.

    Parameters are counted when a module takes them, before they are filled: memory that is only claimed costs nothing.
    """
    here, counted = threading.get_ident(), 0

    def count(owner: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal counted
        if threading.get_ident() == here and tensor is not None:
            counted += math.prod(tensor.shape)
            if counted > numbers:
                raise _TooLarge

    hooks = [
        module.register_module_parameter_registration_hook(count),
        module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
