"""The recorded score through torch.compile.

The gradient is taken of the record, not of the user's closure, and flattened to one graph whose inputs are x and every
leaf. So an update of the parameters, or another batch of data in a posterior, is another argument and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from absynth.engine.trace import Refused, Trace


class Compiled:
    """A compiled score on the leaves of one record."""

    def __init__(self, functions: dict[str, Callable], leaves: list[Tensor]) -> None:
        self.functions = functions
        self.leaves = leaves

    @classmethod
    def of(cls, made: dict[Any, Any], record: Trace, x: Tensor, tell: Callable[[str], None]) -> Compiled:
        """The compiled form of a record; compiles where ``made`` holds none of the same make.

        Raises:
            Refused: torch.compile does not take it.
        """
        leaves = [_laid_out(t.detach()) for t in record.leaves()]
        key = ("compiled", record.signature())
        if key not in made:

            def value_and_score(x: Tensor, *leaves: Tensor) -> tuple[Tensor, Tensor]:
                def total(x: Tensor) -> tuple[Tensor, Tensor]:
                    value = record.run(x, leaves)
                    return value.sum(), value

                gradient, value = torch.func.grad(total, has_aux=True)(x)
                return value, gradient

            begin = perf_counter()
            try:
                with torch.no_grad():
                    both = make_fx(value_and_score)(x, *leaves)
                    score = make_fx(lambda x, *leaves: value_and_score(x, *leaves)[1])(x, *leaves)
                    functions = {
                        "value_and_score": torch.compile(both, dynamic=False),
                        "score": torch.compile(score, dynamic=False),
                    }
                    functions["score"](x, *leaves)
            except Exception as error:  # whatever stops a compiler, the chain must go on
                text = " ".join(str(error).split())
                raise Refused(f"torch.compile does not take it ({type(error).__name__}: {text[:120]})") from error
            tell(f"compiled a score in {perf_counter() - begin:.1f} s")
            made[key] = functions
        return cls(made[key], leaves)

    def score(self, x: Tensor) -> Tensor:
        """∇_x log density."""
        with torch.no_grad():
            return _ordered(self.functions["score"](x, *self.leaves), x)

    def value_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log density and its score."""
        with torch.no_grad():
            value, gradient = self.functions["value_and_score"](x, *self.leaves)
            return value, _ordered(gradient, x)


def _laid_out(t: Tensor) -> Tensor:
    """Kernels of convolutions in channels-last order, so that the activations between them are too."""
    if t.ndim == 4 and t.dtype == torch.float32:
        return t.contiguous(memory_format=torch.channels_last)
    return t


def _ordered(g: Tensor, x: Tensor) -> Tensor:
    return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)
