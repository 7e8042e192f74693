"""The latent-space EBM prior whose two chains start at a small diffusion model of z.

Yu, Zhu, Xie, Li, Wu, "Learning Energy-Based Prior Model with Diffusion-Amortized MCMC", NeurIPS 2023, arXiv:2310.03218.

    z₀ ~ Q̄(z|x),  z⁺: K_1 steps on p_θ(z|x) from z₀                                        (1)
    z⁻: K_0 steps on p_α(z) from z₀ and from p_0, half each, or from z⁺                      (2)
    prior and generator learn from z⁻ and z⁺ as in the latent prior
    Q learns z⁺ by denoising, with x left out now and then, so that Q(z) is learned too       (3)

Q̄ is a moving average of Q: chains start at a slow copy, so that Q does not chase its own errors. Samples start at Q̄(z)
and take K_0 steps on the prior: a chain that starts close needs few. Half of the chains of z⁻ from p_0 do not arrive in
few steps, and f then grows until they do; from z⁺, f learns by contrastive divergence, which is right at any K_0.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.chain import Chain, SampledStart
from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.errors import InputError
from absynth.networks.latent_diffusion import LatentDiffusion
from absynth.types import Batch, Conditional, Rng, Sampler

NegativeStart = Literal["both", "posterior"]
"""Where chains of z⁻ start: at z₀ and at p_0, half each, or at z⁺."""


class DiffusionAmortized(LatentPrior):
    """Players: ``prior``, ``generator`` and ``amortizer``.

    Args:
        prior: p_α(z); its reference is p_0.
        generator: p_β(x|z).
        amortizer: Q(z|x) and Q(z).
        prior_sampler: K_0 steps on p_α.
        negative_start: Where chains of z⁻ start: ``both``, at z₀ and at p_0, or ``posterior``, at z⁺.
        posterior_sampler: K_1 steps on p_θ(z|x).
        average: Share of Q that enters Q̄ in an update.
        drop: Probability that x is left out when Q learns.
        draws: Noise draws of each z⁺ when Q learns.

    Raises:
        InputError: ``average`` or ``drop`` is not in (0, 1].
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        amortizer: LatentDiffusion,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        negative_start: NegativeStart = "both",
        average: float = 0.01,
        drop: float = 0.2,
        draws: int = 6,
        likelihood_weight: float = 1.0,
    ) -> None:
        super().__init__(
            prior,
            generator,
            prior_sampler=prior_sampler,
            posterior_sampler=posterior_sampler,
            likelihood_weight=likelihood_weight,
        )
        if not (0 < average <= 1 and 0 < drop <= 1):
            raise InputError(f"expected average and drop in (0, 1], got {average:g} and {drop:g}")
        self.amortizer = amortizer
        self.slow = deepcopy(amortizer).requires_grad_(False)
        self.negative_start = negative_start
        self.average, self.drop, self.draws = average, drop, draws

    def follow(self) -> None:
        """Q̄ ← (1 − average) Q̄ + average Q; the moments are those of Q."""
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.amortizer.parameters()):
                slow.lerp_(fast, self.average)
            for slow, fast in zip(self.slow.buffers(), self.amortizer.buffers()):
                slow.copy_(fast)

    def initial_latent(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z₀ ~ Q̄(z|x)."""
        return self.slow.sample(len(x), x, rng=rng)

    def sample_posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng, index: Tensor | None = None
    ) -> Tensor:
        """z⁺ by (1)."""
        return self.refine_latent(x, self.initial_latent(x, c, rng=rng), c, mask, rng=rng)

    def chain(self, c: Tensor | None = None) -> Chain:
        start = SampledStart(lambda n, rng: self.slow.sample(n, rng=rng))
        return Chain(self.prior(c), start, self.prior_sampler, self.generate, latent=True)

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """K_0 steps on p_α from Q̄(z)."""
        chain = self.chain(c)
        start = chain.start.sample(n, rng)
        return self.run_chain("prior", self.prior_sampler, chain.density.log_density, start, rng=rng)

    def synthesize(self, batch: Batch, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """z⁻ by (2) and z⁺ by (1), from the same z₀."""
        x, prior = batch.x, self.prior(batch.c)
        z0 = self.initial_latent(x, batch.c, rng=rng)
        z_pos = self.refine_latent(x, z0, batch.c, batch.mask, rng=rng)
        half = (len(x) + 1) // 2
        if self.negative_start == "posterior":
            start = z_pos
        else:
            start = torch.cat([z0[:half], prior.reference.sample(len(x) - half, rng)])
        return self.run_chain("prior", self.prior_sampler, prior.log_density, start, rng=rng), z_pos

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        self.follow()
        z_neg, z_pos = self.synthesize(batch, rng=rng)
        self.amortizer.moments.follow(z_pos)
        f, p = self.prior(batch.c).f, self.likelihood(z_pos, batch.c)
        return {
            "prior": f(z_neg).mean() - f(z_pos).mean(),
            "generator": -observed_log_prob(p, batch.x, batch.mask).mean(),
            "amortizer": self.amortizer.loss(z_pos, batch.x, drop=self.drop, draws=self.draws, rng=rng),  # (3)
        }

    def explain_metrics(self) -> dict[str, str]:
        error = "is the squared error of the predicted v per coordinate: it should fall below 1, then level off"
        return {**super().explain_metrics(), "amortizer": error}
