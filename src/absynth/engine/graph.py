"""A whole Langevin chain as one CUDA graph.

The chain is written once on static buffers: the state, the data that the log density holds, and a generator whose state
is set before every replay. Parameters are read where they stand, so an optimizer's in-place update is seen by the next
replay; reordering of their memory happens inside the graph. Without a GPU the same chain runs on the same buffers,
which is what the tests look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from absynth.engine.plan import Plan
from absynth.engine.trace import Refused
from absynth.types import Rng

KEPT = 8
"""Static chains kept at a time: each holds its buffers on the device."""


class StaticChain:
    """K Langevin steps that can be replayed on new states, new data and new noise."""

    def __init__(self, plan: Plan, x: Tensor, drift: float, noise_scales: Sequence[float]) -> None:
        self.x = x.clone()
        self.end = x.clone()
        self.drift = drift
        self.noise_scales = list(noise_scales)
        if any(t.device != x.device for t in plan.leaves):
            raise Refused("it holds a tensor on another device, whose value a capture would keep")
        self.leaves = {i: t.detach().clone() for i, t in enumerate(plan.leaves) if not _stands(t)}
        leaves = [self.leaves.get(i, t) for i, t in enumerate(plan.leaves)]
        self.plan = Plan(plan.make, leaves, bf16=plan.bf16)
        self.generator = Generator(device=x.device)
        self.replay: Callable[[], None] = self.run
        if x.device.type == "cuda":
            with torch.cuda.device(x.device):
                self._capture()

    @classmethod
    def of(
        cls,
        made: dict[Any, Any],
        plan: Plan,
        x: Tensor,
        drift: float,
        noise_scales: Sequence[float],
        tell: Callable[[str], None],
    ) -> StaticChain:
        """The static chain for this make of log density on these parameters."""
        standing = tuple(t.data_ptr() for t in plan.leaves if _stands(t))
        key = ("static", id(plan.make), standing, plan.bf16, drift, tuple(noise_scales), x.device)
        if key not in made:
            if x.device.type != "cuda":
                tell("no GPU: the graph engine runs its chains on static buffers without a graph")
            while sum(k[0] == "static" for k in made) >= KEPT:
                made.pop(next(k for k in made if k[0] == "static"))
            made[key] = cls(plan, x, drift, noise_scales)
        return made[key]

    def __call__(self, plan: Plan, x: Tensor, rng: Rng) -> Tensor:
        """Run on x, on the data that ``plan`` holds now, and on noise from ``rng``."""
        self.x.copy_(x)
        for i, t in self.leaves.items():
            t.copy_(plan.leaves[i].detach())
        if isinstance(rng, Generator):
            self.generator.set_state(rng.get_state())
            self.replay()
            rng.set_state(self.generator.get_state())
        else:  # one stream a row: its draws cannot be part of a graph
            self.run(rng)
        return self.end.clone()

    def run(self, rng: Rng | None = None) -> None:
        """The chain itself, from the static state to the static end."""
        with torch.no_grad():
            rng = self.generator if rng is None else rng
            self.end.copy_(self.plan.langevin(self.x, self.drift, self.noise_scales, rng))

    def _capture(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels before the capture
            for _ in range(2):
                self.run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(
            graph, capture_error_mode="thread_local"
        ):  # a loader's threads may use the card meanwhile
            self.run()
        self._check(graph.replay)
        self.replay = graph.replay

    def _check(self, replay: Callable[[], None]) -> None:
        """A replay must give what the same steps give one by one, from the same noise, and move the noise on."""
        before = self.generator.get_state()
        self.run()
        wanted, after = self.end.clone(), self.generator.get_state()
        self.generator.set_state(before)
        replay()
        same = torch.allclose(self.end, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
        if not (same and torch.equal(self.generator.get_state(), after)):
            raise Refused("a captured chain differs from its steps")


def _stands(t: Tensor) -> bool:
    """A parameter that an optimizer changes in place; everything else may be another tensor in the next call."""
    return isinstance(t, nn.Parameter)
