"""Inverse optimal control: dynamics, controls of paths, iLQR against closed forms, and costs that are found again."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from absynth import recipes
from absynth.algorithms.inverse_control import InverseControl
from absynth.data.track_set import TrackSet
from absynth.data.tracks import Tracks, neighbours
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.errors import InputError
from absynth.networks import dynamics
from absynth.networks.controls import ControlF, LinearCost, Scene, Signals
from absynth.networks.dynamics import Bicycle, DoubleIntegrator, Unicycle, controls_of, rollout
from absynth.samplers import FromNoise, Langevin
from absynth.samplers.ilqr import ilqr
from absynth.seeding import noise_like, stream
from absynth.tasks import predict
from absynth.training import fit
from absynth.types import Batch

ALL = [DoubleIntegrator(0.3), Unicycle(0.3), Bicycle(0.3, 2.0)]


def starts(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = noise_like(torch.empty(n, 4, dtype=torch.float64), stream(1))
    return noise[:, :2], torch.tensor([3.0, 0.5]) + 0.3 * noise[:, 2:]


@pytest.mark.parametrize("known", ALL, ids=lambda d: type(d).__name__)
def test_a_rollout_is_its_steps_and_controls_are_found_again(known):
    state = known.state(*starts(5))
    u = 0.2 * noise_like(torch.empty(5, 6, 2, dtype=torch.float64), stream(2))
    path = rollout(known, state, u)
    x = state
    for t in range(6):
        x = known.step(x, u[:, t])
        torch.testing.assert_close(path[:, t], x)
    torch.testing.assert_close(known.velocity(state), starts(5)[1])
    moved = (known.position(path[:, 0]) - known.position(state)) / 0.3  # the new velocity has made the step
    torch.testing.assert_close(moved, known.velocity(path[:, 0]))
    found = controls_of(known, state, known.position(path), torch.ones(2, dtype=torch.float64), 1e-5)
    assert float((found - u).abs().max()) < 1e-4


def test_ilqr_solves_a_linear_quadratic_problem_in_one_iteration():
    """Its optimum by the normal equations."""
    torch.manual_seed(0)
    a, b = torch.eye(3) + 0.3 * torch.randn(3, 3), torch.randn(3, 2)
    start, goal = torch.randn(4, 3), torch.randn(4, 3)

    def step(z, u):
        return a @ z + b @ u

    def cost(z, u, p):
        return (step(z, u) - p).square().sum() + 0.5 * u.square().sum()

    found = ilqr(step, cost, start, goal, torch.zeros(4, 5, 2), iterations=2)
    u = torch.zeros(4, 5, 2, requires_grad=True)
    for _ in range(2):  # Newton's method is exact on a quadratic
        z, total = start, torch.tensor(0.0)
        for t in range(5):
            total = total + (z @ a.T + u[:, t] @ b.T - goal).square().sum() + 0.5 * u[:, t].square().sum()
            z = z @ a.T + u[:, t] @ b.T
        (gradient,) = torch.autograd.grad(total, u, create_graph=True)
        rows = [torch.autograd.grad(gradient.flatten()[i], u, retain_graph=True)[0].flatten() for i in range(40)]
        u = (u - torch.linalg.solve(torch.stack(rows), gradient.flatten()).view(4, 5, 2)).detach().requires_grad_()
    torch.testing.assert_close(found, u.detach(), atol=2e-3, rtol=2e-3)


def control_model(known=None, weights=(0.5, 0.5, 0.5, 2.0, 2.0, 1.0, 1.0), **options) -> InverseControl:
    cost = LinearCost([1.0] * len(weights))
    cost.log_weight.data = torch.tensor(weights).log()
    signals = Signals(known or DoubleIntegrator(), (1.0, 1.0), road=0.0, lanes=(0.0,), speed=1.0, radius=1.0)
    reference = StandardNormal(5, 2, std=100.0)
    f = ControlF(Scene(2, 1.0, 1.0, pose=True), signals, cost)
    given = {"mode": "ilqr", "steps": 5, "tolerance": 1e-3} | options
    return InverseControl(EBM(f, reference), start=FromNoise(reference), sampler=Langevin(200, 0.3), **given)


def pasts(n: int, agents: int = 1) -> torch.Tensor:
    """Conditions of agents near a lane, with two positions seen."""
    noise = noise_like(torch.empty(n, agents, 4), stream(3))
    speed = 1 + 0.1 * noise[..., 0].abs()
    scale = torch.ones(n, agents)
    heading = torch.stack([torch.ones_like(speed), torch.zeros_like(speed)], -1)
    c = torch.cat([torch.stack([-4 * speed, 0 * speed, scale.log()], -1), noise[..., 1:3], heading], -1)
    return c[:, 0] if agents == 1 else c


def test_the_scene_gives_positions_and_back():
    c = pasts(4)
    scene = Scene(2, 2.0, 0.5, pose=True)
    x = noise_like(torch.empty(4, 5, 2), stream(4))
    torch.testing.assert_close(scene.residuals(scene.positions(x, c), c), x)
    origin, velocity = scene.start(c)
    straight = scene.positions(torch.zeros(4, 5, 2), c)
    torch.testing.assert_close(straight[:, 1] - straight[:, 0], 0.5 * velocity)
    torch.testing.assert_close(straight[:, 0], origin + 0.5 * velocity)


def test_the_planned_controls_have_no_gradient():
    for known in (DoubleIntegrator(), Unicycle(), Bicycle(1.0, 1.0)):
        model = control_model(known, iterations=15)
        c = pasts(3)
        u = model.plan(c, torch.zeros(3, 5, 2)).requires_grad_()
        (gradient,) = torch.autograd.grad(model.f(u, c).sum(), u)
        start = torch.zeros(3, 5, 2, requires_grad=True)
        (before,) = torch.autograd.grad(model.f(start, c).sum(), start)
        assert float(gradient.abs().max()) < 0.01 * float(before.abs().max())


def test_the_loss_is_the_difference_of_the_costs_of_the_models_controls_and_the_demonstrated_ones():
    model, c = control_model(), pasts(6)
    u = 0.3 * noise_like(torch.empty(6, 5, 2), stream(5))
    x = model.f.path(u, c)
    loss = model.losses(Batch(x, c), rng=stream(6))["ebm"]
    own = model.plan(c, model.start.draw(u, rng=stream(6))[0])
    expected = model.f(own, c).mean() - model.f(u, c).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=1e-3)
    (gradient,) = torch.autograd.grad(loss, model.f.cost.log_weight)
    features = (model.f.features(u, c) - model.f.features(own, c)).mean(0)[:7] * model.f.cost.log_weight.exp()
    torch.testing.assert_close(gradient, features, rtol=2e-2, atol=2e-2)


def test_samples_have_the_law_of_the_cost():
    """E[u ∂(energy)/∂u] is 1 for every control."""
    model, c = control_model(mode="langevin", sample_rounds=2), pasts(200)
    model.measure_width(c, torch.zeros(200, 5, 2), rng=stream(8))
    u = model.draw_controls(c, rng=stream(7)).requires_grad_()
    (slope,) = torch.autograd.grad(-model.ebm(c).log_density(u).sum(), u)
    mode = model.plan(c, u.detach())
    assert abs(float(((u - mode) * slope).detach().mean()) - 1) < 0.15
    cold = model.plan(c, u.detach()).requires_grad_()
    assert abs(float(cold.detach().std()) - float(u.std())) > 0.05  # not the mode itself


def test_controls_and_samples_need_the_pasts():
    model = control_model()
    with pytest.raises(InputError, match="samples given a past: use predict, or give conditions"):
        model.sample(3, rng=stream(0))
    with pytest.raises(InputError, match="needs the pasts of the paths: use predict"):
        model.controls(torch.zeros(3, 5, 2))


def test_no_round_leaves_controls_where_they_are_at_any_width():
    model, c = control_model(mode="langevin"), pasts(3)
    model.width.fill_(2.0)
    u = noise_like(torch.empty(3, 5, 2), stream(5))
    torch.testing.assert_close(model.move(model.ebm(c), u, rounds=0, rng=stream(6)), u)


def test_two_agents_keep_apart_by_the_joint_cost_alone():
    c = pasts(3, agents=2)
    c[..., 3] = torch.tensor([0.0, 2.0])  # one in the way of the other, which is slower
    c[..., 4] = 0.05 * torch.tensor([1.0, -1.0])
    c[:, 0, 0], c[:, 1, 0] = -8.0, -1.0
    nearest = {}
    for weight in (1e-6, 20.0):
        model = control_model(weights=(0.1, 0.1, 0.1, 0.5, 0.5, 0.2, 0.2, weight), iterations=20)
        u = model.plan(c, torch.zeros(3, 2, 5, 2))
        assert u.shape == (3, 2, 5, 2)
        p = model.f.scene.positions(model.f.path(u, c), c)
        nearest[weight] = float((p[:, 0] - p[:, 1]).norm(dim=-1).amin())
    assert nearest[20.0] > 2 * nearest[1e-6]


def windows_of(n_agents: int) -> TrackSet:
    rng = np.random.default_rng(0)
    rows = [(a, t) for a in range(n_agents) for t in range(30)]
    xy = [(0.5 * t + 0.02 * rng.normal(), 3.0 * a + 0.02 * rng.normal()) for a, t in rows]
    recording = Tracks(*(torch.tensor(v) for v in zip(*rows)), torch.tensor(xy, dtype=torch.float64), "cars")
    return TrackSet(lambda part: [recording], "cars", past=3, future=4, pose=True, mirror=False, agents=2)


def test_an_example_of_several_agents_is_one_and_its_neighbours():
    data = windows_of(3)
    assert data.shape == (2, 4, 2)
    batch = data.batch(torch.tensor([0]))
    assert batch.c is not None
    assert abs(float(batch.c[0, 0, -3] - batch.c[0, 1, -3])) < 3.5  # the next lane, not the one after
    group = neighbours(data.windows, 4)
    assert bool((group[:, 3] < 0).all())
    assert bool((group[:, 0] == torch.arange(len(group))).all())
    assert data.conditions(data.windows).shape == (len(data.windows), 2, 9)


MINE = """
import torch
class Sled:
    controls = 1
    def __init__(self, interval): self.interval = interval
    def state(self, p, v): return torch.cat([p, v], -1)
    def step(self, s, u): return torch.cat([s[..., :2] + self.interval * s[..., 2:] * (1 + u), s[..., 2:]], -1)
    def position(self, s): return s[..., :2]
    def velocity(self, s): return s[..., 2:]
class Stuck(Sled):
    def step(self, s, u): return torch.cat([s[..., :2] + s[..., 2:].detach(), s[..., 2:]], -1)
"""


def write_tracks(folder) -> str:
    rng = np.random.default_rng(0)
    rows = [f"{t},{a},{t * (1 + 0.1 * a) + 0.05 * rng.normal()},{3 * a}" for a in range(4) for t in range(60)]
    (folder / "t.csv").write_text("\n".join(["frame,agent,x,y", *rows]))
    return str(folder / "t.csv")


def test_dynamics_of_your_own(tmp_path, monkeypatch):
    (tmp_path / "own_dynamics.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = tmp_path / "run"
    fields = {"past": 3, "future": 4, "dynamics": "own_dynamics:Sled"}
    fit(recipes.build("inverse_control", write_tracks(tmp_path), tiny=True, **fields), run)
    predict.command(run, k=2)
    rows = list(csv.DictReader((run / "predict" / "controls.csv").open()))
    assert set(rows[0]) == {"recording", "agent", "frame", "prediction", "step", "control 1"}
    with pytest.raises(InputError, match="no gradient in the controls"):
        dynamics.find("own_dynamics:Stuck", 1.0, 1.0)


def test_typical_controls_are_those_of_agents_that_move():
    """Nine cars wait and one speeds up by 2 per second: its acceleration is the typical one."""
    rows = [(a, t) for a in range(10) for t in range(40)]
    xy = [(10.0 * (a == 9) * 0.1 * t + (a == 9) * (0.1 * t) ** 2, 3.0 * a) for a, t in rows]
    recording = Tracks(*(torch.tensor(v) for v in zip(*rows)), torch.tensor(xy, dtype=torch.float64), "cars")
    data = TrackSet(lambda part: [recording], "cars", past=3, future=20, pose=True, mirror=False)
    made = recipes.build("inverse_control", data, interval=0.1, tolerance=0.02)
    assert made.control_scale[0] == pytest.approx(2 / 1.645, rel=0.1)
    given = recipes.build("inverse_control", data, interval=0.1, control_scale=(3.0, 0.1))
    assert given.control_scale == (3.0, 0.1)


@pytest.mark.parametrize(
    "fields", [{"mode": "ilqr"}, {"mode": "gradient"}, {"cost": "network"}, {"agents": 2}], ids=str
)
def test_from_the_command_line(tmp_path, fields):
    run = tmp_path / "run"
    fields |= {"past": 3, "future": 4, "dynamics": "bicycle"}
    fit(recipes.build("inverse_control", write_tracks(tmp_path), tiny=True, **fields), run)
    found = predict.command(run, k=2)
    assert found.figures["predicted futures"] > 0
    rows = list(csv.DictReader((run / "predict" / "controls.csv").open()))
    assert set(rows[0]) == {"recording", "agent", "frame", "prediction", "step", "acceleration", "steering angle"}


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected dynamics"):
        dynamics.find("rocket", 1.0, 1.0)
    with pytest.raises(InputError, match="made by Class"):
        dynamics.find("nowhere:Class", 1.0, 1.0)
    with pytest.raises(InputError, match="give pose true"):
        recipes.build("inverse_control", write_tracks(tmp_path), tiny=True, past=3, future=4, pose=False, road=0.0)
