"""Several resolutions: growth without a shock, chains that start where the coarser ones end, exact noise schedules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from laws import mean_is, normal_law
from torch import nn

from absynth import recipes
from absynth.algorithms.coarse_to_fine import CoarseToFine
from absynth.algorithms.multigrid import ColourHistogram, MultiGrid
from absynth.distributions import Uniform
from absynth.errors import InputError
from absynth.networks.growing import GrowingConv
from absynth.samplers import Langevin
from absynth.samplers.multiscale import FadingLangevin, coarsen, fading, refine
from absynth.seeding import noise_like, stream
from absynth.training import fit
from absynth.types import Batch
from absynth.updates import backward

F64 = torch.float64
SIZES = (4, 8, 16)


def pictures(n: int = 6, channels: int = 1) -> torch.Tensor:
    return noise_like(torch.empty(n, channels, 16, 16, dtype=F64), stream(1)).clamp(-1, 1)


def growing(seed: int = 0) -> CoarseToFine:
    torch.manual_seed(seed)
    f, samplers = GrowingConv(1, SIZES, 2), fading([2, 2, 2], 1.0, 0.1)
    return CoarseToFine(f, Uniform(1, 4, 4), samplers=samplers, data_noise=0.05).double()


def grid(seed: int = 0, start_noise: float = 0.0) -> MultiGrid:
    torch.manual_seed(seed)
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(s * s, 8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0)) for s in SIZES]
    return MultiGrid(nets, SIZES, 1, samplers=[Langevin(2, 0.3)] * 3, start_noise=start_noise, data_noise=0.05).double()


# Up, down, and noise that fades ------------------------------------------------------------------------------------


def test_averages_undo_repeated_pixels():
    x = pictures()
    small = coarsen(x, 4)
    assert small.shape == (6, 1, 4, 4)
    assert torch.allclose(small[0, 0, 0, 0], x[0, 0, :4, :4].mean())
    assert torch.allclose(coarsen(refine(small, 16), 4), small, rtol=1e-14)
    assert torch.allclose(coarsen(x, 1).flatten(), x.mean((1, 2, 3)))
    assert torch.equal(refine(small, 8)[0, 0, :2, :2], small[0, 0, 0, 0].expand(2, 2))


def test_noise_falls_linearly_over_all_stages_together():
    scales = [tau for sampler in fading([3, 2, 4], 1.0, 0.8) for tau in sampler.noise_scales()]
    assert torch.allclose(torch.tensor(scales, dtype=F64), torch.linspace(0.8, 0, 9, dtype=F64))
    assert FadingLangevin(2, 1.0, 0.8, 1.0, 0.25).noise_scales() == [0.8, 0.2]
    assert [tau for sampler in fading([1, 1], 1.0, 0.8) for tau in sampler.noise_scales()] == [0.8, 0.0]
    assert fading([1], 1.0, 0.8)[0].noise_scales() == [0.8]


def test_the_law_of_fading_langevin_on_a_gaussian():
    sampler, v, n = FadingLangevin(6, 0.7, 0.5, 1.0, 0.2), 0.6, 60_000
    x = sampler(lambda x: -0.5 * (x[:, 0] - 1) ** 2 / v, torch.zeros(n, 1, dtype=F64), rng=stream(2))
    a, mean, var = 1 - 0.7**2 / (2 * v), 0.0, 0.0
    for tau in sampler.noise_scales():
        mean, var = 1 + a * (mean - 1), a**2 * var + tau**2
    normal_law(x[:, 0], mean, var)
    assert sampler.temperature == pytest.approx((0.1 / 0.7) ** 2)
    other = replace(sampler, last=1.0)  # the same chain at one noise scale
    x = other(lambda x: -0.5 * (x[:, 0] - 1) ** 2 / v, torch.zeros(n, 1, dtype=F64), rng=stream(2))
    with pytest.raises(AssertionError):
        normal_law(x[:, 0], mean, var)


# Coarse to fine ------------------------------------------------------------------------------------------------------


def test_a_new_stage_begins_as_the_one_before_it_and_fades_in():
    f = growing().ebm.f
    assert isinstance(f, GrowingConv)
    x, zero, one = pictures(), torch.zeros(6, dtype=F64), torch.ones(6, dtype=F64)
    for stage, size in ((1, 8), (2, 16)):
        fine, coarse = coarsen(x, size), coarsen(x, size // 2)
        assert not torch.allclose(f(fine, zero), f(coarse))
        f.grow(stage)
        assert torch.allclose(f(fine, zero), f(coarse), rtol=1e-12)
        assert torch.allclose(f(fine, one), f(fine), rtol=1e-12)
        assert not torch.allclose(f(fine, one), f(fine, zero))


def at(model: CoarseToFine, growth: float) -> CoarseToFine:
    """The model at a growth: quarters of the updates for stages 0 and 1, half of them for stage 2."""
    model.set_progress(growth / 4 if growth < 2 else 0.5 + (growth - 2) / 2)
    return model


def test_progress_gives_stage_and_fade():
    model, like = growing(), torch.zeros(2, dtype=F64)
    stages = [at(model, g).stage(2, like) for g in (0.3, 1.0, 1.25, 1.75, 2.5, 2.999)]
    assert [s for s, _ in stages] == [0, 1, 1, 1, 2, 2]
    assert [None if fade is None else float(fade[0]) for _, fade in stages] == [None, 0.0, 0.5, 1.0, 1.0, 1.0]
    assert growing().stage(2, like) == (2, None)


def test_the_schedule_visits_every_stage():
    model, growths = growing(), []
    for step in range(100):
        model.set_progress(step / 100)
        growths.append(model.growth())
    assert growths == sorted(growths)
    assert [sum(int(g) == s for g in growths) for s in range(3)] == [25, 25, 50]
    assert growths[0] == 0
    assert growths[75] == pytest.approx(2.5)


def test_a_loss_reaches_its_own_stage_and_grows_once():
    model = growing()
    x = pictures()
    parents = [p.detach().clone() for p in model.ebm.f.stages[0].parameters()]  # type: ignore[union-attr]
    loss = at(model, 1.25).losses(Batch(x), rng=stream(3))
    backward(loss, {"ebm": model.ebm})
    reached = {int(name.split(".")[3]) for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {1}
    assert all(p.grad is not None for p in model.ebm.f.stages[1].parameters())  # type: ignore[union-attr]
    assert int(model.grown) == 1
    child = model.ebm.f.stages[1]  # type: ignore[union-attr]
    with torch.no_grad():
        child.trunk[1].weight.zero_()
    at(model, 1.5).losses(Batch(x), rng=stream(3))
    assert (child.trunk[1].weight == 0).all(), "a stage is copied from its parent once"
    assert all(torch.equal(a, b) for a, b in zip(parents, model.ebm.f.stages[0].parameters()))  # type: ignore[union-attr]


def test_stages_start_where_the_coarser_chain_ended():
    model = growing()
    at(model, 2.6).losses(Batch(pictures()), rng=stream(3))
    chains = model.chains
    assert [chains[k].start.shape[-1] for k in ("stage_0", "stage_1", "ebm")] == [4, 8, 16]
    assert torch.equal(chains["stage_1"].start, refine(chains["stage_0"].end.clamp(-1, 1), 8))
    assert torch.equal(chains["ebm"].start, refine(chains["stage_1"].end.clamp(-1, 1), 16))
    assert [chains[k].sampler for k in ("stage_0", "stage_1", "ebm")] == list(model.level_samplers)
    assert torch.equal(chains["stage_0"].start, Uniform(1, 4, 4).double().sample(6, stream_after_data_noise()))


def stream_after_data_noise() -> torch.Generator:
    rng = stream(3)
    noise_like(torch.empty(6, 1, 16, 16, dtype=F64), rng)
    return rng


@pytest.mark.parametrize("growth", [0.4, 1.25, 2.1, 2.6])
def test_f_learns_from_the_chain_before_it_is_clamped_and_as_far_as_it_has_faded_in(growth):
    model, x = at(growing(), growth), pictures()
    model.data_noise = 0.0
    loss = model.losses(Batch(x), rng=stream(3))["ebm"]
    stage, fade = model.stage(len(x), x)
    chain, density = model.chains["ebm"], model.ebm(fade)
    assert chain.end.abs().max() > 1
    torch.testing.assert_close(chain.log_density(chain.end), density.log_density(chain.end))
    if growth in (1.25, 2.1):  # half of a stage fades in
        assert not torch.allclose(density.f(chain.end), model.ebm().f(chain.end))
    expected = density.f(chain.end).mean() - density.f(coarsen(x, SIZES[stage])).mean()
    torch.testing.assert_close(loss, expected)
    parameters = [p for p in model.ebm.f.stages[stage].parameters()]  # type: ignore[union-attr]
    for found, wanted in zip(*(torch.autograd.grad(v, parameters, allow_unused=True) for v in (loss, expected))):
        torch.testing.assert_close(found, wanted)


def test_samples_have_the_finest_side_at_every_stage():
    model = growing()
    for growth in (0.5, 1.5, 2.5):
        at(model, growth).losses(Batch(pictures()), rng=stream(3))
        x = model.sample(3, rng=stream(4))
        assert x.shape == (3, 1, 16, 16)
        assert x.abs().max() <= 1
    with pytest.raises(InputError, match="side of 4, 8, 16 pixels, got 12"):
        model.ebm().f(torch.zeros(1, 1, 12, 12, dtype=F64))


# Multi-grid ----------------------------------------------------------------------------------------------------------


def test_grids_start_from_the_coarser_sample_and_the_coarsest_from_the_mean():
    model, x = grid(), pictures()
    model.losses(Batch(x), rng=stream(5))
    chains = model.chains
    assert torch.allclose(chains["ebms.0"].start, x.mean((2, 3), keepdim=True).expand(6, 1, 4, 4))
    for s in (1, 2):
        assert torch.equal(chains[f"ebms.{s}"].start, refine(chains[f"ebms.{s - 1}"].end.clamp(-1, 1), SIZES[s]))
    noisy = grid(start_noise=0.5)
    start = noisy.synthesize(torch.zeros(4000, 1, 1, 1, dtype=F64), rng=stream(6)) and noisy.chains["ebms.0"].start
    normal_law(start.flatten(), 0.0, 0.25)


def test_every_grid_learns_from_its_own_loss():
    model = grid()
    losses = model.losses(Batch(pictures()), rng=stream(5))
    assert list(losses) == ["ebms.0", "ebms.1", "ebms.2"]
    backward({"ebms.1": losses["ebms.1"]}, {"ebms.1": model.get_submodule("ebms.1")})
    for name, p in model.named_parameters():
        assert (p.grad is not None) == name.startswith("ebms.1.")


def test_the_gradient_is_the_difference_between_chains_and_averaged_data():
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(s * s, 1), nn.Flatten(0)) for s in SIZES]
    model = MultiGrid(nets, SIZES, 1, samplers=[Langevin(2, 0.9)] * 3).double()
    x = pictures()
    losses = model.losses(Batch(x), rng=stream(5))
    backward(losses, {name: model.get_submodule(name) for name in losses})
    for s, net in enumerate(nets):
        ends = model.chains[f"ebms.{s}"].end
        assert ends.abs().max() > 1, "chains are clamped on the way to the next grid, not before they are learned from"
        expected = ends.mean(0) - coarsen(x, SIZES[s]).mean(0)
        assert torch.allclose(net[1].weight.grad.flatten(), expected.flatten(), rtol=1e-10)
    assert int(model.histogram.counts.sum()) == 6


@pytest.mark.parametrize("channels", [1, 3])
def test_the_histogram_gives_back_the_law_of_mean_colours(channels):
    histogram = ColourHistogram(channels, 8)
    before = histogram.sample(20_000, stream(11)).double()
    mean_is(before[:, :, 0, 0], 0.0)
    colours = torch.tensor([[-0.9, 0.1, 0.6], [0.9, -0.6, 0.2]])[:, :channels]
    histogram.add(colours[[0, 0, 0, 1]][:, :, None, None])
    drawn = histogram.sample(20_000, stream(12)).double()[:, :, 0, 0]
    cells = ((drawn + 1) * 4).floor()
    first = ((cells == ((colours[0] + 1) * 4).floor()).all(1)).double()
    second = ((cells == ((colours[1] + 1) * 4).floor()).all(1)).double()
    assert (first + second == 1).all()
    mean_is(first, 0.75)


def test_sides_and_samplers_must_match():
    with pytest.raises(InputError, match="each a multiple of the one before, got \\[4, 6\\]"):
        MultiGrid([nn.Identity()] * 2, (4, 6), 1, samplers=[Langevin(1, 1.0)] * 2)
    with pytest.raises(InputError, match="a network for each of 2 grids, got 1"):
        MultiGrid([nn.Identity()], (4, 8), 1, samplers=[Langevin(1, 1.0)] * 2)
    with pytest.raises(InputError, match="one sampler for each of 3 levels, got 1"):
        CoarseToFine(GrowingConv(1, SIZES, 2), Uniform(1, 4, 4), samplers=fading([1], 1.0, 0.1))
    with pytest.raises(InputError, match="sizes must double, coarsest first, got \\[4, 12\\]"):
        GrowingConv(1, (4, 12), 2)


def images(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 1, side, side), dtype=np.uint8)


def test_a_growing_model_cannot_be_given_other_updates(tmp_path):
    np.save(tmp_path / "x.npy", images(16))
    tiny = recipes.build("coarse_to_fine", str(tmp_path / "x.npy"), tiny=True)
    fit(tiny, tmp_path / "run")
    with pytest.raises(InputError, match="steps"):
        fit(replace(tiny, steps=12), tmp_path / "run")


def test_a_pyramid_needs_a_side_that_halves():
    for grids in (3, 5):
        with pytest.raises(InputError, match=f"grids={grids} needs a side"):
            recipes.build("multigrid", images(30), grids=grids)
    assert recipes.build("multigrid", images(30), grids=2).sizes == (15, 30)
