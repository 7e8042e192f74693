"""Transposed convolutions in fewer products are the ones that torch knows, in both directions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absynth import density
from absynth.engine import plan, trace
from absynth.engine.minimal import Minimal
from absynth.seeding import stream

SHAPES = [(3, 2, 4), (1, 4, 2), (2, 6, 4)]
"""Examples, rows and columns of the narrow map."""


def made(b: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor, Minimal]:
    """Weights of 5 channels to 7, a narrow map, a wide one, and what is tested."""
    rng = stream(1, 0, b)
    weight = torch.randn(5, 7, 4, 4, generator=rng)
    x, g = torch.randn(b, 5, h, w, generator=rng), torch.randn(b, 7, 2 * h, 2 * w, generator=rng)
    return weight, x, g, Minimal(weight, b, h, w, weight.dtype)


def error(found: Tensor, wanted: Tensor) -> float:
    """Relative to the size of what is wanted, in float64."""
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("b", "h", "w"), SHAPES)
def test_both_directions_are_torchs(b, h, w):
    weight, x, g, both = made(b, h, w)
    bias, other = torch.randn(7, generator=stream(2)), torch.randn(5, generator=stream(3))
    double = weight.double()
    wide = F.conv_transpose2d(x.double(), double, bias.double(), 2, 1)
    narrow = F.conv2d(g.double(), double, other.double(), 2, 1)
    assert error(both.widen(x, bias), wide) < 1e-6
    assert error(both.narrow(g, other), narrow) < 1e-6
    assert both.widen(x, None).is_contiguous(memory_format=torch.channels_last)
    assert error(both.widen(x, None), wide) > 1e-2  # the bias counts
    assert error(both.widen(x, bias), F.conv_transpose2d(x.double(), double.flip(2), bias.double(), 2, 1)) > 0.1


def test_the_directions_are_each_others_transpose():
    _, x, g, both = made(2, 4, 4)
    assert (both.widen(x, None) * g).sum().item() == pytest.approx((x * both.narrow(g, None)).sum().item(), rel=1e-4)


class Both(nn.Module):
    """A transposed convolution that is done in fewer products, and a convolution back, with activations between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.ConvTranspose2d(channels, channels, 4, 2, 1)
        self.narrow = nn.Conv2d(channels, channels, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.narrow(F.leaky_relu(self.wide(x), 0.1))).square().sum((1, 2, 3))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="only oneDNN's layers are done so")
@pytest.mark.parametrize(("batch", "channels", "used"), [(25, 128, True), (24, 128, False), (25, 127, False)])
def test_plans_use_it_where_maps_and_channels_are_many_and_the_score_is_autograds(batch, channels, used, monkeypatch):
    torch.manual_seed(0)
    net, x = Both(channels), torch.randn(batch, channels, 4, 4, generator=stream(4))
    made, record = plan.make_of(trace.trace(net, x), x)
    calls: list[str] = []
    for name in ("widen", "narrow"):
        plain = getattr(Minimal, name)
        monkeypatch.setattr(Minimal, name, lambda self, *a, f=plain, name=name: calls.append(name) or f(self, *a))
    assert error(plan.Plan(made, record.leaves()).score(x), density.score(net.double(), x.double())) < 1e-5
    assert calls == ["widen", "narrow"] * 2 * used
