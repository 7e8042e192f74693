"""Distributions with ``log_prob``, ``sample(rng)`` and ``mode``: what generators and inference models return.

``torch.distributions`` draws from the global generator and splits batch from event shapes; here a distribution is a
batch of b laws over one event, log_prob sums over the event, and every draw takes its generator.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.seeding import noise_like, uniform_like
from absynth.types import Rng


def sum_event(x: Tensor) -> Float[Tensor, "b"]:
    """Sum over all but the first dimension."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x


class Normal:
    """N(mean, std² I) for each row of ``mean``; ``std`` is a number or broadcasts against ``mean``.

    >>> p = Normal(torch.zeros(2, 3), 1.0)
    >>> p.log_prob(torch.zeros(2, 3))
    tensor([-2.7568, -2.7568])
    """

    def __init__(self, mean: Float[Tensor, "b *event"], std: Tensor | float) -> None:
        self.mean = mean
        self.std = std if isinstance(std, Tensor) else float(std)

    def __repr__(self) -> str:
        std = f"{self.std:g}" if not isinstance(self.std, Tensor) else tuple(self.std.shape)
        return f"Normal(mean={tuple(self.mean.shape)}, std={std})"

    @property
    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        constant = 0.5 * math.log(2 * math.pi)
        if not isinstance(
            self.std, Tensor
        ):  # the sum of squares alone goes through autograd: it is a chain's inner loop
            n = x[0].numel()
            return sum_event((x - self.mean) ** 2) * (-0.5 / self.std**2) - n * (math.log(self.std) + constant)
        return sum_event(-0.5 * ((x - self.mean) / self.std) ** 2 - self.std.log() - constant)

    def sample(self, rng: Rng) -> Tensor:
        return self.mean + self.std * noise_like(self.mean, rng)

    def entropy(self) -> Float[Tensor, "b"]:
        """Differential entropy in nats."""
        log_std = math.log(self.std) if not isinstance(self.std, Tensor) else self.std.log()
        return sum_event(torch.zeros_like(self.mean) + log_std + 0.5 * math.log(2 * math.pi * math.e))


class Bernoulli:
    """Independent binary entries with the given logits."""

    def __init__(self, logits: Float[Tensor, "b *event"]) -> None:
        self.logits = logits

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        return -sum_event(nn.functional.binary_cross_entropy_with_logits(self.logits, x, reduction="none"))

    def sample(self, rng: Rng) -> Tensor:
        return (uniform_like(self.logits, rng) < self.logits.sigmoid()).to(self.logits.dtype)


class StandardNormal(nn.Module):
    """The reference N(0, std² I) over events of a given shape.

    A module, so that it follows its EBM across devices and types; it has no parameters and nothing to save.
    """

    scale: Tensor

    def __init__(self, *shape: int, std: float = 1.0) -> None:
        super().__init__()
        self.shape = shape
        self.std = float(std)
        self.register_buffer("scale", torch.tensor(self.std), persistent=False)

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}, std={self.std:g}"

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        n = x[0].numel()
        return sum_event(x * x) * (-0.5 / self.std**2) - n * (math.log(self.std) + 0.5 * math.log(2 * math.pi))

    def sample(self, n: int, rng: Rng) -> Tensor:
        like = torch.empty(n, *self.shape, dtype=self.scale.dtype, device=self.scale.device)
        return self.std * noise_like(like, rng)


class Uniform(nn.Module):
    """The reference that is flat on a box. Its log density is a constant, so chains may leave the box: with it an EBM
    is exp(f) alone, which is normalizable only if f falls off fast enough.
    """

    width: Tensor

    def __init__(self, *shape: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        self.shape = shape
        self.low, self.high = float(low), float(high)
        self.register_buffer("width", torch.tensor(self.high - self.low), persistent=False)

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.shape))}, low={self.low:g}, high={self.high:g}"

    def log_prob(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        return x.new_full((len(x),), -x[0].numel() * math.log(self.high - self.low))

    def sample(self, n: int, rng: Rng) -> Tensor:
        like = torch.empty(n, *self.shape, dtype=self.width.dtype, device=self.width.device)
        return self.low + self.width * uniform_like(like, rng)


class GaussianGenerator(nn.Module):
    """p(x|z) = N(g(z), σ² I), with g a network: the generator of images and of continuous data.

    ``net`` takes ``z [b, *latent]``, and ``(z, c)`` where a condition is given.
    """

    def __init__(self, net: nn.Module, std: float) -> None:
        super().__init__()
        self.net = net
        self.std = float(std)

    def extra_repr(self) -> str:
        return f"std={self.std:g}"

    def forward(self, z: Tensor, c: Tensor | None = None) -> Normal:
        return Normal(self.net(z) if c is None else self.net(z, c), self.std)
