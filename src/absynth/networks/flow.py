"""A small flow of affine couplings: a normalized density that draws in one pass (Dinh et al. 2017, arXiv:1605.08803).

Each layer keeps a part of the coordinates and moves the rest by a scale and a shift that are read off the kept part:

    z_kept = u_kept,   z_moved = u_moved · exp(s(u_kept)) + t(u_kept),   log |det ∂z/∂u| = Σ s(u_kept)

so both directions and the determinant cost one small network a layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks.mlp import Activation, mlp
from absynth.types import Rng


class Coupling(nn.Module):
    """One affine coupling. Its last layer begins at zero, so that it begins as the identity.

    Args:
        dim: coordinates.
        width: hidden units of the network that reads the kept coordinates.
        odd: whether the odd coordinates are kept; else the even ones.
        hidden: hidden layers.
        act: the activation.
        bound: |s| stays below this: one layer can stretch or shrink by a factor of exp(bound) at most.
    """

    kept: Tensor
    moved: Tensor
    order: Tensor

    def __init__(self, dim: int, width: int, *, odd: bool, hidden: int, act: Activation, bound: float) -> None:
        super().__init__()
        self.bound = bound
        kept, moved = torch.arange(int(odd), dim, 2), torch.arange(1 - int(odd), dim, 2)
        for name, index in {"kept": kept, "moved": moved, "order": torch.cat([kept, moved]).argsort()}.items():
            self.register_buffer(name, index, persistent=False)
        self.net = mlp([len(kept), *[width] * hidden, 2 * len(moved)], act)
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def extra_repr(self) -> str:
        return f"kept={self.kept.tolist()}, bound={self.bound:g}"

    def forward(self, u: Float[Tensor, "b d"], *, inverse: bool) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b"]]:
        """The other side of the coupling and log |det ∂z/∂u| at that pair, whichever way it was walked."""
        kept, moved = u[:, self.kept], u[:, self.moved]
        scale, shift = self.net(kept).chunk(2, dim=1)
        scale = self.bound * torch.tanh(scale / self.bound)
        moved = (moved - shift) * torch.exp(-scale) if inverse else moved * torch.exp(scale) + shift
        return torch.cat([kept, moved], 1)[:, self.order], scale.sum(1)


class CouplingFlow(nn.Module):
    """q(z), z ``[b, dim]``: N(0, I) carried through couplings that take turns in what they keep. It begins as N(0, I).

    Draws are differentiable in the parameters: z is a function of the noise.

    Args:
        dim: coordinates, 2 or more.
        layers: couplings.
        width: hidden units of each coupling's network.
        hidden: its hidden layers.
        act: its activation.
        bound: of each coupling's log scale.

    Raises:
        InputError: there are fewer than 2 coordinates, which couplings cannot split.

    >>> from absynth.seeding import stream
    >>> flow = CouplingFlow(3, layers=4, width=8)
    >>> z, log_prob = flow.draw(5, stream(0))
    >>> torch.allclose(log_prob, flow.log_prob(z), atol=1e-5), torch.allclose(log_prob, flow.base.log_prob(z))
    (True, True)
    """

    def __init__(
        self, dim: int, *, layers: int, width: int, hidden: int = 1, act: Activation = "silu", bound: float = 2.0
    ) -> None:
        super().__init__()
        if dim < 2:
            raise InputError(
                f"couplings split coordinates, expected 2 or more, got {dim}: use another latent dimension"
            )
        self.base = StandardNormal(dim)
        self.couplings = nn.ModuleList(
            Coupling(dim, width, odd=bool(i % 2), hidden=hidden, act=act, bound=bound) for i in range(layers)
        )

    def log_prob(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """Normalized log density."""
        log_det = x.new_zeros(len(x))
        for coupling in reversed(self.couplings):
            x, change = coupling(x, inverse=True)
            log_det = log_det + change
        return self.base.log_prob(x) - log_det

    def draw(self, n: int, rng: Rng) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n"]]:
        """n draws and log q at them, in one pass."""
        z = self.base.sample(n, rng)
        log_prob = self.base.log_prob(z)
        for coupling in self.couplings:
            z, change = coupling(z, inverse=False)
            log_prob = log_prob - change
        return z, log_prob

    def sample(self, n: int, rng: Rng) -> Float[Tensor, "n d"]:
        """n draws, differentiable in the parameters."""
        return self.draw(n, rng)[0]
