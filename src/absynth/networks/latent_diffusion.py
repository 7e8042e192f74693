"""A small diffusion model of a latent vector, with or without a condition.

Ho, Jain, Abbeel, NeurIPS 2020, in continuous log signal-to-noise λ = log(a² / s²), sampled by the deterministic map of
Song, Meng, Ermon (ICLR 2021). The network predicts v = a ε − s z (Salimans and Ho, ICLR 2022, arXiv:2202.00512). Where
it predicts 0, as at first, draws are close to a Gaussian of z's moments; a network that predicts ε would divide by a in
each step, and its first draws would be some ten times as wide as z. As an amortized sampler: Yu, Zhu, Xie, Li, Wu,
"Learning Energy-Based Prior Model with Diffusion-Amortized MCMC", NeurIPS 2023, arXiv:2310.03218.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, mlp
from absynth.references import FollowedNormal
from absynth.seeding import empty_rows, noise_like, uniform_like
from absynth.types import Rng


class LatentDiffusion(nn.Module):
    """Q(z|x) and Q(z): one network that predicts v = a ε − s z, with features of x or without.

    z is whitened by moments that follow what the model learns from, so its scale needs no setting.

    Args:
        latent: Dimension of z.
        encoder: Features of x, ``[b, *event] -> [b, features]``; None for Q(z) alone.
        features: Number of features.
        width: Hidden units of the denoiser.
        steps: Levels of the sampler.
        log_snr: λ of the noisiest and of the cleanest level.
        embedding: Width of the level's embedding.
        act: Activation.

    Raises:
        InputError: ``steps`` is not positive, or features are given without an encoder or an encoder without features.
    """

    def __init__(
        self,
        latent: int,
        encoder: nn.Module | None = None,
        features: int = 0,
        *,
        width: int = 256,
        steps: int = 30,
        log_snr: tuple[float, float] = (-5.1, 9.8),
        embedding: int = 32,
        act: Activation = "silu",
    ) -> None:
        super().__init__()
        if steps < 1 or (encoder is None) != (features == 0):
            raise InputError(
                f"expected steps of at least 1, and an encoder with its number of features or neither, got {steps} and "
                f"{features} features"
            )
        self.latent, self.features, self.steps, self.log_snr = latent, features, steps, log_snr
        self.encoder = encoder
        self.moments = FollowedNormal(latent)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, 4, embedding // 2)), persistent=False)
        given = features + 1 if features else 0  # one flag more: whether x is given
        self.net = mlp([latent + 2 * (embedding // 2) + given, width, width, width, latent], act)

    def extra_repr(self) -> str:
        return f"latent={self.latent}, features={self.features}, steps={self.steps}, log_snr={self.log_snr}"

    def velocity(self, u: Tensor, level: Float[Tensor, "b 1"], h: Tensor | None) -> Tensor:
        """v = a ε − s z at u = a z + s ε and a level in [0, 1], 0 the noisiest."""
        angles = level * self.frequencies
        parts = [u, angles.sin(), angles.cos()]
        if self.features:
            parts += [u.new_zeros(len(u), self.features + 1) if h is None else h]
        return self.net(torch.cat(parts, 1))

    def scales(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Signal a and noise s of a level, a² + s² = 1."""
        low, high = self.log_snr
        log_snr = low + (high - low) * level
        return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()

    def encode(self, x: Tensor | None) -> Tensor | None:
        """Features of x and the flag that it is given; None without x."""
        if x is None or self.encoder is None:
            return None
        h = self.encoder(x)
        return torch.cat([h, h.new_ones(len(h), 1)], 1)

    def loss(
        self, z: Float[Tensor, "b d"], x: Tensor | None = None, *, drop: float = 0.2, draws: int = 1, rng: Rng
    ) -> Float[Tensor, ""]:
        """Mean squared error of the predicted v, per coordinate: what learns Q from z.

        1 is the error of 0, which is best where z is Gaussian with independent coordinates and x says nothing of it.

        Args:
            z: Examples.
            x: What each belongs to.
            drop: Probability that x is left out, so that Q(z) is learned too.
            draws: Noise draws of each example.
            rng: Source of randomness.
        """
        u = self.moments.whiten(z.detach()).repeat(draws, 1)
        h = self.encode(x)
        if h is not None:
            seen = (uniform_like(u.new_empty(len(z), 1), rng) >= drop).to(h.dtype)
            h = (h * seen).repeat(draws, 1)
        level, noise = uniform_like(u.new_empty(len(u), 1), rng), noise_like(u, rng)
        a, s = self.scales(level)
        return (self.velocity(a * u + s * noise, level, h) - (a * noise - s * u)).square().mean()

    def sample(self, n: int, x: Tensor | None = None, *, rng: Rng) -> Float[Tensor, "n d"]:
        """Draw z of Q(z|x), or n of Q(z), without a graph."""
        with torch.no_grad():
            h = self.encode(x)
            u = noise_like(empty_rows(n, self.latent, like=self.moments.mean), rng)
            levels = torch.linspace(0, 1, self.steps + 1, dtype=u.dtype, device=u.device)
            for now, then in itertools.pairwise(levels):
                (a, s), (a_next, s_next) = self.scales(now), self.scales(then)
                v = self.velocity(u, now.expand(n, 1), h)
                z, noise = a * u - s * v, s * u + a * v
                u = a_next * z + s_next * noise
            return self.moments.unwhiten(u)
