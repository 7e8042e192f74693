"""Distributions with ``log_prob``, ``sample(rng)`` and ``mode``: what generators and inference models return.

``torch.distributions`` draws from the global generator and splits batch from event shapes; here a distribution is a
batch of b laws over one event, log_prob sums over the event, and every draw takes its generator.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import empty_rows, noise_like, uniform_like
from absynth.types import Distribution, Reference, Rng


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
            n = math.prod(x.shape[1:])
            return sum_event((x - self.mean) ** 2) * (-0.5 / self.std**2) - n * (math.log(self.std) + constant)
        return sum_event(-0.5 * ((x - self.mean) / self.std) ** 2 - self.std.log() - constant)

    def sample(self, rng: Rng) -> Tensor:
        return self.mean + self.std * noise_like(self.mean, rng)

    def entropy(self) -> Float[Tensor, "b"]:
        """Differential entropy in nats."""
        log_std = math.log(self.std) if not isinstance(self.std, Tensor) else self.std.log()
        return sum_event(torch.zeros_like(self.mean) + log_std + 0.5 * math.log(2 * math.pi * math.e))

    def kl_standard(self) -> Float[Tensor, "b"]:
        """KL(this ‖ N(0, I)) in nats: the closed form of every variational bound with a Gaussian prior."""
        log_std = math.log(self.std) if not isinstance(self.std, Tensor) else self.std.log()
        return sum_event(0.5 * (self.mean**2 + self.std**2 - 1) - log_std)


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


def observed_log_prob(p: Distribution, x: Tensor, mask: Tensor | None = None) -> Float[Tensor, "b"]:
    """log p(x), or, with a ``mask`` (1 where x was observed), that of the observed entries up to a constant.

    Missing entries are set to the mode, where a distribution with independent entries has a flat log density: they
    pull at nothing, in a chain on z and in learning alike (Han et al. 2017, section "Learning from incomplete data").
    """
    return p.log_prob(x if mask is None else torch.where(mask.bool(), x, p.mode))


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
        n = math.prod(x.shape[1:])
        return sum_event(x * x) * (-0.5 / self.std**2) - n * (math.log(self.std) + 0.5 * math.log(2 * math.pi))

    def sample(self, n: int, rng: Rng) -> Tensor:
        return self.std * noise_like(empty_rows(n, *self.shape, like=self.scale), rng)


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
        return x.new_full((len(x),), -math.prod(x.shape[1:]) * math.log(self.high - self.low))

    def sample(self, n: int, rng: Rng) -> Tensor:
        return self.low + self.width * uniform_like(empty_rows(n, *self.shape, like=self.width), rng)


def with_frames(reference: Reference, frames: int) -> Reference:
    """The same reference for clips ``[channels, frames, height, width]`` of another length.

    Raises:
        InputError: It has no length that could change.
    """
    if hasattr(reference, "with_frames") and frames >= 1:
        return reference.with_frames(frames)
    if not isinstance(reference, StandardNormal | Uniform) or frames < 1:
        raise InputError(
            f"expected --frames of at least 1 and a reference of independent entries, got {frames} and "
            f"{type(reference).__name__}"
        )
    channels, _, height, width = reference.shape
    shape = (channels, frames, height, width)
    if isinstance(reference, StandardNormal):
        return StandardNormal(*shape, std=reference.std).to(reference.scale)
    return Uniform(*shape, low=reference.low, high=reference.high).to(reference.width)


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


class GaussianInference(nn.Module):
    """q_φ(z|x) = N(μ(x), diag σ²(x)), with a network: the inference model of VAEs and of every teaching scheme.

    Draws are differentiable in φ (μ + σ ε). ``net`` takes ``x [b, *event]``, and ``(x, c)`` where a condition is given,
    and returns ``[b, 2·d]``, or ``[b, 2·d, h, w]`` for a feature-map latent: the mean, then log σ².

    With ``share`` γ > 0 the rate of q is fixed:

        q_φ(z|x) = N(γ · BN(m(x)), (1 − γ²) I)

    with m the network, which then returns ``[b, d]``, and BN batch normalization without weights. Over the data q has
    mean 0 and variance 1 in every coordinate, and KL(q_φ ‖ N(0, I)) averages −½ log(1 − γ²) nats a coordinate: a
    recurrent generator cannot drive it to 0, and it is not bought by a weight on the likelihood. In training mode the
    statistics are those of the minibatch (of each micro-batch, with ``shards``), in evaluation mode running averages.

    Args:
        net: The network.
        log_variance: Bounds that log σ² is held between; without a lower one the log density of what is taught to q
            is unbounded (Han et al. 2019 add 1e-6 to the variance for the same reason).
        share: γ, at least 0 and below 1; 0 learns the variance. γ² is the share of z's variance that x decides.
        latent: d, the number of coordinates of z. Required with ``share``.

    Raises:
        InputError: ``share`` is out of range or given without ``latent``; in training mode, a batch of one example.

    Reference: Zhu et al., "A Batch Normalized Inference Network Keeps the KL Vanishing Away", ACL 2020, who normalize
    the mean and learn the variance; with a constant variance the aggregate's variance is 1 too.
    """

    def __init__(
        self, net: nn.Module, log_variance: tuple[float, float] = (-8.0, 4.0), *, share: float = 0.0, latent: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise InputError(f"expected a share of at least 0 and below 1, got {share:g}")
        if share and latent < 1:
            raise InputError(f"expected latent, the number of coordinates of z, with share {share:g}, got {latent}")
        self.net = net
        self.log_variance = log_variance
        self.share = float(share)
        self.normalization = nn.BatchNorm1d(latent, affine=False, momentum=0.05) if share else None

    def extra_repr(self) -> str:
        return f"share={self.share:g}" if self.share else f"log_variance={self.log_variance}"

    def forward(self, x: Tensor, c: Tensor | None = None) -> Normal:
        found = self.net(x) if c is None else self.net(x, c)
        if self.normalization is not None:
            if self.training and len(found) < 2:
                raise InputError("expected at least 2 examples in a micro-batch to normalize, got 1: raise --batch")
            mean = self.share * self.normalization(found)
            return Normal(mean, torch.full_like(mean, (1 - self.share**2) ** 0.5))
        mean, log_variance = found.chunk(2, dim=1)
        return Normal(mean, (0.5 * log_variance.clamp(*self.log_variance)).exp())
