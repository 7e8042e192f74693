"""log Z by annealed importance sampling against quadrature, a closed form, and itself on a learned image EBM.

* plane: a curved density, log Z by a sum over a grid;
* 64 dimensions: a Gaussian tilt of N(0, I), log Z in closed form;
* digits 8×8: an EBM that tilts the Gaussian of the training images, learned by persistent Langevin chains at
  temperature 1 in that Gaussian's coordinates. Nobody knows its log Z: the gap between the forward and the reverse
  figure is what there is to report, and it must narrow with the number of temperatures. The data are the 17 grey values
  of the digits, dequantized; bits per dimension are compared with those of the Gaussian alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.dataset import Split
from absynth.data.images import digits
from absynth.data.order import minibatches
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.gaussian import Gaussian, Whitened
from absynth.metrics.grid import Grid
from absynth.metrics.likelihood import LogZ, bits_per_dimension, dequantize, log_z
from absynth.networks.mlp import mlp_f
from absynth.samplers import HMC, Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

TEMPERATURES = (50, 200, 800)
CHAINS = 128
LEVELS = 17
STEPS, STEP_SIZE = 20, 0.3
"""In the coordinates in which the Gaussian is N(0, I)."""
RATE = 1e-3
WIDTH = 128


def curved(x: Tensor) -> Tensor:
    return -0.5 * x[:, 0] ** 2 - 2 * (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2 + 0.7 * x[:, 0] + torch.sin(2 * x[:, 1])


def errors(found: LogZ, truth: float) -> tuple[float, float, float]:
    """|forward − truth|, |reverse − truth|, and by how much more than two standard errors they fail to bracket it."""
    low, high = found.lower, found.upper
    outside = max(low.value - 2 * low.error - truth, truth - high.value - 2 * high.error, 0.0)
    return abs(low.value - truth), abs(high.value - truth), outside


def plane(seed: int, run: Run) -> tuple[float, float, float]:
    """Errors against quadrature."""
    truth = float(Grid(-12, 16, run.few(1200, 300), 2).log_integral(curved))
    chains, temperatures = run.few(1000), run.few(200, 20)
    transition = HMC(1, 0.3, leapfrog_steps=3)
    rng = stream(seed, 0, 0, 1)
    found = log_z(
        curved, StandardNormal(2, std=2.0), chains=chains, temperatures=temperatures, transition=transition, rng=rng
    )
    return errors(found, truth)


def gaussian(seed: int, run: Run) -> tuple[float, float, float]:
    """Errors against the closed form."""
    chains = run.few(1000)
    b, d = torch.linspace(-1, 1, 64), torch.linspace(0, 3, 64)
    truth = float((0.5 * b**2 / (1 + d) - 0.5 * torch.log1p(d)).sum())
    reference = StandardNormal(64)
    exact = b / (1 + d) + noise_like(torch.empty(chains, 64), stream(seed, 0, 0, 2)) / (1 + d).sqrt()
    found = log_z(
        lambda x: x @ b - 0.5 * x.square() @ d + reference.log_prob(x),
        reference,
        chains=chains,
        temperatures=run.few(300, 20),
        transition=HMC(1, 0.3, leapfrog_steps=3),
        samples=exact,
        rng=stream(seed, 0, 0, 3),
    )
    return errors(found, truth)


def pixels(split: Split, seed: int) -> Tensor:
    """The images of a split, dequantized ``[n, 64]``."""
    return dequantize(digits(Path("."), split).all().flatten(1), rng=stream(seed, 0, 0, 5), levels=LEVELS)


def learned(reference: Gaussian, seed: int, updates: int) -> MaximumLikelihood:
    """An EBM of 8×8 digits: persistent chains, true Langevin, the Gaussian of the images for reference."""
    torch.manual_seed(seed)
    model = MaximumLikelihood(
        EBM(mlp_f(64, WIDTH, "silu"), reference),
        start=Persistent(1000, reference, 0.02, rng=stream(seed, 0, 0, 4)),
        sampler=Whitened(Langevin(STEPS, STEP_SIZE), reference),
    )
    images = digits(Path("."), "train")
    optimizers = {"ebm": torch.optim.Adam(model.ebm.f.parameters(), RATE, (0.5, 0.999))}
    for step, index in zip(range(updates), minibatches(len(images), 100, seed=seed), strict=False):
        for group in optimizers["ebm"].param_groups:
            group["lr"] = RATE * min(1.0, 2 * (1 - step / updates))
        x = dequantize(images.batch(index).flatten(1), rng=stream(seed, 0, step, 7), levels=LEVELS)
        update(model, optimizers, Batch(x), rng=stream(seed, 0, step))
    return model


OUTSIDE = "beyond the bounds and two standard errors"
NAMES = [f"{case}, {what}" for case in ("plane", "64-D") for what in ("forward", "reverse", OUTSIDE)]
BITS, BELOW = "digits, bits per dimension", "digits, bits per dimension below the Gaussian's"
GAP = f"digits, absolute gap at {TEMPERATURES[-1]} temperatures"
UPDATES = 700


@experiment(
    data="a curved density in the plane; a Gaussian in 64 dimensions; scikit-learn's digits, 17 grey values",
    protocol="absolute errors of log Z in nats: 1000 chains, 200 temperatures against a 1200×1200 grid, and 300 "
    "against the closed form, reverse chains from exact samples there and from the settled forward chains in the "
    f"plane. The digits' EBM: {UPDATES:,} updates, persistent chains at temperature 1; gap of {CHAINS} chains either "
    f"way in nats; bits per dimension of the test images with log Z the middle of the two at {TEMPERATURES[-1]} "
    f"temperatures",
    seeds=(0, 1, 2),
    minutes=2,
    bars={
        name: at_most(0.0, "the two bounds bracket it")
        if name.endswith(OUTSIDE)
        else at_most(0.05, "within 0.05 nats of the truth")
        for name in NAMES
    }
    | {BELOW: at_least(0.0, "below the Gaussian's"), GAP: at_most(0.05, "both bounds within .05 nats")},
)
def measure(seed: int, run: Run) -> Figures:
    values = dict(zip(NAMES, [*plane(seed, run), *gaussian(seed, run)], strict=True))
    reference = Gaussian.fit(pixels("train", seed), shrink=0.0)
    f, flat = learned(reference, seed, run.few(UPDATES, 5)).ebm.f, StandardNormal(64)
    estimate = None
    for k in (run.few(t, 5) for t in TEMPERATURES):
        estimate = log_z(
            lambda y: f(reference.color(y)) + flat.log_prob(y), flat, chains=CHAINS, temperatures=k,
            transition=HMC(1, 0.3, leapfrog_steps=4), rng=stream(seed, 0, 0, 6),
        )  # fmt: skip
        values[f"digits, gap at {k} temperatures"] = estimate.gap
    assert estimate is not None
    x = pixels("test", seed)
    with torch.no_grad():
        log_p = f(x) + reference.log_prob(x) - estimate.value
        values[BITS], gaussian_bits = (
            float(bits_per_dimension(p, 64, LEVELS).mean()) for p in (log_p, reference.log_prob(x))
        )
    values |= {BELOW: gaussian_bits - values[BITS], GAP: abs(estimate.gap)}
    return Figures(values, {f"{BITS}/Gaussian of the pixels": gaussian_bits})
