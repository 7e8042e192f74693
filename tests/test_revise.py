"""The task that looks at revision: what it measures is what the chains do, whatever the batch."""

from __future__ import annotations

import json

import pytest
import torch
from cases import CASES
from torch import nn

from absynth import fit
from absynth.algorithms import DualTeaching
from absynth.density import EBM
from absynth.distributions import GaussianGenerator, Normal, StandardNormal, sum_event
from absynth.errors import InputError
from absynth.recipes.dual_teaching_ring import DualTeachingRing
from absynth.recipes.short_run_ring import ShortRunRing
from absynth.samplers import Langevin
from absynth.seeding import Streams, noise_like, stream
from absynth.tasks.revise import command, milestones, revise_x, revise_z, starts

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


def test_milestones_begin_and_end_with_the_chain():
    for steps in (1, 2, 5, 15, 30, 100):
        found = milestones(steps)
        assert (found[0], found[-1]) == (0, steps)
        assert found == sorted(set(found))


def test_the_energy_along_the_revision_of_x_is_that_of_the_states():
    model = linear_model()
    energies, states = revise_x(model, Langevin(10, 0.2), 40, seed=3, batch=40, device=CPU)
    assert energies.shape == (11, 40)
    for k, x in states.items():
        torch.testing.assert_close(energies[k], model.ebm().energy(x).detach())
    rng = Streams(3, range(40))
    drafts = model.draft(40, rng=rng)[1]
    assert torch.equal(states[0], drafts)
    assert torch.equal(states[10], Langevin(10, 0.2)(model.ebm().log_density, drafts, rng=rng))


def test_energy_falls_on_average_and_rises_where_f_is_turned_around():
    energies, _ = revise_x(linear_model(), Langevin(10, 0.2), 200, seed=0, batch=200, device=CPU)
    assert energies[-1].mean() < energies[0].mean() - 1
    model = linear_model()
    drafts = model.draft(200, rng=stream(0))[1]
    wrong = [s.x for s in Langevin(10, 0.2).path(lambda x: -model.ebm().log_density(x), drafts, rng=stream(1))]
    assert model.ebm().energy(wrong[-1]).mean() > model.ebm().energy(wrong[0]).mean()


def test_error_falls_from_noise_and_stays_level_from_the_exact_posterior():
    model = linear_model()
    x = model.generator(model.latent.sample(300, stream(1))).sample(stream(2)).detach()
    found = {}
    for name, start in starts(model).items():
        errors, states = revise_z(model, Langevin(40, 0.1), x, start, seed=0, batch=300)
        for k, back in states.items():
            torch.testing.assert_close(errors[k], ((back - x) ** 2).mean(1))
        found[name] = errors.mean(1)
    assert list(found) == ["inference model", "noise"]
    assert found["noise"][0] > 5 * found["noise"][-1]
    assert (found["inference model"] / found["inference model"].mean() - 1).abs().max() < 0.1
    assert found["inference model"][0] < found["noise"][10]


def test_the_batch_changes_nothing():
    model = linear_model()
    x = noise_like(torch.empty(9, 6, dtype=F64), stream(4))
    one, other = (revise_x(model, Langevin(5, 0.2), 9, seed=1, batch=b, device=CPU)[0] for b in (9, 4))
    torch.testing.assert_close(one, other)
    start = starts(model)["noise"]
    one, other = (revise_z(model, Langevin(5, 0.1), x, start, seed=1, batch=b)[0] for b in (9, 4))
    torch.testing.assert_close(one, other)


def test_a_model_without_an_inference_model_starts_at_noise_alone():
    assert list(starts(CASES["Cooperative full"].build())) == ["noise"]
    assert list(starts(CASES["AlternatingBackprop"].build())) == ["noise"]


def test_the_command_reports_what_a_model_has(tmp_path):
    fit(DualTeachingRing().tiny(), tmp_path / "dual")
    command(tmp_path / "dual", n=12, posterior_steps=4, device="cpu")
    found = json.loads((tmp_path / "dual/revise/result.json").read_text())
    assert [t["caption"] for t in found["tables"]] == ["Revision of x", "Revision of z"]
    assert {row[0] for row in found["tables"][1]["rows"]} == {"inference model", "noise"}
    assert found["figures"]["energy, drafts"] == found["tables"][0]["rows"][0][1]
    for picture in found["pictures"]:
        assert (tmp_path / "dual/revise" / picture["file"]).stat().st_size > 1000


def test_a_model_that_revises_nothing_is_told_so(tmp_path):
    fit(ShortRunRing().tiny(), tmp_path / "run")
    with pytest.raises(InputError, match="short_run_ring"):
        command(tmp_path / "run", n=12, device="cpu")
