"""Discrete models with exact answers in small cases: Ising, Potts, and the restricted Boltzmann machine.

Each is a module: ``log_density(x) -> [b]`` up to log Z, on float tensors of whole numbers, so that samplers of discrete
states run on it as on any other log density. ``log_z``, ``log_prob``, ``probabilities`` and ``draw`` are exact, by sums
over all states (Ising and Potts) or over the smaller layer (RBM).
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.seeding import uniform_like
from absynth.types import Rng

STATES = 2**20
"""Most states that an exact sum visits."""


class Discrete(nn.Module):
    """A density on vectors of whole numbers, small enough for exact sums.

    Args:
        dim: Number of variables.
        classes: Values 0 … classes − 1 of each.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.dim = dim
        self.classes = classes

    def log_density(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        """log p(x) + log Z."""
        raise NotImplementedError

    def forward(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        return self.log_density(x)

    def states(self) -> Float[Tensor, "n dim"]:
        """All states; the last variable varies fastest.

        Raises:
            InputError: There are more than 2^20 of them.
        """
        if self.classes**self.dim > STATES:
            raise InputError(
                f"exact sums visit at most {STATES} states, got {self.classes}^{self.dim}: estimate log Z by sampling"
            )
        like = next(self.buffers(), torch.zeros(()))
        grid = itertools.product(range(self.classes), repeat=self.dim)
        return torch.tensor(list(grid), dtype=like.dtype, device=like.device)

    def log_z(self) -> Float[Tensor, ""]:
        """log Z, exact."""
        return self.log_density(self.states()).logsumexp(0)

    def log_prob(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        """Normalized log probability, exact."""
        return self.log_density(x) - self.log_z()

    def probabilities(self) -> Float[Tensor, "n"]:
        """Probability of each of :meth:`states`."""
        return self.log_density(self.states()).softmax(0)

    def draw(self, n: int, rng: Rng) -> Float[Tensor, "n dim"]:
        """n exact and independent draws."""
        states, p = self.states(), self.probabilities()
        u = uniform_like(torch.empty(n, dtype=torch.float64, device=p.device), rng)
        cumulative = p.double().cumsum(0)
        return states[torch.searchsorted(cumulative / cumulative[-1], u).clamp(max=len(p) - 1)]


def lattice(height: int, width: int, *, periodic: bool = True) -> Float[Tensor, "n n"]:
    """Symmetric matrix of ones between neighbours of a square lattice; rows and columns run through it row by row.

    Args:
        height: Rows.
        width: Columns.
        periodic: Whether the edges are joined.
    """
    n = height * width
    found = torch.zeros(n, n)
    for i, j in itertools.product(range(height), range(width)):
        for a, b in ((i + 1, j), (i, j + 1)):
            if periodic or (a < height and b < width):
                one, other = i * width + j, (a % height) * width + b % width
                if one != other:
                    found[one, other] = found[other, one] = 1
    return found


class Ising(Discrete):
    """Binary variables x in {0, 1}, spins s = 2x − 1: log p(s) = ½ sᵀ J s + hᵀ s − log Z.

    Args:
        coupling: J, symmetric with zeros on its diagonal; ``0.3 * lattice(4, 4)`` is a 4×4 torus.
        field: h. Defaults to zeros.

    Raises:
        InputError: J is not square and symmetric, or its diagonal is not zero.
    """

    coupling: Tensor
    field: Tensor

    def __init__(self, coupling: Float[Tensor, "n n"], field: Float[Tensor, "n"] | None = None) -> None:
        _check_coupling(coupling)
        super().__init__(len(coupling), 2)
        self.register_buffer("coupling", coupling)
        self.register_buffer("field", coupling.new_zeros(len(coupling)) if field is None else field)

    def log_density(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        s = 2 * x - 1
        return 0.5 * ((s @ self.coupling) * s).sum(1) + s @ self.field


class Potts(Discrete):
    """Variables x in {0 … C − 1}: log p(x) = ½ Σ_{i≠j} J_ij [x_i = x_j] + Σ_i h_i(x_i) − log Z.

    Whole-valued x have no useful gradient here; use samplers that compare states, such as Gibbs.

    Args:
        coupling: J, symmetric with zeros on its diagonal.
        classes: C.
        field: h ``[n, C]``. Defaults to zeros.

    Raises:
        InputError: J is not square and symmetric, or its diagonal is not zero.
    """

    coupling: Tensor
    field: Tensor

    def __init__(self, coupling: Float[Tensor, "n n"], classes: int, field: Float[Tensor, "n C"] | None = None) -> None:
        _check_coupling(coupling)
        super().__init__(len(coupling), classes)
        self.register_buffer("coupling", coupling)
        self.register_buffer("field", coupling.new_zeros(len(coupling), classes) if field is None else field)

    def log_density(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        hot = nn.functional.one_hot(x.long(), self.classes).to(self.coupling)
        agree = torch.einsum("bic,ij,bjc->b", hot, self.coupling, hot)
        return 0.5 * agree + (hot * self.field).sum((1, 2))


class RBM(Discrete):
    """Restricted Boltzmann machine of binary x and hidden h: log p(x) = xᵀb + Σ_j softplus(c_j + xᵀW_j) − log Z.

    Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation 2002.

    Args:
        weight: W ``[visible, hidden]``.
        visible_bias: b. Defaults to zeros.
        hidden_bias: c. Defaults to zeros.
    """

    def __init__(
        self,
        weight: Float[Tensor, "v h"],
        visible_bias: Float[Tensor, "v"] | None = None,
        hidden_bias: Float[Tensor, "h"] | None = None,
    ) -> None:
        super().__init__(len(weight), 2)
        v, h = weight.shape
        self.weight = nn.Parameter(weight.clone())
        self.visible_bias = nn.Parameter(weight.new_zeros(v) if visible_bias is None else visible_bias.clone())
        self.hidden_bias = nn.Parameter(weight.new_zeros(h) if hidden_bias is None else hidden_bias.clone())
        self.register_buffer("like", weight.new_zeros(()), persistent=False)

    def log_density(self, x: Float[Tensor, "b dim"]) -> Float[Tensor, "b"]:
        return x @ self.visible_bias + nn.functional.softplus(x @ self.weight + self.hidden_bias).sum(1)

    def log_z(self) -> Float[Tensor, ""]:
        """log Z, exact, by a sum over the states of the smaller layer."""
        v, h = self.weight.shape
        if v <= h:
            return super().log_z()
        swapped = RBM(self.weight.detach().T, self.hidden_bias.detach(), self.visible_bias.detach())
        hidden = swapped.states()
        return (
            hidden @ self.hidden_bias + nn.functional.softplus(hidden @ self.weight.T + self.visible_bias).sum(1)
        ).logsumexp(0)

    def gibbs(self, x: Float[Tensor, "b v"], steps: int, *, rng: Rng) -> Float[Tensor, "b v"]:
        """Block Gibbs sampling: all hidden units given x, then all of x given them, ``steps`` times."""
        with torch.no_grad():
            for _ in range(steps):
                p = (x @ self.weight + self.hidden_bias).sigmoid()
                hidden = (uniform_like(p, rng) < p).to(x.dtype)
                p = (hidden @ self.weight.T + self.visible_bias).sigmoid()
                x = (uniform_like(p, rng) < p).to(x.dtype)
        return x


def _check_coupling(coupling: Tensor) -> None:
    if coupling.ndim != 2 or not torch.equal(coupling, coupling.T) or coupling.diagonal().any():
        raise InputError(f"expected a symmetric coupling with zeros on its diagonal, got shape {list(coupling.shape)}")
