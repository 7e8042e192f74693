"""Whole Langevin, MALA and HMC chains in one C++ function (``fused.cpp``), which is given the score as instructions.

It serves scores that work on each chain by itself: products with constant weights, and functions of each entry. That is
every fully connected network, with any activation that has an instruction, and sums and products of them: the prior and
the posterior of a latent EBM. Its noise is that of ``noise_like`` step by step, as everywhere, so a chain agrees with
eager to rounding: torch's generator gives the same numbers here in a third of the time.
"""

from __future__ import annotations

# The arguments of a graph's nodes have no types of their own.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# pyright: reportCallIssue=false, reportOperatorIssue=false, reportReturnType=false
import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.fx import Graph, Node

from absynth.engine.gradient import part_of
from absynth.engine.library import build
from absynth.engine.noise import noises, normals
from absynth.engine.program import Writer
from absynth.engine.record import words
from absynth.engine.trace import Refused
from absynth.seeding import noise_like, uniform_like
from absynth.types import Rng

aten = torch.ops.aten
NOISE_BYTES = 1 << 24  # noise drawn ahead at a time

OPERATIONS = words(
    "mm add mul div scale shift square abs sqrt reciprocal exp log relu leaky_relu tanh sigmoid silu gelu softplus elu "
    "threshold_backward leaky_relu_backward tanh_backward sigmoid_backward silu_backward gelu_backward "
    "softplus_backward elu_backward where row_sum"
)
"""In the order of ``Op`` in fused.cpp; most are torch's, with its tensors and numbers in its order."""
_ALIASES = {aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.default, aten.expand.default}


def _operation(node: Node) -> tuple[str, list[Node], list[Any]]:
    """What a node is: a name of ``OPERATIONS`` (or another), tensors and numbers."""
    name, kwargs = getattr(node.target, "_opname", ""), dict(node.kwargs)
    tensors = [a for a in node.args if isinstance(a, Node)]
    numbers: list[Any] = [a for a in node.args if not isinstance(a, Node)]
    if name in ("add", "sub", "rsub") and isinstance(node.args[0], Node):
        alpha = kwargs.pop("alpha", 1) * (1 if name == "add" else -1)
        if name == "rsub" or len(tensors) == 1:
            numbers = [numbers[0], -1] if name == "rsub" else [alpha * numbers[0], 1]
        name, numbers = ("add", [alpha]) if len(tensors) == 2 else ("shift", numbers)
    elif name == "neg" or (name in ("mul", "div") and len(tensors) == 1 and isinstance(node.args[0], Node)):
        name, numbers = "scale", [-1 if name == "neg" else numbers[0] if name == "mul" else 1 / numbers[0]]
    elif name == "pow":
        name, numbers = {2: "square", -1: "reciprocal", 0.5: "sqrt"}.get(numbers[0], name), []
    elif name == "leaky_relu":
        numbers = numbers or [0.01]
    elif name == "softplus":
        numbers = [*numbers, *[1, 20][len(numbers) :]]
    elif name in ("elu", "elu_backward") and all(n in (1, False) for n in numbers[1:]):
        numbers = numbers[:1] or [1]
    elif kwargs.get("approximate") == "none":
        del kwargs["approximate"]
    if kwargs or not all(isinstance(n, (int, float)) for n in numbers):
        name, numbers = "", []
    return name, tensors, [float(n) for n in numbers]


class Fused:
    """A gradient graph in the form that the C++ function takes.

    Args:
        graph: Log density and gradient.
        value: Whether the log density is needed too.

    Raises:
        Refused: the score is of another form.
    """

    def __init__(self, graph: Graph, value: bool = False) -> None:
        graph = part_of(graph, slice(0 if value else 1, 2))
        x, *leaves = (n for n in graph.nodes if n.op == "placeholder")
        self.batch = x.meta["shape"][0]
        self.widths = [self._width(x)]
        self.slots: dict[Node, int] = {x: 0}
        self.free: dict[int, list[int]] = {}
        self.constants: dict[int, tuple[Node, bool]] = {}
        """Slots of constants: the node, and whether it has a row for each chain."""
        self.taken: set[Node] = set()
        self.weights: dict[Node, int] = {}
        self.instructions: list[tuple] = []
        self.start = Writer(leaves)
        for node in list(graph.nodes):
            if node.op == "call_function" and not node.meta["moves"]:
                self.start.call(node, node.target, node.args, node.kwargs)
            elif node.op == "call_function":
                self._instruction(node)
            elif node.op == "output":
                self.score = self._slot(node.args[0][-1], x, whole=True)
                self.value = self._slot(node.args[0][0], node.args[0][0], whole=True) if value else -1
        made = [*self.weights, *(n for n, _ in self.constants.values())]
        self.begin = self.start.function([self.start.names[n] for n in made])

    def _width(self, node: Node) -> int:
        shape = node.meta.get("shape")
        if not shape or shape[0] != self.batch or not node.meta["dtype"].is_floating_point:
            raise Refused("a part of it is not of one row for each chain")
        return math.prod(shape[1:])

    def _slot(self, node: Node, user: Node, *, whole: bool = False) -> int:
        """Where an operand is, which has as many entries a row as the result, or one. Constants are taken in here."""
        wide = self._width(node if whole else user)
        if node not in self.slots or (node in self.taken and self.widths[self.slots[node]] != wide):
            shape, like = node.meta["shape"], user.meta["shape"]
            if node.meta["moves"] or len(shape) > len(like):
                raise Refused("a part of it is of another shape")
            each = len(shape) == len(like) and shape[:1] == (self.batch,) and self.batch > 1
            full = (self.batch if each else 1, *like[1:])
            laid = user.graph.call_function(_rows)
            self.start.call(laid, _rows, (node, full), {})
            self.slots[node] = len(self.widths)
            self.widths.append(math.prod(full[1:]))
            self.constants[self.slots[node]] = laid, each
            self.taken.add(node)
        found = self.widths[self.slots[node]]
        if found != wide and (whole or found != 1):
            raise Refused("a part of it is broadcast")
        return self.slots[node]

    def _instruction(self, node: Node) -> None:
        to, args, n = node.target, node.args, self._width(node)
        if to in _ALIASES and isinstance(args[0], Node) and args[0].meta["moves"]:
            same = self._width(args[0]) in (n, 1) and args[0] in self.slots
            if not same or (to is not aten.expand.default and self._width(args[0]) != n):
                raise Refused("a part of it is broadcast")
            self.slots[node] = self.slots[args[0]]
            return
        if to in (aten.mm.default, aten.addmm.default) and not node.kwargs:
            bias, x, weight = args if to is aten.addmm.default else (None, *args)
            if weight.meta["moves"] or (bias is not None and bias.meta["moves"]):
                raise Refused("a layer's weights depend on the argument")
            found = self.weights.setdefault(weight, len(self.weights))
            inputs: tuple[int, ...] = (self._slot(x, x, whole=True), found)
            inputs += () if bias is None else (self._slot(bias, node),)
            made: Any = "mm", inputs
        elif to is aten.sum.dim_IntList and len(args[1]) == len(args[0].meta["shape"]) - 1 and n == 1:
            made = "row_sum", (self._slot(args[0], args[0], whole=True),)
        else:
            name, tensors, numbers = _operation(node)
            if name not in OPERATIONS or len(numbers) > 2 or len(tensors) > 3:
                raise Refused(f"there is no instruction for {to}")
            made = name, tuple(self._slot(a, node) for a in tensors), *numbers
        name, inputs, *numbers = made
        over = name not in ("mm", "row_sum")
        if over:
            self._release(node)
        self.slots[node] = self._new(n)
        if not over:
            self._release(node)
        a, b, c = (*inputs, -1, -1)[:3]
        s, t = (*numbers, 0.0, 0.0)[:2]
        self.instructions.append((OPERATIONS.index(name), self.slots[node], a, b, c, s, t))

    def _new(self, n: int) -> int:
        """Memory of a result: of one of the same width that nothing reads any more, or new."""
        if self.free.get(n):
            return self.free[n].pop()
        self.widths.append(n)
        return len(self.widths) - 1

    def _release(self, node: Node) -> None:
        """Give back the memory of what this node is the last to read, under any of its names."""
        for slot in {self.slots[a] for a in node.all_input_nodes if a in self.slots and a.meta["moves"]} - {0}:
            readers = [u for n, s in self.slots.items() if s == slot for u in n.users]
            if all(u in self.slots or u is node for u in readers):
                self.free.setdefault(self.widths[slot], []).append(slot)
                for n in [n for n, s in self.slots.items() if s == slot and n.meta["moves"]]:
                    self.slots[n] = -1

    def langevin(
        self, leaves: list[Tensor], x: Tensor, drift: float, noise_scales: Sequence[float], rng: Rng
    ) -> Tensor:
        """x moved by len(noise_scales) Langevin steps."""
        x = x.detach().clone(memory_format=torch.contiguous_format)
        run = self._ready(leaves, x, drift)
        ahead = _ahead(x)
        for first in range(0, len(noise_scales), ahead):
            scales = noise_scales[first : first + ahead]
            run(scales, list(noises(x, scales, rng, NOISE_BYTES, normals)))
        return x

    def hmc(
        self, leaves: list[Tensor], x: Tensor, step_size: Tensor | float, leapfrog: int, steps: int, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        """x moved by HMC, and the log density ``[b]`` at the start.

        Args:
            leaves: Tensors that the log density holds.
            x: Start of the chains.
            step_size: Leapfrog step, one or one a chain.
            leapfrog: Leapfrog steps of a trajectory. With one, this is MALA.
            steps: Trajectories.
            rng: Source of noise.
        """
        x = x.detach().clone(memory_format=torch.contiguous_format)
        run = self._ready(leaves, x, 0.0, leapfrog)
        sizes = step_size.tolist() if isinstance(step_size, Tensor) else [step_size] * len(x)
        ahead, values = _ahead(x), []
        one = isinstance(rng, Generator)
        for first in range(0, max(steps, 1), ahead):
            values.append(x.new_empty(len(x)))
            noise, logs = [], []
            for _ in range(min(ahead, steps - first)):  # in the order in which the sampler draws
                noise.append(normals(torch.empty_like(x), rng) if one else noise_like(x, rng))
                logs.append(uniform_like(values[0], rng).log_())
            run(sizes, noise, logs, values[-1])
        return x, values[0]

    def _ready(self, leaves: list[Tensor], x: Tensor, drift: float, leapfrog: int = 0) -> Callable[..., None]:
        """The C++ function with the constants of these leaves, on x and the noise that it is given."""
        library = build()
        move = library.chain_float32 if x.dtype == torch.float32 else library.chain_float64
        with torch.no_grad():
            made = [t.detach().to(x.dtype) for t in self.begin(*leaves)]
        slots, weights = (_Slot * len(self.widths))(), (_Weight * max(len(self.weights), 1))()
        for slot, n in zip(slots, self.widths):
            slot.n = n
        for i, t in enumerate(made[: len(self.weights)]):
            weights[i].n_in, weights[i].n_out = t.shape
            weights[i].transposed = t.t().is_contiguous() and not t.is_contiguous()
            made[i] = t if weights[i].transposed else t.contiguous()
            weights[i].data = made[i].data_ptr()
        for (slot, (_, each)), t in zip(self.constants.items(), made[len(self.weights) :]):
            slots[slot].data, slots[slot].rows = t.data_ptr(), self.batch if each else 1
        steps = (_Step * len(self.instructions))(*self.instructions)
        threads = min(torch.get_num_threads(), len(x))

        def run(scales: Sequence[float], noise: list, logs: list | None = None, values: Tensor | None = None) -> None:
            numbers, pointers = (ctypes.c_double * len(scales))(*scales), _pointers(noise)
            tests = None if logs is None else _pointers(logs)
            chain = _Chain(
                ctypes.addressof(slots), ctypes.addressof(weights), ctypes.addressof(steps), len(slots),
                len(self.weights), len(steps), self.score, len(x), self.widths[0], len(noise), threads, drift,
                ctypes.addressof(numbers), ctypes.addressof(pointers), x.data_ptr(),
                None if tests is None else ctypes.addressof(tests), None if values is None else values.data_ptr(),
                self.value, leapfrog,
            )  # fmt: skip
            assert made  # whose memory the slots and weights point to
            move(ctypes.byref(chain))

        return run


def _ahead(x: Tensor) -> int:
    """Number of steps whose noise is drawn at a time."""
    return max(1, NOISE_BYTES // max(x.numel() * x.element_size(), 1))


def _pointers(tensors: list[Tensor | None]) -> ctypes.Array:
    return (ctypes.c_void_p * max(len(tensors), 1))(*(None if t is None else t.data_ptr() for t in tensors))


def _rows(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A constant in rows: one for all chains, or one for each."""
    return (t if t.is_floating_point() else t.float()).expand(shape).contiguous()


class _Slot(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("n", ctypes.c_int64), ("rows", ctypes.c_int64)]


class _Weight(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("n_in", "n_out", "transposed"))]


class _Step(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("op", "out", "a", "b", "c")),
        *((name, ctypes.c_double) for name in "st"),
    ]  # fmt: skip


class _Chain(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("slots", "weights", "score")),
        *((name, ctypes.c_int64) for name in (
            "n_slots", "n_weights", "n_score", "score_slot", "batch", "dim", "steps", "threads"
        )),
        ("drift", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("noise_scales", "noise", "x", "logs", "values")),
        *((name, ctypes.c_int64) for name in ("value_slot", "leapfrog")),
    ]  # fmt: skip
