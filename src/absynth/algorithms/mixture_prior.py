"""A latent-space EBM prior that tilts a mixture of Gaussians fitted to the posterior, learned without chains.

    p_α(z) = exp(f_α(z)) p_0(z),  p_0 = Σ_k w_k N(μ_k, Σ_k), fitted to draws z⁺ ~ p(z|x) of the training data     (1)
    f_α:  min E softplus(−f(z⁺)) + E softplus(f(z⁻)),  z⁻ ~ p_0                                                (2)

(2) is noise contrastive estimation (Gutmann and Hyvärinen, AISTATS 2010) with the noise p_0: at its optimum f = log
p(z⁺) − log p_0, so that p_α is normalized. The model is that of Pang et al. 2020 (arXiv:2006.08205) with another
reference and another rule for α.

Where the generator's noise σ is small, draws of the posterior spread over far more than N(0, I), and a short chain from
N(0, I) does not reach them: generated images are then far worse than reconstructions. Here chains start among them.

Training has three phases: generator and inference network learn, under N(0, I); draws z⁺ are collected; then p_0 is
fitted once and f alone learns. Generator and inference network stand still in the last two.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.errors import InputError
from absynth.references import EMMixture
from absynth.seeding import uniform_like
from absynth.types import Batch, Conditional, Rng, Sampler


def unchanged(player: nn.Module) -> Float[Tensor, ""]:
    """A loss of 0 that gives every parameter a gradient of 0: the player stays as it is."""
    return 0.0 * torch.stack([p.sum() for p in player.parameters()]).sum()


class MixturePrior(LatentPrior):
    """Players: ``prior``, ``generator`` and ``inference``.

    Args:
        prior: p_α(z), its reference a :class:`EMMixture`; f should begin at 0.
        generator: p_β(x|z).
        inference: q_φ(z|x), where posterior chains start.
        prior_sampler: K_0 steps on p_α from p_0, for samples.
        posterior_sampler: K_1 steps on p_θ(z|x).
        memory: Number of latest z⁺ that p_0 is fitted to and f learns from.
        phases: Shares of the updates at which z⁺ begin to be collected and p_0 is fitted.
        contrasts: Number of z⁺ and of z⁻ in an update of f.

    Raises:
        InputError: The reference is no mixture, or the phases do not rise within [0, 1].
    """

    latents: Tensor
    """The latest z⁺."""
    stored: Tensor
    """Number of z⁺ stored so far."""

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        inference: Conditional,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        memory: int = 20_000,
        phases: tuple[float, float] = (0.6, 0.8),
        contrasts: int = 500,
    ) -> None:
        super().__init__(
            prior, generator, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler, inference=inference
        )
        if not isinstance(prior.reference, EMMixture):
            raise InputError(f"expected an EMMixture as reference, got {type(prior.reference).__name__}")
        if not 0 <= phases[0] <= phases[1] <= 1:
            raise InputError(f"expected phases that rise within [0, 1], got {phases}")
        self.phases, self.contrasts, self.share = phases, contrasts, 0.0
        self.register_buffer("latents", torch.zeros(memory, *prior.reference.shape))
        self.register_buffer("stored", torch.zeros((), dtype=torch.long))

    def set_progress(self, share: float) -> None:
        self.share = share

    def store(self, z: Tensor) -> None:
        """Put z⁺ in the place of the oldest ones."""
        rows = (int(self.stored) + torch.arange(len(z), device=z.device)) % len(self.latents)
        self.latents[rows] = z
        self.stored += len(z)

    def collected(self) -> Tensor:
        """The z⁺ that are stored ``[n, d]``."""
        return self.latents[: min(int(self.stored), len(self.latents))]

    def contrast(self, *, rng: Rng) -> Float[Tensor, ""]:
        """(2), on draws of the stored z⁺ and of p_0."""
        z = self.collected()
        rows = (len(z) * uniform_like(z.new_empty(self.contrasts), rng)).long().clamp(max=len(z) - 1)
        prior = self.prior()
        f_pos, f_neg = prior.f(z[rows]), prior.f(prior.reference.sample(self.contrasts, rng))
        return nn.functional.softplus(-f_pos).mean() + nn.functional.softplus(f_neg).mean()

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask, reference = batch.x, batch.c, batch.mask, self.prior.reference
        z_pos = self.sample_posterior(x, c, mask, rng=rng)
        if self.share < self.phases[0]:
            assert self.inference is not None
            return {
                "prior": unchanged(self.prior),
                "generator": -observed_log_prob(self.likelihood(z_pos, c), x, mask).mean(),
                "inference": -self.inference(x).log_prob(z_pos).mean(),
            }
        self.store(z_pos)
        learns = self.share >= self.phases[1] and len(self.collected()) >= 2 * reference.components
        if learns and not reference.fitted:
            reference.fit(self.collected(), rng=rng)  # (1)
        prior = self.contrast(rng=rng) if learns else unchanged(self.prior)
        return {"prior": prior} | {name: unchanged(self.get_submodule(name)) for name in ("generator", "inference")}

    def explain_metrics(self) -> dict[str, str]:
        contrast = "is the cross entropy of telling z⁺ from draws of the mixture, twice: at most 2 log 2 = 1.386 nats"
        return super().explain_metrics() | {"prior": contrast}
