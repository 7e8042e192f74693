"""The divergence triangle (Han, Nijkamp, Fang, Hill, Zhu, Wu 2019, arXiv:1812.10907).

No chain runs in learning; the chain here refines samples where a task asks for it, by unadjusted Langevin: f is a log
density at temperature 1. On the ring an adversary's optimizer (β1 = 0) and a wide p(x|z) let the energy, not the ELBO,
place the samples, and f and its adversary never come to rest, so weights are averaged. ``cifar10/paper`` are the
authors' settings: weight decay on the generator alone, gradients clipped at 100 in the scale of their losses, of which
the generator's and the inference network's are 100 times as large here. With their weights at d = 16 on MNIST samples
were better after half a minute and diverged within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Optimizer

from absynth.algorithms import Algorithm
from absynth.algorithms.divergence_triangle import DivergenceTriangle
from absynth.recipes._teaching import DIGITS, RING, TABLE, TeachingRecipe, clip_gradients
from absynth.recipes.bounds import NonNegative, Positive
from absynth.recipes.presets import Preset

_DIGITS = DIGITS | {"steps": 4000, "energy_lr": 1e-4, "checkpoint_every": 1000}

PRESETS = {
    "wide_ring": Preset(
        minutes=1, recorded="divergence_triangle", **RING | {"steps": 4000, "ema": 0.995, "std": 1.0, "beta1": 0.0}
    ),
    "breast_cancer": Preset(
        minutes=0.5, **TABLE | {"steps": 2500, "ema": 0.995, "std": 1.0, "beta1": 0.0}
    ),
    "mnist": Preset(minutes=1, recorded="divergence_triangle", **_DIGITS),
    "fashion_mnist": Preset(
        minutes=1, recorded="teaching_fashion_mnist.Fréchet of refined samples, triangle", **_DIGITS
    ),
    "cifar10/paper": Preset(
        source="Han et al. 2019 and their code", published="IS 7.23, FID 30.10", steps=750_000, checkpoint_every=1000,
        std=200**-0.5, energy_weight=100.0, entropy_weight=10.0, latent_weight=10.0,
        generator_weight_decay=5e-4, clip=100.0, decay_rate=0.998,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DivergenceTriangleRecipe(TeachingRecipe):
    """Divergence triangle: an EBM, a generator and an inference model without chains (Han et al. 2019)."""

    kinds = ("toy", "image", "table")

    chain_step_size: Positive = 0.01
    temperature: NonNegative = 1.0
    energy_weight: NonNegative = 1.0
    """Weight of the EBM's log p(x) in the generator's loss."""
    entropy_weight: NonNegative = 1.0
    """Weight of the entropy surrogate −log q(z|g(z)) in the generator's loss; 0 leaves it out."""
    latent_weight: NonNegative = 1.0
    """Weight of the latent NLL −log q(z|g(z)) in the inference model's loss."""
    clip: NonNegative = 0.0
    """Norm that a player's gradient is clipped to, in the scale of the authors' losses; 0 does not clip."""

    def algorithm(self) -> DivergenceTriangle:
        return DivergenceTriangle(
            self.ebm(), self.generator(), self.inference(), self.latent_law(), sampler=self.sampler(),
            energy=self.energy_weight, entropy=self.entropy_weight, sleep=self.latent_weight,
        )  # fmt: skip

    def optimizers(self, algorithm: Algorithm) -> dict[str, Optimizer]:
        found = super().optimizers(algorithm)
        if self.clip:
            scaled = self.clip * self.energy_weight
            clip_gradients(found, {"ebm": self.clip, "generator": scaled, "inference": scaled})
        return found
