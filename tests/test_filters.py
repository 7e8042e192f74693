"""Fixed filters: their symmetries, responses on the torus, and FRAME's gradient as a difference of statistics."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from absynth import recipes
from absynth.data.picture_set import pieces
from absynth.errors import InputError
from absynth.networks.filters import (
    FilterBank,
    FrameF,
    TextureConv,
    differences,
    frame_bank,
    gabor,
    laplacian_of_gaussian,
)
from absynth.recipes.texture import TextureRecipe
from absynth.seeding import stream
from absynth.types import Batch


def test_filters_have_norm_one_and_all_but_the_intensity_have_mean_zero():
    bank = frame_bank()
    assert torch.allclose(bank.flatten(1).norm(dim=1), torch.ones(52))
    assert bank[0].sum() == 1
    assert bank[1:].sum((1, 2)).abs().max() < 1e-5


def test_gabor_pairs_are_even_and_odd_and_turn():
    for angle in (0.0, 0.7):
        even, odd = gabor(0.7, angle)
        assert torch.allclose(even, even.flip(0, 1))
        assert torch.allclose(odd, -odd.flip(0, 1))
    level, upright = gabor(1.0, 0.0)[0], gabor(1.0, math.pi / 2)[0]
    assert torch.allclose(level, upright.T, atol=1e-6)
    # A wave is 2π pixels long at scale 1: the spectrum peaks there.
    power = torch.fft.rfft2(F.pad(level, (0, 103, 0, 103))).abs()
    row, column = divmod(int(power.argmax()), power.shape[1])
    assert (row, column) == (0, round(128 / (2 * math.pi)))
    assert torch.allclose(laplacian_of_gaussian(1.4), laplacian_of_gaussian(1.4).T)


@pytest.mark.parametrize("scale", [0.0, -0.4, 0.04])
def test_a_wave_of_less_than_a_pixel_is_refused(scale):
    with pytest.raises(InputError, match=r"Gabor scales of 0\.05 or more"):
        gabor(scale, 0.0)


def test_responses_are_correlations_on_the_torus_and_inside_a_piece(rng):
    kernels = frame_bank((0.3,), 2)
    bank = FilterBank(kernels, 32)
    x, half = torch.randn(2, 1, 32, 32, generator=rng), bank.margin // 2
    wrapped = F.pad(x, [half] * 4, mode="circular")
    assert torch.allclose(bank(x), F.conv2d(wrapped, kernels[:, None]), atol=1e-5)
    piece = torch.randn(2, 1, 37, 37, generator=rng)
    assert torch.allclose(bank(piece), F.conv2d(piece, kernels[:, None]), atol=1e-5)


def test_a_texture_model_does_not_see_where_a_torus_begins(rng):
    torch.manual_seed(0)
    x = torch.randn(2, 1, 40, 40, generator=rng)
    frame = FrameF(FilterBank(frame_bank(), 40), torch.ones(52))
    torch.nn.init.normal_(frame.weight)
    assert torch.allclose(frame(x), frame(x.roll((3, 7), (2, 3))), rtol=1e-3)
    conv = TextureConv(1, 40, 4)  # strides 2 and 2: it sees a shift by 2, not one by 4
    assert torch.allclose(conv(x), conv(x.roll((4, 8), (2, 3))), rtol=1e-4)
    assert not torch.allclose(conv(x), conv(x.roll((1, 2), (2, 3))), rtol=1e-4)


def test_a_piece_with_the_margin_has_as_many_positions_as_a_torus():
    for size in (24, 40, 64):
        conv = TextureConv(1, size, 2)
        piece = torch.zeros(1, 1, size + conv.margin, size + conv.margin)
        assert conv.net(piece).shape[-1] == size // 4


def test_the_gradient_of_frame_is_the_difference_of_statistics(rng):
    frame = FrameF(FilterBank(frame_bank((0.3,), 2), 32), torch.linspace(0.5, 2.0, 8))
    pos, neg = torch.randn(3, 1, 32, 32, generator=rng), 2 * torch.randn(3, 1, 32, 32, generator=rng)
    (frame(neg).mean() - frame(pos).mean()).backward()
    difference = frame.statistics(neg).mean(0) - frame.statistics(pos).mean(0)
    assert torch.allclose(frame.weight.grad, 32**2 * difference, rtol=1e-4)
    # White noise of unit variance has responses N(0, 1) to filters of norm 1: mean |r| is √(2/π).
    noise = torch.randn(60, 1, 32, 32, generator=rng)
    assert torch.allclose(
        frame.statistics(noise).mean(0) * frame.scale, torch.tensor(math.sqrt(2 / math.pi)), atol=0.03
    )


def test_tails_tell_signs_and_sparse_from_dense_which_absolute_responses_do_not(rng):
    bank = FilterBank(torch.ones(1, 1, 1), 16)
    frame = FrameF(bank, torch.ones(1), tails=(1.0,))
    x = torch.randn(1, 1, 16, 16, generator=rng)
    (absolute, upper, lower), turned = frame.statistics(x)[0], frame.statistics(-x)[0]
    assert torch.equal(turned, torch.stack([absolute, lower, upper]))
    dense, sparse = torch.full((1, 1, 16, 16), 0.5), torch.zeros(1, 1, 16, 16)
    sparse[..., ::4, ::2] = 4.0
    both = frame.statistics(torch.cat([dense, sparse]))
    assert both[:, 0].tolist() == [0.5, 0.5]
    assert both[:, 1].tolist() == [0.0, 3.0 / 8]


def test_differences_see_the_checkerboard_that_wavelets_hardly_see():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    checks = (1.0 - 2.0 * ((x + y) % 2))[None, None]
    wavelets = FilterBank(frame_bank()[4:], 32)(checks).abs().amax((0, 2, 3))
    across, down, board = FilterBank(differences(), 32)(checks).abs().amax((0, 2, 3)).tolist()
    assert float(wavelets.max()) < 0.25
    assert (across, down, board) == pytest.approx((2**0.5, 2**0.5, 2.0), rel=1e-4)


def test_the_recipe_learns_from_one_image(tmp_path: Path, rng):
    y, x = torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij")
    colour = torch.stack([(x * 3) % 255, (y * 4) % 255, 0 * x], -1).byte().numpy()
    file = str(tmp_path / "a.png")
    Image.fromarray(colour).save(file)
    recipe = recipes.build("texture", file, kind="picture", side=100, canvas=40, piece=80)
    assert isinstance(recipe, TextureRecipe)
    image = recipe.examples.image
    assert image.shape == (1, 100, 100)
    assert float(image.std()) == pytest.approx(1 / 3, rel=1e-4)
    assert len(recipe.scale) == 55
    assert min(recipe.scale) == pytest.approx(1e-3 / 3)  # the checkerboard, which a slope does not have
    model = recipe.algorithm()
    batch = next(recipe.batches())
    assert batch.x.shape == (4, 1, 80, 80)
    # Scaled responses of the image itself have standard deviation 1, or less where the image hardly has any.
    found, scale = model.ebm.f.bank(image[None]).std((0, 2, 3)), model.ebm.f.scale
    assert torch.allclose((found / scale)[found > 1e-3 / 3], torch.ones(()), rtol=1e-3)
    with pytest.raises(InputError, match="canvas below piece"):
        recipes.build("texture", file, kind="picture", side=100, piece=60)
    with pytest.raises(InputError, match="at most the image's 100 pixels"):
        recipes.build("texture", file, kind="picture", side=100)
    small = recipes.build("texture", file, kind="picture", tiny=True).algorithm()
    assert small.losses(Batch(torch.zeros(2, 1, 56, 56)), rng=rng)["ebm"].shape == ()
    assert small.sample(3, rng=rng).shape == (3, 1, 32, 32)


def test_pieces_come_from_everywhere():
    image = torch.arange(25.0).view(1, 5, 5)
    found = {float(p[0, 0, 0]) for p in pieces(image, 3, 300, rng=stream(0))}
    assert found == {0.0, 1.0, 2.0, 5.0, 6.0, 7.0, 10.0, 11.0, 12.0}
