"""Bits a dimension of diffusion recovery on 8×8 digits: the code length of the whole sequence of noise levels.

The joint law of the levels is normalized: every conditional p(y_t | x_{t+1}) of the recovery likelihood is nearly a
Gaussian, so its constant is found by a short annealing. With q the diffusion of an image,

    −log p(x_0) ≤ E_q[log q(x_{1:T−1} | x_0) − log p_{T−1}(y_{T−1}) − Σ_{t<T−1} log p(x_t | x_{t+1})]        (1)
    p(x_t | x_{t+1}) = a_{t+1}^d p(y_t | x_{t+1}),  p(y_t | x_{t+1}) ∝ exp(F(y, t)) N(y; m, v)                (2)

where N(y; m, v) is N(y; 0, I) N(x_{t+1}; y, σ²I), normalized. The forward figure of annealing finds the constants of
(2) too small in expectation; the reverse one, from the settled ends of those chains, too large: both are
shown. Images are dequantized, and x_0's density is taken at them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from absynth.algorithms.diffusion_recovery import DiffusionRecovery
from absynth.distributions import Normal, StandardNormal
from absynth.experiments.ais import LEVELS, pixels
from absynth.experiments.harness import Figures, Run, at_least, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.likelihood import anneal, anneal_back, bits_per_dimension, estimate, plan
from absynth.samplers import HMC
from absynth.seeding import noise_like, stream
from absynth.types import Rng

IMAGES, CHAINS, TEMPERATURES, SETTLE, UPDATES = 100, 8, 30, 10, 3000
FIELDS: dict[str, Any] = {
    "noise_schedule": "log_snr", "levels": 12, "lowest": 0.036, "highest": 0.96, "chain_steps": 15,
    "chain_step_size": 0.8, "energy_width": 16, "energy_lr": 1e-3, "warmup": 0, "ema": 0.99, "batch": 64,
}  # fmt: skip
"""The lowest noise has the spread of the dequantization."""


def log_conditional(model: DiffusionRecovery, y: Tensor, x_next: Tensor, t: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
    """log p(y_t | x_{t+1}) ``[n]``, its constant by forward and by reverse annealing."""
    n, precision = len(y), float(model.precision[t])
    v = 1 / (1 + precision)
    mean = v * precision * x_next
    means, level = mean.repeat_interleave(CHAINS, 0), torch.full((n * CHAINS,), t)
    flat = StandardNormal(*y.shape[1:])

    def target(u: Tensor) -> Tensor:
        return model.ebm(level).f(means + math.sqrt(v) * u) + flat.log_prob(u)

    betas, moves = plan(target, flat, TEMPERATURES, HMC(1, 0.1, leapfrog_steps=4), chains=len(means), groups=n, rng=rng)
    up, ends, _ = anneal(target, flat, betas, moves, len(means), rng=rng)
    for _ in range(SETTLE):
        ends = moves[-1](target, ends, rng=rng)
    down = anneal_back(target, flat, betas, moves, ends, rng=rng)
    small = torch.tensor([estimate(w).value for w in up.view(n, CHAINS)])
    large = torch.tensor([-estimate(-w).value for w in down.view(n, CHAINS)])
    with torch.no_grad():
        seen = model.ebm(torch.full((n,), t)).f(y) + Normal(mean, math.sqrt(v)).log_prob(y)
    return seen - small, seen - large


def log_likelihood(model: DiffusionRecovery, x: Tensor, *, rng: Rng) -> tuple[Tensor, Tensor]:
    """The lower bound (1) of log p(x) ``[n]`` for images ``[n, *event]``, with either figure of the constants."""
    d = x[0].numel()
    x_t = model.signal[0] * x  # p_0 is the law of x_0 = ᾱ_0 x + s̄_0 ε; it is taken at an x without the noise
    found = torch.full((2, len(x)), d * float(model.signal[0].log()))
    for t in range(model.levels):
        a, width = float(model.shrink[t]), float(model.width[t])
        y = a * x_t
        x_next = y + width * noise_like(y, rng)
        found += torch.stack(log_conditional(model, y, x_next, t, rng=rng)) + d * math.log(a)
        if t < model.levels - 1:
            found -= Normal(y, width).log_prob(x_next)
        x_t = x_next
    return found[0], found[1]


NAME, LOW = "bits per dimension", "bits per dimension, constants by forward annealing"
BELOW = "bits per dimension below the Gaussian's"


@experiment(
    data="scikit-learn's digits, 8×8, 17 grey values, dequantized",
    protocol=f"{UPDATES:,} updates, {FIELDS['levels']} noise levels; {IMAGES} test images, {CHAINS} chains and "
    f"{TEMPERATURES} temperatures a conditional; the figure has the constants by reverse annealing",
    seeds=(0, 1),
    minutes=4,
    bars={BELOW: at_least(0.0, "below the Gaussian's")},
)
def measure(seed: int, run: Run) -> Figures:
    opened = run.fit("diffusion_recovery", "digits", **FIELDS, steps=UPDATES)
    model: Any = opened.model
    x = pixels("test", seed)[: run.few(IMAGES, 4)]
    high, low = log_likelihood(model, x.view(-1, 1, 8, 8), rng=stream(seed, 0, 0, 6))
    gaussian = Gaussian.fit(pixels("train", seed), shrink=0.0)
    bits = {name: float(bits_per_dimension(p, 64, LEVELS).mean()) for name, p in
            ((NAME, low), (LOW, high), ("Gaussian", gaussian.log_prob(x)))}  # fmt: skip
    return Figures(
        {NAME: bits[NAME], LOW: bits[LOW], BELOW: bits["Gaussian"] - bits[NAME]},
        {f"{NAME}/Gaussian of the pixels": bits["Gaussian"]},
    )
