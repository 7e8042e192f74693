"""The gradient graph through torch.compile.

Its inputs are x and every tensor that the log density holds. So an update of the parameters, or another batch of data
in a posterior, is another argument and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule

from absynth.engine.gradient import part_of
from absynth.engine.plan import Make, Plan
from absynth.engine.trace import Refused, in_words

aten = torch.ops.aten


class Compiled(Plan):
    """A compiled score. Compiles where ``made`` does not hold its make.

    Raises:
        Refused: torch.compile does not take it.
    """

    def __init__(
        self, made: dict[Any, Any], make: Make, leaves: list[Tensor], x: Tensor, tell: Callable[[str], None]
    ) -> None:
        # Kernels of convolutions in channels-last order, so that the activations between them are too.
        maps = [t.ndim == 4 and t.dtype == torch.float32 for t in leaves]
        leaves = [t.detach() for t in leaves]
        leaves = [t.contiguous(memory_format=torch.channels_last) if m else t for t, m in zip(leaves, maps)]
        super().__init__(make, leaves)
        key = ("compiled", id(make))
        if key not in made:
            begin = perf_counter()
            functions = {
                value: torch.compile(GraphModule({}, _plain(part_of(make.graph, which))), dynamic=False)
                for value, which in ((False, slice(1, 2)), (True, slice(0, 2)))
            }
            try:
                with torch.no_grad():
                    functions[False](x, *leaves)
            except Exception as error:  # whatever stops a compiler, the chain must go on
                raise Refused(f"torch.compile does not take it ({type(error).__name__}: {in_words(error)})") from error
            tell(f"compiled a score in {perf_counter() - begin:.1f} s")
            made[key] = functions, make  # a make that is kept has an id of its own
        self.functions = made[key][0]

    def _run(self, x: Tensor, value: bool) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return self.functions[value](x, *self.leaves)


def _plain(graph: Graph) -> Graph:
    """The graph with a + α b as a + (α · b): torch 2.13's compiler forgets α where a is a matrix product."""
    for node in list(graph.nodes):
        if node.target in (aten.add.Tensor, aten.sub.Tensor) and "alpha" in node.kwargs:
            a, b = node.args
            with graph.inserting_before(node):
                node.args = a, graph.call_function(aten.mul.Tensor, (b, node.kwargs["alpha"]))
            node.kwargs = {}
    return graph
