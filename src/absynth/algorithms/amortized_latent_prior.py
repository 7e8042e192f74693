"""The latent-space EBM prior with its two short runs amortized by networks.

Pang, Han, Nijkamp, Zhu, Wu: "Learning Latent Space Energy-Based Prior Model", NeurIPS 2020, arXiv:2006.08205, section
2.6 and appendix A.11. Besides p_θ(x, z) = p_α(z) p_β(x|z) two networks are learned: q_φ(z|x) replaces the posterior's
chain and a flow q_ψ(z) the prior's.

    Δ(θ, φ, ψ) = KL(p_data ‖ p_θ) + KL(q_φ(z|x) ‖ p_θ(z|x)) − KL(q_ψ(z) ‖ p_α(z))         eq. (65)
    min_θ min_φ max_ψ Δ                                                                  eq. (66)

log Z(α) leaves both φ's and ψ's part, and α's part of Δ is E_{q_ψ}[f_α] − E_{q_φ}[f_α]: prior and flow are critic and
actor. KL(q_ψ ‖ p_α) needs log q_ψ, so q_ψ is a flow, begun at p_0; it seeks modes, so its share of each mode is worth a
look. Without a flow the prior is sampled by a short run from p_0, and the inference network alone is amortized: what
symbol-vector coupling (Pang and Wu 2021) is built on.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.algorithm import distinct
from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import Normal, observed_log_prob
from absynth.networks.flow import CouplingFlow
from absynth.samplers import Start
from absynth.types import Batch, Conditional, Rng, Sampler


class AmortizedLatentPrior(LatentPrior):
    """Players: ``prior``, ``generator``, ``inference`` and, where there is one, ``flow``.

    Args:
        prior: p_α(z); its reference p_0 is N(0, I).
        generator: p_β(x|z).
        inference: q_φ(z|x).
        flow: q_ψ(z), which draws from the prior; None: ``prior_sampler`` does.
        prior_sampler: K_0 steps on p_α from p_0: it draws where there is no flow, and tasks on the chain use it.
        posterior_sampler: K_1 steps on p_θ(z|x), for tasks on the posterior itself. Learning draws from q_φ.
        refinement_sampler: A few steps on p_α from the flow's draws before the prior learns from them, so that it need
            not wait for an actor that lags. None is the paper's adversarial learning. The flow's own loss is the same.
        prior_start: Initial states of the prior's chains in training. Defaults to p_0; the option is persistent chains.
        likelihood_weight: Weight of log p_β(x|z) in the inference model's loss. 1 is the ELBO; more keeps a recurrent
            generator from ignoring z: q_φ is then the posterior of the likelihood to this power.
        sample_rounds: Number of times the prior's sampler runs on a fresh chain.
        free_nats: A coordinate of z whose KL(q_φ ‖ p_0) is below this on average over the batch is not pulled towards
            p_0 (the authors of symbol-vector coupling keep 1 nat for text); 0 is the ELBO. A mean of q_φ that is the
            same for every x uses them up too, and a learned prior follows it there: the KL is then no measure of
            what z tells. A posterior of fixed rate (:class:`absynth.distributions.GaussianInference`) has no such way.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        inference: Conditional,
        flow: CouplingFlow | None = None,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        refinement_sampler: Sampler | None = None,
        prior_start: Start | None = None,
        likelihood_weight: float = 1.0,
        sample_rounds: int = 1,
        free_nats: float = 0.0,
    ) -> None:
        super().__init__(
            prior,
            generator,
            prior_sampler=prior_sampler,
            posterior_sampler=posterior_sampler,
            prior_start=prior_start,
            inference=inference,
            likelihood_weight=likelihood_weight,
            sample_rounds=sample_rounds,
        )
        self.flow = flow
        self.refinement_sampler = None if refinement_sampler is None else distinct(refinement_sampler)
        self.free_nats = free_nats

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z⁻ ``[n, d]``: of q_ψ in one pass, or by a short run on p_α where there is no flow."""
        return super().sample_prior(n, c, rng=rng) if self.flow is None else self.flow.sample(n, rng).detach()

    def sample_posterior(
        self, x: Tensor, c: Tensor | None = None, mask: Tensor | None = None, *, rng: Rng, index: Tensor | None = None
    ) -> Tensor:
        """z⁺ ``[b, d]`` of q_φ(z|x) in one pass. A ``mask`` changes nothing: q_φ sees x as it is given."""
        with torch.no_grad():
            return self.encode(x, c).sample(rng)

    def samplers(self) -> dict[str, Sampler]:
        refine = {} if self.refinement_sampler is None else {"refinement_sampler": self.refinement_sampler}
        return {**super().samplers(), **refine}

    def sampling_sampler(self) -> str | None:
        return super().sampling_sampler() if self.flow is None else None

    def divergence(self, q: Normal) -> Float[Tensor, ""]:
        """KL(q_φ ‖ p_0), the batch's mean; coordinates within their free nats stand at ``free_nats``."""
        if not self.free_nats:
            return q.kl_standard().mean()
        assert isinstance(q.std, Tensor)
        each = Normal(q.mean.reshape(-1, 1), q.std.reshape(-1, 1)).kl_standard().view(q.mean.shape)
        return each.mean(0).clamp(min=self.free_nats).sum()

    def variational(self, batch: Batch, *, rng: Rng) -> tuple[dict[str, Tensor], Normal, Tensor]:
        """The losses of eq. (65), with q_φ(z|x) and the draw z⁺ of it that they were computed at."""
        x, c = batch.x, batch.c
        prior = self.prior(c)
        q = self.encode(x, c)
        assert isinstance(q, Normal)
        z_pos = q.sample(rng)  # with its graph
        reconstruction = -observed_log_prob(self.likelihood(z_pos, c), x, batch.mask).mean()
        losses = {
            "generator": reconstruction,
            # E[log q − log p(x, z)] − log Z
            "inference": self.likelihood_weight * reconstruction + self.divergence(q) - prior.f(z_pos).mean(),
        }
        if self.flow is not None:
            z_neg, log_q = self.flow.draw(len(x), rng)
            losses["flow"] = (log_q - prior.log_density(z_neg)).mean()  # KL(q_ψ ‖ p_α) − log Z
            if self.refinement_sampler is not None:
                z_neg = self.run_chain("prior", self.refinement_sampler, prior.log_density, z_neg.detach(), rng=rng)
        elif self.training and not self.prior.training:  # it rests: no chain
            return losses, q, z_pos
        else:
            z_neg = self.synthesize_prior(x, c, rng=rng)
        losses["prior"] = prior.f(z_neg.detach()).mean() - prior.f(z_pos.detach()).mean()  # α's part of Δ
        return losses, q, z_pos

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        if self.training and self.flow is None and not (self.generator.training or self.inference.training):
            z_pos = self.sample_posterior(batch.x, batch.c, rng=rng)  # the prior learns alone, the likelihood rests
            z_neg, prior = self.synthesize_prior(batch.x, batch.c, rng=rng), self.prior(batch.c)
            return {"prior": prior.f(z_neg).mean() - prior.f(z_pos).mean()}
        losses, _, _ = self.variational(batch, rng=rng)
        if self.likelihood_weight == 1:
            losses["generator"] = losses["inference"]  # the bound has the same gradient: one backward pass for both
        return losses

    def explain_metrics(self) -> dict[str, str]:
        elbo = "is the negative ELBO, up to the prior's normalization: it should fall, then level off"
        shared = {"generator": elbo} if self.likelihood_weight == 1 else {}
        flow = {"flow": "is KL(flow ‖ prior) up to a constant: it should fall, then level off"}
        return {**super().explain_metrics(), **shared, "inference": elbo} | ({} if self.flow is None else flow)
