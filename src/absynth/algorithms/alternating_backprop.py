"""Alternating back-propagation: the generator alone, under a fixed Gaussian prior.

Han, Lu, Zhu, Wu: "Alternating Back-Propagation for Generator Network", AAAI 2017, arXiv:1606.08571.

    z ~ p_0(z),  x = g_β(z) + σ ε

Inferential back-propagation runs Langevin on z; learning back-propagation regresses x on the inferred z. The paper
continues from each example's last z (``posterior_start=FromLast``), so a few steps per visit add up to a chain that
follows p_β(z|x). Chains from p_0 are the default: short-run inference (Nijkamp et al. 2020, arXiv:1912.01909), whose
learned generator is one that K steps can invert. There z may be one vector per layer (:mod:`absynth.networks.layered`).

Entries of x that were never observed (``Batch.mask``) are left out of the likelihood in both steps, and what is
generated at the inferred z is their recovery. The latent-space EBM prior with f ≡ 0 is this method, and so the baseline
of a learned prior.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.generator_model import GeneratorModel
from absynth.distributions import observed_log_prob
from absynth.samplers import FromNoise, Start
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class AlternatingBackprop(GeneratorModel):
    """Player: ``generator``. ``prior`` is the reference itself.

    Args:
        reference: p_0.
        generator: p_β(x|z).
        posterior_sampler: K_1 steps on p_θ(z|x).
        posterior_start: Initial states of its chains. Defaults to p_0; the paper's is each example's last z
            (:class:`FromLast`).
        likelihood_weight: Weight of the log likelihood on which posterior chains move.
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
            generator,
            reference,
            posterior_sampler=posterior_sampler,
            posterior_start=posterior_start or FromNoise(reference),
            likelihood_weight=likelihood_weight,
        )

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask, index = batch.x, batch.c, batch.mask, batch.index
        z_pos = self.sample_posterior(x, c, mask, index=index, rng=rng)  # inferential back-propagation
        return {"generator": -observed_log_prob(self.likelihood(z_pos, c), x, mask).mean()}  # learning back-propagation
