"""Densities in the plane learned without chains: exact KL of four losses on eight and 25 Gaussians and two moons.

Energy discrepancy compares log densities, diffusive classification also learns log Z, denoising score matching learns
scores alone, and energy matching an energy whose samples come in one sweep. Densities of models that were trained on
their own are multiplied, too. Baselines: the best single Gaussian, and the recorded figure of persistent maximum
likelihood, the same network with chains, where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from absynth import results
from absynth.data.toy import EightGaussians, GaussianGrid, Moons
from absynth.experiments.harness import Figures, Run, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.grid import Grid
from absynth.metrics.kernel import mmd
from absynth.seeding import stream
from absynth.types import LogDensity

SAMPLES = 2000
METHODS = {
    "energy discrepancy": "energy_discrepancy",
    "diffusive classification": "diffusive_classification",
    "denoising at several levels": "score_matching",
    "energy matching": "energy_matching",
}


class KnownMoons(Moons):
    """The moons with their density, a sum over 200 points of each arc: they are a sixth of a blur apart."""

    def log_prob(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """Normalized log density."""
        angle = math.pi * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
        arc = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
        centers = torch.cat([arc, -arc]).to(x)
        exponents = (-0.5 * torch.cdist(part, centers).square() / self.std**2 for part in x.split(10_000))
        log_sum = torch.cat([e.logsumexp(1) for e in exponents])
        return log_sum - math.log(len(centers)) - math.log(2 * math.pi * self.std**2)


LAWS: Mapping[str, Any] = {"ring": EightGaussians(), "grid25": GaussianGrid(), "moons": KnownMoons()}
PRODUCTS = (("ring", "moons"), ("ring", "grid25"), ("moons", "grid25"))
"""Pairs of models, each trained on its own, whose densities are multiplied."""
NORMALIZED = {"energy_discrepancy": "energy discrepancy", "diffusive_classification": "diffusive classification"}
RECORDED = {"ring": "ebm_ring"}
"""Records of persistent maximum likelihood, whose figure is "KL"."""


@experiment(
    data="fresh draws of eight Gaussians of standard deviation 0.15 on a circle of radius 1, of 25 of standard "
    "deviation 0.1 at distance 1, and of two moons of blur 0.1",
    protocol="presets as they stand; KL(data ‖ model) in nats by a sum over a 400×400 grid on [-3, 3]², log Z by the "
    f"same sum; squared MMD of {SAMPLES} samples against {SAMPLES} draws of the data",
    seeds=(0, 1, 2),
    minutes=5,
    bars={
        "KL on ring, energy discrepancy": at_most(0.010, "persistent maximum likelihood reached .027"),
        "KL on ring, diffusive classification": at_most(0.03, "as good as persistent maximum likelihood"),
        "|log Z| on ring, diffusive classification": at_most(0.03, "normalized within .03 nats"),
        "KL on ring, energy matching": at_most(0.1, "a density after its second phase"),
        "MMD² on ring, energy matching": at_most(0.007, "samples by one sweep"),
        "KL of products, diffusive classification": at_most(0.05, "the mean of three products of two models"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    values: dict[str, float] = {}
    baselines: dict[str, float] = {}
    densities: dict[str, dict[str, LogDensity]] = {method: {} for method in METHODS.values()}
    records, n = results.load_all(results.records_folder()), run.few(SAMPLES)
    grid = Grid(-3, 3, run.few(400, 60), 2, dtype=torch.float32)
    for data, law in LAWS.items():
        truth, again = (law.sample(n, stream(seed, 0, 0, purpose)) for purpose in (1, 2))
        gaussian = grid.kl(law.log_prob, Gaussian.fit(law.sample(100_000, stream(seed))).log_prob)
        for title, method in METHODS.items():
            if (data, method) == ("grid25", "energy_matching"):  # it has no preset for that
                continue
            model = run.fit(method, data, label=f"{title}, {data}").model
            density, figure = model.chain().density.log_density, f"on {data}, {title}"
            densities[method][data] = density
            values[f"KL {figure}"] = grid.kl(law.log_prob, density)
            values[f"MMD² {figure}"] = mmd(model.sample(n, rng=stream(seed, 0, 0, 3)), truth)
            if method == "diffusive_classification":
                with torch.no_grad():
                    values[f"|log Z| {figure}"] = abs(float(grid.log_integral(density)))
            baselines[f"KL {figure}/best single Gaussian"] = gaussian
            baselines[f"MMD² {figure}/two sets of data"] = mmd(again, truth)
            if (found := records.get(RECORDED.get(data, ""))) is not None:
                kls = found.figures["KL"]
                baselines[f"KL {figure}/persistent maximum likelihood"] = sum(kls) / len(kls)
    for method, title in NORMALIZED.items():
        found = [product_divergence(grid, pair, densities[method]) for pair in PRODUCTS]
        values[f"KL of products, {title}"] = sum(kl for kl, _ in found) / len(found)
        baselines[f"KL of products, {title}/first factor alone"] = sum(kl for _, kl in found) / len(found)
    return Figures(values, baselines)


def product_divergence(grid: Grid, pair: tuple[str, str], densities: Mapping[str, LogDensity]) -> tuple[float, float]:
    """KL of the true product from the product of two models, and from the first true factor alone."""

    def truth(x: Tensor) -> Tensor:
        return LAWS[pair[0]].log_prob(x) + LAWS[pair[1]].log_prob(x)

    def learned(x: Tensor) -> Tensor:
        return densities[pair[0]](x) + densities[pair[1]](x)

    return grid.kl(truth, learned), grid.kl(truth, LAWS[pair[0]].log_prob)
