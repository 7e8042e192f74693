"""Simple models of a clip, for comparison: shuffled frames, a Gaussian of single frames, a linear dynamic texture."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.seeding import stream


def shuffled(clip: Float[Tensor, "c t h w"], frames: int, n: int, seed: int) -> Float[Tensor, "n c k h w"]:
    """Frames of the clip in random order."""
    order = torch.randint(clip.shape[1], (n, frames), generator=stream(seed, 0, 0, 21))
    return clip[:, order].transpose(0, 1)


def linear_dynamics(
    clip: Float[Tensor, "c t h w"], frames: int, n: int, seed: int, *, rank: int = 20, order: int = 1
) -> Float[Tensor, "n c k h w"]:
    """Clips of a linear dynamic texture (Doretto, Chiuso, Wu, Soatto 2003).

    Principal components of frames that follow an autoregression with the innovations' covariance, from the clip's own
    frames on. Order 0 is a Gaussian of single frames, drawn anew for each.
    """
    rows = clip.transpose(0, 1).flatten(1).double()
    mean = rows.mean(0)
    u, s, v = torch.linalg.svd(rows - mean, full_matrices=False)
    z = u[:, :rank] * s[:rank]
    step = torch.zeros(rank, rank, dtype=z.dtype)
    if order:
        past, future = z[:-1], z[1:]
        ridge = 1e-3 * past.square().mean() * torch.eye(rank, dtype=z.dtype) * len(past)
        step = torch.linalg.solve(past.T @ past + ridge, past.T @ future)
    error = z[1:] - z[:-1] @ step
    noise = torch.linalg.cholesky(torch.cov(error.T) + 1e-9 * torch.eye(rank, dtype=z.dtype))
    rng = stream(seed, 0, 0, 22)
    state = z[torch.randint(len(z), (n,), generator=rng)]
    found = []
    for _ in range(frames):
        state = state @ step + torch.randn(n, rank, dtype=z.dtype, generator=rng) @ noise.T
        found.append(mean + state @ v[:rank])
    x = torch.stack(found, 1).float().clamp(-1, 1)
    return x.view(n, frames, clip.shape[0], *clip.shape[2:]).transpose(1, 2)
