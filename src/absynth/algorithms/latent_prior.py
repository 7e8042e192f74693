"""The latent-space energy-based prior.

Pang, Han, Nijkamp, Zhu, Wu: "Learning Latent Space Energy-Based Prior Model", NeurIPS 2020, arXiv:2006.08205.

    p_θ(x, z) = p_α(z) p_β(x|z)                                              eq. (1)
    p_α(z)    = exp(f_α(z)) p_0(z) / Z(α)                                    eq. (3)
    p_β(x|z)  = N(g_β(z), σ² I), or autoregressive for text                  eq. (4)

Both chains start at p_0 in every update (short runs, eq. 9); other starts are options that need fewer steps, and change
which law the chains of K steps have. The paper's Table 5 lists s_0 = 0.4 and s_1 = 0.1; its
authors' code uses these numbers as δ of z ← z + (δ²/2)·score + δ·ε, and so do the recipes here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.density import EBM, observe
from absynth.distributions import observed_log_prob
from absynth.samplers import FromInference, FromNoise, Start
from absynth.types import Batch, Conditional, Distribution, LogDensity, Rng, Sampler


class LatentPrior(Algorithm):
    """Players: ``prior`` (an EBM on z) and ``generator`` (z ↦ p_β(x|z)).

    Args:
        prior: p_α(z); its reference is p_0.
        generator: p_β(x|z).
        prior_sampler: K_0 steps on p_α, from p_0.
        posterior_sampler: K_1 steps on p_θ(z|x), from p_0.
        prior_start: where the prior's chains begin while it learns, instead of p_0: persistent chains.
        posterior_start: where the posterior's begin, instead of p_0: the example's last z.
        inference: q_φ(z|x), a third player: posterior chains begin at its draws, and it learns where they end.
        likelihood_weight: w of p_α(z) p_β(x|z)^w, on which posterior chains move. Above 1 they listen more to x, which
            keeps a strong generator from doing without z (the KL of a VAE weighted 1/w); 1 is the paper.
        sample_rounds: times the prior's sampler runs on a fresh chain in ``sample_prior``; persistent chains have run
            far longer than K_0 steps.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        prior_start: Start | None = None,
        posterior_start: Start | None = None,
        inference: Conditional | None = None,
        likelihood_weight: float = 1.0,
        sample_rounds: int = 1,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.generator = generator
        self.inference = inference
        self.prior_sampler = prior_sampler
        self.posterior_sampler = posterior_sampler
        self.prior_start = prior_start or FromNoise(prior.reference)
        known = FromNoise(prior.reference) if inference is None else FromInference(inference)
        self.posterior_start = posterior_start or known
        self.likelihood_weight = likelihood_weight
        self.sample_rounds = sample_rounds

    def extra_repr(self) -> str:
        return f"prior_sampler={self.prior_sampler}\nposterior_sampler={self.posterior_sampler}"

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """p_β(x|z), whose generator hears the condition too unless an algorithm says otherwise."""
        return self.generator(z, c)

    def log_joint(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, weight: float = 1.0
    ) -> LogDensity:
        """z ↦ log p_θ(x, z) = f_α(z) + log p_0(z) + log p_β(x|z), up to log Z(α).

        With a ``mask`` (1 where x was observed) the missing entries of x are left out of the likelihood, which counts
        ``weight`` times.
        """

        def log_likelihood(z: Tensor) -> Tensor:
            found = observed_log_prob(self.likelihood(z, c), x, mask)
            return found if weight == 1 else weight * found

        return observe(self.prior(c).log_density, log_likelihood)

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ~ p̃_α(z) ``[n, *latent]``: K_0 steps from p_0, eq. (9) with π = p_α."""
        prior = self.prior(c)
        z = prior.reference.sample(n, rng)
        for _ in range(self.sample_rounds):
            z = self.run_chain("prior", "prior_sampler", prior.log_density, z, rng=rng)
        return z

    def sample_posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng, index: Tensor | None = None
    ) -> Tensor:
        """z⁺ ~ p̃_θ(z|x) ``[b, *latent]``: K_1 steps from p_0 or another start, eq. (9) with π = p_θ(·|x).

        An ``index`` tells which training examples x are, for a start that remembers them.
        """
        first, ticket = self.posterior_start.draw(x, rng=rng, index=index)
        log_density = self.log_joint(x, c, mask, weight=self.likelihood_weight)
        z = self.run_chain("posterior", "posterior_sampler", log_density, first, rng=rng)
        self.posterior_start.keep(ticket, z)
        return z

    def synthesize_prior(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ``[b, *latent]`` to learn from, one beside each x: K_0 steps from the prior's start."""
        first, ticket = self.prior_start.draw(x, rng=rng)
        z_neg = self.run_chain("prior", "prior_sampler", self.prior(c).log_density, first, rng=rng)
        self.prior_start.keep(ticket, z_neg)
        return z_neg

    def synthesize(self, batch: Batch, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """z⁻ and z⁺ ``[b, *latent]`` to learn from, each from its own start."""
        x, c, mask, index = batch.x, batch.c, batch.mask, batch.index
        z_neg = self.synthesize_prior(x, c, rng=rng)
        return z_neg, self.sample_posterior(x, c, mask, index=index, rng=rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask = batch.x, batch.c, batch.mask
        z_neg, z_pos = self.synthesize(batch, rng=rng)  # z⁻ ~ p̃_α(z), z⁺ ~ p̃_θ(z|x)
        prior = self.prior(c)
        f_neg, f_pos = prior.f(z_neg), prior.f(z_pos)
        for name, f, z in (("positive", f_pos, z_pos), ("negative", f_neg, z_neg)):
            self.energies[name] = -(f.detach() + prior.reference.log_prob(z)).mean()
        losses = {
            "prior": f_neg.mean() - f_pos.mean(),  # −δ̃_α(x), eq. (10)
            "generator": -observed_log_prob(self.generator(z_pos, c), x, mask).mean(),  # −δ̃_β(x), eq. (11)
        }
        if self.inference is not None:
            losses["inference"] = -self.inference(x).log_prob(z_pos).mean()  # −log q_φ(z⁺|x): it learns where to start
        return losses

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """The generator's mode at n draws from the prior."""
        return self.decode(self.sample_prior(n, c, rng=rng), c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The generator's mode at z, without a graph."""
        return self.likelihood(z, c).mode.detach()
