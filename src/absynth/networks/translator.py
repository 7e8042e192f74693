"""From an example of one domain to one of another: pictures by convolutions, and what comes next in a sequence."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Translator(nn.Module):
    """``[b, source, s, s] -> [b, channels, s, s]``, for pictures of any even side (a small U-Net).

    One level down, a residual block there, and up again with a skip: an output pixel sees a few pixels around it, so
    that what translation keeps by default is the layout. It begins as an unknown map, not as the identity.

    No bound on the output: the constant that costs cycle consistency least is the background of every picture, early
    translators run to it, and where it is the bound of a tanh no gradient brings them back. Of digits and negatives,
    one seed of two was lost there. Values past [-1, 1] are for whoever shows the picture to clip.

    Args:
        source: channels of the domain that it translates from.
        channels: of the domain that it translates to.
        width: maps at full size.
        leak: slope of the leaky ReLUs.
    """

    def __init__(self, source: int, channels: int, width: int, leak: float = 0.2) -> None:
        super().__init__()
        self.first = nn.Conv2d(source, width, 5, padding=2)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.LeakyReLU(leak),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        )
        self.up = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.last = nn.Conv2d(2 * width, channels, 3, padding=1)
        self.act = nn.LeakyReLU(leak)

    def forward(self, x: Float[Tensor, "b source s s"]) -> Float[Tensor, "b channels s s"]:
        fine = self.act(self.first(x))
        coarse = self.act(self.down(fine))
        coarse = self.act(coarse + self.block(coarse))
        return self.last(torch.cat([fine, self.act(self.up(coarse))], 1))


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
