"""What experiments on molecules share: what is measured of a row of generated SMILES, and guided sampling."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from absynth.metrics.molecules import measured, quality_among, wasserstein1
from absynth.seeding import stream
from absynth.tasks.guide import guided, learn_head, write

PROPERTIES = ("logP", "QED")
VALUE = 5.0
"""The requested logP; ZINC's mean is about 2.5."""
SHIFT, GUIDED, KEPT = "guided: shift of mean logP", "guided: validity", "guided: validity over that without guidance"


@dataclass
class Sheet:
    """Figures of an experiment as they are found.

    Attributes:
        known: Training molecules in canonical form.
        test: Test molecules.
        values: Figures of the model.
        baselines: Figures of the others.
    """

    known: Collection[str]
    test: Iterable[str]
    values: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.real = {name: measured(self.test, name) for name in PROPERTIES}

    def put(self, method: str, temperature: float, row: dict[str, float]) -> None:
        """Figures of a method ("" for the model) at a temperature."""
        into = self.baselines if method else self.values
        suffix = f"/{method}" if method else ""
        into.update({f"{figure} at T = {temperature:g}{suffix}": value for figure, value in row.items()})

    def note(self, method: str, temperature: float, smiles: list[str]) -> None:
        """Validity, uniqueness, novelty, and distances of logP and QED to the test molecules."""
        found = quality_among(smiles, self.known)
        row = {"validity": found.validity, "uniqueness": found.uniqueness, "novelty": found.novelty}
        if found.valid:
            row |= {f"W1 of {name}": wasserstein1(measured(smiles, name), self.real[name]) for name in PROPERTIES}
        self.put(method, temperature, row)


def guide(opened: Any, z: Tensor, n: int, *, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and baselines of n molecules at T = 1 whose prior was conditioned on a logP of :data:`VALUE`.

    Args:
        opened: A run on molecules.
        z: Draws of the prior to compare with.
        n: Number of molecules.
        seed: Seed of the noise.
    """
    head = learn_head(opened, "logP", seed=seed)
    wanted = guided(opened.chain(), head, VALUE, n, std=head.error, rng=stream(seed, 0, 0, 6))
    smiles = [write(opened.model, opened.dataset, part, 1.0, rng=stream(seed, 0, 0, 7)) for part in (z, wanted)]
    before, after = (measured(part, "logP") for part in smiles)
    values = {GUIDED: len(after) / n, "share of logP's variance that z tells": head.explained}
    if len(before) and len(after):
        values |= {SHIFT: float(after.mean() - before.mean()), KEPT: len(after) / len(before) * len(z) / n}
    return values, {f"{GUIDED}/without guidance": len(before) / len(z)}


def written(model: Any, data: Any, z: Tensor, temperature: float, *, seed: int, batch: int = 1000) -> list[str]:
    """A molecule for each z, drawn token by token."""
    rng = stream(seed, 0, 0, 3)
    return [s for part in z.split(batch) for s in write(model, data, part, temperature, rng=rng)]


def some(x: Tensor, n: int, *, seed: int) -> Tensor:
    """n rows at random."""
    return x[torch.randperm(len(x), generator=stream(seed, 0, 0, 1))[:n]]


def of_figures(baselines: dict[str, float], values: dict[str, float]) -> dict[str, float]:
    """The baselines of figures that the model has: without a valid molecule it has no distance to others."""
    return {name: value for name, value in baselines.items() if name.rpartition("/")[0] in values}
