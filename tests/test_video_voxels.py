"""Every method that takes video and voxels trains on them, and the laws that make their models what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from absynth import recipes
from absynth.data import sets
from absynth.networks.growing import GrowingConv
from absynth.networks.spacetime import SpaceTimeF
from absynth.samplers.multiscale import coarsen, refine
from absynth.seeding import stream
from absynth.training import fit
from absynth.updates import update


def clip() -> np.ndarray:
    """Noise that drifts, [t, h, w, c], bytes."""
    x = np.random.default_rng(0).integers(0, 255, (16, 16, 1), dtype=np.uint8)
    return np.stack([np.roll(x, t, 1) for t in range(24)])


def shapes() -> np.ndarray:
    x = np.zeros((40, 16, 16, 16), np.uint8)
    for i in range(40):
        x[i, 2 : 6 + i % 8, 3:12, 4 : 8 + i % 5] = 1
    return x


DATA = {"video": clip, "voxels": shapes}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("method", ["maximum_likelihood", "multigrid", "coarse_to_fine", "cooperative"])
def test_methods_learn_from_clips_and_shapes(method, kind):
    data = sets.open(DATA[kind](), kind=kind, **({"frames": 8} if kind == "video" else {}))
    grids = {"grids": 2} if method in ("multigrid", "coarse_to_fine") else {}
    recipe = recipes.build(method, data, tiny=True, batch=4, seed=3, **grids)
    model = recipe.algorithm()
    before = [p.detach().clone() for p in model.parameters()]
    losses = update(model, recipe.optimizers(model), next(recipe.batches()), rng=stream(0))
    assert all(math.isfinite(v) for v in losses.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
    x = model.sample(2, rng=stream(1))
    assert x.shape == (2, *data.shape)
    known = data.batch(torch.tensor([0, 1])).x
    half = torch.zeros(data.shape, dtype=torch.bool)
    half[..., : data.shape[-1] // 2] = True
    done = model.complete(lambda v: torch.where(half, known, v), 2, rng=stream(2))
    assert torch.equal(done[..., : data.shape[-1] // 2], known[..., : data.shape[-1] // 2])


def test_f_is_stationary_in_time_and_if_wanted_in_space():
    """An event in a long clip counts the same at any time; at any place only without a layer that sees whole frames."""
    torch.manual_seed(0)
    event = torch.randn(1, 1, 4, 8, 8)

    def value(f, t, left):
        x = torch.zeros(1, 1, 64, 16, 64)
        x[:, :, t : t + 4, 4:12, left : left + 8] = event
        return f(x).item()

    local = SpaceTimeF(1, (16, 64), 4, stationary="space_time")
    assert value(local, 24, 24) == pytest.approx(value(local, 32, 24), rel=1e-4)
    assert value(local, 24, 24) == pytest.approx(value(local, 24, 32), rel=1e-4)
    whole = SpaceTimeF(1, (16, 64), 4)
    assert value(whole, 24, 24) == pytest.approx(value(whole, 32, 24), rel=1e-4)
    assert value(whole, 24, 24) != pytest.approx(value(whole, 24, 32), rel=1e-4)


def test_resolutions_of_clips_and_volumes():
    x = torch.randn(2, 3, 8, 16, 16)
    assert torch.allclose(coarsen(refine(x, 32), 16), x, atol=1e-6)
    assert coarsen(x, 4).shape == (2, 3, 2, 4, 4)
    assert torch.allclose(coarsen(x, 4).mean(), x.mean(), atol=1e-6)
    # At fade 0 a grown network is its parent's of the pooled clip, as for images.
    f = GrowingConv(3, (8, 16), 4, coarsest=(4, 8, 8))
    f.grow(1)
    zero = torch.zeros(2)
    assert torch.allclose(f(x, zero), f(coarsen(x, 8)), atol=1e-5)
    assert not torch.allclose(f(x, zero + 1), f(coarsen(x, 8)), atol=1e-5)


def test_longer_clips_than_training(tmp_path):
    data = sets.open(clip(), kind="video", frames=8)
    model = fit(recipes.build("maximum_likelihood", data, tiny=True), tmp_path / "run")
    model.set_frames(20)
    assert model.sample(2, rng=stream(0)).shape == (2, 1, 20, 16, 16)
    other = recipes.build("cooperative", data, tiny=True).algorithm()
    with pytest.raises(Exception, match="leave --frames out"):
        other.set_frames(20)
