"""Linear dynamic textures: principal components of frames that follow an autoregression.

Doretto, Chiuso, Wu, Soatto: "Dynamic Textures", IJCV 2003. With y_t a frame, m the mean frame and C the components,

    y_t = m + C z_t + τ ε,   z_{t+1} = A z_t + B ε

fitted in closed form. It is the simplest model of a clip that moves, and a place for chains to begin. Given a part of a
clip its states are drawn by a Kalman filter and backwards sampling (Carter and Kohn, Biometrika 1994).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import Unsupported
from absynth.seeding import empty_rows, noise_like
from absynth.types import Rng

RIDGE = 1e-3
"""Weight of the penalty on A, in mean squares of z."""
FLOOR = 1e-6
"""The least variance, of pixels in [−1, 1], where clips are drawn given a part."""


class LinearDynamics(nn.Module):
    """A law of clips ``[channels, frames, height, width]`` that can be sampled; buffers hold m, C, A and B.

    Args:
        shape: Shape of a clip.
        rank: Number of components; 0 is the mean frame.
        std: Standard deviation τ of noise of each pixel; 0 is that of what the components leave out of the clips.
    """

    mean: Tensor
    components: Tensor
    step: Tensor
    innovation: Tensor
    first: Tensor
    scale: Tensor

    def __init__(self, shape: Sequence[int], rank: int, std: float = 0.0) -> None:
        super().__init__()
        channels, _, height, width = shape
        self.shape, self.rank, self.std = tuple(shape), rank, std
        self.register_buffer("scale", torch.tensor(std))
        self.register_buffer("mean", torch.zeros(channels, height, width))
        self.register_buffer("components", torch.zeros(rank, channels, height, width))
        for name in ("step", "innovation", "first"):
            self.register_buffer(name, torch.zeros(rank, rank))

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}, rank={self.rank}, std={self.std:g}"

    def fit(self, clips: Sequence[Float[Tensor, "c t h w"]]) -> LinearDynamics:
        """Fit to clips, in place; components beyond what the frames hold stay 0."""
        frames = [clip.transpose(0, 1).flatten(1).double() for clip in clips]
        mean = torch.cat(frames).mean(0)
        self.mean.copy_(mean.view_as(self.mean))
        centred = torch.cat(frames) - mean
        _, _, directions = torch.linalg.svd(centred, full_matrices=False)
        q = min(self.rank, len(directions))
        if not self.std:
            self.scale.copy_((centred - centred @ directions[:q].T @ directions[:q]).square().mean().sqrt())
        if not q:
            return self
        z = [(rows - mean) @ directions[:q].T for rows in frames]
        past, future, all_z = torch.cat([v[:-1] for v in z]), torch.cat([v[1:] for v in z]), torch.cat(z)
        ridge = RIDGE * past.square().mean() * len(past) * torch.eye(q, dtype=past.dtype)
        step = torch.linalg.solve(past.T @ past + ridge, past.T @ future)
        for name, rows in (("innovation", future - past @ step), ("first", all_z)):
            covariance = torch.cov(rows.T) + 1e-9 * torch.eye(q, dtype=past.dtype)
            getattr(self, name)[:q, :q] = torch.linalg.cholesky(covariance).float()
        self.step[:q, :q] = step.float()
        self.components[:q] = directions[:q].float().view(q, *self.mean.shape)
        return self

    def with_frames(self, frames: int) -> LinearDynamics:
        """The same law of clips of another length."""
        found = LinearDynamics((self.shape[0], frames, *self.shape[2:]), self.rank, self.std)
        found.load_state_dict(self.state_dict())
        return found.to(self.mean.device)

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n c t h w"]:
        """n clips."""
        frames, found = self.shape[1], []
        z = noise_like(empty_rows(n, self.rank, like=self.mean), rng) @ self.first.T
        for _ in range(frames):
            found.append(self.mean + torch.einsum("nq,qchw->nchw", z, self.components))
            z = z @ self.step + noise_like(z, rng) @ self.innovation.T
        x = torch.stack(found, 2)
        return x + self.scale * noise_like(x, rng)

    def given(self, project: Callable[[Tensor], Tensor], n: int, rng: Rng) -> Float[Tensor, "n c t h w"]:
        """n clips given what was observed of each, the entries that ``project`` sets.

        Args:
            project: Maps clips to the nearest ones that agree with the observation.
            n: Number of rows of the observation.
            rng: Source of randomness.
        """
        x, other = project(self.sample(n, rng)), project(self.sample(n, rng))
        known = (x == other).transpose(1, 2).flatten(2).double()
        if not self.rank or not known.any():
            return x
        y = (x - self.mean[:, None]).transpose(1, 2).flatten(2).double()
        states = self._states(y, known, rng)
        mean = (states @ self.components.flatten(1).double()).to(x.dtype).view(n, -1, *self.mean.shape).transpose(1, 2)
        return project(self.mean[:, None] + mean + self.scale * noise_like(x, rng))

    def _states(self, y: Float[Tensor, "n t d"], known: Float[Tensor, "n t d"], rng: Rng) -> Float[Tensor, "n t q"]:
        """z given the observed entries of y = C z + τ ε: filtered forwards, drawn backwards."""
        c, step = self.components.flatten(1).double(), self.step.double()
        noise = self.innovation.double() @ self.innovation.double().T + FLOOR * torch.eye(self.rank).to(y)
        covariance = (self.first.double() @ self.first.double().T + FLOOR * torch.eye(self.rank).to(y)).expand(
            len(y), -1, -1
        )
        precision = 1 / max(float(self.scale) ** 2, FLOOR)
        mean, filtered = y.new_zeros(len(y), self.rank), []
        for t in range(y.shape[1]):
            if t:
                mean, covariance = mean @ step, step.T @ covariance @ step + noise
            seen = known[:, t, None] * c
            gain = torch.linalg.inv(torch.linalg.inv(covariance) + precision * seen @ c.T)
            ahead = precision * (seen @ y[:, t, :, None])[..., 0] + torch.linalg.solve(covariance, mean)
            mean, covariance = (gain @ ahead[..., None])[..., 0], gain
            filtered.append((mean, covariance))
        found: list[Tensor] = []
        for mean, covariance in reversed(filtered):
            if found:
                pull = torch.linalg.solve(step.T @ covariance @ step + noise, step.T @ covariance).mT
                mean = mean + (pull @ (found[-1] - mean @ step)[..., None])[..., 0]
                covariance = covariance - pull @ step.T @ covariance
            root = torch.linalg.cholesky((covariance + covariance.mT) / 2 + FLOOR * torch.eye(self.rank).to(y))
            found.append(mean + (root @ noise_like(mean, rng)[..., None])[..., 0])
        return torch.stack(found[::-1], 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Not available.

        Raises:
            Unsupported: Always.
        """
        raise Unsupported("a linear dynamic texture has no density that is computed here: use another --start")
