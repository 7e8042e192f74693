"""What the teaching methods share: a generator proposes initial samples, an energy-based model refines them.

    p_θ(x)    = exp(f_θ(x)) q_0(x) / Z(θ)                       ebm
    p_α(x, z) = p_0(z) N(x; g_α(z), σ² I)                       generator
    x̂ = g_α(z), z ~ p_0                                         initial sample
    x̃ = K steps of Langevin on p_θ from x̂                       refined sample

Each method has its own file, which says what the generator learns from the refined samples, and at which z.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE, Algorithm, distinct
from absynth.algorithms.chain import AnomalyScores, Chain, Projection, SampledStart
from absynth.algorithms.generator_model import GeneratorModel
from absynth.density import EBM
from absynth.errors import InputError
from absynth.types import Conditional, Reference, Rng, Sampler


class Teaching(GeneratorModel):
    """Players: ``ebm`` and ``generator``, and ``inference`` where there is one.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        prior: p_0(z).
        sampler: K steps on p_θ, from an initial sample.
        inference: q_φ(z|x, c).
        posterior_sampler: Steps on p_α(z|x, c), where a method infers z by a chain.
        weights: Weights of terms of the losses, by the names that a method gives them.

    Raises:
        InputError: a weight is negative.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        prior: Reference,
        *,
        sampler: Sampler,
        inference: Conditional | None = None,
        posterior_sampler: Sampler | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(generator, prior, inference, posterior_sampler=posterior_sampler)
        self.ebm = ebm
        self.sampler = distinct(sampler)
        self.weights = dict(weights or {})
        if any(weight < 0 for weight in self.weights.values()):
            raise InputError(f"expected weights of at least 0, got {self._weights_text()}: 0 leaves a term out")

    def _weights_text(self) -> str:
        return ", ".join(f"{name} {weight:g}" for name, weight in self.weights.items())

    def extra_repr(self) -> str:
        return super().extra_repr() + (f"\nweights: {self._weights_text()}" if self.weights else "")

    def samplers(self) -> dict[str, Sampler]:
        return {"sampler": self.sampler, **super().samplers()}

    def sampling_sampler(self) -> str | None:
        return "sampler"

    def refine(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """x̃ ``[b, *event]``: K steps on p_θ from x. The ebm learns from this chain."""
        return self.run_chain("ebm", self.sampler, self.ebm(c).log_density, x, rng=rng)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n initial samples, refined."""
        return self.refine(self.initial_samples(n, c, rng=rng)[1], c, rng=rng)

    def chain(self, c: Tensor | None = None) -> Chain:
        def start(n: int, rng: Rng) -> Tensor:
            return self.initial_samples(n, None if c is None else c[:n], rng=rng)[1]

        return Chain(self.ebm(c), SampledStart(start), self.sampler)

    def refinement(self, c: Tensor | None = None) -> Chain:
        return self.chain(c)

    def complete(self, project: Projection, n: int, *, steps: int = 0, rng: Rng) -> Tensor:
        """By the EBM's chain, not through the latent variable."""
        return Algorithm.complete(self, project, n, steps=steps, rng=rng)

    def anomaly_scores(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> AnomalyScores:
        """By the EBM's density."""
        return Algorithm.anomaly_scores(self, x, steps=steps, rng=rng)

    def explain_metrics(self) -> dict[str, str]:
        return {"ebm": ENERGY_DIFFERENCE, **super().explain_metrics()}
