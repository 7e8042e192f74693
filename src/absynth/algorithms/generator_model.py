"""What every model of a generator under a fixed law of z can do, whatever teaches it.

p_α(x, z) = p_0(z) p_α(x|z)                                         generator
q_φ(z|x)  = N(μ_φ(x), diag σ²_φ(x))                                 inference, where a method has one
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.density import observe
from absynth.distributions import Normal, StandardNormal, observed_log_prob
from absynth.errors import InputError
from absynth.types import Conditional, LogDensity, Reference, Rng, Sampler


class GeneratorModel(Algorithm):
    """Players: ``generator``, and ``inference`` where there is one; a method may add more.

    Args:
        generator: p_α(x|z, c).
        latent: p_0(z).
        inference: q_φ(z|x, c).
        posterior_sampler: steps on p_α(z|x, c), where a method infers z by a chain.
    """

    def __init__(
        self,
        generator: Conditional,
        latent: Reference,
        inference: Conditional | None = None,
        *,
        posterior_sampler: Sampler | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.latent = latent
        self.inference = inference
        self.posterior_sampler = posterior_sampler

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z ~ p_0 ``[n, *latent]``, whatever the condition."""
        return self.latent.sample(n, rng)

    def draft(self, n: int, c: Tensor | None = None, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """``(z [n, *latent], x̂ [n, *event])``: z ~ p_0 and the generator's mode there, without a graph."""
        z = self.sample_prior(n, c, rng=rng)
        return z, self.decode(z, c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The generator's mode at z, without a graph."""
        with torch.no_grad():
            return self.generator(z, c).mode

    def log_joint(self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None) -> LogDensity:
        """z ↦ log p_α(x, z) = log p_0(z) + log p_α(x|z); entries of x where ``mask`` is 0 are left out."""
        return observe(self.latent.log_prob, lambda z: observed_log_prob(self.generator(z, c), x, mask))

    def infer(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """ẑ ~ q_φ(z|x) ``[b, *latent]`` without a graph; z ~ p_0 where there is no inference model."""
        if self.inference is None:
            return self.sample_prior(len(x), c, rng=rng)
        with torch.no_grad():
            return self.inference(x, c).sample(rng)

    def revise_latent(self, x: Tensor, z: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z̃ ``[b, *latent]``: the steps of ``posterior_sampler`` on p_α(z|x) from z."""
        return self.run_chain("posterior", "posterior_sampler", self.log_joint(x, c), z, rng=rng)

    def sample_posterior(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z̃ ``[b, *latent]`` ~ p_α(z|x): ``infer``, revised by the ``posterior_sampler`` where there is one.

        Raises:
            InputError: there is neither an inference model nor a chain on z.
        """
        if self.inference is None and self.posterior_sampler is None:
            raise InputError(
                f"this needs an inference model or a chain on z, and this {type(self).__name__} learned without "
                "either: choose a method that infers z (cooperative recipes: --teaching full)"
            )
        z = self.infer(x, c, rng=rng)
        return z if self.posterior_sampler is None else self.revise_latent(x, z, c, rng=rng)

    def bound(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"], Tensor]:
        """The two parts of minus the evidence lower bound on log p_α(x), and the z ~ q_φ(z|x) it was taken at.

        Returns:
            −log p_α(x|z), KL(q_φ(z|x) ‖ p_0) in closed form, and z ``[b, *latent]``; all with their graph.
        """
        assert self.inference is not None
        assert isinstance(self.latent, StandardNormal)
        q = self.inference(x, c)
        assert isinstance(q, Normal)
        z = q.sample(rng)
        error = -observed_log_prob(self.generator(z, c), x, mask)
        return error, Normal(q.mean / self.latent.std, q.std / self.latent.std).kl_standard(), z

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """n drafts."""
        return self.draft(n, c, rng=rng)[1]
