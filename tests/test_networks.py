"""Strided stacks in one, two and three dimensions, and the networks that are chosen by kind and shape of the data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from absynth import networks
from absynth.errors import InputError
from absynth.networks.convnet import conv_f
from absynth.networks.deconvnet import deconv_generator
from absynth.networks.encoder import conv_encoder
from absynth.networks.strided import downsample, upsample

SHAPES = {1: (2, 32), 2: (2, 16, 28), 3: (1, 8, 16, 16)}


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_downsample_returns_the_shape_that_it_says(dims):
    shape = SHAPES[dims]
    layers, found = downsample(shape, 4)
    assert tuple(layers(torch.zeros(3, *shape)).shape[1:]) == found
    assert all(4 <= side <= 7 for side in found[1:])


def test_downsample_is_the_layout_of_the_published_networks():
    layers, _ = downsample((3, 32, 32), 64)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512]
    assert [c.kernel_size for c in convolutions] == [(3, 3), (4, 4), (4, 4), (4, 4)]
    assert [c.stride for c in convolutions] == [(1, 1), (2, 2), (2, 2), (2, 2)]
    capped, shape = downsample((3, 64, 64), 4, widest=8)
    assert shape == (8, 4, 4)
    assert max(c.out_channels for c in capped if isinstance(c, nn.Conv2d)) == 8


@pytest.mark.parametrize(
    ("start", "shape"),
    [((6, 4), (2, 32)), ((6, 4, 4), (3, 28, 28)), ((6, 7, 4), (1, 14, 32)), ((6, 2, 4, 4), (3, 4, 16, 16))],
)
def test_upsample_reaches_the_shape(start, shape):
    assert upsample(start, shape, 8)(torch.zeros(2, *start)).shape == (2, *shape)
    assert upsample(start, shape, 8, smooth=True)(torch.zeros(2, *start)).shape == (2, *shape)


def test_a_side_that_doubling_does_not_reach_is_refused():
    with pytest.raises(InputError, match="makes 4 or 7 times a power of two, got size 30"):
        upsample((6, 4, 4), (1, 30, 30), 8)


@pytest.mark.parametrize("sides", [(32,), (16, 28), (8, 16, 16)])
def test_every_pixel_enters_f_and_what_is_inferred(sides):
    torch.manual_seed(0)
    x = torch.zeros(2, 1, *sides, requires_grad=True)
    for net in (conv_f(1, sides, 4), conv_encoder(1, sides, 3, 4)):
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
        assert (gradient[0].abs() > 0).all()
    generated = deconv_generator(3, sides, 1, 2)(torch.zeros(2, 3))
    assert generated.shape == x.shape
    assert generated.abs().max() <= 1


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("toy", (2,)), ("table", (7,)), ("image", (1, 28, 28)), ("voxels", (1, 16, 16, 16)), ("video", (3, 8, 16, 16))],
)
def test_networks_by_kind_and_shape(kind, shape):
    x, z = torch.zeros(3, *shape), torch.zeros(3, 5)
    for network in ("conv", "mlp"):
        assert networks.energy(kind, shape, 4, network=network)(x).shape == (3,)
        assert networks.generator(kind, shape, 5, 4, network=network)(z).shape == x.shape
        assert networks.inference(kind, shape, 5, 4, network=network)(x).shape == (3, 10)


def test_a_kind_without_networks_says_so():
    with pytest.raises(InputError, match="text data of shape \\[12\\]: give networks of your own"):
        networks.energy("text", (12,), 4)
    with pytest.raises(InputError, match="8x8 pixels or more"):
        networks.energy("image", (1, 6, 6), 4)
    assert networks.energy("image", (1, 6, 6), 4, network="mlp")(torch.zeros(2, 1, 6, 6)).shape == (2,)
    assert networks.mlp_energy(dim=2)(torch.zeros(5, 2)).shape == (5,)
    assert networks.conv_energy(1, 28, 4)(torch.zeros(5, 1, 28, 28)).shape == (5,)
