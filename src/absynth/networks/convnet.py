"""f of images by strided convolutions, without normalization (Nijkamp et al. 2019, arXiv:1904.09770, appendix).

No layer here mixes the examples of a batch or rescales one: a chain moves against the gradient of f, and a
normalization would take away the very scale by which it moves.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation


def conv_f(
    channels: int, size: int, width: int, act: Activation = "silu", leak: float = 0.2, *, stem: Literal[1, 2] = 1
) -> nn.Sequential:
    """f of an image, ``[b, channels, size, size] -> [b]``.

    A 3×3 convolution makes ``width`` maps; each further 4×4 convolution halves the side and doubles the maps, until the
    side is 4 to 7; the last convolution sees the whole of it. Nijkamp et al. use width 64 and a leaky ReLU; a smooth
    activation has bounded curvature and so forgives a larger learning rate.

    A CPU spends most of its time on the maps of the full side, which have the least to say. With ``stem`` 2 the first
    convolution halves as well, and the side ends at 3 to 5: four times the parameters in less than half the time.

    Args:
        channels: of the image.
        size: side of the image in pixels, 8 or more.
        width: n_f, maps of the first layer.
        act: the activation.
        leak: slope of a leaky ReLU.
        stem: stride of the first convolution, of 3×3 where it is 1 and of 4×4 where it is 2.

    Raises:
        InputError: the image is smaller than 8×8.

    >>> import torch
    >>> conv_f(3, 28, 8)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5])
    """
    if size < 8:
        raise InputError(f"a convolutional f needs images of 8x8 pixels or more, got {size}x{size}: use mlp_f")
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 2 + stem, stride=stem, padding=1), activation(act, leak)]
    side = size // stem
    while side >= (8 if stem == 1 else 6):
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), activation(act, leak)]
        side, width = side // 2, 2 * width
    return nn.Sequential(*layers, nn.Conv2d(width, 1, side), nn.Flatten(0))
