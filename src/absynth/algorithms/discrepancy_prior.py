"""A latent-space EBM prior learned by energy discrepancy on posterior draws: no prior chain in training.

The model is that of Pang et al. 2020 (arXiv:2006.08205); its prior learns by the loss of Schröder et al., NeurIPS 2023
(arXiv:2307.06431):

    z⁺ ~ p(z|x) by K_1 Langevin steps;  y = z⁺ + √t ξ,  z̃_j = y + √t ξ_j
    prior:      E log( 1/M + 1/M Σ_j exp(ℓ(z̃_j) − ℓ(z⁺)) ),  ℓ = f + log p_0              (1)
    generator:  −E log p(x|z⁺);  inference: −E log q(z⁺|x)

(1) costs M + 1 evaluations of f and their gradient where the chain costs K_0 of both, one after the other. f is learned
within √2t of the posterior's draws alone, and it makes up for p_0 there: nothing holds z⁺ where N(0, I) is, and they
drift away from it. With a reference whose mean and covariance follow z⁺, chains start where f was learned.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.energy_discrepancy import energy_discrepancy
from absynth.algorithms.latent_prior import LatentPrior
from absynth.algorithms.perturbations import Perturbation
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.errors import InputError
from absynth.references import FollowedNormal
from absynth.types import Batch, Conditional, Rng, Sampler


class DiscrepancyPrior(LatentPrior):
    """Players: ``prior``, ``generator`` and, with an inference model, ``inference``.

    Args:
        prior: p_α(z). A :class:`absynth.references.FollowedNormal` for reference follows z⁺.
        generator: p_β(x|z).
        prior_sampler: Langevin steps on p_α from p_0, for samples alone.
        posterior_sampler: K_1 steps on p_θ(z|x).
        perturb: The noise of (1), for example ``GaussianNoise(0.25)``.
        contrasts: M.
        inference: q_φ(z|x), where posterior chains start. Defaults to p_0 as a start.

    Raises:
        InputError: ``contrasts`` is not positive.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        perturb: Perturbation,
        contrasts: int = 16,
        inference: Conditional | None = None,
    ) -> None:
        super().__init__(
            prior, generator, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler, inference=inference
        )
        if contrasts < 1:
            raise InputError(f"expected contrasts of at least 1, got {contrasts}: leave it out for 16")
        self.perturb, self.contrasts = perturb, contrasts

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask = batch.x, batch.c, batch.mask
        z_pos = self.sample_posterior(x, c, mask, index=batch.index, rng=rng)
        if self.training and isinstance(self.prior.reference, FollowedNormal):
            self.prior.reference.follow(z_pos)
        rows = None if c is None else c.repeat(1 + self.contrasts, *[1] * (c.ndim - 1))
        options = {"perturb": self.perturb, "contrasts": self.contrasts}
        each, _ = energy_discrepancy(self.prior(rows).log_density, z_pos, **options, rng=rng)
        losses = {
            "prior": each.mean(),  # (1)
            "generator": -observed_log_prob(self.likelihood(z_pos, c), x, mask).mean(),
        }
        if self.inference is not None:
            losses["inference"] = -self.inference(x).log_prob(z_pos).mean()
        return losses

    def explain_metrics(self) -> dict[str, str]:
        flat = "is log(1 + 1/M) for a flat prior, lower the more posterior draws stand out from their contrasts"
        return {**super().explain_metrics(), "prior": flat}
