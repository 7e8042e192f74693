"""log Z by annealed importance sampling, from below and above, and what follows from it: log p(x), bits a dimension.

Neal 2001, "Annealed Importance Sampling"; Grosse, Ancha, Roy 2016, "Measuring the reliability of MCMC inference with
bidirectional Monte Carlo" (the reverse chain). Between a normalized reference p_0 and p* = exp(log density):

    log π_β = (1 − β) log p_0 + β log p*,  0 = β_0 < … < β_K = 1                                   (1)
    forward: x ~ p_0;   w = Σ_k (β_k − β_{k−1}) (log p* − log p_0)(x_{k−1}),  x_k ~ T_{β_k}(x_{k−1})  (2)
    reverse: x ~ p*/Z;  the same sum downwards, v                                                  (3)
    E[exp w] = Z,  E[exp(−v)] = 1/Z,  so  E[log mean exp w] ≤ log Z ≤ −E[log mean exp(−v)]          (4)

(4) holds for transitions T that leave π_β as it is: HMC and MALA do, unadjusted Langevin does not quite. (3) needs
exact samples of the target; from samples that only come near to it the upper figure is an estimate and no bound.

A pilot run of its own chains lays out the temperatures at equal thermodynamic length, ∫ sd(log p* − log p_0) dβ, and
the step size at each of them. Both are then fixed, so what they cost is efficiency and never the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from absynth.density import Density, observe
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.samplers import HMC, MALA
from absynth.seeding import uniform_like
from absynth.types import Distribution, LogDensity, Reference, Rng, Sampler

PILOT = 60
"""Temperatures of the pilot run."""


@dataclass(frozen=True)
class Estimate:
    """One side of log Z."""

    value: float
    """In nats."""
    error: float
    """Its standard error, by the delta method: trust it only where ``effective`` is well above 1."""
    effective: float
    """Effective number of chains, (Σw)² / Σw²."""
    chains: int


@dataclass(frozen=True)
class LogZ:
    """log Z from below and from above."""

    lower: Estimate
    """Forward annealing: below log Z in expectation."""
    upper: Estimate
    """Reverse annealing: above log Z in expectation, if it began at exact samples."""
    temperatures: int
    """K, the annealing's transitions."""
    acceptance: float
    """Mean acceptance over the forward chains' transitions; NaN for a sampler without a Metropolis test."""

    @property
    def value(self) -> float:
        """The middle of the two."""
        return (self.lower.value + self.upper.value) / 2

    @property
    def gap(self) -> float:
        """upper − lower: how far the annealing was from a quasi-static one; more temperatures narrow it."""
        return self.upper.value - self.lower.value


@dataclass(frozen=True)
class LatentLikelihood:
    """log p(x) of a latent variable model, for each of n examples."""

    log_prob: Float[Tensor, "n"]
    """In nats."""
    error: Float[Tensor, "n"]
    """Standard error of each, that of log Z(α) not counted."""
    effective: Float[Tensor, "n"]
    """Effective number of chains of each."""
    log_z: LogZ
    """Of the prior."""


def log_z(
    log_density: LogDensity,
    reference: Reference,
    *,
    chains: int = 64,
    temperatures: int = 500,
    transition: Sampler | None = None,
    samples: Tensor | None = None,
    settle: int = 50,
    rng: Rng,
) -> LogZ:
    """log ∫ exp(log density) from below and from above.

    Args:
        log_density: log p*, ``x [b, *event] -> [b]``.
        reference: p_0, normalized on the whole space and covering the target. :class:`Uniform` is not: its log density
            is a constant everywhere.
        chains: forward chains; without ``samples`` the reverse ones too.
        temperatures: K.
        transition: T, run once a temperature; None is one HMC transition of 10 leapfrog steps. The step size of HMC and
            MALA is where the pilot's tuning begins.
        samples: exact draws of the target, ``[n, *event]``. None takes the forward chains' ends, resampled by weight
            and moved on by ``settle`` transitions: then ``upper`` leans on those chains having arrived.
        settle: see ``samples``.
        rng: a ``torch.Generator``.

    Raises:
        InputError: the reference is a :class:`Uniform`, or a number is out of range.
    """
    betas, transitions = plan(log_density, reference, temperatures, transition or HMC(1, 0.1), rng=rng)
    weights, x, acceptance = anneal(log_density, reference, betas, transitions, chains, rng=rng)
    if samples is None:
        share = weights.softmax(0).cumsum(0)
        u = uniform_like(share, rng)
        samples = x[torch.searchsorted(share, u).clamp(max=chains - 1)]
        for _ in range(settle):
            samples = transitions[-1](log_density, samples, rng=rng)
    down = anneal_back(log_density, reference, betas, transitions, samples, rng=rng)
    above = estimate(-down)
    return LogZ(estimate(weights), replace(above, value=-above.value), temperatures, acceptance)


def log_prob_latent(
    prior: Callable[[], Density],
    generator: Callable[[Tensor], Distribution],
    x: Float[Tensor, "n *event"],
    *,
    chains: int = 16,
    temperatures: int = 200,
    transition: Sampler | None = None,
    log_z_prior: LogZ | None = None,
    rng: Rng,
) -> LatentLikelihood:
    """log p(x) = log ∫ exp f(z) p_0(z) p(x|z) dz − log Z(α), the integral by (2) from p_0 to the posterior.

    Each is below in expectation but for log Z(α), whose middle estimate is used. For the latent EBM prior (Pang et al.
    2020) and any other model of a prior EBM and a generator.

    Args:
        prior: p_α(z): an EBM, or a function that returns its density.
        generator: z ↦ p(x|z), a normalized density; that of an 8-bit picture is one of its dequantized values.
        x: examples.
        chains: for each example; all ``n · chains`` run at once.
        temperatures: K.
        transition: as for :func:`log_z`; tuned on the examples together.
        log_z_prior: log Z(α), if it is known; else it is estimated with four times the temperatures.
        rng: a ``torch.Generator``.
    """
    density, n = prior(), len(x)
    rows = x.repeat_interleave(chains, 0)
    if log_z_prior is None:
        log_z_prior = log_z(
            density.log_density, density.reference, chains=max(64, chains), temperatures=4 * temperatures,
            transition=transition, rng=rng,
        )  # fmt: skip
    joint = observe(density.log_density, lambda z: generator(z).log_prob(rows))
    transition = transition or HMC(1, 0.1)
    betas, transitions = plan(joint, density.reference, temperatures, transition, chains=len(rows), groups=n, rng=rng)
    weights, _, _ = anneal(joint, density.reference, betas, transitions, len(rows), rng=rng)
    each = [estimate(w) for w in weights.view(n, chains)]

    def column(name: str) -> Tensor:
        return torch.tensor([getattr(e, name) for e in each], dtype=torch.float64)

    return LatentLikelihood(column("value") - log_z_prior.value, column("error"), column("effective"), log_z_prior)


def dequantize(x: Float[Tensor, "b *event"], *, rng: Rng, levels: int = 256) -> Float[Tensor, "b *event"]:
    """Spread each of ``levels`` values on [−1, 1] evenly over its cell, so that it has a density.

    Values are 2/(levels − 1) apart (a byte v is v/127.5 − 1), so the result lies half a cell beyond [−1, 1] at most.
    """
    return x + 2 / (levels - 1) * (uniform_like(x, rng) - 0.5)


def bits_per_dimension(log_prob: Float[Tensor, "n"], dimensions: int, levels: int = 256) -> Float[Tensor, "n"]:
    """−log₂ of the probability of a cell, a dimension: the code length of pictures of ``levels`` values on [−1, 1].

    Args:
        log_prob: normalized log density of :func:`dequantize`'d pictures, in nats. By Jensen its mean bounds the
            discrete log probability from below, so the figure bounds the true code length from above.
        dimensions: channels times pixels.
        levels: values a pixel may have.

    >>> bits_per_dimension(torch.tensor([-math.log(2 * 256 / 255)]), 1)  # uniform over all cells
    tensor([8.])
    """
    return -(log_prob / dimensions + math.log(2 / (levels - 1))) / math.log(2)


# The parts ------------------------------------------------------------------------------------------------------------


def between(log_density: LogDensity, reference: Reference, beta: float) -> LogDensity:
    """log π_β, (1)."""
    return lambda x: (1 - beta) * reference.log_prob(x) + beta * log_density(x)


def plan(
    log_density: LogDensity,
    reference: Reference,
    temperatures: int,
    transition: Sampler,
    *,
    chains: int = 64,
    groups: int = 1,
    rng: Rng,
) -> tuple[Float[Tensor, "k"], list[Sampler]]:
    """(β_0 … β_K, one transition for each of β_1 … β_K), from a pilot run.

    Each β is as far from the last as any other in thermodynamic length, and step sizes are such that acceptance is 0.8
    (HMC) or 0.57 (MALA); samplers of other kinds come back as they are.

    Args:
        log_density: log p*.
        reference: p_0.
        temperatures: K.
        transition: with the step size to begin with.
        chains: of the pilot run.
        groups: targets among the chains, in equal blocks: spread between them is none along the path.
        rng: a ``torch.Generator``.
    """
    if isinstance(reference, Uniform):
        raise InputError("annealing needs a reference normalized on the whole space, got Uniform: give StandardNormal")
    if temperatures < 1:
        raise InputError(f"annealing needs at least 1 temperature, got {temperatures}")
    adapts = isinstance(transition, HMC | MALA)
    target = transition.target_accept if isinstance(transition, HMC) else 0.57
    walk = (torch.arange(PILOT + 1, dtype=torch.float64) / PILOT) ** 4  # finest where a wide reference narrows fastest
    x = reference.sample(chains, rng)
    spreads, sizes = [], []
    for beta in walk.tolist():
        density = between(log_density, reference, beta)
        for _ in range(2):
            x, accepted = _move(transition, density, x, rng=rng)
            if adapts:
                size = transition.step_size * math.exp(0.5 * (accepted - target))  # type: ignore[attr-defined]
                transition = replace(transition, step_size=size)  # type: ignore[type-var]
        spreads.append(float(_difference(log_density, reference, x).view(groups, -1).std(1).mean()))
        sizes.append(transition.step_size if adapts else math.nan)  # type: ignore[attr-defined]
    spread = np.array(spreads)
    length = np.concatenate([[0.0], np.cumsum(0.5 * (spread[1:] + spread[:-1]) * np.diff(walk.numpy()))])
    if not (np.isfinite(length[-1]) and length[-1] > 0):  # the target is the reference, or nothing is known of it
        length = walk.numpy()
    betas = np.interp(np.linspace(0, length[-1], temperatures + 1), length, walk.numpy())
    if not adapts:
        return torch.from_numpy(betas), [transition] * temperatures
    at = np.interp(betas[1:], walk.numpy(), sizes)
    # Trajectories of one length come back to where they began in the directions of that period, and never mix there:
    # sizes alternate between half and whole, by the golden ratio's multiples.
    at *= 1 - 0.5 * (np.arange(temperatures) * 0.6180339887 % 1)
    return torch.from_numpy(betas), [replace(transition, step_size=float(size)) for size in at]  # type: ignore[type-var]


def anneal(
    log_density: LogDensity,
    reference: Reference,
    betas: Float[Tensor, "k"],
    transitions: Sequence[Sampler],
    chains: int,
    *,
    rng: Rng,
) -> tuple[Float[Tensor, "chains"], Tensor, float]:
    """(w in float64, last states, mean acceptance) of forward chains, (2)."""
    x = reference.sample(chains, rng)
    weights, rates = torch.zeros(chains, dtype=torch.float64, device=x.device), []
    for beta_before, beta, move in zip(betas.tolist(), betas[1:].tolist(), transitions, strict=False):
        weights += (beta - beta_before) * _difference(log_density, reference, x)
        x, accepted = _move(move, between(log_density, reference, beta), x, rng=rng)
        rates.append(accepted)
    return weights, x, sum(rates) / len(rates)


def anneal_back(
    log_density: LogDensity,
    reference: Reference,
    betas: Float[Tensor, "k"],
    transitions: Sequence[Sampler],
    samples: Tensor,
    *,
    rng: Rng,
) -> Float[Tensor, "chains"]:
    """v in float64, of chains that begin at samples of the target, (3)."""
    x, down = samples, torch.zeros(len(samples), dtype=torch.float64, device=samples.device)
    for k in range(len(betas) - 1, 0, -1):
        down += float(betas[k] - betas[k - 1]) * _difference(log_density, reference, x)
        if k > 1:  # the reverse of (2), which leaves β_0 without a transition
            x = transitions[k - 2](between(log_density, reference, float(betas[k - 1])), x, rng=rng)
    return down


def estimate(log_weights: Float[Tensor, "chains"]) -> Estimate:
    """log mean exp of log weights, with its standard error and the weights' effective number."""
    n = len(log_weights)
    w = (log_weights - log_weights.max()).exp()
    value = float(log_weights.max() + w.mean().log())
    error = float(w.std() / w.mean()) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(value, error, float(w.sum() ** 2 / w.square().sum()), n)


def _difference(log_density: LogDensity, reference: Reference, x: Tensor) -> Float[Tensor, "b"]:
    with torch.no_grad():
        return (log_density(x) - reference.log_prob(x)).double()


def _move(move: Sampler, density: LogDensity, x: Tensor, *, rng: Rng) -> tuple[Tensor, float]:
    """(where the chains stand after one transition, their mean acceptance)."""
    if not isinstance(move, HMC | MALA):
        return move(density, x, rng=rng), math.nan
    states = list(move.path(density, x, rng=rng))
    rates = [float(s.accepted.mean()) for s in states[1:] if s.accepted is not None]
    return states[-1].x, sum(rates) / len(rates)
