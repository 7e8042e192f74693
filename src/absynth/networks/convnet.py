"""f of images by strided convolutions, without normalization (Nijkamp et al. 2019, arXiv:1904.09770, appendix).

No layer here mixes the examples of a batch or rescales one: a chain moves against the gradient of f, and a
normalization would take away the very scale by which it moves.
"""

from __future__ import annotations

from torch import nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation


def conv_f(channels: int, size: int, width: int, act: Activation = "silu", leak: float = 0.2) -> nn.Sequential:
    """f of an image, ``[b, channels, size, size] -> [b]``.

    A 3×3 convolution makes ``width`` maps; each further 4×4 convolution halves the side and doubles the maps, until the
    side is 4 to 7; the last convolution sees the whole of it. Nijkamp et al. use width 64 and a leaky ReLU; a smooth
    activation has bounded curvature and so forgives a larger learning rate.

    Args:
        channels: of the image.
        size: side of the image in pixels, 8 or more.
        width: n_f, maps of the first layer.
        act: the activation.
        leak: slope of a leaky ReLU.

    Raises:
        InputError: the image is smaller than 8×8.

    >>> import torch
    >>> conv_f(3, 28, 8)(torch.zeros(5, 3, 28, 28)).shape
    torch.Size([5])
    """
    if size < 8:
        raise InputError(f"a convolutional f needs images of 8x8 pixels or more, got {size}x{size}: use mlp_f")
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), activation(act, leak)]
    side = size
    while side >= 8:
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), activation(act, leak)]
        side, width = side // 2, 2 * width
    return nn.Sequential(*layers, nn.Conv2d(width, 1, side), nn.Flatten(0))
