"""What the teaching methods share: a generator drafts, an energy-based model revises.

    p_θ(x)    = exp(f_θ(x)) q_0(x) / Z(θ)                       ebm
    p_α(x, z) = p_0(z) N(x; g_α(z), σ² I)                       generator
    x̂ = g_α(z), z ~ p_0                                         draft
    x̃ = K steps of Langevin on p_θ from x̂                       revised

Each method, a file of its own, says what the generator learns from the revised examples, and by which z.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from absynth.algorithms.generator_model import GeneratorModel
from absynth.density import EBM
from absynth.errors import InputError
from absynth.types import Conditional, Reference, Rng, Sampler


class Drafts:
    """The law of the generator's drafts, where chains on x begin: drawn from, never evaluated."""

    def __init__(self, model: Teaching) -> None:
        self.model = model

    def log_prob(self, x: Tensor) -> Tensor:
        raise InputError(
            "a generator's drafts have no density of x: this task needs an EBM whose chains start at noise"
        )

    def sample(self, n: int, rng: Rng) -> Tensor:
        """n drafts ``[n, *event]``."""
        return self.model.draft(n, rng=rng)[1]


class Teaching(GeneratorModel):
    """Players: ``ebm`` and ``generator``, and ``inference`` where there is one.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        latent: p_0(z).
        sampler: K steps on p_θ, from a draft.
        inference: q_φ(z|x, c).
        posterior_sampler: steps on p_α(z|x, c), where a method infers z by a chain.
        weights: of terms of the losses, by the names that a method gives them.

    Raises:
        InputError: a weight is negative.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        latent: Reference,
        *,
        sampler: Sampler,
        inference: Conditional | None = None,
        posterior_sampler: Sampler | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(generator, latent, inference, posterior_sampler=posterior_sampler)
        self.ebm = ebm
        self.sampler = sampler
        self.weights = dict(weights or {})
        if any(weight < 0 for weight in self.weights.values()):
            raise InputError(f"expected weights of at least 0, got {self._said()}: 0 leaves a term out")

    def _said(self) -> str:
        return ", ".join(f"{name} {weight:g}" for name, weight in self.weights.items())

    def extra_repr(self) -> str:
        samplers = {"sampler": self.sampler, "posterior_sampler": self.posterior_sampler}
        lines = [f"{name}={value}" for name, value in samplers.items() if value is not None]
        return "\n".join([*lines, f"weights: {self._said()}"] if self.weights else lines)

    @property
    def origin(self) -> Drafts:
        """Where a chain on x begins that has no data beside it."""
        return Drafts(self)

    def revise(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """x̃ ``[b, *event]``: K steps on p_θ from x. The ebm learns from this chain."""
        return self.run_chain("ebm", "sampler", self.ebm(c).log_density, x, rng=rng)

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n drafts, revised."""
        return self.revise(self.draft(n, c, rng=rng)[1], c, rng=rng)
