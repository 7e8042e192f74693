"""Stacks of strided convolutions in one, two or three dimensions: sides halve on the way down, double on the way up.

Every convolutional energy, generator and inference network is one of these with its own first and last layer. No layer
mixes the examples of a batch or rescales one: a chain moves along the gradient of f, and a normalization would take
away the scale by which it moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from absynth.errors import InputError
from absynth.networks.mlp import Activation, activation

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def sides_of(size: int | Sequence[int]) -> tuple[int, ...]:
    """The sides of an example: an integer is the side of a square image."""
    return (size, size) if isinstance(size, int) else tuple(size)


def require_sides(size: int | Sequence[int], what: str, instead: str = "") -> None:
    """Raise an InputError unless every side has 8 pixels or more.

    Args:
        size: Side of a square image, or the sides.
        what: What needs them, for the message.
        instead: What to do, for the message.
    """
    sides = sides_of(size)
    if min(sides) < 8:
        wanted, got = ("x".join(map(str, s)) for s in ((8,) * len(sides), sides))
        unit = "images" if len(sides) == 2 else "examples"
        hint = instead and f": {instead}"
        raise InputError(f"{what} needs {unit} of {wanted} pixels or more, got {got}{hint}")


def downsample(
    shape: Sequence[int],
    width: int,
    stem: tuple[int, int] = (3, 1),
    *,
    act: Activation = "silu",
    leak: float = 0.2,
    least: int = 4,
    widest: int = 0,
) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Convolutions, each with its activation, that halve the sides and double the maps.

    After the stem, 4×4 convolutions of stride 2 halve the sides until none can be halved and stay at ``least``. Sides
    that are already short keep their length while longer ones are halved (3 in place of 4 along them).

    Args:
        shape: Shape of one example, (channels, side), (channels, height, width) or (channels, frames, height, width).
        width: Maps of the first layer.
        stem: Kernel and stride of the first convolution. Even kernels with stride 2 meet every pixel equally often; odd
            ones do not, and chains then draw a checkerboard where nothing else holds f.
        act: Activation.
        leak: Slope of a leaky ReLU.
        least: Shortest side that halving may leave.
        widest: Most maps of a layer; 0 is no limit.

    Returns:
        The layers, and the shape that they return for one example, (maps, *sides).

    >>> layers, shape = downsample((3, 28, 28), 8)
    >>> shape
    (32, 7, 7)
    >>> downsample((1, 16, 16, 16), 8)[1], downsample((2, 64), 4)[1], downsample((3, 8, 64, 64), 4)[1]
    ((32, 4, 4, 4), (64, 4), (64, 4, 4, 4))
    """
    channels, *sides = shape
    convolution, (kernel, stride) = CONVOLUTIONS[len(sides)], stem
    padding = (kernel - 1) // 2
    layers: list[nn.Module] = [convolution(channels, width, kernel, stride=stride, padding=padding)]
    layers.append(activation(act, leak))
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in sides]
    while max(sides) >= 2 * least:
        halved = [side >= 2 * least for side in sides]
        maps = min(2 * width, widest) if widest else 2 * width
        kernels, strides = tuple(4 if h else 3 for h in halved), tuple(2 if h else 1 for h in halved)
        layers += [convolution(width, maps, kernels, stride=strides, padding=1), activation(act, leak)]
        sides, width = [side // 2 if h else side for side, h in zip(sides, halved)], maps
    return nn.Sequential(*layers), (width, *sides)


def upsample(
    start: Sequence[int],
    shape: Sequence[int],
    width: int,
    *,
    leak: float = 0.1,
    narrowest: int = 8,
    smooth: bool = False,
) -> nn.Sequential:
    """Transposed convolutions from a feature map to an example, with leaky ReLUs between them.

    Each layer doubles the sides; the last one makes the example. A side that is not a power of two times the map's is
    reached through 2·side − 1 in the first layer: 4 to 7 to 14 to 28. Sides that need fewer doublings are doubled last.

    Args:
        start: Shape of the feature map, (maps, *sides).
        shape: Shape of one example, (channels, *sides).
        width: Maps behind the first layer; each further layer has half as many.
        leak: Slope of the leaky ReLUs.
        narrowest: Fewest maps of a layer.
        smooth: Whether a further 3×3 layer makes the example from maps of full size.

    Raises:
        InputError: A side cannot be reached by doubling.

    >>> import torch
    >>> upsample((16, 4, 4), (3, 28, 28), 8)(torch.zeros(2, 16, 4, 4)).shape
    torch.Size([2, 3, 28, 28])
    >>> upsample((16, 2, 4, 4), (3, 4, 16, 16), 8)(torch.zeros(2, 16, 2, 4, 4)).shape
    torch.Size([2, 3, 4, 16, 16])
    """
    maps, *before = start
    channels, *after = shape
    paths = [_kernels(a, b) for a, b in zip(before, after, strict=True)]
    doublings = max(map(len, paths))
    kernels = list(zip(*([3] * (doublings - len(path)) + path for path in paths), strict=True))
    strides = list(zip(*([1] * (doublings - len(path)) + [2] * len(path) for path in paths), strict=True))
    if smooth or not doublings:
        kernels.append((3,) * len(after))
        strides.append((1,) * len(after))
    widths = [*(max(width >> k, narrowest) for k in range(len(kernels) - 1)), channels]
    layers: list[nn.Module] = []
    for kernel, stride, wide in zip(kernels, strides, widths, strict=True):
        layers += [TRANSPOSED[len(after)](maps, wide, kernel, stride=stride, padding=1), nn.LeakyReLU(leak)]
        maps = wide
    return nn.Sequential(*layers[:-1])


def _kernels(before: int, after: int) -> list[int]:
    """Kernels of the layers of stride 2 that lead from one side to another: 4 doubles it, 3 makes 2·side − 1."""
    for first in ([], [3]):
        side, kernels = 2 * before - 1 if first else before, list(first)
        while side < after:
            side, kernels = 2 * side, [*kernels, 4]
        if side == after:
            return kernels
    raise InputError(
        f"a generator from a map of side {before} makes {before} or {2 * before - 1} times a power of two, got size "
        f"{after}: give another --map-side or --size"
    )
