"""Which form the gradients of one log density take under one engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Generator, Tensor

import absynth.density as density
from absynth.engine.compiled import Compiled
from absynth.engine.fused import Fused
from absynth.engine.graph import StaticChain
from absynth.engine.library import build
from absynth.engine.plan import Make, Plan, make_of
from absynth.engine.trace import Refused, in_words, trace
from absynth.seeding import noise_like
from absynth.types import LogDensity, Rng

Name = Literal["eager", "traced", "compiled", "graph", "auto"]
NAMES = ("eager", "traced", "compiled", "graph", "auto")
FLOATS = (torch.float32, torch.float64)

# Updates that repay building the C++ chain, which auto builds from there on.
BUILD_FROM = 200


def to_stderr(text: str) -> None:
    """The default of ``say``."""
    print(text, file=sys.stderr)


@dataclass
class Engine:
    """How gradients are computed; what was said and made so far."""

    name: Name
    bf16: bool = False
    fused: bool = True
    updates: int | None = None
    say: Callable[[str], None] = to_stderr
    said: set[str] = field(default_factory=set)
    no_graph: bool = False
    """A capture failed: no other is tried."""
    compared: bool = False
    """A captured chain was compared with autograd's."""
    made: dict[Any, Any] = field(default_factory=dict)
    """Compiled functions and static chains by what they depend on."""

    def tell(self, text: str) -> None:
        """One line, once."""
        if text not in self.said:
            self.said.add(text)
            self.say(f"engine: {text}")


def has_bf16() -> bool:
    """Whether bfloat16 layers are faster than float32 ones here."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Scores:
    """The gradients of one log density under one engine, for the length of one chain."""

    def __init__(self, engine: Engine, log_density: LogDensity) -> None:
        self.engine = engine
        self.log_density = log_density
        self.forms: dict[tuple, Plan | None] = {}

    def score(self, x: Tensor) -> Tensor:
        """∇_x log density."""
        form = self._form(x)
        return density.score(self.log_density, x) if form is None else form.score(x.detach())

    def value_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log density and its score."""
        form = self._form(x)
        return density.value_and_score(self.log_density, x) if form is None else form.value_and_score(x.detach())

    def langevin(self, x: Tensor, drift: float, noise_scales: Sequence[float], rng: Rng) -> Tensor | None:
        """A whole chain in one piece, or None."""
        engine, x = self.engine, x.detach()
        whole = self._name(x) == "traced" or (self._name(x) == "graph" and not engine.no_graph)
        plan = self._form(x) if whole else None
        if plan is None:
            return None
        if self._name(x) == "traced":
            fused = self._fused(plan, x, rng)
            if fused is None:
                return plan.langevin(x, drift, noise_scales, rng)
            return fused.langevin(plan.leaves, x, drift, noise_scales, rng)
        try:
            chain = StaticChain.of(engine.made, plan, x, drift, noise_scales, engine.tell)
        except Exception as why:  # a capture can fail in ways of the driver's own; traced steps need none
            engine.tell(f"no graph: {in_words(why)}; chains run step by step")
            engine.no_graph = True
            return None
        if engine.name == "auto" and isinstance(rng, Generator) and not engine.compared:
            return self._compared(lambda: chain(plan, x, rng), x, drift, noise_scales, rng)
        return chain(plan, x, rng)

    def hmc(
        self, x: Tensor, step_size: Tensor | float, leapfrog: int, steps: int, rng: Rng
    ) -> tuple[Tensor, Tensor] | None:
        """A whole HMC chain in C++ and the log density at its start, or None. One leapfrog step is MALA."""
        plan, x = self._form(x) if self._name(x) == "traced" else None, x.detach()
        fused = None if plan is None else self._fused(plan, x, rng, value=True)
        if plan is None or fused is None:
            return None
        return fused.hmc(plan.leaves, x, step_size, leapfrog, steps, rng)

    def _compared(
        self, run: Callable[[], Tensor], x: Tensor, drift: float, noise_scales: Sequence[float], rng: Generator
    ) -> Tensor:
        """The first captured chain that auto runs, after the same chain by autograd on the same noise."""
        engine, before = self.engine, rng.get_state()
        wanted = x
        for scale in noise_scales:
            wanted = torch.add(wanted, density.score(self.log_density, wanted), alpha=drift)
            wanted = wanted.add_(noise_like(x, rng), alpha=scale) if scale > 0 else wanted
        after = rng.get_state()
        rng.set_state(before)
        got = run()
        error = float((got - wanted).norm() / wanted.norm())
        engine.compared = True
        if error < 1e-2 and torch.equal(rng.get_state(), after):
            engine.tell(f"a captured chain agrees with autograd's to {error:.0e}")
            return got
        engine.tell(
            f"no graph: the first captured chain differs from autograd's by {error:.0e}; chains run step by step"
        )
        engine.no_graph = True
        rng.set_state(after)
        return wanted

    def _fused(self, plan: Plan, x: Tensor, rng: Rng, value: bool = False) -> Fused | None:
        """The plan as a chain in C++, where it can be one and the engine builds one."""
        engine = self.engine
        if not engine.fused or engine.bf16 or x.device.type != "cpu":
            return None
        if engine.name == "auto" and (engine.updates or 0) < BUILD_FROM:
            return None
        fused = plan.make.fused(value)
        if fused is None:
            return None  # not one row a chain: traced steps are its right form
        try:
            build()
        except Refused as why:
            engine.tell(f"{why}: chains run step by step")
            return None
        agrees = self._agrees(
            "fused HMC" if value else "fused",
            plan.make,
            x,
            lambda x: fused.langevin(plan.leaves, x, 1.0, [0.0], rng) - x,
            (lambda x: fused.hmc(plan.leaves, x, 0.0, 1, 0, rng)[1]) if value else None,
        )
        return fused if agrees else None

    def _name(self, x: Tensor) -> Name:
        if self.engine.name != "auto":
            return self.engine.name
        return "graph" if x.device.type == "cuda" else "traced"

    def _form(self, x: Tensor) -> Plan | None:
        key = (x.shape, x.dtype, x.device)
        if key not in self.forms:
            self.forms[key] = None if self.engine.name == "eager" or x.dtype not in FLOATS else self._make(x.detach())
        return self.forms[key]

    def _make(self, x: Tensor) -> Plan | None:
        engine = self.engine
        try:
            make, record = make_of(trace(self.log_density, x), x)
            if engine.name == "compiled":
                plan, form = Compiled(engine.made, make, record.leaves(), x, engine.tell), "compiled"
            else:
                plan, form = Plan(make, record.leaves(), bf16=engine.bf16), "traced"
        except Refused as why:
            engine.tell(f"a log density runs on plain autograd: {why}")
            return None
        return plan if self._agrees(form, make, x, plan.score) else None

    def _agrees(
        self,
        form: str,
        make: Make,
        x: Tensor,
        score: Callable[[Tensor], Tensor],
        value: Callable[[Tensor], Tensor] | None = None,
    ) -> bool:
        """Compare with autograd the first time a log density of this make is met; a wrong score must never be used."""
        key = (form, self.engine.bf16)
        if key not in make.trusted:
            level, wanted = density.value_and_score(self.log_density, x)
            try:
                error = float((score(x) - wanted).norm())
                off = 0.0 if value is None else float((value(x) - level).norm())
            except Exception as why:  # a kernel that does not take these shapes: autograd will
                make.trusted[key] = False
                self.engine.tell(f"a log density runs on plain autograd: {in_words(why)}")
                return False
            scale = float(wanted.norm()) + 1e-3 * float(x.norm())
            if not (error < float("inf") and 0 < scale < float("inf")):
                return True  # a chain that has diverged tells nothing
            limit = 0.5 if self.engine.bf16 else 1e-2 if x.dtype == torch.float32 else 1e-8
            make.trusted[key] = error <= limit * scale and off <= limit * float(level.norm() + 1)
        if not make.trusted[key]:
            self.engine.tell(f"a log density runs on plain autograd: its {form} score differs from autograd's")
        return make.trusted[key]
