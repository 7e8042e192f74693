"""Variational MCMC teaching: a variational auto-encoder as the amortized sampler of an energy-based model.

Xie, Zheng, Li: "Learning Energy-Based Model with Variational Auto-Encoder as Amortized Sampler", AAAI 2021,
arXiv:2012.14936.

    x̂ = g_α(ẑ), ẑ ~ p_0                                                       initial sample: ancestral sampling
    x̃ = K Langevin steps on p_θ(x) from x̂                                      refined: the VAE's data
    θ: ascends E_data f(x) − E f(x̃)
    α, φ: ascend E_{q_φ(z|x̃)}[log p_α(x̃|z)] − KL(q_φ(z|x̃) ‖ p_0(z))            the VAE never sees the data themselves

It differs from fast cooperative teaching in that the ẑ of an initial sample is not used again: z is inferred from
where the chain ended. With a condition c the models are p_θ(x|c), p_α(x|z, c) and q_φ(z|x, c).

The authors' code runs x ← x + (δ²/2)·score with the noise commented out: temperature 0, where f is no log density and
the chain climbs to its modes. Here noise and temperature are the sampler's business. Their loss Σ(x̃ − g)² + w·KL
is the bound above with σ² = w/2: σ = 1 (w = 2, CIFAR-10) and 1.22 (w = 3, MNIST), wide for images in [-1, 1]. So
wide a generator may do without z (posterior collapse), and then all initial samples are one image: watch ``divergence``
stay above 0. A σ of .3 keeps z in use, and is the default of the recipes that are not the authors'.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.algorithms.teaching import Teaching
from absynth.density import EBM
from absynth.types import Batch, Conditional, Reference, Rng, Sampler


class VariationalTeaching(Teaching):
    """Players: ``ebm``, ``generator`` and ``inference``.

    Args:
        ebm: p_θ(x|c).
        generator: p_α(x|z, c).
        inference: q_φ(z|x, c).
        prior: p_0(z), a standard normal.
        sampler: K steps on p_θ from an initial sample.
    """

    def __init__(
        self, ebm: EBM, generator: Conditional, inference: Conditional, prior: Reference, *, sampler: Sampler
    ) -> None:
        super().__init__(ebm, generator, prior, sampler=sampler, inference=inference)

    def divergence(self, x: Tensor, c: Tensor | None = None, *, rng: Rng) -> Float[Tensor, ""]:
        """Mean KL(q_φ(z|x) ‖ p_0) in nats over examples x: near 0 where the generator does without z."""
        with torch.no_grad():
            return self.negative_elbo(x, c, rng=rng)[1].mean()

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, c = batch.x, batch.c
        _, initial = self.initial_samples(len(x), c, rng=rng)
        refined = self.refine(initial, c, rng=rng)
        f = self.ebm(c).f
        reconstruction, divergence, _ = self.negative_elbo(refined, c, rng=rng)
        return {
            "ebm": f(refined).mean() - f(x).mean(),  # −δθ: KL(p_data‖p_θ) − KL(M_θ p_α‖p_θ)
            "generator": reconstruction.mean(),  # −δα: KL(M_θ p_α · q_φ ‖ p_α(x, z))
            "inference": (reconstruction + divergence).mean(),  # −δφ: of the same divergence
        }
