"""What a sampler leaves behind: kept states and what was measured at each transition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from absynth.types import State


@dataclass(frozen=True)
class Record:
    """Transitions of b chains after the warm-up.

    Args:
        x: states, ``[draw, b, *event]``.
        value: log density of each, ``[draw, b]``, where the sampler knows it.
        acceptance: ``[draw, b]``, mean acceptance probability, where the sampler has one.
        diverged: ``[draw, b]`` counts of diverged transitions.
        gradients: ``[draw, b]`` counts of gradient evaluations.
        step_size: ``[b]``, where the sampler has one.
        warm_gradients: ``[b]``, gradient evaluations of the warm-up.
        score: gradients of the log density at the states, where they were kept.
    """

    x: Tensor
    value: Tensor | None
    acceptance: Tensor | None
    diverged: Tensor
    gradients: Tensor
    step_size: Tensor | None
    warm_gradients: Tensor
    score: Tensor | None = None

    def thinned(self, thin: int, warm_gradients: Tensor) -> Record:
        """Every ``thin``-th state; acceptance is averaged and counts are summed between them."""
        kept: dict[str, Tensor | None] = {
            "x": self.x[thin - 1 :: thin],
            "warm_gradients": warm_gradients,
            "score": None,
        }
        if thin == 1:
            return replace(self, **kept)
        kept["value"] = None if self.value is None else self.value[thin - 1 :: thin]
        if self.acceptance is not None:
            kept["acceptance"] = self.acceptance.unflatten(0, (-1, thin)).mean(1)
        for name in ("diverged", "gradients"):
            kept[name] = getattr(self, name).unflatten(0, (-1, thin)).sum(1)
        return replace(self, **kept)


def record_path(path: Iterable[State], warmup: int, thin: int) -> Record:
    """The record of a path of ``1 + warmup + draws * thin`` states."""
    states = iter(path)
    first = next(states)
    count = torch.zeros(len(first.x), dtype=torch.long, device=first.x.device)
    warm_gradients, step_size = count.clone(), None
    for state in islice(states, warmup):
        if state.gradients is not None:
            warm_gradients += state.gradients.long()
    columns: dict[str, list[Tensor]] = {"x": [], "value": [], "acceptance": [], "diverged": [], "gradients": []}
    for k, state in enumerate(states, 1):
        for name, value in (("diverged", state.diverged), ("gradients", state.gradients)):
            columns[name].append(count.clone() if value is None else value.long())
        if state.acceptance is not None:
            columns["acceptance"].append(state.acceptance)
        if state.log_density is not None and k % thin == 0:
            columns["value"].append(state.log_density)
        if k % thin == 0:
            columns["x"].append(state.x)
        step_size = state.step_size

    def grouped(name: str) -> Tensor:
        return torch.stack(columns[name]).unflatten(0, (-1, thin))

    return Record(
        x=torch.stack(columns["x"]),
        value=torch.stack(columns["value"]) if columns["value"] else None,
        acceptance=grouped("acceptance").mean(1) if columns["acceptance"] else None,
        diverged=grouped("diverged").sum(1),
        gradients=grouped("gradients").sum(1),
        step_size=None if step_size is None else torch.as_tensor(step_size).to(first.x).expand(len(first.x)),
        warm_gradients=warm_gradients,
    )
