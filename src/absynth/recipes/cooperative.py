"""Cooperative networks (Xie, Lu, Gao, Zhu, Wu 2018, arXiv:1609.09408).

The generator proposes initial samples, K Langevin steps on the EBM refine them, and both learn from the difference. The
authors' numbers are the preset ``cifar10/paper``: a Gaussian reference of .016 and δ = .002 shrink x by .8 % per step,
so f is steep and the chain, with its noise, climbs rather than samples. They run more chains than there are images in a
batch, and their generator normalizes over the batch; here there is one chain per image and no normalization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from absynth.algorithms.cooperative import Cooperative
from absynth.recipes._teaching import DIGITS, RING, TeachingRecipe
from absynth.recipes.bounds import Positive
from absynth.recipes.presets import Preset

GRIDS: dict[str, Any] = {
    "steps": 600, "threads": 1, "checkpoint_every": 100, "latent": 16, "generator_width": 8, "energy_width": 16,
    "energy_lr": 1e-3, "generator_lr": 1e-3, "energy_strided": True,
}  # fmt: skip
"""Clips and shapes, small networks."""
CONVOLUTIONS: dict[str, Any] = {
    "generator_network": "conv", "generator_width": 8, "energy_network": "conv", "energy_strided": True,
    "energy_width": 16, "latent": 32, "chain_steps": 5, "data_noise": 0.03, "energy_lr": 1e-3, "generator_lr": 1e-3,
}  # fmt: skip
"""Small images: the networks and numbers of ``conditional``, without labels."""
_FIVE_MINUTES: dict[str, Any] = {
    "steps": 5000, "threads": 1, "checkpoint_every": 500, "batch": 32, "ema": 0.99, **CONVOLUTIONS
}  # fmt: skip

PRESETS = {
    "wide_ring": Preset(
        minutes=0.5, recorded="teaching_ring.K5, cooperative fast: MMD of refined samples",
        **RING | {"generator_lr": 5e-4},
    ),
    "mnist": Preset(minutes=1, recorded="teaching_mnist.Fréchet of refined samples, cooperative, fast", **DIGITS),
    "fashion_mnist": Preset(
        minutes=1, recorded="teaching_fashion_mnist.Fréchet of refined samples, cooperative, fast", **DIGITS
    ),
    "mnist/conv": Preset(minutes=5, **_FIVE_MINUTES),
    "fashion_mnist/conv": Preset(minutes=5, **_FIVE_MINUTES),
    "flag": Preset(minutes=5, batch=4, **GRIDS),
    "modelnet10": Preset(minutes=6, size=16, batch=16, **GRIDS),
    "cifar10/paper": Preset(
        source="Xie et al. 2018 and their code", published="IS 6.55, FID 33.61", steps=500_000, checkpoint_every=1000,
        chain_step_size=0.002, temperature=1.0, reference_std=0.016, energy_lr=3e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CooperativeRecipe(TeachingRecipe):
    """Cooperative networks: a generator and an EBM that teach each other (Xie et al. 2018)."""

    kinds = ("toy", "image", "video", "voxels")

    teaching: Literal["fast", "full"] = "fast"
    """fast: the generator learns refined samples at the z they were generated from; full: at z inferred by a chain."""
    generator_lr: Positive = 1e-4

    def algorithm(self) -> Cooperative:
        return Cooperative(
            self.ebm(), self.generator(), self.latent_law(), sampler=self.sampler(),
            posterior_sampler=self.posterior_sampler() if self.teaching == "full" else None,
        )  # fmt: skip
