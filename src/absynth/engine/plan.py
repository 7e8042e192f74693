"""A log density and its score as two straight passes of recorded ops, without autograd.

Whatever the score does not need is left out of the forward pass: the scalar itself, the last layer of an energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from absynth.engine import affine, arithmetic, shapes  # noqa: F401  (each registers its rules)
from absynth.engine.ops import Gradient, Op, full, op_of
from absynth.engine.pointwise import Pointwise
from absynth.engine.trace import Ref, Trace


@dataclass(frozen=True, slots=True)
class Step:
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
        self.backward_steps = self.steps[::-1]
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

    def _forward(self, x: Tensor, steps: list[Step]) -> list[Tensor | None]:
        results: list[Tensor | None] = [None] * (self.steps[-1].out + 1)
        results[0] = x
        for step in steps:
            ins = step.ins
            if step.passes:
                results[step.out] = results[ins[0]]
            elif len(ins) == 1:
                results[step.out] = step.op.forward(results[ins[0]])  # type: ignore[arg-type]
            else:
                results[step.out] = step.op.forward(*[results[i] for i in ins])  # type: ignore[misc]
        return results

    def _backward(self, x: Tensor, results: list[Tensor | None]) -> Tensor:
        gradients: list[Gradient | None] = [None] * len(results)
        gradients[self.out.index] = 1.0
        for step in self.backward_steps:
            g = gradients[step.out]
            if g is None:
                continue
            inputs = tuple([results[i] for i in step.ins])
            for i, part in zip(step.ins, step.op.backward(g, inputs, results[step.out])):  # type: ignore[arg-type]
                old = gradients[i]
                gradients[i] = part if old is None else old + part
            gradients[step.out] = results[step.out] = None  # memory goes back as soon as it can
        g = gradients[0]
        if g is None:
            return torch.zeros_like(x)
        g = full(g, x.shape, x).to(x.dtype)
        return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)


_BF16_FROM = 1
"""Weights of a layer from which it is worth computing in bfloat16."""
