"""FRAME: gradients as differences of statistics, log Z on the way, pursuit of planted filters, textures."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from torch import nn

from absynth import recipes
from absynth.algorithms.filter_pursuit import FilterPursuit
from absynth.algorithms.frame import Frame
from absynth.algorithms.sparse_frame import SparseFrame, shared_matching_pursuit
from absynth.algorithms.texture_pyramid import TexturePyramid
from absynth.data import open as open_data
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.networks import statistics
from absynth.networks.filters import FilterBank, differences, frame_bank, gabor
from absynth.networks.mlp import mlp_f
from absynth.networks.statistics import (
    ExponentialF,
    Histograms,
    LocalResponses,
    NetworkResponses,
    WaveletResponses,
)
from absynth.samplers import HMC, Langevin, Persistent
from absynth.seeding import noise_like, stream
from absynth.types import Batch
from absynth.updates import update

F64 = torch.float64


class Moments(nn.Module):
    """h(x) = (x, −x²/2)."""

    def forward(self, x):
        return torch.cat([x, -0.5 * x**2], 1)


def one_dimension(chains: int = 4000, sampler=None) -> Frame:
    reference = StandardNormal(1).double()
    start = Persistent(chains, reference, rng=stream(1))
    f = ExponentialF(Moments(), 2).double()
    return Frame(EBM(f, reference), start=start, sampler=sampler or HMC(3, 0.25, leapfrog_steps=3)).double()


def test_the_gradient_is_the_difference_of_statistics():
    found = one_dimension(50)
    x = 0.5 + 0.5 * noise_like(torch.empty(20, 1, dtype=F64), stream(2))
    loss = found.losses(Batch(x), rng=stream(3))["ebm"]
    (slope,) = torch.autograd.grad(loss, [found.f.weight])
    torch.testing.assert_close(-slope, found.statistics(x) - found.statistics(found.chains_now))


def test_maximum_likelihood_with_log_z_on_the_way():
    """N(1/2, 1/4) from N(0, 1): λ = (2, 3), and log Z as the grid has it."""
    found = one_dimension()
    x = 0.5 + 0.5 * noise_like(torch.empty(4000, 1, dtype=F64), stream(4))
    optimizers = {"ebm": torch.optim.SGD([found.f.weight], 0.5)}
    for step in range(200):
        update(found, optimizers, Batch(x), rng=stream(5, 0, step))
    grid = Grid(-8, 8, 2000, 1)
    with torch.no_grad():
        truth = float(grid.log_integral(found.ebm().log_density))
    assert float(found.log_z()) == pytest.approx(truth, abs=0.03)
    mean, square = float(x.mean()), float((x**2).mean())
    variance = square - mean**2
    torch.testing.assert_close(
        found.f.weight.detach(), torch.tensor([mean / variance, 1 / variance - 1], dtype=F64), atol=0.5, rtol=0
    )
    values = found.log_prob(grid.points)
    assert float((values + grid.log_cell).logsumexp(0)) == pytest.approx(0, abs=0.03)
    assert found.mismatch(x) < 0.02
    found.tracked.zero_()  # negative control
    assert abs(float(found.log_z()) - truth) > 0.1


def test_log_z_of_one_update_is_exact_in_expectation():
    """(3), from exact draws: log E[exp(Δ·h)] of N(0, 1)."""
    found = one_dimension(200_000)
    with torch.no_grad():
        found.f.weight.copy_(torch.tensor([0.3, 0.2]))
    a, b = 1.2, 0.3
    assert float(found.log_z()) == pytest.approx(b**2 / (2 * a) - 0.5 * math.log(a), abs=0.008)


@pytest.mark.parametrize("tracking", [0, 200])
def test_log_z_is_tracked_without_bias_by_chains_that_are_not_learned_from(tracking):
    """40 dimensions, h(x) = x, data of mean 0: log Z(λ) = |λ|²/2, and each update of 20 chains costs γ · 40/20."""
    reference = StandardNormal(40).double()
    found = Frame(
        EBM(ExponentialF(nn.Identity(), 40).double(), reference),
        start=Persistent(20 + tracking, reference, rng=stream(20)),
        sampler=HMC(1, 0.5, leapfrog_steps=3),  # a quarter of a period: next to independent draws
        tracking=tracking,
    ).double()
    optimizers = {"ebm": torch.optim.SGD([found.f.weight], 0.1)}
    for step in range(30):
        update(found, optimizers, Batch(torch.zeros(1, 40, dtype=F64)), rng=stream(21, 0, step))
    error = float(found.log_z()) - 0.5 * float(found.f.weights.detach().square().sum())
    assert abs(error) < 0.4 if tracking else error < -3


def bank(side: int = 24) -> FilterBank:
    return FilterBank(differences(), side)


def test_histograms_count_every_position_once_and_have_a_gradient():
    h = Histograms(bank(), torch.ones(3), [-2.0, -1.0, 0.0, 1.0, 2.0])
    x = 0.5 * noise_like(torch.empty(2, 1, 24, 24), stream(6))
    counts = h(x).view(2, 3, 5)
    torch.testing.assert_close(counts.sum(2), torch.full((2, 3), 24.0**2))
    r = h.bank(x)[0, 0].flatten()
    hats = (1 - (r[:, None] - h.centers).abs()).clamp(min=0)
    hats[:, 0] += (-r - 2).clamp(min=0) * 0
    inner = (r.abs() < 2).all()
    assert inner
    torch.testing.assert_close(counts[0, 0], hats.sum(0), rtol=1e-4, atol=1e-3)
    f = ExponentialF(h, h.size)
    nn.init.normal_(f.weight, generator=stream(7))
    x.requires_grad_()
    assert torch.autograd.grad(f(x).sum(), x)[0].abs().sum() > 0


def test_pursuit_finds_the_filter_that_the_data_differ_in():
    """Data that are smooth across and white down differ from white noise in the difference across, above all."""
    white, two = noise_like(torch.empty(8, 1, 24, 24), stream(8)), FilterBank(differences()[:2], 24)
    x = (white + white.roll(1, 3)) / 2**0.5
    reference = StandardNormal(1, 24, 24)
    h = Histograms(two, torch.ones(2), [-3.0, -1.5, 0.0, 1.5, 3.0])
    for data, planted in ((x, 0), (x.transpose(2, 3), 1)):
        found = FilterPursuit(
            EBM(ExponentialF(h, h.size), reference),
            start=Persistent(4, reference, rng=stream(9)),
            sampler=Langevin(1, 0.1),
            filters=2,
            choose=2,
        )
        loss = found.losses(Batch(data), rng=stream(10))
        assert found.chosen == [planted]
        assert int(found.f.active.sum()) == 5
        slope = torch.autograd.grad(loss["ebm"], [found.f.weight])[0].view(2, 5).abs().sum(1)
        assert (slope > 0).tolist() == [k == planted for k in range(2)]
        found.set_progress(0.9)
        found.losses(Batch(data), rng=stream(10))
        assert len(found.chosen) == 2


@pytest.mark.parametrize(("adding", "counts"), [(0.5, [1, 1, 2, 3, 3]), (0.0, [3, 3, 3, 3, 3])])
def test_filters_are_added_evenly_over_the_first_part_of_the_updates(adding, counts):
    reference, bank = StandardNormal(1, 12, 12), FilterBank(torch.cat([differences(), differences()])[:3], 12)
    h = Histograms(bank, torch.ones(3), [-3.0, 0.0, 3.0])
    found = FilterPursuit(
        EBM(ExponentialF(h, h.size), reference),
        start=Persistent(4, reference, rng=stream(9)),
        sampler=Langevin(1, 0.1),
        filters=3,
        choose=3,
        adding=adding,
    )
    x = noise_like(torch.empty(4, 1, 12, 12), stream(8))
    of_data, of_chains = (h(v).mean(0).view(3, -1) for v in (x, found.chains_now))
    expected = 0.5 * (of_data - of_chains).abs().sum(1) / of_data.sum(1)
    torch.testing.assert_close(found.distance(x), expected)
    seen = []
    for share in (0.0, 0.16, 0.17, 0.34, 1.0):
        found.set_progress(share)
        found.losses(Batch(x), rng=stream(10))
        seen.append(len(found.chosen))
    assert seen == counts
    assert sorted(found.chosen) == [0, 1, 2]
    assert found.chosen[0] == int(expected.argmax()) or not adding


def test_matching_pursuit_finds_planted_wavelets():
    kernels = torch.stack([gabor(0.4, math.pi * i / 4)[0] for i in range(4)])
    planted = [(1, 8, 9), (3, 17, 16)]
    dictionary = torch.zeros(2, 1, 26, 26)
    for row, (k, y, x) in zip(dictionary, planted, strict=True):
        row[0, y - 5 : y + 6, x - 5 : x + 6] = kernels[k]
    amounts = 3 + noise_like(torch.empty(20, 2), stream(11)).abs()
    x = torch.einsum("nj,jchw->nchw", amounts * torch.tensor([1.0, 0.6]), dictionary)
    x = x + 0.05 * noise_like(x, stream(12))
    found, places = shared_matching_pursuit(x, kernels, 2)
    assert [tuple(p) for p in places.tolist()] == planted
    torch.testing.assert_close(found, dictionary)
    model = SparseFrame(
        EBM(ExponentialF(WaveletResponses(found), 2), StandardNormal(1, 26, 26)),
        start=Persistent(4, StandardNormal(1, 26, 26), rng=stream(13)),
        sampler=HMC(1, 0.1, leapfrog_steps=2),
    )
    assert (model.reconstruct(x) - x).std() < 0.06
    sketch = model.sketch(x)
    assert (float(sketch.max()), float(sketch.min())) == (1.0, -1.0)
    torch.testing.assert_close(model.f.statistics(x)[:, 0], (x * found[0]).sum((1, 2, 3)).abs())


@pytest.mark.parametrize("potential", ["absolute", "rectified"])
def test_local_responses_are_those_of_filters_within_the_image(potential, monkeypatch):
    kernels = frame_bank(scales=(0.4,), orientations=2)
    scale = torch.linspace(1, 2, len(kernels))
    x = noise_like(torch.empty(3, 1, 20, 20), stream(14))
    h = LocalResponses(kernels, (20, 20), scale, potential)
    r = h.responses(x)[0]
    assert (r[0] != 0).all()  # the intensity has no extent
    assert (r[-1, :5] == 0).all()
    assert (r[-1, 5:15, 5:15] != 0).all()
    found = h(x)
    assert found.shape == (3, h.size)
    assert (found != 0).float().mean() == (1 if potential == "absolute" else 0.5)
    first = x.flatten(1) / scale[0]
    torch.testing.assert_close(found[:, :400], first.abs() if potential == "absolute" else first.relu())
    monkeypatch.setattr(statistics, "LARGEST_MATRIX", 100)
    by_convolution = LocalResponses(kernels, (20, 20), scale, potential)
    assert by_convolution.matrix is None
    torch.testing.assert_close(by_convolution(x), found)


@pytest.mark.parametrize("potential", ["absolute", "rectified"])
def test_weights_with_entries_of_places_over_the_border_are_read(potential):
    h = LocalResponses(frame_bank(scales=(0.4,), orientations=2), (18, 18), torch.ones(8), potential)
    reference = StandardNormal(1, 18, 18)
    start = Persistent(4, reference, rng=stream(13))
    model = Frame(EBM(ExponentialF(h, h.size), reference), start=start, sampler=HMC(1, 0.1))
    all_places = h.inside.numel() * (1 if potential == "absolute" else 2)
    full = torch.arange(all_places, dtype=torch.float32)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    kept = {"previous": full, "ebm.f.weight": full, "ebm.f.active": torch.ones(all_places, dtype=torch.bool)}
    model.load_state_dict(state | kept)
    # The map of a filter is a block of 324 places; the halves of rectified responses follow each other.
    maps = model.f.weight.detach()[: int(h.inside.sum())]
    assert torch.equal(maps, full[: h.inside.numel()].view_as(h.inside)[h.inside])
    assert torch.equal(model.previous, model.f.weight)
    model.load_state_dict(state)
    assert not model.f.weight.any()


def test_the_filters_of_a_network_stay_as_they_are():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    for pooled in (True, False):
        h = NetworkResponses(net, (1, 8, 8), pooled=pooled)
        f = ExponentialF(h, h.size)
        assert [name for name, p in f.named_parameters() if p.requires_grad] == ["weight"]
        assert f(torch.zeros(2, 1, 8, 8)).shape == (2,)


def texture(**options) -> TexturePyramid:
    image = 0.3 * torch.sin(torch.arange(48.0) * 2 * math.pi / 8).expand(1, 48, 48)
    return TexturePyramid(image, **{"side": 40, "steps": (80, 40), "factor": 2.0, "patch": 5, "filters": 8} | options)


def test_a_texture_gets_the_patches_of_the_image():
    model = texture()
    image = model.image[None]

    def distance(x):
        return float(torch.stack([model.distance(x, image, rng=stream(15, 0, k)).mean() for k in range(20)]).mean())

    x = model.sample(1, rng=stream(16))
    noise = image.std() * noise_like(x, stream(17))
    assert distance(image[..., :40, :40]) < 0.02  # a piece that is a torus has them already
    assert distance(x) < 0.35 * distance(noise)
    assert x.shape == (1, 1, 40, 40)
    model.set_size(56)
    assert model.sample(1, rng=stream(16)).shape == (1, 1, 56, 56)


def test_the_canvas_is_learned_scale_after_scale():
    model = texture(steps=(4, 4), textures=2)
    optimizers = {"canvas": torch.optim.Adam(model.canvas.parameters(), 0.02)}
    for step in range(8):
        model.set_progress(step / 8)
        update(model, optimizers, Batch(torch.zeros(1)), rng=stream(18, 0, step))
        assert int(model.level) == step // 4
        changed = [bool(p.abs().sum() > 0) for p in model.canvas.scales]
        assert changed == [True, step >= 4]


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="larger than the image"):
        texture(patch=33)
    with pytest.raises(InputError, match="larger than images of 8"):
        LocalResponses(frame_bank(), (8, 8), torch.ones(52))
    with pytest.raises(InputError, match="ExponentialF"):
        Frame(
            EBM(mlp_f(2, 4), StandardNormal(2)),
            start=Persistent(4, StandardNormal(2), rng=stream(0)),
            sampler=HMC(1, 0.1),
        )
    with pytest.raises(InputError, match="fewer than the 4 chains"):
        Frame(
            EBM(ExponentialF(nn.Identity(), 2), StandardNormal(2)),
            start=Persistent(4, StandardNormal(2), rng=stream(0)),
            sampler=HMC(1, 0.1),
            tracking=4,
        )
    for filters, choose, expected in ((4, 5, "choose between 1 and 4"), (3, 2, "equally many statistics of 3 filters")):
        with pytest.raises(InputError, match=expected):
            FilterPursuit(
                EBM(ExponentialF(nn.Identity(), 4), StandardNormal(4)),
                start=Persistent(4, StandardNormal(4), rng=stream(0)),
                sampler=HMC(1, 0.1),
                filters=filters,
                choose=choose,
            )
    with pytest.raises(InputError, match="3 bins or more"):
        Histograms(bank(), torch.ones(3), [0.0, 1.0])
    with pytest.raises(InputError, match="at most 64 wavelets"):
        shared_matching_pursuit(torch.zeros(2, 1, 8, 8), differences(), 100)


def classes_of_squares(folder, counts):
    """Folders of grey images, one per class."""
    rng = torch.Generator().manual_seed(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = torch.randint(0, 255, (20, 20), generator=rng, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(folder / name / f"{i}.png")
    return str(folder)


def test_a_class_is_named_or_numbered(tmp_path):
    data = classes_of_squares(tmp_path / "pets", {"cat": 9, "dog": 6, "owl": 1})
    opened = open_data(data)

    def rows(label: str) -> list[int]:
        return recipes.build("frame", opened, label=label, tiny=True).rows().tolist()

    assert rows("dog") == rows("1") == (opened.labels == 1).nonzero()[:, 0].tolist()
    assert rows("") == list(range(len(opened)))
    with pytest.raises(InputError, match="cat, dog, owl"):
        rows("cow")
    with pytest.raises(InputError, match="two images or more of class owl, got 1"):
        rows("owl")
    plain = open_data(classes_of_squares(tmp_path / "plain", {"": 9}))
    assert len(recipes.build("frame", plain, tiny=True).rows()) == len(plain)
    with pytest.raises(InputError, match="one sub-folder per class"):
        recipes.build("frame", plain, label="0", tiny=True)


def test_a_gaussian_reference_is_that_of_the_images_and_their_noise(tmp_path):
    data = classes_of_squares(tmp_path / "pets", {"cat": 30, "dog": 4})
    recipe = recipes.build("frame", data, label="cat", reference="gaussian", data_noise=0.5, tiny=True)
    model = recipe.algorithm()
    x = recipe.model_inputs(recipe.examples.batch(recipe.rows()).x)
    spread = model.ebm.reference.factor.square().sum(1).sqrt()
    expected = (x.flatten(1).var(0) + 0.25).mean().sqrt()
    assert float(spread.mean()) == pytest.approx(float(expected), rel=0.05)
    loss = model.losses(next(recipe.batches()), rng=stream(0))["ebm"]
    assert torch.isfinite(loss)
    torch.testing.assert_close(model.log_prob(x), model.ebm.reference.log_prob(x))  # f is 0 before learning
