"""A pyramid of patch energies on one image: samples of any size, images that it begins at, super-resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from absynth import recipes
from absynth.algorithms.patchwise import Patchwise
from absynth.data import sets
from absynth.errors import InputError
from absynth.networks.canvas import resized
from absynth.networks.patches import patch_distance
from absynth.seeding import noise_like, stream
from absynth.tasks import redraw, sample
from absynth.training import fit


def stripes(size: int = 32, period: int = 8) -> torch.Tensor:
    return 0.5 * torch.sin(torch.arange(float(size)) * 2 * math.pi / period).expand(1, size, size).clone()


def model(**options) -> Patchwise:
    return Patchwise(
        stripes(), **{"side": 32, "steps": (60, 30), "patch": 5, "filters": 8, "step_size": 0.03} | options
    )


def apart(x, image, patch=5):
    draws = [patch_distance(x, image, patch=patch, filters=16, rng=stream(1, 0, k)).mean() for k in range(10)]
    return float(torch.stack(draws).mean())


def test_the_patch_distance_is_that_of_sorted_projections():
    x, y = noise_like(torch.empty(1, 1, 6, 6), stream(2)), noise_like(torch.empty(1, 1, 6, 6), stream(3))
    assert apart(x, x) == 0
    rolled = torch.roll(x, (2, 3), (2, 3))
    torus = [patch_distance(v, x, patch=1, filters=4, torus=True, rng=stream(4)) for v in (rolled, y)]
    assert float(torus[0]) < 1e-6 < float(torus[1])
    shifted = patch_distance(x + 0.5, x, patch=1, filters=4, rng=stream(5))  # one pixel: filters are signs
    torch.testing.assert_close(shifted, torch.tensor([0.5]))


@pytest.mark.parametrize(("side", "octaves"), [(11, 1), (12, 2), (23, 2), (24, 3)])
def test_octaves_count_where_the_source_has_room_for_patches(side, octaves, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "absynth.algorithms.texture_pyramid.patch_distance",
        lambda x, image, **_: seen.append(image.shape[2]) or torch.ones(len(x)),
    )
    image = torch.rand(1, 1, side, side + 1)
    assert model(patch=3).distance(torch.rand(2, 1, 30, 30), image, rng=stream(1)).tolist() == [octaves] * 2
    assert seen == [side, round(side / 2), round(side / 4)][:octaves]


def test_samples_have_the_patches_of_the_image_at_any_size():
    pyramid = model()
    image = pyramid.image[None]
    for size in ((32, 32), (24, 56)):
        pyramid.set_size(*size)
        x = pyramid.sample(1, rng=stream(6))
        assert x.shape == (1, 1, *size)
        assert apart(x, image) < 0.5 * apart(image.std() * noise_like(x, stream(7)), image)


def test_a_pyramid_that_begins_at_an_image_keeps_its_layout():
    pyramid = model()
    x = stripes()[None].roll(3, 3)
    spoiled = x + 0.2 * noise_like(x, stream(8))
    kept = pyramid.redraw(spoiled, 1, rng=stream(9))
    fresh = pyramid.sample(1, rng=stream(10))
    assert float((kept - x).square().mean()) < 0.6 * float((fresh - x).square().mean())
    assert apart(kept, pyramid.image[None]) < apart(spoiled, pyramid.image[None])


def test_an_enlarged_image_reduces_to_the_image():
    pyramid = model()
    x = pyramid.enlarge(2, 2, updates=5, rng=stream(11))
    assert x.shape == (2, 1, 64, 64)
    source = pyramid.image[None].expand(2, -1, -1, -1)
    once = resized(resized(source, (64, 64)), (32, 32))
    assert float((resized(x, (32, 32)) - source).abs().mean()) < 0.3 * float((once - source).abs().mean())


def test_from_the_command_line(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    file = tmp_path / "photo.png"
    Image.fromarray(pixels).save(file)
    data = sets.open(file, whole=True, side=48)
    assert data.shape == (3, 32, 48)
    run = tmp_path / "run"
    fit(recipes.build("patchwise", str(file), tiny=True), run)
    assert sample.command(run, n=2, height=20, width=50).figures["samples"] == 2
    assert np.load(run / "sample" / "samples.npz")["x"].shape == (2, 3, 20, 50)
    redraw.command(run, input=str(file), mask=str(file), n=1)
    assert np.load(run / "redraw" / "redrawn.npz")["x"].shape == (1, 3, 21, 32)
    redraw.command(run, enlarge=2.0, n=1)
    assert np.load(run / "redraw" / "redrawn.npz")["x"].shape == (1, 3, 42, 64)


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(InputError, match="larger than the image at its coarsest scale"):
        model(patch=25)
    with pytest.raises(InputError, match="coarsest scale, 16 pixels"):
        model(patch=17, factor=2.0)
    assert model(patch=15, factor=2.0).patch == 15
    with pytest.raises(InputError, match="expected scale from 0 to 1"):
        model().redraw(stripes()[None], 2, rng=stream(0))
    with pytest.raises(InputError, match="1 channels"):
        model().redraw(torch.zeros(1, 3, 32, 32), rng=stream(0))
    with pytest.raises(InputError, match="enlarge above 1"):
        model().enlarge(0.5, rng=stream(0))
    Image.fromarray(np.zeros((20, 20), dtype=np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="varies"):
        sets.open(tmp_path / "flat.png", whole=True)
