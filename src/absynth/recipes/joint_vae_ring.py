"""A VAE and an energy on (x, z) on eight Gaussians in the plane (Han et al. 2020; ``absynth.algorithms.joint_vae``)."""

from __future__ import annotations

from dataclasses import dataclass

from absynth.algorithms.joint_vae import JointVAE
from absynth.networks.towers import mlp_towers
from absynth.recipes._teaching import TeachingRing


@dataclass(frozen=True, kw_only=True)
class JointVAERing(TeachingRing):
    """A VAE and a joint energy on eight Gaussians in the plane."""

    steps: int = 2500
    std: float = 0.2
    beta1: float = 0.0

    def algorithm(self) -> JointVAE:
        f = mlp_towers((2,), self.latent, self.width)
        return JointVAE(f, self.generator(), self.inference(), self.latent_law())
