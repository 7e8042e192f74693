"""Thirty planted divergences and sixty healthy starts: what the guard makes of them.

A planted run is *usable* if its samples are nearer to the data, by the squared maximum mean discrepancy, than those of
the best Gaussian are; *diagnosed* if it ends with a message that names what failed. Anything else is a wrong answer in
silence. An alarm in a healthy run is a roll-back that nothing called for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from absynth.algorithms import Algorithm
from absynth.data.toy import EightGaussians
from absynth.errors import Diverged, InputError
from absynth.experiments.harness import Figures, Run, at_least, at_most, experiment
from absynth.gaussian import Gaussian
from absynth.metrics.kernel import mmd
from absynth.recipes.maximum_likelihood.vectors import MaximumLikelihoodVectors
from absynth.seeding import stream

LAW = EightGaussians(radius=1.0, std=0.15)
SAMPLES, STEPS = 1000, 600
HEALTHY_STEPS = 200
HEALTHY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "latent prior": ("latent_prior", "linear_modes", {}),
    "latent prior, generator learned": ("latent_prior", "ring", {}),
    "latent prior, digits": ("latent_prior", "digits", {}),
    "maximum likelihood": ("maximum_likelihood", "ring", {}),
    "maximum likelihood, digits": ("maximum_likelihood", "digits", {}),
    "cooperative": ("cooperative", "ring", {}),
    "dual teaching, 100 steps": ("dual_teaching", "ring", {"chain_steps": 100}),
    "variational teaching": ("variational_teaching", "ring", {}),
    "divergence triangle": ("divergence_triangle", "ring", {}),
    "diffusion recovery": ("diffusion_recovery", "ring", {}),
    "noise contrastive": ("noise_contrastive", "ring", {}),
    "alternating back-propagation": ("alternating_backprop", "ring", {}),
}


@dataclass(frozen=True, kw_only=True)
class WideWeights(MaximumLikelihoodVectors):
    """Maximum likelihood from weights eight times as wide as the usual initialization."""

    def algorithm(self) -> Algorithm:
        made = super().algorithm()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(8)
        return made


class _Overflow(torch.autograd.Function):
    """The identity, whose gradient overflows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("inf")


@dataclass(frozen=True, kw_only=True)
class OverflowingGradient(MaximumLikelihoodVectors):
    """Maximum likelihood whose gradient overflows at one update in a hundred, as of a network in half precision."""

    def algorithm(self) -> Algorithm:
        made = super().algorithm()
        losses, seed = made.losses, self.seed

        def overflowing(batch: Any, *, rng: torch.Generator) -> dict[str, Tensor]:
            found = losses(batch, rng=rng)
            planted = (rng.initial_seed() + seed) % 100 == 0
            return {name: _Overflow.apply(loss) for name, loss in found.items()} if planted else found

        made.losses = overflowing  # type: ignore[method-assign]
        return made


HERE = __name__
PLANTED: dict[str, tuple[str, dict[str, Any], float]] = {
    "learning rate 1,000 times too large": ("maximum_likelihood", {"energy_lr": 1.0}, 1.0),
    "chain's step ten times too long": ("maximum_likelihood", {"chain_step_size": 1.0}, 1.0),
    "weights eight times too wide": (f"{HERE}:WideWeights", {}, 1.0),
    "data 100 times too wide": ("maximum_likelihood", {}, 100.0),
    "gradient that overflows": (f"{HERE}:OverflowingGradient", {}, 1.0),
    "one number of the data is NaN": ("maximum_likelihood", {}, float("nan")),
}
"""Kind of fault -> method, fields, and what the data are multiplied by (NaN: one number of them alone)."""


def rows(scale: float, seed: int) -> Tensor:
    """The data of a planted run."""
    x = LAW.sample(5000, stream(seed, 0, 0, 1))
    if scale != scale:
        x[1234, 1] = scale
        return x
    return x * scale


def outcome(run: Run, kind: str, label: str, **guard: Any) -> str:
    """``usable``, ``diagnosed``, or what went wrong in silence."""
    method, fields, scale = PLANTED[kind]
    x = rows(scale, run.seed)
    try:
        opened = run.fit(method, x.numpy(), label=label, steps=STEPS, **fields, **guard)
    except (Diverged, InputError) as error:
        return "diagnosed" if str(error) and "\n" not in str(error).strip() else f"said {str(error)!r}"
    n = run.few(SAMPLES)
    draws = opened.model.sample(n, rng=stream(run.seed, 0, 0, 2)).cpu()
    table: Any = opened.recipe.examples  # the model is one of standardized columns
    truth = table.standardize(rows(scale, run.seed + 1000)[:n])
    gaussian = Gaussian.fit(truth).sample(n, rng=stream(run.seed, 0, 0, 3))
    if not bool(torch.isfinite(draws).all()):
        return "samples that are not finite"
    found, simplest = float(mmd(draws, truth)), float(mmd(gaussian, truth))
    return "usable" if found < simplest else f"MMD² {found:.3f}, a Gaussian {simplest:.3f}"


def alarms(run: Run, label: str) -> int:
    """Roll-backs of a healthy start."""
    method, data, fields = HEALTHY[label]
    opened = run.fit(method, data, label=f"healthy {label}", steps=HEALTHY_STEPS, **fields)
    journal = (opened.path / "journal.jsonl").read_text().splitlines()
    return sum(json.loads(line)["event"] == "guard" for line in journal)


def handled(said: str) -> bool:
    """Whether an outcome is no wrong answer in silence."""
    return said in ("usable", "diagnosed")


def count(found: dict[str, str], test: Callable[[str], bool]) -> int:
    """Number of outcomes of one sort."""
    return sum(map(test, found.values()))


@experiment(
    data="eight Gaussians; linear_modes; scikit-learn's digits",
    protocol=f"six kinds of fault planted in {STEPS} updates of maximum likelihood on eight Gaussians; a run is usable "
    f"if the MMD² of its {SAMPLES} samples is below that of the best Gaussian; {len(HEALTHY)} presets, "
    f"{HEALTHY_STEPS} updates each, as healthy starts",
    seeds=(0, 1, 2, 3, 4),
    minutes=4,
    bars={
        "planted, usable or diagnosed": at_least(len(PLANTED), "no wrong answer in silence"),
        "healthy, alarms": at_most(0, "a healthy run is untouched"),
    },
)
def measure(seed: int, run: Run) -> Figures:
    found = {kind: outcome(run, kind, kind) for kind in PLANTED}
    plain = {kind: outcome(run, kind, f"{kind}, plain", guard_retries=0) for kind in PLANTED}
    for kind in PLANTED:
        print(f"{kind}: {found[kind]}; without the guard: {plain[kind]}", flush=True)
    return Figures(
        {
            "planted, usable or diagnosed": count(found, handled),
            "planted, usable": count(found, lambda said: said == "usable"),
            "planted, diagnosed": count(found, lambda said: said == "diagnosed"),
            "healthy, alarms": sum(alarms(run, label) for label in HEALTHY),
            "healthy, starts": len(HEALTHY),
        },
        {"planted, usable or diagnosed/without the guard": count(plain, handled)},
    )
