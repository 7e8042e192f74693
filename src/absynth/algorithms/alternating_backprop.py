"""Alternating back-propagation: the generator alone, under a fixed Gaussian prior.

Han, Lu, Zhu, Wu: "Alternating Back-Propagation for Generator Network", AAAI 2017, arXiv:1606.08571.

    z ~ p_0(z),  x = g_β(z) + σ ε

Inferential back-propagation runs Langevin on z; learning back-propagation regresses x on the inferred z. The paper goes
on from each example's last z (``posterior_start=FromLast``), so a few steps a visit add up to a chain that follows
p_β(z|x). Chains from p_0 are the default: short-run inference (Nijkamp et al. 2020, arXiv:1912.01909), whose learned
generator is one that K steps can invert. There z may be one vector a layer (:mod:`absynth.networks.layered`).

Entries of x that were never observed (``Batch.mask``) are left out of the likelihood in both steps, and what is
generated at the inferred z is their recovery. It is the latent-space EBM prior with f ≡ 0, and so the baseline beside
which a learned prior has to show its worth.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.samplers import Start
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class Flat(nn.Module):
    """f ≡ 0: the EBM is its reference."""

    def forward(self, z: Tensor, c: Tensor | None = None) -> Float[Tensor, "b"]:
        return z.new_zeros(len(z))


class AlternatingBackprop(LatentPrior):
    """Player: ``generator``. ``prior`` is the reference itself, drawn from directly.

    Args:
        reference: p_0.
        generator: p_β(x|z).
        posterior_sampler: K_1 steps on p_θ(z|x).
        posterior_start: where they begin: p_0, or, as in the paper, the example's last z (:class:`FromLast`).
        likelihood_weight: as in :class:`LatentPrior`.
    """

    def __init__(
        self,
        reference: Reference,
        generator: Conditional,
        *,
        posterior_sampler: Sampler,
        posterior_start: Start | None = None,
        likelihood_weight: float = 1.0,
    ) -> None:
        super().__init__(
            EBM(Flat(), reference),
            generator,
            prior_sampler=posterior_sampler,
            posterior_sampler=posterior_sampler,
            posterior_start=posterior_start,
            likelihood_weight=likelihood_weight,
        )

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z ~ p_0, exactly."""
        return self.prior.reference.sample(n, rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask, index = batch.x, batch.c, batch.mask, batch.index
        z_pos = self.sample_posterior(x, c, mask, index=index, rng=rng)  # inferential back-propagation
        return {"generator": -observed_log_prob(self.generator(z_pos, c), x, mask).mean()}  # learning back-propagation
