"""Networks with a condition: f(x, c) of energy-based models and g(z, c) of generators (Xie et al. 2021).

A label enters f as constant maps in the middle and g as further entries of z; a source image enters f as further
channels. No layer mixes the examples of a batch: the gap f(x, c) − f(x, c') is what tells one condition from another.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.errors import InputError
from absynth.networks.deconvnet import first_size
from absynth.networks.mlp import Activation, activation
from absynth.networks.strided import downsample, require_sides
from absynth.networks.translator import leaky_tanh


def one_hot(c: Int[Tensor, "b"], classes: int, like: Tensor) -> Float[Tensor, "b classes"]:
    """The labels as unit vectors, of the type of ``like``.

    Raises:
        InputError: a label is not one of 0 ... classes − 1.
    """
    if len(c) and (int(c.min()) < 0 or int(c.max()) >= classes):
        raise InputError(f"labels must lie in 0 to {classes - 1}, got {int(c.min())} to {int(c.max())}")
    return F.one_hot(c, classes).to(like.dtype)


class WithLabel(nn.Module):
    """``(z [b, d], c [b]) -> net([z, one hot c])``: any network of vectors, with a label.

    >>> WithLabel(nn.Linear(5, 4), 3)(torch.zeros(2, 2), torch.tensor([0, 2])).shape
    torch.Size([2, 4])
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        self.net = net
        self.classes = classes

    def extra_repr(self) -> str:
        return f"classes={self.classes}"

    def forward(self, z: Float[Tensor, "b d"], c: Int[Tensor, "b"]) -> Tensor:
        return self.net(torch.cat([z, one_hot(c, self.classes, z)], 1))


def strided_f(
    channels: int, size: int, width: int, act: Activation = "silu", outputs: int = 1, first: int = 5
) -> nn.Sequential:
    """f of an image, ``[b, channels, size, size] -> [b, outputs]``, by strided convolutions.

    A 5×5 convolution and then 4×4 ones halve the side until it is 4 to 7, a 3×3 convolution and a linear layer follow:
    the authors' layout for labels. It has no layer at full size, so it costs a third of
    :func:`absynth.networks.convnet.conv_f`.

    Args:
        channels: of the image.
        size: its side in pixels, 8 or more.
        width: maps of the first layer; they double where the side halves, and once more.
        act: the activation; smooth ones are steadier.
        outputs: how many numbers an image.
        first: side of the first layer's kernels; even ones meet every pixel equally often, odd ones do not, and chains
            then draw a checkerboard where f is not held by much else.
    """
    require_sides(size, "a convolutional f")
    layers, (maps, *sides) = downsample((channels, size, size), width, (first, 2), act=act)
    top = [nn.Conv2d(maps, 2 * maps, 3, padding=1), activation(act)]
    return nn.Sequential(*layers, *top, nn.Flatten(), nn.Linear(2 * maps * prod(sides), outputs))


class LabelF(nn.Module):
    """f of an image and its label, ``([b, channels, size, size], c [b]) -> [b]``: one output of a network a label.

    f(x, c) is the inner product of one hot c with what :func:`strided_f` says of x, as in symbol-vector coupling (Pang
    and Wu 2021). The authors' f takes the label as constant maps before its last convolution (with widths 64, 128,
    256); at a quarter of these widths such an f learned digits and not a word of their labels in 500 updates.

    Args:
        channels: of the image.
        size: side of the image in pixels, 8 or more.
        classes: how many labels.
        width: maps of the first layer.
        act: the activation; smooth ones are steadier.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int, act: Activation = "silu") -> None:
        super().__init__()
        self.classes = classes
        self.net = strided_f(channels, size, width, act, outputs=classes)

    def forward(self, x: Float[Tensor, "b c h w"], c: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        return (self.net(x) * one_hot(c, self.classes, x)).sum(1)

    def by_label(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """f(x, c) of every label c: its argmax reads the label of x, as far as log Z(c) is alike for all."""
        return self.net(x)


class PictureF(nn.Module):
    """f of an image and a source image of the same size, ``([b, n, s, s], c [b, m, s, s]) -> [b]``.

    Source and image are the channels of one image (the authors' image-to-image f, whose widths are 64, 128, 256,
    512), and :func:`strided_f` looks at it.

    Args:
        source: m, channels of the source image.
        channels: n, channels of the image.
        size: s, side in pixels, 8 or more.
        width: maps of the first layer; they double where the side halves.
        act: the activation.
    """

    def __init__(self, source: int, channels: int, size: int, width: int, act: Activation = "silu") -> None:
        super().__init__()
        # Two convolutions that are added are one of both images' channels, and only one moves with a chain.
        self.image, *rest = strided_f(channels, size, width, act, first=4)
        self.source = nn.Conv2d(source, width, 4, stride=2, padding=1, bias=False)
        self.top = nn.Sequential(*rest, nn.Flatten(0))

    def forward(self, x: Float[Tensor, "b n s s"], c: Float[Tensor, "b m s s"]) -> Float[Tensor, "b"]:
        return self.top(self.image(x) + self.source(c))


class PictureGenerator(nn.Module):
    """``(z [b, d], source c [b, m, s, s]) -> [b, n, s, s]``: down and up again with skips (a small U-Net).

    z enters twice: as constant maps beside the source, which the skips carry to every scale, and as a map of its own in
    the middle. Where it entered in the middle alone the skips went past it and every z drew the same image.

    Initial samples follow an f that is still oscillating, and where they ran to the end of a tanh no gradient brought
    them back (holes in digits were lost to all black or all white on two seeds of three): hence a leaky one.

    Args:
        source: m, channels of the source image.
        channels: n, channels of the image.
        size: s, side in pixels: 4 to 7 times a power of two.
        latent: d.
        width: maps of the first layer; they double where the side halves.
        leak: slope of the leaky ReLUs.
    """

    def __init__(self, source: int, channels: int, size: int, latent: int, width: int, leak: float = 0.2) -> None:
        super().__init__()
        base, doublings = first_size(size)
        if not doublings:
            raise InputError(f"an image-to-image generator needs images of 8x8 pixels or more, got {size}x{size}")
        widths = [width * 2**i for i in range(doublings)]
        stack, _ = downsample((source + latent, size, size), width, (4, 2))
        self.down = nn.ModuleList(layer for layer in stack if isinstance(layer, nn.Conv2d))
        self.latent = nn.Linear(latent, widths[-1] * base**2)
        self.middle = nn.Conv2d(2 * widths[-1], widths[-1], 3, padding=1)
        ups = [(2 * n_out, n_in) for n_in, n_out in reversed(list(pairwise([channels, *widths])))]
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(n_in, n_out, 3, padding=1)) for n_in, n_out in ups
        )
        self.act = nn.LeakyReLU(leak)

    def forward(self, z: Float[Tensor, "b d"], c: Float[Tensor, "b m s s"]) -> Float[Tensor, "b n s s"]:
        h, seen = torch.cat([c, z[:, :, None, None].expand(-1, -1, *c.shape[2:])], 1), []
        for layer in self.down:
            h = self.act(layer(h))
            seen.append(h)
        noise = self.latent(z).view(len(z), *h.shape[1:])
        h = self.middle(torch.cat([h, noise], 1))
        for layer in self.up:
            h = layer(torch.cat([self.act(h), seen.pop()], 1))
        return leaky_tanh(h)


def filled(x: Float[Tensor, "b n s s"], c: Float[Tensor, "b m s s"]) -> Float[Tensor, "b n s s"]:
    """x in the hole and what was seen around it: c holds the image, 0 in the hole, and then the hole, 1 inside."""
    seen, hole = c[:, :-1], c[:, -1:]
    return seen + hole * x


class HoleF(nn.Module):
    """f of what is in a hole, given what is around it: f(filled(x, c), c). Chains move freely outside the hole."""

    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Float[Tensor, "b n s s"], c: Float[Tensor, "b m s s"]) -> Float[Tensor, "b"]:
        return self.f(filled(x, c), c)


class HoleGenerator(nn.Module):
    """The network's image in the hole, what was seen outside it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Float[Tensor, "b d"], c: Float[Tensor, "b m s s"]) -> Float[Tensor, "b n s s"]:
        return filled(self.net(z, c), c)
