"""The noise levels of diffusion recovery likelihood, and how data and observations diffuse through them.

x_0 = ᾱ_0 x + s̄_0 ε,  x_{t+1} = a_{t+1} x_t + σ_{t+1} ε,  a² + σ² = 1,  y_t = a_{t+1} x_t,  s̄_t the total noise
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.chain import Projection
from absynth.errors import InputError
from absynth.seeding import noise_like
from absynth.types import Rng

StepSchedule = Literal["level", "growing", "narrow"]
"""The unit u_t of the step size at level t: σ_{t+1}; √(s̄_t / s̄_0) σ_{t+1}; or w_t, s̄_{T−1} at the last level."""


class NoiseLevels(Algorithm):
    """T noise levels, as buffers.

    Args:
        noise: s̄_0 < … < s̄_{T−1} < 1, the standard deviation of the noise in x_t.
        step_schedule: The unit u_t of the step size.

    Raises:
        InputError: ``noise`` does not rise from above 0 to below 1.
    """

    signal: Tensor
    """ᾱ_t."""
    noise: Tensor
    """s̄_t."""
    shrink: Tensor
    """a_{t+1}, 1 at the last level."""
    width: Tensor
    """σ_{t+1}, 1 at the last level."""
    precision: Tensor
    """1/σ_{t+1}², 0 at the last level."""
    unit: Tensor
    """u_t."""

    def __init__(self, noise: Sequence[float], step_schedule: StepSchedule) -> None:
        super().__init__()
        s = torch.tensor([*noise], dtype=torch.float64)
        if not len(s) or not (s[0] > 0 and s[-1] < 1 and (s.diff() > 0).all()):
            raise InputError(f"noise must rise from above 0 to below 1, got {list(noise)}")
        signal = (1 - s**2).sqrt()
        shrink = torch.cat([signal[1:] / signal[:-1], torch.ones(1)])
        width = torch.cat([(1 - shrink[:-1] ** 2).sqrt(), torch.ones(1)])
        precision = torch.cat([width[:-1] ** -2, torch.zeros(1)])
        narrow = (precision + (shrink * s) ** -2) ** -0.5
        unit = {"level": width, "growing": width * (s / s[0]).sqrt(), "narrow": narrow}[step_schedule]
        table = {"signal": signal, "noise": s, "shrink": shrink, "width": width, "precision": precision, "unit": unit}
        for name, values in table.items():
            self.register_buffer(name, values.to(torch.get_default_dtype()))

    @property
    def levels(self) -> int:
        """T."""
        return len(self.noise)

    def diffuse(self, x: Tensor, t: Int[Tensor, "b"], *, rng: Rng) -> tuple[Tensor, Tensor]:
        """``(y_t, x_{t+1})`` of data x; at the last level x_{t+1} is N(0, I), independent of y."""
        x_t = rows(self.signal[t], x) * x + rows(self.noise[t], x) * noise_like(x, rng)
        y = rows(self.shrink[t], x) * x_t
        last = rows((t == self.levels - 1).to(x.dtype), x)
        return y, (1 - last) * y + rows(self.width[t], x) * noise_like(x, rng)

    def diffuse_observation(self, project: Projection, like: Tensor, rng: Rng) -> list[Projection]:
        """The observation of each y_t = a_{t+1} (ᾱ_t x + s̄_t ε_t): that of x, diffused along one path of noise."""
        projections, noise = [], noise_like(like, rng)
        for t in range(self.levels):
            a, s = self.shrink[t] * self.signal[t], self.shrink[t] * self.noise[t]
            seen = noise - project(noise) + project(torch.zeros_like(noise))  # ε_t's part in what was observed
            projections.append(lambda y, a=a, s=s, seen=seen: a * project(y / a) + s * seen)
            if t + 1 < self.levels:  # s̄_{t+1} ε_{t+1} = a_{t+1} s̄_t ε_t + σ_{t+1} ε
                noise = (s * noise + self.width[t] * noise_like(like, rng)) / self.noise[t + 1]
        return projections


def rows(values: Float[Tensor, "b"], like: Tensor) -> Tensor:
    """One number per row, in a shape that broadcasts against ``like``."""
    return values.view(-1, *[1] * (like.ndim - 1))
