"""Heads that make energies of networks: a learned constant, and a sum of classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Normalized(nn.Module):
    """f(x) − c with c learned: at the optimum of noise contrastive estimation it is log Z.

    Args:
        f: The negative energy, ``x -> [b]``.
        log_z: c to begin with.
    """

    def __init__(self, f: nn.Module, log_z: float = 0.0) -> None:
        super().__init__()
        self.f = f
        self.log_z = nn.Parameter(torch.tensor(log_z))

    def forward(self, x: Tensor) -> Float[Tensor, "b"]:
        return self.f(x) - self.log_z


class Cascade(nn.Module):
    """Σ_k f_k(x) of the classifiers in use, or of one class, Σ_k f_k^y(x).

    Args:
        nets: Classifiers, ``x -> [b, C]``; C = 1 without classes.
    """

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.in_use = len(nets)

    def logits(self, x: Tensor, stages: int) -> Float[Tensor, "b C"]:
        """Σ_k f_k^y(x) of the first classifiers, 0 of none."""
        total = self.nets[0](x) if stages else 0 * self.nets[0](x)
        for net in self.nets[1:stages]:
            total = total + net(x)
        return total

    def forward(self, x: Tensor, y: Int64[Tensor, "b"] | None = None) -> Float[Tensor, "b"]:
        logits = self.logits(x, self.in_use)
        return logits.logsumexp(1) if y is None else logits.gather(1, y[:, None])[:, 0]
