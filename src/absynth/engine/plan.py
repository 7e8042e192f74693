"""A log density and its score as two straight passes of recorded ops, without autograd.

Whatever the score does not need is left out of the forward pass: the scalar itself, the last layer of an energy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from absynth.engine import affine, arithmetic, shapes  # noqa: F401  (each registers its rules)
from absynth.engine.arithmetic import Power
from absynth.engine.ops import Gradient, Op, full, op_of
from absynth.engine.pointwise import Pointwise
from absynth.engine.trace import Ref, Trace
from absynth.seeding import noise_like
from absynth.types import Rng

NOISE_BYTES = 1 << 18


class Step(NamedTuple):
    """An op at its place in the plan."""

    op: Op
    out: int
    ins: tuple[int, ...]


class Back(NamedTuple):
    """The way back from the value to x."""

    steps: list[Step]
    """Those whose gradient changes with x; of activations, some that may write over the gradient they are given."""
    gradients: list[Gradient | None]
    """What they begin with."""
    of_x: float
    """How often x itself is in the gradient: −1 for a standard normal reference."""


class Plan:
    """The score of one recorded log density, with the weights as they were when the plan was made.

    Args:
        record: what the log density does.
        device: where it does it.
        bf16: compute convolutions and large layers in bfloat16 (a rounded drift; the state keeps its type).

    Raises:
        Refused: an op has no rule.
    """

    def __init__(self, record: Trace, device: torch.device, *, bf16: bool = False) -> None:
        self.record = record
        self.x, self.out = record.x, record.out
        self.ops = [(op_of(call), call.out) for call in record.calls]
        self.device, self.bf16 = device, bf16
        maps = any(isinstance(op, affine.Convolution | affine.FromPoint) for op, _ in self.ops)
        self.channels_last = maps and self.x.dtype != torch.float64
        self.steps: list[Step] = []

    def prepare(self) -> None:
        """Get the layers ready with their weights as they are now; the first call of a score does it."""
        packed = (
            self.device.type == "cpu"
            and self.x.dtype == torch.float32
            and torch.backends.mkldnn.is_available()
            and bool(torch.backends.mkldnn.enabled)  # type: ignore[attr-defined]
        )
        passed = self._layers(self.x.dtype, packed)
        # A layer that applies the activation after it computes that one's result.
        skipped = set(passed.values())
        self.steps = [
            Step(op, passed.get(out.index, out.index), tuple(r.index for r in op.inputs))
            for op, out in self.ops
            if out.index not in skipped
        ]
        self.back = self._back()
        kept = {r.index for op, _ in self.ops if op.keeps_inputs for r in op.inputs}
        kept |= {out.index for op, out in self.ops if op.keeps_output}
        self.score_steps = self._needed(kept)

    def _layers(self, dtype: torch.dtype, packed: bool) -> dict[int, int]:
        """Get the layers ready; for those that apply the activation after them, the number of its result."""
        users: dict[int, list[tuple[Op, Ref]]] = {}
        for op, out in self.ops:
            for r in op.inputs:
                users.setdefault(r.index, []).append((op, out))
        passed: dict[int, int] = {}
        for op, out in self.ops:
            op.lay_out(channels_last=self.channels_last)
            if not isinstance(op, affine.Affine):
                continue
            low = self.bf16 and op.weight.numel() >= _BF16_FROM
            after = None
            (user, result), *others = users.get(out.index, [(None, None)])
            if packed and op.packs and isinstance(user, Pointwise) and user.fusible and not others:
                after = user.fusible
                passed[out.index] = result.index  # type: ignore[union-attr]
            op.prepare(torch.bfloat16 if low else dtype, after, packed)
        return passed

    def _back(self) -> Back:
        """The way back, from 1 as the gradient of every value.

        Until something is read that depends on x, gradients are the same at every x: they are computed once a chain.
        """
        gradients: list[Gradient | None] = [None] * (1 + max(out.index for _, out in self.ops))
        gradients[self.out.index] = 1.0
        changing: set[int] = set()
        fresh: dict[int, bool] = {}
        left, of_x = [], 0.0
        for op, ref in reversed(self.ops):
            out, ins, g = ref.index, tuple(r.index for r in op.inputs), gradients[ref.index]
            if out not in changing and g is None:
                continue
            if ins == (0,) and isinstance(op, Power) and op.exponent == 2 and not isinstance(g, Tensor | None):
                of_x += 2 * g
                continue
            if out in changing or op.keeps_inputs or op.keeps_output:
                changing |= set(ins)
                for i in ins:  # a gradient that one layer has just made is nobody else's
                    fresh[i] = i not in fresh and gradients[i] is None and isinstance(op, affine.Affine) and op.makes
                left.append(Step(op.in_place() if fresh.get(out) and isinstance(op, Pointwise) else op, out, ins))
                if isinstance(g, Tensor):
                    gradients[out] = g.expand(op.shape)
                continue
            with torch.no_grad():
                parts = op.backward(g, (None,) * len(ins), None)  # type: ignore[arg-type]
            for i, part in zip(ins, parts):
                old = gradients[i]
                gradients[i] = part if old is None else old + part
                fresh[i] = False
        return Back(left, gradients, of_x)

    def _needed(self, kept: set[int]) -> list[Step]:
        """The steps that lead to something the backward pass reads."""
        needed, steps = set(kept), []
        for step in reversed(self.steps):
            if step.out in needed:
                steps.append(step)
                needed |= set(step.ins)
        return steps[::-1]

    def score(self, x: Tensor) -> Tensor:
        """∇_x of the sum over the batch, in the memory order of x."""
        with torch.no_grad():
            if not self.steps:
                self.prepare()
            return self._backward(x, self._forward(x, self.score_steps))

    def value_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log density ``[b]`` and the score."""
        with torch.no_grad():
            if not self.steps:
                self.prepare()
            results = self._forward(x, self.steps)
            value = results[self.out.index]
            assert value is not None
            return value.to(x.dtype), self._backward(x, results)

    def langevin(self, x: Tensor, drift: float, noise_scales: Sequence[float], rng: Rng) -> Tensor:
        """x moved by as many Langevin steps as there are noise scales."""
        with torch.no_grad():
            if not self.steps:
                self.prepare()
            for scale, noise in zip(noise_scales, noises(x, noise_scales, rng)):
                x = torch.add(x, self._backward(x, self._forward(x, self.score_steps)), alpha=drift)
                if noise is not None:
                    x.add_(noise, alpha=scale)
        return x

    def _forward(self, x: Tensor, steps: list[Step]) -> list[Tensor | None]:
        results: list[Tensor | None] = [None] * len(self.back.gradients)
        results[0] = x
        for op, out, ins in steps:
            if len(ins) == 1:
                results[out] = op.forward(results[ins[0]])  # type: ignore[arg-type]
            else:
                results[out] = op.forward(*[results[i] for i in ins])  # type: ignore[misc]
        return results

    def _backward(self, x: Tensor, results: list[Tensor | None]) -> Tensor:
        steps, gradients, of_x = self.back.steps, self.back.gradients.copy(), self.back.of_x
        for op, out, ins in steps:
            inputs = tuple([results[i] for i in ins])
            for i, part in zip(ins, op.backward(gradients[out], inputs, results[out])):  # type: ignore[arg-type]
                old = gradients[i]
                gradients[i] = part if old is None else old + part
            gradients[out] = results[out] = None  # memory goes back as soon as it can
        g = gradients[0]
        if g is None:
            return x * of_x if of_x else torch.zeros_like(x)
        if not isinstance(g, Tensor) or g.shape != x.shape or g.dtype != x.dtype:
            g = full(g, x.shape, x).to(x.dtype)
        g = g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)
        return torch.add(g, x, alpha=of_x) if of_x else g


def noises(x: Tensor, noise_scales: Sequence[float], rng: Rng, most: int = NOISE_BYTES) -> Iterator[Tensor | None]:
    """The noise of every step of a chain, as ``noise_like(x)`` would draw it step by step; None where there is none.

    On a CPU torch's generator gives the same numbers in one large draw as in several whose sizes are multiples of 16,
    and one is quicker. At most ``most`` bytes are drawn ahead, each time into the same memory: new memory costs more
    than a tenth of a small chain.
    """
    together = x.device.type == "cpu" and x.numel() % 16 == 0 and x.is_contiguous() and min(noise_scales, default=0) > 0
    if not together or not isinstance(rng, Generator):
        yield from (noise_like(x, rng) if scale > 0 else None for scale in noise_scales)
        return
    ahead = max(1, min(most // max(x.numel() * x.element_size(), 1), len(noise_scales)))
    ring = x.new_empty(ahead, *x.shape)
    for first in range(0, len(noise_scales), ahead):
        yield from ring[: len(noise_scales) - first].normal_(generator=rng)


_BF16_FROM = 1
"""Weights of a layer from which it is worth computing in bfloat16."""
