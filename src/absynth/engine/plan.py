"""A log density and its score as two straight passes of recorded ops, without autograd.

Whatever the score does not need is left out of the forward pass: the scalar itself, the last layer of an energy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from absynth.engine import affine, arithmetic, shapes  # noqa: F401  (each registers its rules)
from absynth.engine.ops import Gradient, Op, full, op_of
from absynth.engine.pointwise import Pointwise
from absynth.engine.trace import Ref, Trace
from absynth.seeding import noise_like
from absynth.types import Rng


class Step(NamedTuple):
    """An op at its place in the plan."""

    op: Op
    out: int
    ins: tuple[int, ...]
    passes: bool
    """The function was applied already, by the layer before."""


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
        fused = self._layers(self.x.dtype, packed)
        self.steps = [
            Step(op, out.index, tuple(r.index for r in op.inputs), out.index in fused) for op, out in self.ops
        ]
        self.backward_steps, self.gradients = self._folded(self.steps[::-1])
        kept = {r.index for op, _ in self.ops if op.keeps_inputs for r in op.inputs}
        kept |= {out.index for op, out in self.ops if op.keeps_output}
        self.score_steps = self._needed(kept)

    def _layers(self, dtype: torch.dtype, packed: bool) -> set[int]:
        """Get the layers ready; which results the layer before them has already computed."""
        users: dict[int, list[tuple[Op, Ref]]] = {}
        for op, out in self.ops:
            for r in op.inputs:
                users.setdefault(r.index, []).append((op, out))
        fused: set[int] = set()
        for op, out in self.ops:
            op.lay_out(channels_last=self.channels_last)
            if not isinstance(op, affine.Affine):
                continue
            low = self.bf16 and op.weight.numel() >= _BF16_FROM
            after = None
            (user, result), *others = users.get(out.index, [(None, None)])
            if packed and op.packs and isinstance(user, Pointwise) and user.fusible and not others:
                after = user.fusible
                fused.add(result.index)  # type: ignore[union-attr]
            op.prepare(torch.bfloat16 if low else dtype, after, packed)
        return fused

    def _folded(self, steps: list[Step]) -> tuple[list[Step], list[Gradient | None]]:
        """The steps back whose gradient changes with x, and the gradients that they begin with.

        Until something is read that depends on x, gradients are the same at every x: they are computed once a chain.
        """
        gradients: list[Gradient | None] = [None] * (len(steps) + 1 + max(step.out for step in steps))
        gradients[self.out.index] = 1.0
        changing: set[int] = set()
        left = []
        for step in steps:
            op, g = step.op, gradients[step.out]
            if step.out not in changing and g is None:
                continue
            if step.out in changing or op.keeps_inputs or op.keeps_output:
                changing |= set(step.ins)
                left.append(step)
                if isinstance(g, Tensor):
                    gradients[step.out] = g.expand(op.shape)
                continue
            with torch.no_grad():
                parts = op.backward(g, (None,) * len(step.ins), None)  # type: ignore[arg-type]
            for i, part in zip(step.ins, parts):
                old = gradients[i]
                gradients[i] = part if old is None else old + part
        return left, gradients[: self.steps[-1].out + 1]

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
        results: list[Tensor | None] = [None] * (self.steps[-1].out + 1)
        results[0] = x
        for op, out, ins, passes in steps:
            if passes:
                results[out] = results[ins[0]]
            elif len(ins) == 1:
                results[out] = op.forward(results[ins[0]])  # type: ignore[arg-type]
            else:
                results[out] = op.forward(*[results[i] for i in ins])  # type: ignore[misc]
        return results

    def _backward(self, x: Tensor, results: list[Tensor | None]) -> Tensor:
        gradients = self.gradients.copy()
        for op, out, ins, _ in self.backward_steps:
            inputs = tuple([results[i] for i in ins])
            for i, part in zip(ins, op.backward(gradients[out], inputs, results[out])):  # type: ignore[arg-type]
                old = gradients[i]
                gradients[i] = part if old is None else old + part
            gradients[out] = results[out] = None  # memory goes back as soon as it can
        g = gradients[0]
        if g is None:
            return torch.zeros_like(x)
        if not isinstance(g, Tensor) or g.shape != x.shape or g.dtype != x.dtype:
            g = full(g, x.shape, x).to(x.dtype)
        return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)


def noises(x: Tensor, noise_scales: Sequence[float], rng: Rng) -> Iterator[Tensor | None]:
    """The noise of every step of a chain, as ``noise_like(x)`` would draw it step by step; None where there is none.

    On a CPU torch's generator gives the same numbers in one large draw as in several whose sizes are multiples of 16,
    and one is quicker. Never more than NOISE_BYTES are drawn ahead.
    """
    ahead = NOISE_BYTES // max(x.numel() * x.element_size(), 1)
    together = isinstance(rng, Generator) and x.device.type == "cpu" and x.numel() % 16 == 0 and x.is_contiguous()
    for first in range(0, len(noise_scales), max(ahead, 1)):
        scales = noise_scales[first : first + max(ahead, 1)]
        if together and all(scale > 0 for scale in scales):
            yield from noise_like(x.new_empty(len(scales), *x.shape), rng)
        else:
            yield from (noise_like(x, rng) if scale > 0 else None for scale in scales)


NOISE_BYTES = 1 << 18

_BF16_FROM = 1
"""Weights of a layer from which it is worth computing in bfloat16."""
