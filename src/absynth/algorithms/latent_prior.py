"""The latent-space energy-based prior.

Pang, Han, Nijkamp, Zhu, Wu: "Learning Latent Space Energy-Based Prior Model", NeurIPS 2020, arXiv:2006.08205.

    p_θ(x, z) = p_α(z) p_β(x|z)                                              eq. (1)
    p_α(z)    = exp(f_α(z)) p_0(z) / Z(α)                                    eq. (3)
    p_β(x|z)  = N(g_β(z), σ² I), or autoregressive for text                  eq. (4)

Both chains start at p_0 in every update (short runs, eq. 9). The paper's Table 5 lists s_0 = 0.4 and s_1 = 0.1; its
authors' code uses these numbers as δ of z ← z + (δ²/2)·score + δ·ε, and so do the recipes here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.density import EBM, observe
from absynth.distributions import observed_log_prob
from absynth.types import Batch, Conditional, LogDensity, Rng, Sampler


class LatentPrior(Algorithm):
    """Players: ``prior`` (an EBM on z) and ``generator`` (z ↦ p_β(x|z)).

    Args:
        prior: p_α(z); its reference is p_0.
        generator: p_β(x|z).
        prior_sampler: K_0 steps on p_α, from p_0.
        posterior_sampler: K_1 steps on p_θ(z|x), from p_0.
    """

    def __init__(
        self, prior: EBM, generator: Conditional, *, prior_sampler: Sampler, posterior_sampler: Sampler
    ) -> None:
        super().__init__()
        self.prior = prior
        self.generator = generator
        self.prior_sampler = prior_sampler
        self.posterior_sampler = posterior_sampler

    def extra_repr(self) -> str:
        return f"prior_sampler={self.prior_sampler}\nposterior_sampler={self.posterior_sampler}"

    def log_joint(self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None) -> LogDensity:
        """z ↦ log p_θ(x, z) = f_α(z) + log p_0(z) + log p_β(x|z), up to log Z(α).

        With a ``mask`` (1 where x was observed) the missing entries of x are left out of the likelihood.
        """
        return observe(self.prior(c).log_density, lambda z: observed_log_prob(self.generator(z, c), x, mask))

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ~ p̃_α(z) ``[n, *latent]``: K_0 steps from p_0, eq. (9) with π = p_α."""
        prior = self.prior(c)
        return self.run_chain("prior", "prior_sampler", prior.log_density, prior.reference.sample(n, rng), rng=rng)

    def sample_posterior(self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁺ ~ p̃_θ(z|x) ``[b, *latent]``: K_1 steps from p_0, eq. (9) with π = p_θ(·|x)."""
        start = self.prior(c).reference.sample(len(x), rng)
        return self.run_chain("posterior", "posterior_sampler", self.log_joint(x, c, mask), start, rng=rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask = batch
        z_neg = self.sample_prior(len(x), c, rng=rng)  # z⁻ ~ p̃_α(z)
        z_pos = self.sample_posterior(x, c, mask, rng=rng)  # z⁺ ~ p̃_θ(z|x)
        f = self.prior(c).f
        return {
            "prior": f(z_neg).mean() - f(z_pos).mean(),  # −δ̃_α(x), eq. (10)
            "generator": -observed_log_prob(self.generator(z_pos, c), x, mask).mean(),  # −δ̃_β(x), eq. (11)
        }

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """The generator's mode at n draws from the prior."""
        return self.decode(self.sample_prior(n, c, rng=rng), c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The generator's mode at z, without a graph."""
        return self.generator(z, c).mode.detach()
