"""Two-dimensional targets with an exact sampler and, but for the moons, an exact log density.

Samples come in torch's default type, on the generator's device; log densities follow the type and device of x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from absynth.distributions import Normal
from absynth.errors import InputError
from absynth.seeding import noise_like, stream, uniform_like
from absynth.types import Rng


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


def _uniform(n: int, rng: Rng) -> Tensor:
    return uniform_like(torch.empty(n, 1, device=rng.device), rng)[:, 0]


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"expected {name} to be a positive number, got {value}")


@dataclass(frozen=True)
class _GaussiansOnCircle:
    """Equal Gaussians N(mean_k, std² I) with means evenly spread on a circle, the first on the positive x axis."""

    radius: float
    std: float
    modes = 0  # a subclass's number of Gaussians; without annotation, so it is not a field

    def __post_init__(self) -> None:
        _positive(radius=self.radius, std=self.std)

    @property
    def means(self) -> Float[Tensor, "modes 2"]:
        """The modes, in float64."""
        return self.radius * _circle(2 * math.pi / self.modes * torch.arange(self.modes, dtype=torch.float64))

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 2"]:
        """n exact draws."""
        mode = (self.modes * _uniform(n, rng)).long()
        means = self.means.to(mode.device, torch.get_default_dtype())
        return means[mode] + self.std * noise_like(means[mode], rng)

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Normalized log density."""
        squares = (x[:, None] - self.means.to(x)).square().sum(-1)
        log_normal = -0.5 * squares / self.std**2 - math.log(2 * math.pi * self.std**2)
        return log_normal.logsumexp(1) - math.log(self.modes)


@dataclass(frozen=True)
class EightGaussians(_GaussiansOnCircle):
    """Eight equal Gaussians on a circle; radius 2 and std 0.2 is the other customary scale.

    >>> EightGaussians(radius=2.0, std=0.2).log_prob(torch.tensor([[2.0, 0.0], [2.0, 0.2]]))
    tensor([-0.6984, -1.1984])
    """

    radius: float = 1.0
    std: float = 0.15
    modes = 8


@dataclass(frozen=True)
class FourModes(_GaussiansOnCircle):
    """Four equal Gaussians on the axes: the latent law of :func:`latent_toy`. KL(it ‖ N(0, I)) is 1.2945 nats."""

    radius: float = 1.3
    std: float = 0.25
    modes = 4


@dataclass(frozen=True)
class Rings:
    """Circles about the origin, equally likely, each a uniform angle blurred by N(0, std² I).

    The density is exact: averaging N(x; r u, std² I) over unit vectors u gives
    exp(−(|x|² + r²) / 2std²) I_0(r|x| / std²) / (2π std²), with I_0 the modified Bessel function.
    """

    radii: tuple[float, ...] = (0.5, 1.0, 1.5)
    std: float = 0.08

    def __post_init__(self) -> None:
        if not self.radii:
            raise InputError("expected at least one radius, got none")
        _positive(std=self.std, **{f"radii[{i}]": radius for i, radius in enumerate(self.radii)})

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 2"]:
        """n exact draws."""
        ring = (len(self.radii) * _uniform(n, rng)).long().clamp(max=len(self.radii) - 1)  # 3 × 0.99999997 rounds to 3
        radius = torch.tensor(self.radii, device=ring.device, dtype=torch.get_default_dtype())[ring]
        center = radius[:, None] * _circle(2 * math.pi * _uniform(n, rng))
        return center + self.std * noise_like(center, rng)

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Normalized log density."""
        radii = torch.tensor(self.radii, dtype=x.dtype, device=x.device)
        distance = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        # i0e is I_0 with exp(|·|) taken out, which completes the square: nothing overflows.
        log_bessel = torch.special.i0e(distance * radii / self.std**2).log()
        log_ring = -0.5 * ((distance - radii) / self.std) ** 2 + log_bessel - math.log(2 * math.pi * self.std**2)
        return log_ring.logsumexp(1) - math.log(len(self.radii))


@dataclass(frozen=True)
class Moons:
    """Two interleaved half circles of radius 1, blurred by N(0, std² I) and centred. A sampler only: the density has no
    closed form.
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        _positive(std=self.std)

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 2"]:
        """n exact draws."""
        lower = _uniform(n, rng) < 0.5
        arc = _circle(math.pi * _uniform(n, rng))
        # The arcs are (cos t, sin t) and (1 − cos t, 1/2 − sin t), seen from their centre of symmetry (1/2, 1/4).
        upper_arc = arc - torch.tensor([0.5, 0.25], dtype=arc.dtype, device=arc.device)
        center = torch.where(lower[:, None], -upper_arc, upper_arc)
        return center + self.std * noise_like(center, rng)


@dataclass(frozen=True, eq=False)
class LinearObservation:
    """x = A z + std·ε with A known: a generator with nothing to learn.

    >>> LinearObservation(torch.eye(3)[:, :2], 0.3)(torch.ones(1, 2)).mode
    tensor([[1., 1., 0.]])
    """

    A: Float[Tensor, "x z"]
    std: float

    def __post_init__(self) -> None:
        _positive(std=self.std)

    def __call__(self, z: Float[Tensor, "b z"]) -> Normal:
        """p(x|z) for each row of z."""
        return Normal(z @ self.A.to(z).T, float(self.std))


def latent_toy(rng: Rng) -> Float[Tensor, "10 2"]:
    """A matrix A ``[10, 2]`` of standard normal entries, for x = A z + 0.3 ε with z from :class:`FourModes`.

    It is the smallest problem on which a latent-space EBM prior (Pang et al. 2020) can be compared with the truth on a
    grid.
    """
    return noise_like(torch.empty(10, 2, device=rng.device), rng)


@dataclass(frozen=True)
class LinearModes:
    """x = A z + std·ε in ten dimensions, with z from :class:`FourModes` and A known (:func:`latent_toy`)."""

    std: float = 0.3

    @property
    def observation(self) -> Float[Tensor, "10 2"]:
        """A, the same for every seed."""
        return latent_toy(stream(20201023))

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 10"]:
        """n exact draws."""
        x = FourModes().sample(n, rng) @ self.observation.T.to(rng.device)
        return x + self.std * noise_like(x, rng)


@dataclass(frozen=True)
class GaussianGrid:
    """25 equal Gaussians N(mean, std² I) on a 5 × 5 grid of the given spacing."""

    spacing: float = 1.0
    std: float = 0.1

    def __post_init__(self) -> None:
        _positive(spacing=self.spacing, std=self.std)

    @property
    def means(self) -> Float[Tensor, "25 2"]:
        """The modes, in float64."""
        line = self.spacing * torch.arange(-2, 3, dtype=torch.float64)
        return torch.cartesian_prod(line, line)

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 2"]:
        """n exact draws."""
        mode = (25 * _uniform(n, rng)).long().clamp(max=24)
        means = self.means.to(mode.device, torch.get_default_dtype())[mode]
        return means + self.std * noise_like(means, rng)

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Normalized log density."""
        squares = (x[:, None] - self.means.to(x)).square().sum(-1)
        log_normal = -0.5 * squares / self.std**2 - math.log(2 * math.pi * self.std**2)
        return log_normal.logsumexp(1) - math.log(25)


def linear_factors(
    part: str, n: int = 2000, latent: int = 2, dim: int = 10, std: float = 0.5
) -> Float[Tensor, "n dim"]:
    """n draws of a linear factor model x = W z + b + std·ε, entries of W and b from N(0, 1), z ~ N(0, I).

    The model and the draws of a part ("train" or another) are the same at every call.
    """
    purpose = b"train" if part == "train" else b"test"
    law, rng = (stream(0, 0, 0, int.from_bytes(word, "big")) for word in (b"true", purpose))
    w, b = torch.randn(dim, latent, generator=law), torch.randn(dim, generator=law)
    return torch.randn(n, latent, generator=rng) @ w.T + b + std * torch.randn(n, dim, generator=rng)


RADIUS = {"x": 1.0, "y": 1.5}
"""Radii of the two domains of :class:`CircleSequences`."""


@dataclass(frozen=True)
class CircleSequences:
    """Sequences of a point that turns on a circle: domain x counterclockwise, y clockwise on a larger one."""

    domain: Literal["x", "y"] = "x"
    frames: int = 8
    speed: float = 0.6
    std: float = 0.05

    @property
    def turn(self) -> float:
        """Radians per frame."""
        return self.speed if self.domain == "x" else -self.speed

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n frames 2"]:
        """n exact draws."""
        start = 2 * math.pi * uniform_like(torch.empty(n, 1), rng)
        points = RADIUS[self.domain] * _circle(start + self.turn * torch.arange(self.frames))
        return points + self.std * noise_like(points, rng)


@dataclass(frozen=True)
class Turned:
    """A distribution in the plane, turned by a sixteenth of a turn and enlarged by half.

    Args:
        law: The distribution, with ``sample(n, rng)``.
    """

    law: Any
    scale: float = 1.5
    angle: float = math.pi / 8

    def move(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """The map itself."""
        cos, sin = self.scale * math.cos(self.angle), self.scale * math.sin(self.angle)
        return x @ x.new_tensor([[cos, sin], [-sin, cos]])

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n 2"]:
        """n exact draws."""
        return self.move(self.law.sample(n, rng))
