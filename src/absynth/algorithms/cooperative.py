"""Cooperative networks: MCMC teaching of a generator by an energy-based model.

Xie, Lu, Gao, Zhu, Wu: "Cooperative Training of Descriptor and Generator Networks", TPAMI 2018, arXiv:1609.09408; steps
named as there (algorithm 1). The energy-based model is the paper's descriptor.

    G0  z ~ p_0,  x̂ = g_α(z)                                          initial sample
    D1  x̃ = K Langevin steps on p_θ(x) from x̂                          refined
    G1  z̃ = Langevin steps on p_α(z|x̃) from z                          full teaching; fast teaching keeps z̃ = z
    D2  θ ascends E_data f_θ(x) − E f_θ(x̃)
    G2  α ascends E log p_α(x̃|z̃)

With M_θ the K steps, D2 descends KL(p_data‖p_θ) − KL(M_θ p_α‖p_θ) and G2 descends KL(M_θ p_α‖p_α): at a fixed point the
initial samples already follow p_θ. Fast teaching is what released code does, since the z that x̃ started from is known.
It is also what collapses: the generator sees nothing but its own refined samples, so its learning rate must stay far
below f's.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.teaching import Teaching
from absynth.density import EBM
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class Cooperative(Teaching):
    """Players: ``ebm`` and ``generator``.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        prior: p_0(z).
        sampler: D1, K steps on p_θ from an initial sample.
        posterior_sampler: G1, steps on p_α(z|x̃) from the z that x̃ started from; None is fast teaching.
    """

    def __init__(
        self,
        ebm: EBM,
        generator: Conditional,
        prior: Reference,
        *,
        sampler: Sampler,
        posterior_sampler: Sampler | None = None,
    ) -> None:
        super().__init__(ebm, generator, prior, sampler=sampler, posterior_sampler=posterior_sampler)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        z, initial = self.initial_samples(len(x), c, rng=rng)  # G0
        refined = self.refine(initial, c, rng=rng)  # D1
        if self.posterior_sampler is not None:
            z = self.refine_latent(refined, z, c, rng=rng)  # G1
        f = self.ebm(c).f
        return {
            "ebm": f(refined).mean() - f(x).mean(),  # D2
            "generator": -self.generator(z, c).log_prob(refined).mean(),  # G2
        }
