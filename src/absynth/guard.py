"""The guard notices that training diverges, says who, when and on what evidence, and chooses the remedy.

It only reads what an update has anyway: the losses (for an EBM the loss is minus the gap f(pos) − f(neg)), the norm of
each player's gradient, and how far the chains reached; and now and then it measures δ²λ of a sampler by a few power
iterations. A healthy run is therefore untouched by it, bit for bit. ``fit`` does the rolling back.

What is looked at, and why the limit is where it is:

* a loss or a gradient that is not finite: nothing can be learned from it.
* the gap of an EBM: a healthy gap wanders around 0 on a scale that changes slowly; a diverging one grows by orders of
  magnitude. Trouble is a typical size over ``gap`` and ``factor`` times the largest of at least 200 updates ago (and
  of the run's first half, so that exponential growth is found at any rate).
* the norm of a gradient, likewise, but ten times further, and above all of the first 100 updates: where the generator
  does not use z yet, almost nothing pulls at an inference model, and its gradient may then grow a thousandfold.
* the reach of a chain: ``factor`` times as far as chains start, or as the data lie, is outside any data's range.
* δ²λ of a chain that an EBM learns from, λ being the curvature of −log density that its steps meet. A Langevin step
  samples variance 1/(λ(1 − δ²λ/4)) in place of 1/λ: twice too much at 2, unbounded at 4. An EBM learned through such a
  chain sharpens to make up for it, so λ grows until the chain explodes. (A posterior's chain has no such feedback on
  λ: a generator learned through it grows smoother. There δ²λ is only reported; near 3 is usual.)
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from absynth.algorithms import Algorithm, ChainRecord
from absynth.distributions import sum_event
from absynth.samplers import Wrapped, altered, engine
from absynth.seeding import noise_like
from absynth.types import Rng


@dataclass(frozen=True)
class Trouble:
    """One finding."""

    step: int
    kind: str
    """loss | gap | gradient | chain | stability."""
    who: str
    """The player, or the chain."""
    sampler: str | None
    """Name of the sampler, where a chain is to blame."""
    evidence: str
    learner: str | None = None
    """The EBM that learns from the chain to blame; a player to blame is its own."""

    def __str__(self) -> str:
        return f"step {self.step}: {self.who}: {self.evidence}"


ANOTHER_STREAM = "another random stream"


def _scaled(what: str, name: str, factor: float) -> str:
    return f"{what} of {name} x {factor:g}"


@dataclass
class Remedies:
    """What has been changed so far to keep a run alive; part of every checkpoint and of config.json."""

    tries: int = 0
    stream: int = 0
    step_size: dict[str, float] = field(default_factory=dict)
    learning_rate: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        changed = [_scaled("step size", name, factor) for name, factor in self.step_size.items()]
        changed += [_scaled("learning rate", name, factor) for name, factor in self.learning_rate.items()]
        return ", ".join(changed) or ANOTHER_STREAM

    def after(self, trouble: Trouble, step_size: float, learning_rate: float) -> tuple[Remedies, str]:
        """The remedies for one trouble more, and what was added in words.

        Another random stream always; a shorter step at once where the curvature demands it, else from the second try
        on, in turn with a smaller learning rate where the player is to blame. A factor of 1 forbids its remedy, and the
        other one takes its turns: where the step may not shorten, the EBM that learns from the chain learns slower.
        """
        new = Remedies(self.tries + 1, self.stream + 1, dict(self.step_size), dict(self.learning_rate))
        action = ANOTHER_STREAM
        if new.tries == 1 and trouble.kind != "stability":
            return new, action
        learner = trouble.who if trouble.kind in ("loss", "gap", "gradient") else trouble.learner
        rates_turn = trouble.sampler is None or (trouble.kind in ("gap", "gradient") and new.tries % 2 == 1)
        sampler = trouble.sampler if step_size < 1 else None
        if learner is not None and learning_rate < 1 and (rates_turn or sampler is None):
            factor = new.learning_rate[learner] = self.learning_rate.get(learner, 1.0) * learning_rate
            action += ", " + _scaled("learning rate", learner, factor)
        elif sampler is not None:
            factor = new.step_size[sampler] = self.step_size.get(sampler, 1.0) * step_size
            action += ", " + _scaled("step size", sampler, factor)
        return new, action

    def apply(self, algorithm: Algorithm) -> None:
        """Set the samplers' step sizes: the recipe's, times what the remedies say."""
        for name, factor in self.step_size.items():
            sampler: Any = algorithm.samplers()[name]
            noise_scale = getattr(sampler, "noise_scale", None)
            changes = {"step_size": sampler.step_size * factor}
            if noise_scale is not None:  # keeps the temperature that the recipe chose
                changes["noise_scale"] = noise_scale * factor
            algorithm.replace_sampler(name, altered(sampler, **changes))


class History:
    """The typical size of a quantity over training: the median magnitude of each block of 20 updates."""

    block = 20
    lag = 10
    """Blocks that are too recent to compare with, at least: slow divergence must not pass as the usual."""

    def __init__(self, first: int = 1) -> None:
        self.first = first
        """Number of blocks at the start of training that are always compared with: before them there is no trouble."""
        self.recent: list[float] = []
        self.blocks: list[float] = []

    def jump(self, value: float, factor: float, floor: float) -> tuple[float, float] | None:
        """Take in a value; ``(typical now, typical before)`` where a block ends ``factor`` times above its past."""
        self.recent.append(abs(value))
        if len(self.recent) < self.block:
            return None
        now = sorted(self.recent)[self.block // 2]
        past = self.blocks[: max(self.first, len(self.blocks) - max(self.lag, len(self.blocks) // 2))]
        before = max(floor / factor, *past) if len(past) >= self.first else math.inf
        self.recent, self.blocks = [], [*self.blocks, now]
        return (now, before) if now > factor * before > 0 else None


class Guard:
    """Watches one run.

    Args:
        ebms: the players that are EBMs: their losses are gaps, and the chains named after them feed their learning.
        gap: a gap below this is never trouble.
        stability: largest δ²λ, the median over chains.
        factor: how many times its own past a quantity must be to be trouble.
        every: updates between measurements of δ²λ.
    """

    def __init__(
        self, ebms: Collection[str], *, gap: float = 10.0, stability: float = 2.5, factor: float = 10.0, every: int = 50
    ) -> None:
        self.ebms = frozenset(ebms)
        self.gap = gap
        self.stability = stability
        self.factor = factor
        self.every = every
        self.histories: dict[str, History] = {}
        self.ranges: dict[str, float] = {}

    def check(
        self, step: int, seen: dict[str, dict[str, float]], stability: dict[str, float], samplers: dict[str, str | None]
    ) -> Trouble | None:
        """The first trouble of this update, if there is any.

        Args:
            step: the update.
            seen: ``loss`` and ``gradient`` by player, ``reach`` by chain and by "chain start".
            stability: δ²λ by chain, where it was measured.
            samplers: The name of each chain's sampler.
        """
        for name, sampler in samplers.items():  # first: a chain that explodes takes the losses with it
            trouble = self._check_chain(step, name, sampler, seen["reach"], stability.get(name))
            if trouble:
                return trouble
        for what in ("loss", "gradient"):
            for who, value in seen[what].items():
                if not math.isfinite(value):
                    return Trouble(step, what, who, None, f"its {what} is {value}")
        for who, value in seen["loss"].items():
            jump = who in self.ebms and self._history(f"gap {who}").jump(value, self.factor, self.gap)
            if jump:
                evidence = f"its gap f(pos) − f(neg) is {-value:.3g}, typically {jump[0]:.3g} now, {jump[1]:.3g} before"
                return Trouble(step, "gap", who, samplers.get(who), evidence)
        for who, value in seen["gradient"].items():
            jump = self._history(f"gradient {who}").jump(value, 10 * self.factor, 0.0)
            if jump:
                evidence = f"its gradient norm is {value:.3g}, typically {jump[0]:.3g} now, {jump[1]:.3g} before"
                return Trouble(step, "gradient", who, None, evidence)
        return None

    def _check_chain(
        self, step: int, name: str, sampler: str | None, reach: dict[str, float], stability: float | None
    ) -> Trouble | None:
        who, far = f"the {name} chain", reach[name]
        learner = name if name in self.ebms else None
        if not math.isfinite(far):
            return Trouble(step, "chain", who, sampler, "its states are not finite", learner)
        if step < 100:  # persistent chains start where they ended: the range is that of the first starts
            self.ranges[name] = max(self.ranges.get(name, 0.0), reach[f"{name} start"])
        if far > self.factor * self.ranges.get(name, 0.0) > 0:
            evidence = f"it reached {far:.3g}, its starts and the data {self.ranges[name]:.3g}"
            return Trouble(step, "chain", who, sampler, evidence, learner)
        if stability is not None and name in self.ebms and not stability <= self.stability:
            evidence = (
                f"δ²λ = {stability:.2f} is above {self.stability:g}: steps of this size on this curvature sample too "
                "wide (twice the variance at 2, unbounded at 4)"
            )
            return Trouble(step, "stability", who, sampler, evidence, learner)
        return None

    def _history(self, name: str) -> History:
        return self.histories.setdefault(name, History(5 if name.startswith("gradient ") else 1))

    def state_dict(self) -> dict:
        """Histories, for checkpoints."""
        return {
            "histories": {name: {"recent": h.recent, "blocks": h.blocks} for name, h in self.histories.items()},
            "ranges": self.ranges,
        }

    def load_state_dict(self, state: dict) -> None:
        """Histories, from a checkpoint."""
        self.ranges = dict(state["ranges"])
        self.histories = {}
        for name, lists in state["histories"].items():
            history = self._history(name)
            history.recent, history.blocks = list(lists["recent"]), list(lists["blocks"])


def stability(chains: dict[str, ChainRecord], *, rng: Rng, rows: int = 32) -> dict[str, float]:
    """δ²λ of each chain's sampler at the ends of its chains, the median over at most ``rows`` chains."""
    return {
        name: chain.sampler.step_size**2  # type: ignore[attr-defined]
        * float(curvature(chain, chain.sampler.step_size, rng=rng, rows=rows).median())  # type: ignore[attr-defined]
        for name, chain in chains.items()
    }


def curvature(chain: ChainRecord, length: float, *, rng: Rng, rows: int = 32, iterations: int = 4) -> Tensor:
    """The largest curvature λ of −log density that a displacement of the given length meets, ``[b]``.

    Power iterations on v ↦ (score(x) − score(x + length·v)) / length, a secant rather than a second derivative: it
    sees the kinks of piecewise linear networks, whose second derivative is zero, at the scale of the sampler's step.
    """
    log_density, x = chain.log_density, chain.end.detach()
    if isinstance(chain.sampler, Wrapped):  # the step size is one of the coordinates in which it runs
        log_density, x = chain.sampler.inner(log_density, x)
    score = engine.score(log_density)
    # The log density may hold a batch (a posterior's data), so all chains go through it; only ``rows`` are reported.
    v = noise_like(x, rng)
    at_x = score(x)
    norm = torch.ones(len(x), dtype=x.dtype, device=x.device)
    for _ in range(iterations):
        v = v / sum_event(v * v).sqrt().clamp(min=1e-30).view(-1, *[1] * (v.ndim - 1))
        v_next = (at_x - score(x + length * v)) / length
        norm = sum_event(v_next * v)
        v = v_next
    return norm[:rows]
