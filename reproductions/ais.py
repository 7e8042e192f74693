"""log Z by annealed importance sampling against quadrature, a closed form, and itself on a learned image EBM.

``python reproductions/ais.py --seeds 0 1``, about two minutes of CPU a seed.

* plane: a curved density, log Z by a sum over a grid;
* 64 dimensions: a Gaussian tilt of N(0, I), log Z in closed form;
* digits 8×8: an EBM learned by persistent Langevin chains at temperature 1. Nobody knows its log Z: the gap between the
  forward and the reverse figure is what there is to report, and it must narrow with the number of temperatures. Its
  bits a dimension are for the 17 grey values of the digits, dequantized, beside the Gaussian of the training pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.data.images import digits
from absynth.data.order import minibatches
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.metrics.grid import Grid
from absynth.metrics.likelihood import bits_per_dimension, dequantize, log_z
from absynth.networks.convnet import conv_f
from absynth.results import record
from absynth.samplers import HMC, Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.training import update
from absynth.types import Batch

TEMPERATURES = (30, 120, 480)
LEVELS = 17
STD = 0.8
"""Of the reference: the pictures' own."""


def curved(x: Tensor) -> Tensor:
    return -0.5 * x[:, 0] ** 2 - 2 * (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2 + 0.7 * x[:, 0] + torch.sin(2 * x[:, 1])


def plane(seed: int) -> tuple[float, float]:
    """(forward, reverse) − quadrature."""
    truth = float(Grid(-12, 16, 1200, 2).log_integral(curved))
    transition = HMC(1, 0.3, leapfrog_steps=3)
    rng = stream(seed, 0, 0, 1)
    found = log_z(curved, StandardNormal(2, std=2.0), chains=1000, temperatures=200, transition=transition, rng=rng)
    return found.lower.value - truth, found.upper.value - truth


def gaussian(seed: int) -> tuple[float, float]:
    """(forward, reverse) − closed form."""
    b, d = torch.linspace(-1, 1, 64), torch.linspace(0, 3, 64)
    truth = float((0.5 * b**2 / (1 + d) - 0.5 * torch.log1p(d)).sum())
    reference = StandardNormal(64)
    exact = b / (1 + d) + noise_like(torch.empty(1000, 64), stream(seed, 0, 0, 2)) / (1 + d).sqrt()
    found = log_z(
        lambda x: x @ b - 0.5 * x.square() @ d + reference.log_prob(x),
        reference,
        chains=1000,
        temperatures=300,
        transition=HMC(1, 0.3, leapfrog_steps=3),
        samples=exact,
        rng=stream(seed, 0, 0, 3),
    )
    return found.lower.value - truth, found.upper.value - truth


def learned(seed: int, updates: int) -> MaximumLikelihood:
    """An EBM of 8×8 digits: persistent chains, true Langevin, N(0, 0.8² I) for reference."""
    torch.manual_seed(seed)
    reference = StandardNormal(1, 8, 8, std=STD)
    model = MaximumLikelihood(
        EBM(conv_f(1, 8, 16), reference),
        start=Persistent(1000, reference, 0.02, rng=stream(seed, 0, 0, 4)),
        sampler=Langevin(20, 0.1),
        data_noise=1 / 16,
    )
    images = digits(Path("."), "train")
    optimizers = {"ebm": torch.optim.Adam(model.ebm.parameters(), 5e-4, (0.5, 0.999))}
    for step, index in zip(range(updates), minibatches(len(images), 100, seed=seed), strict=False):
        for group in optimizers["ebm"].param_groups:
            group["lr"] = 5e-4 * min(1.0, 2 * (1 - step / updates))
        update(model, optimizers, Batch(images.batch(index)), rng=stream(seed, 0, step))
    return model


def gaussian_bits(seed: int) -> float:
    """Bits a dimension of the Gaussian of the (dequantized) training pictures."""
    train, test = (
        dequantize(digits(Path("."), split).all(), rng=stream(seed, 0, 0, 5), levels=LEVELS).flatten(1).double()
        for split in ("train", "test")
    )
    law = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.T))
    return float(bits_per_dimension(law.log_prob(test), 64, LEVELS).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "ais.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ["plane, forward", "plane, reverse", "64-D, forward", "64-D, reverse"]
    names += [f"digits, gap at {k} temperatures" for k in TEMPERATURES] + ["digits, bits per dimension"]
    figures: dict[str, list[float]] = {name: [] for name in names}
    baselines: dict[str, list[float]] = {"digits, bits per dimension/Gaussian of the pixels": []}
    for seed in arguments.seeds:
        found = [*(abs(e) for e in plane(seed)), *(abs(e) for e in gaussian(seed))]
        density = learned(seed, arguments.updates).ebm().log_density
        estimate = None
        for k in TEMPERATURES:
            estimate = log_z(
                density,
                StandardNormal(1, 8, 8, std=STD),
                chains=64,
                temperatures=k,
                transition=HMC(1, 0.1, leapfrog_steps=4),
                rng=stream(seed, 0, 0, 6),
            )
            found.append(estimate.gap)
            print(f"seed {seed}: {estimate}", flush=True)
        assert estimate is not None
        x = dequantize(digits(Path("."), "test").all(), rng=stream(seed, 0, 0, 5), levels=LEVELS)
        with torch.no_grad():
            found.append(float(bits_per_dimension(density(x) - estimate.value, 64, LEVELS).mean()))
        baselines["digits, bits per dimension/Gaussian of the pixels"].append(gaussian_bits(seed))
        for name, value in zip(names, found, strict=True):
            figures[name].append(value)
        print(f"seed {seed}: " + ", ".join(f"{name} {v[-1]:.4g}" for name, v in (figures | baselines).items()))
    bar = {"at_most": 0.05, "why": "within 0.05 nats of the truth"}
    record(
        arguments.out,
        command="python reproductions/ais.py --seeds " + " ".join(map(str, arguments.seeds)),
        data="a curved density in the plane; a Gaussian in 64 dimensions; scikit-learn's digits, 17 grey values",
        protocol="absolute errors of log Z in nats: 1000 chains, 200 temperatures against a 1200×1200 grid, and 300 "
        "against the closed form, reverse chains from exact samples there and from the settled forward chains in the "
        f"plane. The digits' EBM: {arguments.updates} updates, persistent chains at temperature 1; gap of 64 chains "
        "either way in nats; bits a dimension of the test pictures with log Z the middle of the two at "
        f"{TEMPERATURES[-1]} temperatures",
        seeds=arguments.seeds,
        figures=figures,
        baselines=baselines,
        bars={name: bar for name in names[:4]},
    )


if __name__ == "__main__":
    main()
