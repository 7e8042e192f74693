"""What every algorithm is: players as child modules, and one loss for each of them from a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from absynth.types import Batch, LogDensity, Rng, Sampler


class Chain(NamedTuple):
    """The last chains that an algorithm ran under one name: what the guard looks at."""

    sampler: str
    """Name of the algorithm's attribute that holds the sampler."""
    log_density: LogDensity
    start: Tensor
    end: Tensor


class Algorithm(nn.Module, ABC):
    """Analysis by synthesis: ``losses`` synthesizes with the model as it stands and compares with the data.

    Players are child modules and the keys of ``losses`` are their names. Each loss is minus what its player ascends,
    and reaches that player alone: ``fit`` calls ``loss.backward(inputs=player.parameters())``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chains: dict[str, Chain] = {}
        self.energies: dict[str, Tensor] = {}
        """Mean energies of the last update's positive and negative examples, for the learning curves."""

    def set_progress(self, share: float) -> None:
        """Receive the share of the updates that is done, in [0, 1), before each update.

        Algorithms that grow or anneal override this; it must not depend on earlier calls, so that a run can be resumed.
        """

    @abstractmethod
    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        """One scalar loss for each player."""

    @abstractmethod
    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n examples ``[n, *event]`` from the model."""

    def run_chain(self, name: str, sampler: str, log_density: LogDensity, start: Tensor, *, rng: Rng) -> Tensor:
        """Run the sampler held in the attribute ``sampler`` and remember the chains under ``name``."""
        move: Sampler = getattr(self, sampler)
        end = move(log_density, start, rng=rng)
        self.chains[name] = Chain(sampler, log_density, start, end)
        return end
