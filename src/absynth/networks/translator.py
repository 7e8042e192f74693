"""From an example of one domain to one of another: images by convolutions, and what comes next in a sequence."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from absynth.networks.mlp import Activation, mlp


def leaky_tanh(h: Tensor, leak: float = 0.1) -> Tensor:
    """tanh h + leak · h: about the range of images, and a way back from anywhere past it.

    Players that learn together overshoot. Behind a plain tanh a network that ran to the end of the range has no
    gradient left to return by; without a bound its initial samples and f swing against each other in widening turns.
    """
    return h.tanh() + leak * h


class Translator(nn.Module):
    """``[b, source, s, s] -> [b, channels, s, s]``, for images of any even side (a small U-Net).

    One level down, a residual block there, and up again with a skip: an output pixel sees a few pixels around it, so
    that what translation keeps by default is the layout. It begins as an unknown map, not as the identity.

    The constant that costs cycle consistency least is the background of every image, and early translators run to
    it: hence :func:`leaky_tanh`, whose values past [-1, 1] are for whoever shows the image to clip. Margins are
    repeated rather than filled with zeros, which in images are grey, so that a uniform ground stays uniform.

    Args:
        source: channels of the domain that it translates from.
        channels: of the domain that it translates to.
        width: maps at full size.
        leak: slope of the leaky ReLUs.
    """

    def __init__(self, source: int, channels: int, width: int, leak: float = 0.2) -> None:
        super().__init__()
        self.first = same(source, width, 5)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, padding_mode="replicate")
        self.block = nn.Sequential(same(2 * width, 2 * width, 3), nn.LeakyReLU(leak), same(2 * width, 2 * width, 3))
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), same(2 * width, width, 3))
        self.last = same(2 * width, channels, 3)
        self.act = nn.LeakyReLU(leak)

    def forward(self, x: Float[Tensor, "b source s s"]) -> Float[Tensor, "b channels s s"]:
        fine = self.act(self.first(x))
        coarse = self.act(self.down(fine))
        coarse = self.act(coarse + self.block(coarse))
        return leaky_tanh(self.last(torch.cat([fine, self.act(self.up(coarse))], 1)))


def same(n_in: int, n_out: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the side and repeats the margin."""
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, padding_mode="replicate")


class VectorTranslator(nn.Module):
    """``[b, d] -> [b, d]``: a linear map and what a network adds to it, which is nothing at first.

    It begins as a random turn of the space, and the way back as the inverse turn (:meth:`begin_as_inverse_of`). Two
    networks that begin as any map and first of all learn to undo each other settle on one that takes half a mode to
    one place and half of it to another; a map that turns as a whole is turned as a whole by what teaches it.

    Args:
        dim: d.
        width: hidden units of the network's two hidden layers.
        act: its activation.
    """

    def __init__(self, dim: int, width: int, act: Activation = "silu") -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.rest = mlp([dim, width, width, dim], act)
        nn.init.orthogonal_(self.linear.weight)
        for parameter in (self.linear.bias, *list(self.rest.parameters())[-2:]):
            nn.init.zeros_(parameter)

    def begin_as_inverse_of(self, other: VectorTranslator) -> VectorTranslator:
        """Turn back what the other one, freshly initialized, turns; returns itself."""
        with torch.no_grad():
            self.linear.weight.copy_(other.linear.weight.T)
        return self

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return self.linear(x) + self.rest(x)


class FramePredictor(nn.Module):
    """What comes next, ``[b, T, d] -> [b, T, d]``: at t a gated recurrent unit's guess at frame t + 1, seeing 1 ... t.

    The guess is the frame itself plus what the network says, so that standing still is where it begins.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        return x + self.head(self.recurrent(x)[0])
