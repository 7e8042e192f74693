"""The variational autoencoder, with a condition or without: the latent belief model under a fixed Gaussian prior.

Kingma, Welling: "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114. With a condition: Sohn, Lee, Yan:
"Learning Structured Output Representation using Deep Conditional Generative Models", NeurIPS 2015.

    z ~ N(0, I),  x ~ p_β(x|z, c)
    log p_β(x|c) ≥ E_q[log p_β(x|z, c)] − KL(q_φ(z|x, c) ‖ N(0, I))                  (1)

It is the baseline beside which a learned prior has to show its worth where the posterior is amortized, as alternating
back-propagation is where it is a chain.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.alternating_backprop import Flat
from absynth.algorithms.latent_belief import LatentBelief
from absynth.density import EBM
from absynth.distributions import GaussianInference, StandardNormal
from absynth.types import Batch, Conditional, Rng, Sampler


class VariationalAutoencoder(LatentBelief):
    """Players: ``generator`` and ``inference``. ``prior`` is N(0, I) itself, drawn from directly.

    Args:
        reference: N(0, I).
        generator: p_β(x|z, c).
        inference: q_φ(z|x, c).
        posterior_sampler: what a task runs that asks for the posterior itself.
    """

    def __init__(
        self,
        reference: StandardNormal,
        generator: Conditional,
        inference: GaussianInference,
        *,
        posterior_sampler: Sampler,
    ) -> None:
        super().__init__(
            EBM(Flat(), reference),
            generator,
            inference,
            prior_sampler=posterior_sampler,
            posterior_sampler=posterior_sampler,
        )

    def sample_prior(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        """z ~ N(0, I), exactly."""
        return self.prior.reference.sample(n, rng)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        q = self.inference(batch.x, batch.c)
        error = -self.generator(q.sample(rng), batch.c).log_prob(batch.x).mean()
        return {"generator": error, "inference": error + q.kl_standard().mean()}  # both ascend (1)
