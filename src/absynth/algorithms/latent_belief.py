"""The latent belief energy-based model: an EBM prior that depends on what was seen, learned with an inference model.

Pang, Zhao, Xie, Wu: "Trajectory Prediction with Latent Belief Energy-Based Model", CVPR 2021, arXiv:2104.03086.

    p_α(z|c)         = exp(f_α(z, c)) p_0(z) / Z(c)                      the belief; c is the past
    p_β(x|z, c)      = p(plan|z, c) p(rest|plan, c)                      the generator
    log p_θ(x|c)     ≥ E_q[log p_β(x|z, c) + log p_α(z|c) − log q_φ(z|x, c)]                     (1)

The generator and the inference model ascend (1), whose gradient in α is E_q[∇f] − E_{p_α}[∇f]. Where the authors' code
differs from their equations, this file follows the equations: one p_0 in the bound and in the chain (the code's chain
has standard deviation 2, its KL divergence 1), fresh chains from p_0 (the code keeps chains in a memory that does not
know for which c each was run), and no weights between the terms but those of the generator's own standard deviations.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.latent_prior import LatentPrior
from absynth.density import EBM
from absynth.distributions import Normal
from absynth.types import Batch, Conditional, Rng, Sampler


class LatentBelief(LatentPrior):
    """Players: ``prior`` (an EBM on z given c), ``generator`` (p_β(x|z, c)), ``inference`` (q_φ(z|x, c)).

    Without a condition it is the latent EBM prior with its posterior chain amortized (Pang et al. 2020, section 2.6).

    Args:
        prior: p_α(z|c); its reference p_0 is N(0, I).
        generator: p_β(x|z, c).
        inference: q_φ(z|x, c).
        prior_sampler: K_0 steps on p_α(z|c), from p_0.
        posterior_sampler: K_1 steps on p_θ(z|x, c): what a task runs that asks for the posterior itself. Learning draws
            from q_φ.
        weight: of log p_β(x|z, c) in the inference model's loss. 1 is (1); more keeps a recurrent generator from doing
            without z, which it could: q_φ then stands for the posterior of the likelihood to this power.
    """

    def __init__(
        self,
        prior: EBM,
        generator: Conditional,
        inference: Conditional,
        *,
        prior_sampler: Sampler,
        posterior_sampler: Sampler,
        weight: float = 1.0,
    ) -> None:
        super().__init__(prior, generator, prior_sampler=prior_sampler, posterior_sampler=posterior_sampler)
        self.inference = inference
        self.weight = weight

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        f = self.prior(c).f
        q = self.inference(x, c)
        assert isinstance(q, Normal)
        z = q.sample(rng)  # z⁺ ~ q_φ(z|x, c), with its graph
        z_neg = self.sample_prior(len(x), c, rng=rng)  # z⁻ ~ p̃_α(z|c)
        error = -self.generator(z, c).log_prob(x).mean()
        return {
            "prior": f(z_neg).mean() - f(z.detach()).mean(),  # −∇_α of (1)
            "generator": error,  # −∇_β of (1)
            "inference": self.weight * error + (q.kl_standard() - f(z)).mean(),  # −∇_φ of (1), without log Z
        }
