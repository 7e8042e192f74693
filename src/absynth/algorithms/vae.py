"""The variational auto-encoder: a generator and an inference model that share one bound.

Kingma and Welling: "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114.

    p_α(x, z)  = p_0(z) p_α(x|z),   p_0 = N(0, I)
    L(α, φ; x) = E_{q_φ(z|x)}[log p_α(x|z)] − KL(q_φ(z|x) ‖ p_0(z)) ≤ log p_α(x)         eq. (3)

Both players ascend L, by draws z = μ_φ(x) + σ_φ(x) ε that are differentiable in φ (eq. 4, 10) and the divergence in
closed form (appendix B). It is the baseline of every method that teaches a generator: the same two networks, no
energy, and nothing refined.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.generator_model import GeneratorModel
from absynth.types import Batch, Conditional, Reference, Rng


class VAE(GeneratorModel):
    """Players: ``generator`` and ``inference``.

    Args:
        generator: p_α(x|z, c).
        inference: q_φ(z|x, c).
        prior: p_0(z), a standard normal.
    """

    def __init__(self, generator: Conditional, inference: Conditional, prior: Reference) -> None:
        super().__init__(generator, prior, inference)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c, mask = batch.x, batch.c, batch.mask
        reconstruction, divergence, _ = self.negative_elbo(x, c, mask, rng=rng)
        return {
            "generator": reconstruction.mean(),  # −L, eq. (3), whose divergence does not depend on α
            "inference": (reconstruction + divergence).mean(),  # −L, eq. (3)
        }
