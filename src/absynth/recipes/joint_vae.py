"""A VAE and an energy on (x, z) (Han, Nijkamp, Zhou, Pang, Zhu, Wu 2020, arXiv:2006.06059).

With ``--anomaly`` a label is held out, and ``absynth detect`` ranks images by −f(x, μ(x)).
"""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.joint_vae import JointVAE
from absynth.networks.towers import conv_towers, mlp_towers
from absynth.recipes._teaching import DIGITS, RING, TABLE, TeachingRecipe
from absynth.recipes.bounds import Decay
from absynth.recipes.presets import Preset

PRESETS = {
    "wide_ring": Preset(
        minutes=1, recorded="teaching_ring.K5, joint VAE: MMD of refined samples",
        **RING | {"steps": 2500, "std": 0.2, "energy_lr": 1e-3},
    ),
    "breast_cancer": Preset(
        minutes=0.5, **TABLE | {"steps": 1200, "latent": 4, "std": 0.5, "beta1": 0.5, "data_noise": 0.0}
    ),
    "mnist": Preset(
        minutes=3,
        **DIGITS
        | {
            "steps": 2000, "energy_network": "conv", "energy_width": 8, "checkpoint_every": 500, "energy_lr": 1e-4,
            "generator_lr": 3e-4, "inference_lr": 3e-4,
        },
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JointVAERecipe(TeachingRecipe):
    """VAE with an energy on (x, z) (Han et al. 2020)."""

    kinds = ("toy", "image", "table")

    beta1: Decay = 0.0

    def algorithm(self) -> JointVAE:
        if self.data_kind == "image":
            f = conv_towers(self.shape[0], self.shape[1], self.latent, self.energy_width)
        else:
            f = mlp_towers(self.shape, self.latent, self.energy_width)
        return JointVAE(f, self.generator(), self.inference(), self.latent_law())
