"""Filter pursuit: FRAME that chooses its filters, one at a time, where its synthesis is furthest from the data.

Zhu, Wu, Mumford: "Minimax Entropy Principle and its Application to Texture Modeling", Neural Computation 1997, and IJCV
1998, section 4. The model with filters S gives way to the one with S and

    k* = argmax_{k not in S} ½ ‖H_k(data) − H_k(synthesis)‖_1                                        (1)

H_k the marginal histogram of filter k: the filter whose addition lowers the entropy of the model most, to first order.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.frame import Frame
from absynth.density import EBM
from absynth.errors import InputError
from absynth.samplers import Persistent
from absynth.types import Batch, Rng, Sampler


class FilterPursuit(Frame):
    """Player: ``ebm``, whose statistics are the histograms of a dictionary of filters.

    Args:
        ebm: p_λ.
        start: Persistent chains.
        sampler: Langevin or HMC steps of an update.
        filters: Number of filters in the dictionary; each has equally many statistics, in order.
        choose: Number of filters to choose.
        adding: Share of the updates in which filters are added, evenly.
        sample_rounds: Times the sampler runs on a fresh chain in ``sample``.

    Raises:
        InputError: More filters are to be chosen than the dictionary has, or they have not equally many statistics.
    """

    order: Tensor

    def __init__(
        self,
        ebm: EBM,
        *,
        start: Persistent,
        sampler: Sampler,
        filters: int,
        choose: int,
        adding: float = 0.7,
        sample_rounds: int = 1,
    ) -> None:
        super().__init__(ebm, start=start, sampler=sampler, sample_rounds=sample_rounds)
        if not 0 < choose <= filters:
            raise InputError(f"expected to choose between 1 and {filters} filters, got {choose}")
        if len(self.f.weight) % filters:
            raise InputError(f"expected equally many statistics of {filters} filters, got {len(self.f.weight)} in all")
        self.filters, self.choose, self.adding, self.share = filters, choose, adding, 0.0
        self.f.active.fill_(False)
        self.register_buffer("order", torch.full((choose,), -1))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}\nfilters={self.filters}, choose={self.choose}, adding={self.adding:g}"

    def set_progress(self, share: float) -> None:
        self.share = share

    @property
    def chosen(self) -> list[int]:
        """The filters in use, in the order in which they were chosen."""
        return [int(k) for k in self.order if k >= 0]

    def distance(self, x: Tensor) -> Float[Tensor, "filters"]:
        """Half the L1 distance of the histograms of data x and of the chains, for each filter."""
        h = (self.statistics(x) - self.statistics(self.chains_now)).view(self.filters, -1)
        total = self.statistics(x).view(self.filters, -1).sum(1)
        return 0.5 * h.abs().sum(1) / total

    def pursue(self, x: Tensor) -> None:
        """Add the filter of (1)."""
        distance = self.distance(x)
        distance[self.chosen] = -math.inf
        k = int(distance.argmax())
        self.order[len(self.chosen)] = k
        self.f.active.view(self.filters, -1)[k] = True

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        wanted = 1 + int(self.share / self.adding * self.choose) if self.adding else self.choose
        while len(self.chosen) < min(wanted, self.choose):
            self.pursue(batch.x)
        return super().losses(batch, rng=rng)
