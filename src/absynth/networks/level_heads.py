"""f(x, t) of all noise levels from one pass through a network: one output per level."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from absynth.networks.mlp import Activation, mlp


class LevelHeads(nn.Module):
    """f(x, t) as output t of a network, ``([b, *event], [b]) -> [b]``.

    Args:
        net: ``[b, *event] -> [b, levels]``.
        scale: Factor on x. Smooth activations resolve little at the scale of one unit: eight Gaussians of standard
            deviation 0.15 need about 3.
    """

    def __init__(self, net: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.net = net
        self.scale = scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"

    def at_all_levels(self, x: Float[Tensor, "b *event"]) -> Float[Tensor, "b levels"]:
        """f of every level."""
        return self.net(self.scale * x)

    def forward(self, x: Float[Tensor, "b *event"], t: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        return self.at_all_levels(x).gather(1, t[:, None]).squeeze(1)


def mlp_levels(
    dim: int, width: int, levels: int, act: Activation = "silu", hidden: int = 3, scale: float = 3.0
) -> LevelHeads:
    """f of a vector at every noise level.

    Args:
        dim: Entries of the vector.
        width: Hidden units of each layer.
        levels: Number of noise levels.
        act: Activation; smooth ones give smooth scores.
        hidden: Number of hidden layers.
        scale: Factor on the vector.

    >>> import torch
    >>> mlp_levels(2, 8, 5)(torch.zeros(3, 2), torch.tensor([0, 4, 2])).shape
    torch.Size([3])
    """
    return LevelHeads(mlp([dim, *[width] * hidden, levels], act), scale)
