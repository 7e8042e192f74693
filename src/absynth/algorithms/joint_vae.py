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

from absynth.algorithms.algorithm import ENERGY_DIFFERENCE
from absynth.algorithms.chain import AnomalyScores
from absynth.algorithms.generator_model import GeneratorModel
from absynth.types import Batch, Conditional, Reference, Rng


class JointVAE(GeneratorModel):
    """Players: ``ebm``, ``generator`` and ``inference``.

    Args:
        ebm: f_θ, a network ``(x [b, *event], z [b, *latent]) -> [b]``.
        generator: p_α(x|z).
        inference: q_φ(z|x).
        prior: p_0(z), a standard normal.
    """

    def __init__(self, ebm: nn.Module, generator: Conditional, inference: Conditional, prior: Reference) -> None:
        super().__init__(generator, prior, inference)
        self.ebm = ebm

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x = batch.x
        reconstruction, _, z_data = self.negative_elbo(x, rng=rng)  # z ~ q_φ(z|x), with its graph
        z = self.reference.sample(len(x), rng)
        generated = self.generator(z).mode  # with its graph
        f_data, f_generated = self.ebm(x, z_data).mean(), self.ebm(generated, z).mean()  # under Q, under P
        return {
            "ebm": f_generated - f_data,  # −KL(P‖Π) + KL(Q‖Π)
            "generator": reconstruction.mean() - f_generated,  # KL(Q‖P) + KL(P‖Π)
            "inference": reconstruction.mean() - self.reference.log_prob(z_data).mean() + f_data,  # KL(Q‖P) − KL(Q‖Π)
        }

    def anomaly_scores(self, x: Tensor, *, steps: int = 0, rng: Rng | None = None) -> AnomalyScores:
        """−f(x, μ_φ(x)), higher is more anomalous (section 4.5 there)."""
        with torch.no_grad():
            return AnomalyScores({"−f(x, μ(x))": -self.ebm(x, self.encode(x).mode)}, "No chain and no noise.")

    def explain_metrics(self) -> dict[str, str]:
        elbo = "is the negative ELBO with the energy of (x, z): it should fall, then level off"
        return {"ebm": ENERGY_DIFFERENCE, "generator": elbo, "inference": elbo}
