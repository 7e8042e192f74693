"""The task refine: what it measures is what the chains do, whatever the batch."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import pytest
import torch
from cases import CASES
from torch import nn

from absynth import fit, recipes
from absynth.algorithms import DualTeaching
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Normal, StandardNormal, sum_event
from absynth.errors import Unsupported
from absynth.samplers import MALA, ChainWarning, Langevin
from absynth.seeding import Streams, noise_like, stream
from absynth.tasks.refine import (
    MOVED,
    NOISE_ONLY,
    command,
    distance_over_noise,
    latent_starts,
    milestones,
    refine_x,
    refine_z,
)

F64 = torch.float64
CPU = torch.device("cpu")


class Tilt(nn.Module):
    """f(x) = −2|x − 1|²."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.tensor(1.0, dtype=F64))

    def forward(self, x):
        return -2 * sum_event((x - self.centre) ** 2)


class Exact(nn.Module):
    """p(z|x) of x = Wz + b + σε."""

    def __init__(self, net: nn.Linear, std: float) -> None:
        super().__init__()
        self.net, self.std = net, std

    def forward(self, x, c=None):
        w, b = self.net.weight, self.net.bias
        precision = torch.eye(w.shape[1], dtype=F64) + w.T @ w / self.std**2
        mean = (x - b) @ w / self.std**2 @ precision.inverse()
        return Normal(mean, precision.diag() ** -0.5)


def linear_model() -> DualTeaching:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Linear(2, 6).double()
        nn.init.orthogonal_(net.weight)  # so that the exact posterior has independent coordinates
    net.weight.data *= 2
    return DualTeaching(
        EBM(Tilt(), StandardNormal(6).double()), GaussianGenerator(net, 0.3), Exact(net, 0.3),
        StandardNormal(2).double(), sampler=Langevin(10, 0.2), posterior_sampler=Langevin(10, 0.1),
    )  # fmt: skip


def along(model, steps):
    """The model's refinement with another sampler, for any rows."""
    return lambda rows: replace(model.refinement(), sampler=Langevin(steps, 0.2))


def test_milestones_begin_and_end_with_the_chain():
    for steps in (1, 2, 5, 15, 30, 100):
        found = milestones(steps)
        assert (found[0], found[-1]) == (0, steps)
        assert found == sorted(set(found))


def test_the_energy_along_the_refinement_of_x_is_that_of_the_states():
    model = linear_model()
    energies, states = refine_x(along(model, 10), 40, seed=3, batch=40, device=CPU)
    assert energies.shape == (11, 40)
    for k, x in states.items():
        torch.testing.assert_close(energies[k], model.ebm().energy(x).detach())
    rng = Streams(3, range(40))
    initial = model.initial_samples(40, rng=rng)[1]
    assert torch.equal(states[0], initial)
    assert torch.equal(states[10], Langevin(10, 0.2)(model.ebm().log_density, initial, rng=rng))


def test_energy_falls_on_average_and_rises_where_f_is_turned_around():
    energies, _ = refine_x(along(linear_model(), 10), 200, seed=0, batch=200, device=CPU)
    assert energies[-1].mean() < energies[0].mean() - 1
    model = linear_model()
    initial = model.initial_samples(200, rng=stream(0))[1]
    wrong = [s.x for s in Langevin(10, 0.2).path(lambda x: -model.ebm().log_density(x), initial, rng=stream(1))]
    assert model.ebm().energy(wrong[-1]).mean() > model.ebm().energy(wrong[0]).mean()


def test_error_falls_from_noise_and_stays_level_from_the_exact_posterior():
    model = linear_model()
    x = model.generator(model.reference.sample(300, stream(1))).sample(stream(2)).detach()
    found = {}
    for name, start in latent_starts(model, x[:1]).items():
        errors, states = refine_z(model, Langevin(40, 0.1), x, start, seed=0, batch=300)
        for k, back in states.items():
            torch.testing.assert_close(errors[k], ((back - x) ** 2).mean(1))
        found[name] = errors.mean(1)
    assert list(found) == ["inference network", "noise"]
    assert found["noise"][0] > 5 * found["noise"][-1]
    assert (found["inference network"] / found["inference network"].mean() - 1).abs().max() < 0.1
    assert found["inference network"][0] < found["noise"][10]


def test_the_batch_changes_nothing():
    model = linear_model()
    x = noise_like(torch.empty(9, 6, dtype=F64), stream(4))
    one, other = (refine_x(along(model, 5), 9, seed=1, batch=b, device=CPU)[0] for b in (9, 4))
    torch.testing.assert_close(one, other)
    start = latent_starts(model, x[:1])["noise"]
    one, other = (refine_z(model, Langevin(5, 0.1), x, start, seed=1, batch=b)[0] for b in (9, 4))
    torch.testing.assert_close(one, other)


def test_a_model_without_an_inference_model_starts_at_noise_alone():
    x = torch.zeros(1, 5, dtype=F64)
    assert list(latent_starts(CASES["Cooperative full"].build(), x)) == ["noise"]
    assert list(latent_starts(CASES["AlternatingBackprop"].build(), x)) == ["noise"]


def test_the_command_reports_what_a_model_has(tmp_path):
    fit(recipes.build("dual_teaching", "ring", tiny=True), tmp_path / "dual")
    command(tmp_path / "dual", n=12, posterior_steps=4, device="cpu")
    found = json.loads((tmp_path / "dual/refine/result.json").read_text())
    assert [t["caption"] for t in found["tables"]] == ["Refinement of x", "Refinement of z"]
    assert {row[0] for row in found["tables"][1]["rows"]} == {"inference network", "noise"}
    assert found["figures"]["energy, initial samples"] == found["tables"][0]["rows"][0][1]
    for picture in found["pictures"]:
        assert (tmp_path / "dual/refine" / picture["file"]).stat().st_size > 1000


def test_the_distance_over_noise_is_1_only_where_the_density_is_flat():
    start = torch.zeros(2000, 6, dtype=F64)
    sampler = Langevin(10, 0.2, noise_scale=0.05)
    ratios = [
        distance_over_noise(sampler, start, sampler(f, start, rng=stream(5)))
        for f in (lambda x: 0.0 * x.sum(1), lambda x: -2 * sum_event((x - 1) ** 2), lambda x: -40 * sum_event(x**2))
    ]
    assert abs(ratios[0] - 1) < 0.02 < NOISE_ONLY  # a flat density
    assert ratios[1] > 2  # pulled away: to 1 - (1 - 0.08)^10 = .57 beside noise of .16
    assert ratios[2] < 0.5  # held back
    assert distance_over_noise(Langevin(10, 0.2, noise_scale=0.0), start, start) is None
    assert distance_over_noise(MALA(10, 0.2), start, start) is None


@pytest.mark.parametrize("flat", [True, False])
def test_the_command_warns_of_chains_that_only_their_noise_moves(flat, tmp_path, monkeypatch):
    fit(recipes.build("cooperative", "ring", tiny=True), tmp_path / "run")

    def moved(chain, n, *, seed, batch, device):
        energies, states = refine_x(chain, n, seed=seed, batch=batch, device=device)
        sampler, last = chain(range(1)).sampler, max(states)
        noise = sampler.step_size * (sampler.temperature * sampler.steps) ** 0.5
        return energies, states | {last: states[0] + (1.0 if flat else 3.0) * noise}

    monkeypatch.setattr("absynth.tasks.refine.refine_x", moved)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ChainWarning)
        command(tmp_path / "run", n=12, posterior_steps=4, device="cpu")
    found = json.loads((tmp_path / "run/refine/result.json").read_text())
    assert found["figures"][MOVED] == pytest.approx(1.0 if flat else 3.0, rel=1e-4)
    assert any("its own noise" in str(w.message) for w in seen) == flat
    assert ("its own noise" in found["text"]) == flat


def test_a_model_that_refines_nothing_says_so(tmp_path):
    fit(recipes.build("maximum_likelihood", "ring", tiny=True), tmp_path / "run")
    with pytest.raises(Unsupported, match="maximum_likelihood"):
        command(tmp_path / "run", n=12, device="cpu")
