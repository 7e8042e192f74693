"""The gradient of a recorded log density as a graph of torch's own operations.

Autograd takes the gradient once, and every operation that it runs, forward and backward, becomes a node of a
``torch.fx`` graph. So whatever autograd can differentiate is covered, and no derivative is written here. The graph is
then made smaller: what is one number everywhere (the gradient of a sum begins as ones) is that number, factors are
gathered, and activations are differentiated from what came out of them.
"""

from __future__ import annotations

# The arguments of a graph's nodes have no types of their own.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
# pyright: reportCallIssue=false, reportOperatorIssue=false, reportReturnType=false
import operator
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import TensorWeakRef

from absynth.engine.record import Trace
from absynth.engine.trace import Refused, in_words

aten = torch.ops.aten


def gradient_graph(record: Trace, x: Tensor) -> Graph:
    """The graph ``(x, *leaves) -> (log density [b], its gradient by x)``.

    Every node that is a tensor has its shape in ``meta["shape"]``, its type in ``meta["dtype"]``, and in
    ``meta["moves"]`` whether it depends on x.

    Raises:
        Refused: autograd takes no gradient of it, or it is random.
    """
    leaves = [_plain(t) for t in record.leaves()]
    cells = any("lstm" in call.func.__name__ for call in record.calls)
    with torch.inference_mode(False), torch.enable_grad(), _cell_by_cell() if cells else nullcontext():
        x = _plain(x)
        capture = _Capture([x, *leaves])
        try:
            with capture:
                at = x.detach().requires_grad_()
                value = record.run(at, leaves)
                gradient = torch.autograd.grad(value.sum(), at)[0]
            capture.graph.output((capture.node(value), capture.node(gradient)))
        except Refused:
            raise
        except Exception as error:  # whatever stops autograd here will stop it there, and be seen
            raise Refused(f"its gradient cannot be recorded: {in_words(error)}") from error
    return _smaller(capture.graph, x.device)


@contextmanager
def _cell_by_cell() -> Iterator[None]:
    """Without oneDNN's recurrent layers, which keep for their gradient what they return to nobody."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _plain(t: Tensor) -> Tensor:
    """A tensor that autograd accepts, with the same numbers."""
    return t.clone() if t.is_inference() else t.detach()


class _Capture(TorchDispatchMode):
    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self.graph = Graph()
        self.nodes: dict[int, tuple[TensorWeakRef, Node]] = {}
        """By identity, the tensors that are alive and their nodes."""
        for i, t in enumerate(inputs):
            node = self.graph.placeholder(f"a{i}")
            node.meta["moves"] = i == 0
            self._name(t, node)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes longer than importing torch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        names = [a.name for a in func._schema.arguments]
        drops = {**dict(zip(names, args)), **kwargs}.get("dropout_p", 0.0) > 0.0 if "dropout_p" in names else True
        if torch.Tag.nondeterministic_seeded in func.tags and drops:
            raise Refused(f"{func} is random")
        if func is aten._local_scalar_dense.default:
            raise Refused("its gradient depends on a value")
        given = torch.fx.node.map_aggregate((args, kwargs), self.node)
        out = func(*args, **kwargs)
        if func._schema.is_mutable:
            self._change(func, args, given, out)
            return out
        node = self._call(func, *given)
        if isinstance(out, Tensor):
            self._name(out, node)
        for i, t in enumerate(out if isinstance(out, (tuple, list)) else ()):
            if isinstance(t, Tensor):
                self._name(t, self._call(operator.getitem, (node, i)))
        return out

    def node(self, t: Any) -> Any:
        """The node of a tensor; anything else is itself."""
        if not isinstance(t, Tensor):
            return t
        ref, node = self.nodes.get(id(t), (None, None))
        if ref is not None and ref() is t:
            return node
        if t.is_floating_point() or any(a is not None for a, _ in self._sharing(t)):
            raise Refused("it reads a tensor that its record does not hold")
        self._name(t, self._call(_Held(t), ()))  # an index that was written as a list
        return self.nodes[id(t)][1]

    def _call(self, func: Any, args: Any, kwargs: Any = None) -> Node:
        node = self.graph.call_function(func, args, kwargs)
        node.meta["moves"] = any(n.meta["moves"] for n in node.all_input_nodes)
        return node

    def _name(self, t: Tensor, node: Node) -> None:
        node.meta.update(shape=t.shape, dtype=t.dtype)
        self.nodes[id(t)] = TensorWeakRef(t), node

    def _sharing(self, t: Tensor) -> list[tuple[Tensor, Node]]:
        """The tensors that lie in the same memory, and their nodes."""
        place = t.untyped_storage().data_ptr()
        alive = [(ref(), node) for ref, node in self.nodes.values()]
        return [(a, n) for a, n in alive if a is not None and a.untyped_storage().data_ptr() == place]

    def _change(self, func: Any, args: Any, given: Any, out: Any) -> None:
        """A change in place: the tensor gets a new node, and so does whatever shows the same entries."""
        t = args[0]
        types = [str(a.type) for a in func._schema.arguments]
        packet = getattr(aten, func._opname.removesuffix("_"))
        # getattr, for a packet's __getattr__ would make each operation anew and free the one that torch holds
        same = [getattr(packet, name) for name in packet.overloads()]
        same = [o for o in same if [str(a.type) for a in o._schema.arguments] == types and not o._schema.is_mutable]
        if not same or (out is not t and out is not None):
            raise Refused(f"{func} changes a tensor in place")
        others = [(a, n) for a, n in self._sharing(t) if a is not t and _overlap(a, t)]
        new = self._call(same[0], *given)
        self._name(t, new)
        whole = [
            (a, n) for a, n in [(t, new), *others] if a.is_contiguous() and a.nbytes == a.untyped_storage().nbytes()
        ]
        for a, n in whole[:1]:
            if a is not t:
                new = self._call(aten.as_strided_scatter.default, (n, new, t.shape, t.stride(), t.storage_offset()))
                self._name(a, new)
        for a, _ in others:
            if not whole:
                del self.nodes[id(a)]
            elif a is not whole[0][0]:
                self._name(a, self._call(aten.as_strided.default, (new, a.shape, a.stride(), a.storage_offset())))


def _overlap(a: Tensor, b: Tensor) -> bool:
    touched = torch.zeros(a.untyped_storage().nbytes() // a.element_size(), dtype=torch.bool)
    touched.as_strided(b.shape, b.stride(), b.storage_offset()).fill_(True)
    return bool(touched.as_strided(a.shape, a.stride(), a.storage_offset()).any())


class _Held:
    """A function that returns one tensor."""

    def __init__(self, t: Tensor) -> None:
        self.t = t
        self.__name__ = self.__qualname__ = "held"

    def __call__(self) -> Tensor:
        return self.t


def _nodes(a: Any) -> list[Node]:
    found: list[Node] = []
    torch.fx.node.map_aggregate(a, lambda n: found.append(n) if isinstance(n, Node) else None)
    return found


# --- the same gradient in fewer operations ---------------------------------------------------------------------------

_SAME = {aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh.default, aten.contiguous.default}
_RESHAPES = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}
_MOVES_ONLY = _RESHAPES | {
    aten.expand.default, aten.permute.default, aten.select.int, aten.slice.Tensor, aten.squeeze.default,
    aten.squeeze.dim, aten.squeeze.dims, aten.t.default, aten.transpose.int, aten.unsqueeze.default,
    aten.as_strided.default,
}  # fmt: skip
_FULL = {
    aten.ones_like.default: 1.0, aten.ones.default: 1.0, aten.new_ones.default: 1.0, aten.zeros_like.default: 0.0,
    aten.zeros.default: 0.0, aten.new_zeros.default: 0.0, aten.full.default: 1, aten.full_like.default: 1,
    aten.new_full.default: 2,
}  # fmt: skip
"""Operations that fill: with this number, or, where it is a whole one, with that argument."""
_TIMES, _PLUS, _MINUS = aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor


class _Smaller:
    """The nodes of a graph, one after another, each in its simplest form."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.number: dict[Node, float] = {}
        """Nodes that are one number everywhere."""

    def visit(self, node: Node) -> None:
        """Replace a node by something simpler where there is such a thing."""
        if node.op != "call_function":
            return
        if "shape" not in node.meta:  # several tensors
            node.meta["moves"] = any(n.meta["moves"] for n in node.all_input_nodes)
            return
        to, args, shape = node.target, node.args, node.meta["shape"]
        first = args[0] if args and isinstance(args[0], Node) else None
        same = first is not None and first.meta.get("dtype") == node.meta["dtype"] and first.meta["shape"] == shape
        node.meta["moves"] = any(n.meta["moves"] for n in node.all_input_nodes)
        if same and (to in _SAME or to in _RESHAPES or to in (aten.expand.default, aten._to_copy.default)):
            self._replace(node, first)
            return
        if to in _RESHAPES:
            node.target, node.args = aten.reshape.default, (first, list(shape))
        if node.meta["dtype"].is_floating_point:
            self._arithmetic(node, to, args, first)
        if node in self.number:
            node.meta["moves"] = False

    def _arithmetic(self, node: Node, to: Any, args: Any, first: Node | None) -> None:
        if to in _FULL:
            fill = _FULL[to]
            value = args[fill] if isinstance(fill, int) else fill
            if isinstance(value, (int, float)):
                self.number[node] = float(value)
        elif to in _MOVES_ONLY and first in self.number:
            self.number[node] = self.number[first]
        elif to is aten.mm.default and first in self.number and not args[1].meta["moves"]:
            with self.graph.inserting_before(node):  # all rows are one
                row = self.new(aten.sum.dim_IntList, (args[1], [0]), node, args[1].meta["shape"][1:])
                row = self.new(_TIMES, (row, self.number[first]), node, row.meta["shape"])
                self._replace(node, self.new(aten.expand.default, (row, list(node.meta["shape"])), node))
        elif to is aten.pow.Tensor_Scalar and args[1] == 1:
            self._replace(node, first)
        elif to is aten.neg.default:
            self._scaled(node, first, -1.0)
        elif to in (_TIMES, aten.mul.Scalar):
            for t, factor in (args, args[::-1]):
                if self._number(factor) is not None and isinstance(t, Node) and self._full(t, node):
                    return self._scaled(node, t, self._number(factor))
        elif to in (aten.div.Tensor, aten.div.Scalar) and len(args) == 2 and not node.kwargs:
            if self._number(args[1]) not in (None, 0.0) and first is not None and self._full(first, node):
                self._scaled(node, first, 1 / self._number(args[1]))
        elif to in (_PLUS, _MINUS) and all(isinstance(a, Node) and self._full(a, node) for a in args):
            sign = -1.0 if to is _MINUS else 1.0
            self._sum(node, args[0], args[1], sign * node.kwargs.get("alpha", 1.0))
        elif to is aten.leaky_relu_backward.default and args[2] > 0 and not args[3]:
            for user in args[1].users:  # the sign of what came out is that of what went in
                if user.target is aten.leaky_relu.default and user.args == (args[1], args[2]):
                    node.args = (args[0], user, args[2], True)
                    break

    def _replace(self, node: Node, new: Node) -> None:
        """Put ``new`` where ``node`` is, and drop what nothing needs any more."""
        node.replace_all_uses_with(new)
        dead = [node]
        while dead:
            last = dead.pop()
            if not last.users and last.op == "call_function" and last is not new and last not in self.number:
                inputs = list(last.all_input_nodes)
                self.graph.erase_node(last)
                dead += inputs

    def _number(self, a: Any) -> float | None:
        return float(a) if isinstance(a, (int, float)) else self.number.get(a)

    def _full(self, t: Node, like: Node) -> bool:
        return t.meta["shape"] == like.meta["shape"] and t.meta["dtype"] == like.meta["dtype"]

    def new(self, to: Any, args: tuple, like: Node, shape: Any = None, **kwargs: Any) -> Node:
        made = self.graph.call_function(to, args, kwargs)
        moves = any(n.meta["moves"] for n in _nodes(args))
        made.meta.update(shape=like.meta["shape"] if shape is None else shape, dtype=like.meta["dtype"], moves=moves)
        return made

    def _parts(self, t: Node) -> tuple[Node, float]:
        """A node as another times a number."""
        if t.target is _TIMES and isinstance(t.args[1], float):
            return t.args[0], t.args[1]  # type: ignore[return-value]
        return t, 1.0

    def _scaled(self, node: Node, t: Node, factor: float) -> None:
        """node = factor · t."""
        if t in self.number:
            self.number[node] = factor * self.number[t]
            return
        t, inner = self._parts(t)
        factor *= inner
        with self.graph.inserting_before(node):
            self._replace(node, t if factor == 1.0 else self.new(_TIMES, (t, factor), node))

    def _sum(self, node: Node, a: Node, b: Node, alpha: float) -> None:
        """node = a + alpha · b."""
        if self.number.get(b) == 0.0:
            self._replace(node, a)
            return
        (s, c), (t, d) = self._parts(a), self._parts(b)
        d *= alpha
        with self.graph.inserting_before(node):
            if s is t:
                self._replace(node, self.new(_TIMES, (s, c + d), node))
            elif a.target is _PLUS and a.args[1] is t and "alpha" in a.kwargs and len(a.users) == 1:
                new = self.new(_PLUS, a.args, node, alpha=a.kwargs["alpha"] + d)  # type: ignore[operator]
                self._replace(node, new)
            elif self.number.get(a) == 0.0:
                self._replace(node, self.new(_TIMES, (t, d), node))
            elif abs(d) != 1.0:
                self._replace(node, self.new(_PLUS, (a, t), node, alpha=d))
            elif c != 1.0 and d == 1.0:
                self._replace(node, self.new(_PLUS, (t, s), node, alpha=c))


def _smaller(graph: Graph, device: torch.device) -> Graph:
    graph.eliminate_dead_code()
    visitor = _Smaller(graph)
    for node in list(graph.nodes):
        visitor.visit(node)
    for node, value in visitor.number.items():  # made once a chain, where it is needed at all
        with graph.inserting_before(node):
            shape, options = node.meta["shape"], {"dtype": node.meta["dtype"], "device": device}
            one = visitor.new(aten.full.default, ([1] * len(shape), value), node, **options)
            node.replace_all_uses_with(visitor.new(aten.expand.default, (one, list(shape)), node))
    graph.eliminate_dead_code()
    return graph


def part_of(graph: Graph, which: slice) -> Graph:
    """The part of a gradient graph that some of its outputs need, as a graph of its own."""
    part = Graph()
    part.output(part.graph_copy(graph, {})[which])  # type: ignore[index]
    part.eliminate_dead_code()
    return part
