"""Fully connected networks: the f of a latent prior, the generator of small data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

Activation = Literal["leaky_relu", "relu", "gelu", "silu", "tanh"]


def activation(name: Activation, leak: float = 0.2) -> nn.Module:
    """The activation of that name; ``leak`` is the slope of a leaky ReLU."""
    modules = {
        "leaky_relu": lambda: nn.LeakyReLU(leak),
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }
    return modules[name]()


def mlp(sizes: Sequence[int], act: Activation = "leaky_relu", leak: float = 0.2) -> nn.Sequential:
    """Linear layers of the given sizes with activations between them, none at the end.

    >>> mlp([2, 8, 1])
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): LeakyReLU(negative_slope=0.2)
      (2): Linear(in_features=8, out_features=1, bias=True)
    )
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation(act, leak)]
    return nn.Sequential(*layers[:-1])


def mlp_f(dim: int, width: int, act: Activation = "leaky_relu", leak: float = 0.2, hidden: int = 2) -> nn.Sequential:
    """f of a vector, ``[b, dim] -> [b]``: the EBM of Pang et al. 2020, Table 6 (two hidden layers, leak 0.2)."""
    return nn.Sequential(*mlp([dim, *[width] * hidden, 1], act, leak), nn.Flatten(0))


def mlp_generator(latent: int, width: int, shape: tuple[int, ...], act: Activation = "leaky_relu") -> nn.Sequential:
    """``[b, latent] -> [b, *shape]`` in [-1, 1], through two hidden layers."""
    n = 1
    for size in shape:
        n *= size
    return nn.Sequential(*mlp([latent, width, width, n], act), nn.Tanh(), nn.Unflatten(1, shape))


def xavier_normal(net: nn.Module) -> nn.Module:
    """Weights by Xavier normal, biases zero (Pang et al. 2020, appendix B), in place, from the global generator."""
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


class Scaled(nn.Module):
    """x ↦ net(scale · x)."""

    def __init__(self, net: nn.Module, scale: float) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.scale * x)


class Flat(nn.Module):
    """f ≡ 0: the EBM is its reference."""

    def forward(self, z: Tensor) -> Tensor:
        return z.new_zeros(len(z))
