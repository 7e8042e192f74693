"""Persistent chains reweighted as the model changes: unbiased gradients from few steps, and log Z for free.

Carbone, Hua, Coste, Vanden-Eijnden, "Efficient Training of Energy-Based Models Using Jarzynski Equality", NeurIPS 2023,
arXiv:2305.19414; as a start of maximum likelihood it is annealed importance sampling along learning (Neal 2001) with
resampling at every update.

    w_i = exp(ℓ_θ(x_i) − ℓ_θ'(x_i)),  θ' the parameters of the update before                          (1)
    log Z_θ = log Z_θ' + log mean_i w_i                                                              (2)

The chains are resampled in proportion to w, by systematic resampling, which leaves most of them as they are because w
is near 1; then the sampler moves them. (1) is exact for samplers that leave p_θ unchanged (MALA, HMC); the bias of
unadjusted Langevin dynamics stays.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from absynth.density import EBM
from absynth.samplers.start import Persistent, Ticket
from absynth.seeding import uniform_like
from absynth.types import Reference, Rng


def systematic(weights: Float[Tensor, "n"], rng: Rng) -> Int[Tensor, "n"]:
    """n indices, index i drawn n w_i / Σ w times up to rounding: one uniform number shifts a regular comb.

    >>> systematic(torch.tensor([1.0, 0.0, 2.0, 1.0]), torch.Generator().manual_seed(0)).tolist()
    [0, 2, 2, 3]
    """
    n = len(weights)
    comb = (torch.arange(n, device=weights.device) + uniform_like(weights.new_empty(1), rng).double()) / n
    cumulative = weights.double().cumsum(0)
    return torch.searchsorted(cumulative / cumulative[-1], comb).clamp(max=n - 1)


class Reweighted(Persistent):
    """Persistent chains that follow the model by importance weights.

    The chains begin at the EBM's reference, whose log Z is 0 if f is 0 there; set ``log_z`` if it is not.

    Args:
        ebm: The model that learns. A player of the algorithm, so it is held without being registered.
        size: Number of chains.
        reference: Initial states, with a normalized log density: the law of the first chains.
        rng: Draws the first chains.
    """

    last: Tensor
    """ℓ of each chain when it was last looked at."""
    log_z: Tensor
    """log Z of the model at the last update."""

    def __init__(self, ebm: EBM, size: int, reference: Reference, *, rng: Rng) -> None:
        super().__init__(size, reference, rng=rng)
        self._ebm = [ebm]
        self.register_buffer("last", reference.log_prob(self.chains).detach().clone())
        self.register_buffer("log_z", torch.zeros((), dtype=torch.float64))

    def log_density(self, x: Tensor) -> Float[Tensor, "n"]:
        """ℓ as the model stands, without a graph."""
        with torch.no_grad():
            return self._ebm[0]().log_density(x)

    def draw(self, x: Tensor, *, rng: Rng, index: Tensor | None = None) -> tuple[Tensor, Ticket]:
        now = self.log_density(self.chains)
        log_w = (now - self.last).double()
        self.log_z += log_w.logsumexp(0) - math.log(len(log_w))  # (2)
        rows = systematic((log_w - log_w.max()).exp(), rng)
        self.chains.copy_(self.chains[rows])
        self.last.copy_(now[rows])
        return super().draw(x, rng=rng)

    def keep(self, ticket: Ticket, x: Tensor) -> None:
        super().keep(ticket, x)
        if ticket is not None:
            self.last[ticket] = self.log_density(x)
