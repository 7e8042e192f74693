"""f of two things at once: a tower for each, joined by a head (Han et al. 2020, section 4; authors' code)."""

from __future__ import annotations

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from absynth.networks.mlp import Activation, activation, mlp
from absynth.networks.strided import downsample, require_sides


class TowersF(nn.Module):
    """f(x, z) = −softplus(head([x's tower, z's tower])), ``[b]``.

    f is bounded above by 0, and every layer has spectral norm 1: an adversary of a generator and an inference model
    that both climb or descend it must not grow without end.

    Args:
        x_tower: ``[b, *event] -> [b, width]``.
        z_tower: ``[b, *latent] -> [b, width]``.
        width: what each tower returns.
        act: the activation behind each tower.
        leak: slope of a leaky ReLU.

    >>> f = TowersF(nn.Linear(2, 8), nn.Linear(3, 8), 8)
    >>> bool((f(torch.ones(4, 2), torch.ones(4, 3)) < 0).all())
    True
    """

    def __init__(
        self,
        x_tower: nn.Module,
        z_tower: nn.Module,
        width: int,
        act: Activation = "leaky_relu",
        leak: float = 0.1,
    ) -> None:
        super().__init__()
        self.x_tower = x_tower
        self.z_tower = z_tower
        self.head = nn.Sequential(activation(act, leak), *mlp([2 * width, 2 * width, 1], act, leak), nn.Flatten(0))
        for module in list(self.modules()):
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                spectral_norm(module)

    def forward(self, x: Float[Tensor, "b *event"], z: Float[Tensor, "b *latent"]) -> Float[Tensor, "b"]:
        joined = torch.cat([self.x_tower(x), self.z_tower(z.flatten(1))], 1)
        return -nn.functional.softplus(self.head(joined))


def mlp_towers(shape: tuple[int, ...], latent: int, width: int, act: Activation = "leaky_relu") -> TowersF:
    """Towers of fully connected layers, for data of any shape.

    >>> mlp_towers((1, 4, 4), 2, 8)(torch.zeros(3, 1, 4, 4), torch.zeros(3, 2)).shape
    torch.Size([3])
    """
    x_tower = nn.Sequential(nn.Flatten(), *mlp([prod(shape), width, width], act, 0.1))
    return TowersF(x_tower, mlp([latent, width, width], act, 0.1), width, act)


def conv_towers(channels: int, size: int, latent: int, width: int, act: Activation = "leaky_relu") -> TowersF:
    """Towers for images: strided convolutions on x, fully connected layers on z.

    Args:
        channels: of the image.
        size: its side in pixels, 8 or more.
        latent: d, the dimension of z.
        width: maps of the first convolution; they double where the side halves, up to 8·width, which the towers return.
        act: the activation.

    Raises:
        InputError: the image is smaller than 8×8.

    >>> conv_towers(1, 28, 4, 8)(torch.zeros(3, 1, 28, 28), torch.zeros(3, 4)).shape
    torch.Size([3])
    """
    require_sides(size, "a tower of convolutions", "use mlp_towers")
    layers, (maps, *sides) = downsample((channels, size, size), width, act=act, leak=0.1, widest=8 * width)
    top = 8 * width
    x_tower = nn.Sequential(*layers, nn.Conv2d(maps, top, tuple(sides)), nn.Flatten())
    return TowersF(x_tower, mlp([latent, top, top], act, 0.1), top, act)
