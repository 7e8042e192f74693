"""Energy-based models, and the functions that make new log densities out of old ones.

p(x|c) = exp(f(x, c)) p_0(x) / Z(c), with f the negative energy (a network that returns ``[b]``, higher is more
probable) and p_0 a reference that is normalized and easy to draw from (Pang et al. 2020, eq. 3; Xie and Wu 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.types import LogDensity, Reference


class Density:
    """One unnormalized density: ``f``, its ``reference`` and their sum ``log_density``, ``x [b, *event] -> [b]``."""

    def __init__(self, f: LogDensity, reference: Reference) -> None:
        self._f = f
        self.reference = reference

    def __repr__(self) -> str:
        return f"Density(reference={self.reference})"

    def f(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """The negative energy relative to the reference.

        Raises:
            InputError: f returns another shape, or its parameters have another type than x.
        """
        try:
            out = self._f(x)
        except RuntimeError as error:
            if "type" in str(error):  # torch names the operation, not what to do
                why = " ".join(str(error).split())
                raise InputError(f"x must have the type of f's parameters, got {str(x.dtype)[6:]} ({why})") from error
            raise
        if out.shape != x.shape[:1]:
            raise InputError(
                f"f must return shape {list(x.shape[:1])}, got {list(out.shape)}: return one number an example, "
                "for instance by .squeeze(-1) or .flatten(1).sum(1)"
            )
        return out

    def log_density(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """f(x) + log p_0(x): the log density up to log Z."""
        return self.f(x) + self.reference.log_prob(x)

    def energy(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        """−f(x) − log p_0(x): what plots and reports show; lower is more probable."""
        return -self.log_density(x)


class EBM(nn.Module):
    """p(x|c) ∝ exp(f(x, c)) p_0(x).

    Args:
        f: module ``(x) -> [b]``, or ``(x, c) -> [b]`` where a condition is given.
        reference: p_0.

    >>> from absynth.distributions import StandardNormal
    >>> class Tilt(nn.Module):
    ...     def forward(self, x):
    ...         return x.sum(1)
    >>> EBM(Tilt(), StandardNormal(2))().f(torch.ones(3, 2))
    tensor([2., 2., 2.])
    """

    def __init__(self, f: nn.Module, reference: Reference) -> None:
        super().__init__()
        self.f = f
        self.reference = reference

    def forward(self, c: Tensor | None = None) -> Density:
        if c is None:
            return Density(self.f, self.reference)
        given = _trackable(c)
        return Density(lambda x: self.f(x, given), self.reference)


def score(log_density: LogDensity, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
    """∇_x log density, each row its own. Works under ``no_grad`` and ``inference_mode`` too."""
    return value_and_score(log_density, x)[1]


def value_and_score(
    log_density: LogDensity, x: Float[Tensor, "b *event"]
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b *event"]]:
    """The log density and its score, from one pass through the network.

    Raises:
        InputError: x is not floating point.
    """
    if not x.is_floating_point():
        raise InputError(f"chains must be floating point, got {str(x.dtype)[6:]}: start from x.float()")
    with torch.inference_mode(False), torch.enable_grad():
        x = _trackable(x).detach().requires_grad_()
        value = log_density(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def _trackable(x: Tensor) -> Tensor:
    """x, or a copy that autograd accepts if x was made under ``inference_mode``."""
    with torch.inference_mode(False):
        return x.clone() if x.is_inference() else x


def observe(log_density: LogDensity, log_likelihood: LogDensity) -> LogDensity:
    """Add an observation: z ↦ log p(z) + log p(y|z), the posterior up to a constant.

    It serves latent posteriors, recovery likelihood, super-resolution and denoising alike, and no sampler knows.
    """
    return lambda x: log_density(x) + log_likelihood(x)


class restrict:
    """Fix known entries: the law of the unknown entries of x given that x equals y where ``mask`` holds.

    The result is a log density of the whole x that looks at the unknown entries only, so any sampler runs on it; what
    the sampler does to the known entries is without meaning, and ``fill`` puts y back.

    >>> p = restrict(lambda x: -0.5 * (x**2).sum(1), torch.tensor([[True, False]]), torch.tensor([[5.0, 0.0]]))
    >>> p(torch.zeros(1, 2)), p.fill(torch.ones(1, 2))
    (tensor([-12.5000]), tensor([[5., 1.]]))
    """

    def __init__(self, log_density: LogDensity, mask: Bool[Tensor, "..."], y: Tensor) -> None:
        self.log_density = log_density
        self.mask = _trackable(mask)
        self.y = _trackable(y)

    def __call__(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b"]:
        return self.log_density(self.fill(x))

    def fill(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b *event"]:
        """x with its known entries set to y."""
        return torch.where(self.mask, self.y, x)


def product(log_densities: Sequence[LogDensity], weights: Sequence[float] | None = None) -> LogDensity:
    """Π p_i^{w_i}: energies add, so models compose. Negative weights push away; all weights are 1 by default."""
    weights = [1.0] * len(log_densities) if weights is None else weights
    if len(weights) != len(log_densities):
        raise InputError(f"weights must have one entry a density, expected {len(log_densities)}, got {len(weights)}")

    def log_density(x: Tensor) -> Tensor:
        terms = [w * p(x) for w, p in zip(weights, log_densities)]
        return torch.stack(terms).sum(0)

    return log_density


def temper(log_density: LogDensity, temperature: float) -> LogDensity:
    """p^(1/T): energies are divided by T. Above 1 the density is flatter, below 1 more peaked.

    >>> temper(lambda x: -x[:, 0] ** 2, 2.0)(torch.tensor([[2.0]]))
    tensor([-2.])
    """
    if not temperature > 0:
        raise InputError(f"expected a positive temperature, got {temperature:g}")
    return lambda x: log_density(x) / temperature


def mixture(
    log_densities: Sequence[LogDensity],
    weights: Sequence[float] | None = None,
    log_z: Sequence[float] | None = None,
) -> LogDensity:
    """Σ w_i p_i: what any of the models finds probable is probable. The mixture of unnormalized models needs their log
    Z.

    Args:
        log_densities: log p_i + log Z_i of each component.
        weights: Weights w_i, positive. Defaults to equal ones.
        log_z: log Z_i of each component. Defaults to zeros, for components that are normalized.

    Returns:
        The log density, normalized if Σ w_i = 1 and ``log_z`` is right.

    Raises:
        InputError: There is no component, a weight is not positive, or the numbers of entries differ.
    """
    n = len(log_densities)
    weights = [1 / n] * n if weights is None and n else list(weights or [])
    log_z = [0.0] * n if log_z is None else list(log_z)
    if not n or len(weights) != n or len(log_z) != n or min(weights) <= 0:
        raise InputError(
            f"expected one positive weight and one log_z for each of 1 or more densities, got {n} densities, weights "
            f"{weights} and log_z {log_z}"
        )

    def log_density(x: Tensor) -> Tensor:
        terms = [p(x) + math.log(w) - z for p, w, z in zip(log_densities, weights, log_z)]
        return torch.stack(terms).logsumexp(0)

    return log_density
