"""The noise of C++ chains is that of torch's generator: the same numbers, from the same state to the same state."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from laws import normal_law
from small import digits

import absynth
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.engine import noise
from absynth.networks.mlp import mlp_f
from absynth.samplers import Langevin, engine
from absynth.seeding import stream

pytestmark = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def _nothing_known():
    noise._draws_as_torch.cache_clear()
    yield
    noise._draws_as_torch.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("before", [0, 1, 623, 624, 625])
def test_numbers_and_state_are_torchs_wherever_the_generator_stands(dtype, before):
    ours, theirs = stream(1), stream(1)
    for rng in (ours, theirs):
        torch.empty(before).uniform_(generator=rng)
    got, wanted = torch.empty(16 * 101, dtype=dtype), torch.empty(16 * 101, dtype=dtype)
    assert noise._draws_as_torch(dtype)
    for _ in range(2):
        noise.normals(got, ours)
        wanted.normal_(generator=theirs)
        assert (got - wanted).abs().max() <= (5e-6 if dtype == torch.float32 else 1e-14)
        assert torch.equal(ours.get_state(), theirs.get_state())
    assert torch.equal(torch.rand(5, generator=ours), torch.rand(5, generator=theirs))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_is_normal_and_the_same_on_several_threads(dtype, monkeypatch):
    whole = torch.empty(200_000, dtype=dtype)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    noise.normals(whole, stream(2))
    normal_law(whole, 0.0, 1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert torch.equal(noise.normals(torch.empty_like(whole), stream(2)), whole)
    parts, rng = torch.empty(10, 20_000, dtype=dtype), stream(2)
    assert torch.equal(torch.stack([noise.normals(part, rng).clone() for part in parts]).flatten(), whole)
    other = noise.normals(torch.empty_like(whole), stream(3))
    assert (other - whole).abs().mean() > 1


@pytest.mark.parametrize("change", ["layout", "numbers", "state"])
def test_a_torch_whose_generator_is_another_draws_itself(change, monkeypatch):
    right = noise._normals

    def wrong(out, rng):
        right(out, rng)
        if change == "numbers":
            return out.neg_()
        torch.rand(1, generator=rng)
        return out

    if change == "layout":
        monkeypatch.setattr(noise, "STATE_BYTES", 0)
    else:
        monkeypatch.setattr(noise, "_normals", wrong)
    ours, theirs = stream(4), stream(4)
    got, wanted = torch.empty(64), torch.empty(64).normal_(generator=theirs)
    assert torch.equal(noise.normals(got, ours), wanted)
    assert torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.parametrize("shape", [(8, 6), (7, 5)])
def test_chains_in_cpp_draw_so_where_a_step_is_a_multiple_of_16(shape, monkeypatch):
    calls = []
    right = noise._normals
    monkeypatch.setattr(noise, "_normals", lambda out, rng: calls.append(len(out)) or right(out, rng))
    torch.manual_seed(0)
    target = EBM(mlp_f(shape[1], 8), StandardNormal(shape[1])).double()()
    x = torch.zeros(*shape, dtype=torch.float64)
    assert noise._draws_as_torch(x.dtype)
    calls.clear()
    wanted = Langevin(5, 0.3)(target.log_density, x, rng=stream(5))
    with engine.use("traced"):
        got = Langevin(5, 0.3)(target.log_density, x, rng=stream(5))
    assert (got - wanted).abs().max() < 1e-12
    assert calls == [5] * (shape == (8, 6))


@pytest.mark.slow
def test_a_run_that_draws_so_resumes_bit_for_bit(tmp_path, monkeypatch):
    calls = []
    right = noise._normals
    monkeypatch.setattr(noise, "_normals", lambda out, rng: calls.append(1) or right(out, rng))
    recipe = digits(steps=6)
    absynth.fit(recipe, tmp_path / "whole", chains="traced")
    absynth.fit(replace(recipe, steps=3), tmp_path / "cut", chains="traced")
    ends = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert ends[0] != ends[1]
    absynth.fit(recipe, tmp_path / "cut", chains="traced")
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == ends[0]
    assert len(calls) > 12
