"""The latent-space EBM prior with its two short runs amortized by networks.

Pang, Han, Nijkamp, Zhu, Wu: "Learning Latent Space Energy-Based Prior Model", NeurIPS 2020, arXiv:2006.08205, section
2.6 and appendix A.11. Beside p_θ(x, z) = p_α(z) p_β(x|z) two networks are learned: q_φ(z|x) stands for the posterior's
chain and a flow q_ψ(z) for the prior's.

    Δ(θ, φ, ψ) = KL(p_data ‖ p_θ) + KL(q_φ(z|x) ‖ p_θ(z|x)) − KL(q_ψ(z) ‖ p_α(z))         eq. (65)
    min_θ min_φ max_ψ Δ                                                                  eq. (66)

log Z(α) leaves both φ's and ψ's part, and α's part of Δ is E_{q_ψ}[f_α] − E_{q_φ}[f_α]: prior and flow are critic and
actor. KL(q_ψ ‖ p_α) needs log q_ψ, so q_ψ is a flow, begun at p_0; it seeks modes, so its share of each mode is worth a
look. Without a flow the prior is sampled by a short run from p_0, and the inference network alone is amortized: what
symbol-vector coupling (Pang and Wu 2021) is built on.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import GaussianInference, observed_log_prob
from absynth.networks.flow import CouplingFlow
from absynth.types import Batch, Conditional, Rng, Sampler


class AmortizedLatentPrior(LatentPrior):
    """Players: ``prior``, ``generator``, ``inference`` and, where there is one, ``flow``.

    Args:
        prior: p_α(z); its reference p_0 is N(0, I).
        generator: p_β(x|z).
        inference: q_φ(z|x).
        flow: q_ψ(z), which draws from the prior; None: ``prior_sampler`` does.
        prior_sampler: K_0 steps on p_α from p_0: what draws where there is no flow, and what a task runs that asks for
            a chain.
        posterior_sampler: K_1 steps on p_θ(z|x): what a task runs that asks for the posterior itself. Learning draws
            from q_φ.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        inference: GaussianInference,
        flow: CouplingFlow | None = None,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
    ) -> None:
        super().__init__(prior, generator, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler)
        self.inference = inference
        self.flow = flow

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ``[n, d]``: of q_ψ in one pass, or by a short run on p_α where there is no flow."""
        return super().sample_prior(n, c, rng=rng) if self.flow is None else self.flow.sample(n, rng).detach()

    def sample_posterior(self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁺ ``[b, d]`` of q_φ(z|x) in one pass. A ``mask`` changes nothing: q_φ sees x as it is given."""
        return self.inference(x, c).sample(rng).detach()

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask = batch.x, batch.c, batch.mask
        f = self.prior(c).f
        q = self.inference(x, c)
        z = q.sample(rng)  # z⁺, with its graph
        error = -observed_log_prob(self.generator(z, c), x, mask).mean()
        losses = {
            "generator": error,
            "inference": error + (q.kl_standard() - f(z)).mean(),  # −E log p(x, z) + E log q, without log Z
        }
        if self.flow is not None:
            z_neg, log_q = self.flow.draw(len(x), rng)
            losses["flow"] = (log_q - self.prior(c).log_density(z_neg)).mean()  # KL(q_ψ ‖ p_α) − log Z
        else:
            z_neg = self.sample_prior(len(x), c, rng=rng)
        losses["prior"] = f(z_neg.detach()).mean() - f(z.detach()).mean()  # α's part of Δ
        return losses
