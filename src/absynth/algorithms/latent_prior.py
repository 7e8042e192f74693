"""The latent-space energy-based prior.

Pang, Han, Nijkamp, Zhu, Wu: "Learning Latent Space Energy-Based Prior Model", NeurIPS 2020, arXiv:2006.08205.

    p_θ(x, z) = p_α(z) p_β(x|z)                                              eq. (1)
    p_α(z)    = exp(f_α(z)) p_0(z) / Z(α)                                    eq. (3)
    p_β(x|z)  = N(g_β(z), σ² I), or autoregressive for text                  eq. (4)

Both chains start at p_0 in every update (short runs, eq. 9); other initializations are options that need fewer steps,
and change the distribution of the chains after K steps. The paper's Table 5 lists s_0 = 0.4 and s_1 = 0.1; its authors'
code uses these numbers as δ of z ← z + (δ²/2)·score + δ·ε, and so do the recipes here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE, distinct
from absynth.algorithms.chain import Chain
from absynth.algorithms.generator_model import GeneratorModel
from absynth.density import EBM
from absynth.distributions import observed_log_prob
from absynth.samplers import FromInference, FromNoise, Start
from absynth.types import Batch, Conditional, Rng, Sampler


class LatentPrior(GeneratorModel):
    """Players: ``prior`` (an EBM on z) and ``generator`` (z ↦ p_β(x|z)).

    Args:
        prior: p_α(z); its reference is p_0.
        generator: p_β(x|z).
        prior_sampler: K_0 steps on p_α, from p_0.
        posterior_sampler: K_1 steps on p_θ(z|x), from p_0.
        prior_start: Initial states of the prior's chains in training. Defaults to p_0; the option is persistent chains.
        posterior_start: Initial states of the posterior's chains. Defaults to p_0; the option is each example's last z.
        inference: q_φ(z|x), a third player: posterior chains start at its draws, and it learns from where they end.
        likelihood_weight: w of p_α(z) p_β(x|z)^w, on which posterior chains move. Above 1 they follow x more closely,
            which keeps a strong generator from ignoring z (the KL of a VAE weighted 1/w); 1 is the paper.
        sample_rounds: Number of times the prior's sampler runs on a fresh chain in ``sample_prior``; persistent chains
            have run far longer than K_0 steps.
    """

    prior: EBM

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
        known = FromNoise(prior.reference) if inference is None else FromInference(inference)
        super().__init__(
            generator,
            prior,
            inference,
            posterior_sampler=posterior_sampler,
            posterior_start=posterior_start or known,
            likelihood_weight=likelihood_weight,
        )
        self.prior_sampler = distinct(prior_sampler)
        self.prior_start = prior_start or FromNoise(prior.reference)
        self.sample_rounds = sample_rounds

    def samplers(self) -> dict[str, Sampler]:
        return {"prior_sampler": self.prior_sampler, **super().samplers()}

    def sampling_sampler(self) -> str | None:
        return "prior_sampler"

    def chain(self, c: Tensor | None = None) -> Chain:
        prior = self.prior(c)
        generate = self.generate if c is None else lambda z: self.generate(z, c[: len(z)])
        return Chain(prior, prior.reference, self.prior_sampler, generate, self.sample_rounds, latent=True)

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """Draw z⁻ ~ p̃_α(z) ``[n, *latent]``: K_0 steps from p_0, eq. (9) with π = p_α."""
        prior = self.prior(c)
        z = prior.reference.sample(n, rng)
        for _ in range(self.sample_rounds):
            z = self.run_chain("prior", self.prior_sampler, prior.log_density, z, rng=rng)
        return z

    def synthesize_prior(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ``[b, *latent]`` to learn from, one for each x: K_0 steps from the prior's start."""
        first, ticket = self.prior_start.draw(x, rng=rng)
        z_neg = self.run_chain("prior", self.prior_sampler, self.prior(c).log_density, first, rng=rng)
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
            "generator": -observed_log_prob(self.likelihood(z_pos, c), x, mask).mean(),  # −δ̃_β(x), eq. (11)
        }
        if self.inference is not None:
            losses["inference"] = -self.inference(x).log_prob(z_pos).mean()  # −log q_φ(z⁺|x): it learns where to start
        return losses

    def explain_metrics(self) -> dict[str, str]:
        return {"prior": ENERGY_DIFFERENCE, **super().explain_metrics()}
