"""Dual-MCMC teaching: an energy-based model, a generator and an inference model, learned together.

Cui and Han: "Learning Energy-based Model via Dual-MCMC Teaching", NeurIPS 2023, arXiv:2312.02469.

    P_α(x, z) = p_0(z) p_α(x|z)         generator          P̃: its x refined,  x̃ = T^x_θ x̂,  x̂ = g_α(z)
    Q_φ(x, z) = p_data(x) q_φ(z|x)      inference          Q̃: its z refined,  z̃ = T^z_α ẑ,  ẑ ~ q_φ(z|x)
    Π(x, z)   = p_θ(x) q_φ(z|x)         ebm

    θ: min KL(Q̃‖Π) − KL(P̃‖Π)      ascends E_data f(x) − E f(x̃)
    α: min KL(Q̃‖P) + S·KL(P̃‖P)    ascends E log p_α(x|z̃) + S·E log p_α(x̃|z): the data teach the generator too
    φ: min KL(Q̃‖Q) + w·KL(P̃‖Π)    ascends E log q_φ(z̃|x) + w·E log q_φ(z|x̃): no bound, no gradient through a draw

The authors' code has S = 50 on CIFAR-10 (70 on CelebA) and w = 0.1, refines x at a temperature of 4e-6, and steps the
generator and the inference model first: then it generates again from the same z with the new generator and refines
those samples for f's step. Here all three losses are of the players as they stand, so f learns from the x̃ that taught
the others. The two x̂ differ by one step of Adam, and one chain of K steps an update is saved.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.teaching import Teaching
from absynth.density import EBM
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class DualTeaching(Teaching):
    """Players: ``ebm``, ``generator`` and ``inference``.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        inference: q_φ(z|x, c).
        prior: p_0(z).
        sampler: T^x, steps on p_θ from an initial sample.
        posterior_sampler: T^z, steps on p_α(z|x) from a draw of q_φ.
        generator_teaching: S, weight of the refined samples against the data in the generator's loss.
        inference_teaching: w, weight of the initial samples' known z against the data's refined z in the inference
            loss.

    Raises:
        InputError: a weight is negative.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        inference: Conditional,
        prior: Reference,
        *,
        sampler: Sampler,
        posterior_sampler: Sampler,
        generator_teaching: float = 1.0,
        inference_teaching: float = 0.1,
    ) -> None:
        weights = {"generator_teaching": generator_teaching, "inference_teaching": inference_teaching}
        super().__init__(
            ebm, generator, prior, sampler=sampler, inference=inference, posterior_sampler=posterior_sampler,
            weights=weights,
        )  # fmt: skip

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        assert self.inference is not None
        s, w = self.weights["generator_teaching"], self.weights["inference_teaching"]
        z, initial = self.initial_samples(len(x), c, rng=rng)
        x_refined = self.refine(initial, c, rng=rng)  # x̃ = T^x x̂
        z_refined = self.sample_posterior(x, c, rng=rng)  # z̃ = T^z ẑ
        f = self.ebm(c).f
        from_data = self.generator(z_refined, c).log_prob(x).mean()
        from_ebm = self.generator(z, c).log_prob(x_refined).mean()
        of_data = self.inference(x, c).log_prob(z_refined).mean()
        of_refined = self.inference(x_refined, c).log_prob(z).mean()
        return {
            "ebm": f(x_refined).mean() - f(x).mean(),  # KL(Q̃‖Π) − KL(P̃‖Π)
            "generator": -from_data - s * from_ebm,  # KL(Q̃‖P) + S·KL(P̃‖P)
            "inference": -of_data - w * of_refined,  # KL(Q̃‖Q) + w·KL(P̃‖Π)
        }
