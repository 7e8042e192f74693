"""An energy-based model of the data that is learned without its chains: what such methods share."""

from __future__ import annotations

from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Chain
from absynth.density import EBM
from absynth.errors import InputError
from absynth.types import Rng, Sampler


class DataDensity(Algorithm):
    """Player: ``ebm``. Samples are chains from p_0.

    Args:
        ebm: p_θ(x|c).
        sampler: Run from p_0 by ``sample``; learning needs none.
        sample_rounds: Number of times the sampler runs for a sample.

    Raises:
        InputError: ``sample_rounds`` is not positive.
    """

    def __init__(self, ebm: EBM, *, sampler: Sampler, sample_rounds: int = 1) -> None:
        super().__init__()
        if sample_rounds < 1:
            raise InputError(f"expected sample_rounds of at least 1, got {sample_rounds}")
        self.ebm = ebm
        self.sampler = sampler
        self.sample_rounds = sample_rounds

    def extra_repr(self) -> str:
        return f"sampler={self.sampler}, sample_rounds={self.sample_rounds}"

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def chain(self, c: Tensor | None = None) -> Chain:
        return Chain(self.ebm(c), self.ebm.reference, self.sampler, rounds=self.sample_rounds)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n chains ``[n, *event]`` from p_0."""
        density = self.ebm(c)
        x = density.reference.sample(n, rng)
        for _ in range(self.sample_rounds):
            x = self.run_chain("sampling", self.sampler, density.log_density, x, rng=rng)
        return x
