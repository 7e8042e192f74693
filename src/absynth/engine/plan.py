"""A log density and its score as functions of x for the length of one chain, without autograd.

The gradient graph and the functions written from it are kept by what the record looks like; the tensors that a record
holds are put in at the start of every chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from absynth.engine.fused import Fused
from absynth.engine.gradient import gradient_graph
from absynth.engine.layers import How
from absynth.engine.noise import noises
from absynth.engine.program import Program, program
from absynth.engine.record import Trace
from absynth.engine.trace import Refused
from absynth.types import Rng

KEPT = 200
"""Makes of log densities whose gradients are kept."""
MANY = 3
"""Makes that differ in numbers alone, from which on numbers are arguments."""


class Make:
    """What all log densities share whose records differ in the values of tensors alone."""

    def __init__(self, record: Trace, x: Tensor) -> None:
        self.graph = gradient_graph(record, x)
        self.device, self.dtype = x.device, x.dtype
        self.trusted: dict[Any, bool] = {}
        """Forms that have been compared with autograd, and what came of it."""
        self.programs: dict[tuple[bool, bool], Program] = {}
        self._fused: dict[bool, Fused | None] = {}

    def fused(self, value: bool = False) -> Fused | None:
        """The score, or log density and score, in the form that runs as one C++ function, where there is one."""
        if value not in self._fused:
            try:
                self._fused[value] = Fused(self.graph, value)
            except Refused:
                self._fused[value] = None
        return self._fused[value]

    def program(self, value: bool, bf16: bool) -> Program:
        """The functions for the score, or for the log density and the score."""
        if (value, bf16) not in self.programs:
            packed = (
                self.device.type == "cpu"
                and self.dtype == torch.float32
                and torch.backends.mkldnn.is_available()
                and bool(torch.backends.mkldnn.enabled)  # type: ignore[attr-defined]
            )
            how = How(torch.bfloat16 if bf16 else self.dtype, packed, bf16)
            self.programs[value, bf16] = program(self.graph, slice(0 if value else 1, 2), how)
        return self.programs[value, bf16]


_MAKES: dict[tuple, Make] = {}
_SEEN: dict[tuple, int] = {}


def make_of(record: Trace, x: Tensor) -> tuple[Make, Trace]:
    """The make of a record, and the record as its functions take it.

    Raises:
        Refused: it has no gradient that can be recorded.
    """
    key = (record.signature(), x.device)
    if key in _MAKES:
        return _MAKES[key], record
    numbers_as_leaves = record.with_scalar_leaves()
    general = (numbers_as_leaves.signature(), x.device)
    _SEEN[general] = _SEEN.get(general, 0) + 1
    if _SEEN[general] > MANY:
        key, record = general, numbers_as_leaves
    if key not in _MAKES:
        made = Make(record, x)
        while len(_MAKES) >= KEPT:
            _MAKES.pop(next(iter(_MAKES)))
        _MAKES[key] = made
    return _MAKES[key], record


class Plan:
    """The score of one log density, with the parameters as they were when it was first requested.

    Args:
        make: Its make.
        leaves: The tensors that it holds.
        bf16: Compute linear layers and convolutions in bfloat16. The state keeps its type.
    """

    def __init__(self, make: Make, leaves: list[Tensor], *, bf16: bool = False) -> None:
        self.make, self.leaves, self.bf16 = make, leaves, bf16
        self.constants: dict[bool, tuple] = {}

    def _run(self, x: Tensor, value: bool) -> tuple[Tensor, ...]:
        program = self.make.program(value, self.bf16)
        with torch.no_grad():
            if value not in self.constants:
                self.constants[value] = program.start(*self.leaves)
            return program.step(x, *self.constants[value])

    def score(self, x: Tensor) -> Tensor:
        """∇_x of the sum over the batch, in the memory order of x."""
        return ordered(self._run(x, False)[0], x)

    def value_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log density ``[b]`` and the score."""
        value, gradient = self._run(x, True)
        return value.to(x.dtype), ordered(gradient, x)

    def langevin(self, x: Tensor, drift: float, noise_scales: Sequence[float], rng: Rng) -> Tensor:
        """x moved by as many Langevin steps as there are noise scales."""
        program = self.make.program(False, self.bf16)
        with torch.no_grad():
            constants = self.constants.get(False) or program.start(*self.leaves)
            x = x.clone()
            for scale, noise in zip(noise_scales, noises(x, noise_scales, rng)):
                x.add_(ordered(program.step(x, *constants)[0], x), alpha=drift)
                if noise is not None:
                    x.add_(noise, alpha=scale)
        return x


def ordered(g: Tensor, x: Tensor) -> Tensor:
    """A gradient in the memory order and type of x."""
    if g.shape == x.shape and g.stride() == x.stride() and g.dtype == x.dtype:
        return g
    return torch.empty_like(x).copy_(g)
