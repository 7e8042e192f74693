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

from torch import Tensor

from absynth.algorithms.amortized_latent_prior import AmortizedLatentPrior
from absynth.algorithms.chain import Chain
from absynth.density import Density


class LatentBelief(AmortizedLatentPrior):
    """Players: ``prior`` (an EBM on z given c), ``generator`` (p_β(x|z, c)), ``inference`` (q_φ(z|x, c)).

    (1) is the amortized prior's bound with a condition, and its arguments are the same. The prior's chain begins at
    p_0; there is no flow.
    """

    def latent_density(self, c: Tensor | None = None) -> Density:
        if c is None:
            self._unsupported("has a prior that depends on a condition, and none was given: use predict or sample")
        return super().latent_density(c)

    def chain(self, c: Tensor | None = None) -> Chain:
        self.latent_density(c)
        return super().chain(c)
