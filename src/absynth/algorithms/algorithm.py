"""What every algorithm is: players as child modules, and one loss for each of them from a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.capabilities import Capabilities
from absynth.types import Batch, LogDensity, Rng, Sampler

ENERGY_DIFFERENCE = "is f(neg) − f(pos): near 0 at balance. It is not a likelihood, and lower is not better"
"""What the loss of an EBM says, for ``explain_metrics``."""


class ChainRecord(NamedTuple):
    """The last chains that an algorithm ran under one name: what the guard examines."""

    sampler: Sampler
    log_density: LogDensity
    start: Tensor
    end: Tensor


class Algorithm(Capabilities, nn.Module, ABC):
    """Analysis by synthesis: ``losses`` synthesizes with the current model and compares with the data.

    Players are child modules and the keys of ``losses`` are their names. Each loss is minus what its player ascends,
    and reaches that player alone: ``fit`` calls ``loss.backward(inputs=player.parameters())``.

    Attributes:
        recipe: The recipe of a model that ``load`` or ``fit`` returned.
        config: What its config.json held, likewise.
        run: Its run directory, likewise.
    """

    recipe: Any = None
    config: dict[str, Any] | None = None
    run: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.chains: dict[str, ChainRecord] = {}
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

    def save_pretrained(
        self, folder: str | Path, *, license: str = "", name: str = "", limits: Sequence[str] = (), half: bool = False
    ) -> Path:
        """Save the model as a folder with a model card: :func:`absynth.sharing.save_pretrained`."""
        from absynth import sharing

        return sharing.save_pretrained(self, folder, license=license, name=name, limits=limits, half=half)

    def push_to_hub(self, repo: str, *, license: str = "", private: bool = False, message: str = "") -> str:
        """Save the model to the Hugging Face hub: :func:`absynth.sharing.push_to_hub`."""
        from absynth import sharing

        return sharing.push_to_hub(self, repo, license=license, private=private, message=message)

    def run_chain(self, name: str, sampler: Sampler, log_density: LogDensity, start: Tensor, *, rng: Rng) -> Tensor:
        """Run a sampler and remember the chains under ``name``, that of the player that learns from them.

        Args:
            name: Name of the record; the guard treats chains named after an EBM as those that it learns from.
            sampler: One of :meth:`samplers`, the object itself.
            log_density: What the chains move on.
            start: Initial states.
            rng: Source of randomness.
        """
        end = sampler(log_density, start, rng=rng)
        self.chains[name] = ChainRecord(sampler, log_density, start, end)
        return end

    def sampler_name(self, sampler: Sampler) -> str | None:
        """The name of a sampler object in :meth:`samplers`; None if it is not among them."""
        return next((name for name, known in self.samplers().items() if known is sampler), None)


def distinct(sampler: Sampler) -> Sampler:
    """A copy of a sampler, so that two equal samplers of one model differ by identity."""
    return copy(sampler)
