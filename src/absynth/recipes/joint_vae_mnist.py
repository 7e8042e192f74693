"""A VAE and an energy on (x, z) on MNIST, small networks (Han et al. 2020; ``absynth.algorithms.joint_vae``).

With --anomaly a label is held out, and ``absynth detect`` ranks pictures by −f(x, μ(x)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from absynth.algorithms.joint_vae import JointVAE
from absynth.data import anomaly
from absynth.data.images import Images
from absynth.networks.towers import conv_towers
from absynth.recipes._teaching_mnist import TeachingMNIST


@dataclass(frozen=True, kw_only=True)
class JointVAEMNIST(TeachingMNIST):
    """A VAE and a joint energy on MNIST, small networks."""

    steps: int = 2000
    ebm_width: int = 8
    checkpoint_every: int = 500
    ebm_lr: float = 1e-4
    generator_lr: float = 3e-4
    inference_lr: float = 3e-4
    beta1: float = 0.0
    anomaly: int = -1
    """Label to hold out for anomaly detection: trains on 80 % of all other pictures; -1: the usual training split."""

    def images(self, split: Literal["train", "test"]) -> Images:
        if self.anomaly >= 0:
            return anomaly.held_out(self.read("train"), self.read("test"), self.anomaly)[split]
        return super().images(split)

    def algorithm(self) -> JointVAE:
        f = conv_towers(self.channels, self.size, self.latent, self.ebm_width)
        return JointVAE(f, self.generator(), self.inference(), self.latent_law())
