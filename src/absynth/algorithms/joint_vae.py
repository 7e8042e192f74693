"""A variational auto-encoder and an energy on (x, z), learned together.

Han, Nijkamp, Zhou, Pang, Zhu, Wu: "Joint Training of Variational Auto-Encoder and Latent Energy-Based Model",
CVPR 2020, arXiv:2006.06059.

    Q(x, z) = p_data(x) q_φ(z|x)        inference
    P(x, z) = p_0(z) p_α(x|z)           generator
    Π(x, z) = exp(f_θ(x, z)) / Z(θ)     ebm: one energy of both

    max_θ min_{α,φ}  KL(Q‖P) + KL(P‖Π) − KL(Q‖Π)

    θ: ascends E_Q f(x, z) − E_P f(x, z)
    α: descends −E_Q log p_α(x|z) − E_P f(x, z)
    φ: descends −E_Q[log p_α(x|z) + log p_0(z)] + E_Q f(x, z)

The entropy of q_φ stands in KL(Q‖P) and in KL(Q‖Π) alike and cancels, so nothing rewards a wide q_φ but f. As in the
authors' code P's x is the generator's mode beside its own z, and f = −softplus is bounded above, with spectral
normalization in every layer (:mod:`absynth.networks.towers`); their optimizer is Adam with β1 = 0. Out of distribution
is what has a low f(x, μ_φ(x)).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.algorithms.generator_model import GeneratorModel
from absynth.types import Batch, Conditional, Reference, Rng


class JointVAE(GeneratorModel):
    """Players: ``ebm``, ``generator`` and ``inference``.

    Args:
        ebm: f_θ, a network ``(x [b, *event], z [b, *latent]) -> [b]``.
        generator: p_α(x|z).
        inference: q_φ(z|x).
        latent: p_0(z), a standard normal.
    """

    def __init__(self, ebm: nn.Module, generator: Conditional, inference: Conditional, latent: Reference) -> None:
        super().__init__(generator, latent, inference)
        self.ebm = ebm

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        error, _, z_data = self.bound(x, rng=rng)  # z ~ q_φ(z|x), with its graph
        z = self.latent.sample(len(x), rng)
        drafts = self.generator(z).mode  # with its graph
        f_data, f_drafts = self.ebm(x, z_data).mean(), self.ebm(drafts, z).mean()  # under Q, under P
        return {
            "ebm": f_drafts - f_data,  # −KL(P‖Π) + KL(Q‖Π)
            "generator": error.mean() - f_drafts,  # KL(Q‖P) + KL(P‖Π)
            "inference": error.mean() - self.latent.log_prob(z_data).mean() + f_data,  # KL(Q‖P) − KL(Q‖Π)
        }

    def anomaly_score(self, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n"]:
        """−f(x, μ_φ(x)), higher is more anomalous (section 4.5 there)."""
        assert self.inference is not None
        with torch.no_grad():
            return -self.ebm(x, self.inference(x).mode)
