"""Tracks against closed forms and published counts: windows, frames, planned paths, the belief, displacement."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from cases import CASES
from laws import mean_is
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from absynth import cli, fit
from absynth.algorithms.latent_belief import LatentBelief
from absynth.data import tracks
from absynth.data.track_set import TrackSet
from absynth.data.tracks import SCENES, Frames, Tracks, cut, mirrored, ordinary_step, read
from absynth.density import EBM
from absynth.distributions import Normal, StandardNormal
from absynth.errors import InputError, Unsupported
from absynth.metrics.displacement import best_by_plan, best_of, constant_velocity, stochastic_constant_velocity
from absynth.networks.trajectory import PlanGenerator, PlannedPath, SocialPooling
from absynth.recipes import build
from absynth.samplers import Langevin
from absynth.scenes import busiest
from absynth.seeding import noise_like, stream
from absynth.tasks.opened import open_run
from absynth.tasks.predict import predict
from absynth.types import Batch

F64 = torch.float64


def walkers(agents: int = 6, positions: int = 40, seed: int = 0) -> str:
    """Agents that turn slowly, as lines of text; all begin at different frames, ten frames a step."""
    rng = stream(seed)
    lines = []
    for agent in range(agents):
        at, heading, turn, speed = torch.randn(4, generator=rng, dtype=F64).tolist()
        x, y = 5 * at, 3 * heading
        for t in range(positions):
            x, y = x + (0.4 + 0.05 * speed) * math.cos(heading), y + (0.4 + 0.05 * speed) * math.sin(heading)
            heading += 0.05 * turn
            lines.append(f"{10 * (t + agent)} {agent} {x:.4f} {y:.4f}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "walkers.txt"
    path.write_text(walkers())
    return path


# --- windows --------------------------------------------------------------------------------------------------------


def one(frames: list[int]) -> Tracks:
    """One agent at (frame, 2·frame)."""
    frame = torch.tensor(frames)
    return Tracks(
        torch.zeros(len(frames), dtype=torch.int64), frame, torch.stack([frame, 2 * frame], 1).double(), "one"
    )


def test_windows_are_cut_at_every_frame_and_never_across_a_gap():
    recording = one([*range(0, 6), *range(10, 15)])  # six positions, a gap, five
    found = cut([recording], past=2, future=2)
    assert found.past[:, 0, 0].tolist() == [0, 1, 2, 10, 11]
    assert found.future[:, -1, 0].tolist() == [3, 4, 5, 13, 14]
    assert found.frame.tolist() == [1, 2, 3, 11, 12]
    assert torch.equal(found.past[..., 1], 2 * found.past[..., 0])


def test_every_and_unknown_futures():
    found = cut([one(list(range(6)))], past=2, future=2, every=2, whole=False)
    assert found.frame.tolist() == [1, 3, 5]  # counted back from the last position
    assert found.future[2].isnan().all()
    assert len(found.known()) == 2
    assert len(cut([one(list(range(6)))], past=2, future=2, every=3)) == 1


def test_tracks_too_short_are_told():
    with pytest.raises(InputError, match="at least 20 positions"):
        cut([one(list(range(19)))])


def test_moments_count_windows_that_share_a_frame(file: Path):
    found = cut([read(file)])
    assert len(found) == 6 * 21
    # Agent a's windows begin at frames a .. a + 20, so 26 moments; the first and the last have one agent alone.
    assert found.moments(1) == 26
    assert found.moments(2) == 24
    assert len(busiest(found)) == 4


def test_windows_of_eth_ucy_are_those_of_the_papers(data_root: Path):
    windows = {scene: cut(tracks.eth_ucy(data_root, scene, "test")) for scene in SCENES}
    assert [w.moments() for w in windows.values()] == [70, 301, 947, 602, 921]
    assert [len(w) for w in windows.values()] == [364, 1197, 24334, 2356, 5910]
    straight = [best_of(constant_velocity(w.past, 12)[None], w.future) for w in windows.values()]
    assert float(torch.tensor([s.average.mean() for s in straight]).mean()) == pytest.approx(0.534, abs=6e-4)
    assert float(torch.tensor([s.final.mean() for s in straight]).mean()) == pytest.approx(1.148, abs=6e-4)
    spread = [
        best_of(stochastic_constant_velocity(w.past, 12, rng=stream(seed)), w.future)
        for w in windows.values()
        for seed in (0, 1)
    ]
    assert float(torch.tensor([s.average.mean() for s in spread]).mean()) == pytest.approx(0.327, abs=4e-3)
    assert float(torch.tensor([s.final.mean() for s in spread]).mean()) == pytest.approx(0.614, abs=1e-2)


@pytest.mark.slow
def test_parts_of_the_drone_data_share_no_video(data_root: Path):
    parts = [{t.name for t in tracks.sdd(data_root, split)} for split in ("train", "test")]
    assert not parts[0] & parts[1]
    assert len(parts[0]) == 24
    assert len(parts[1]) == 6
    parts = [{t.name for t in tracks.sdd_pixels(data_root, split)} for split in ("train", "test")]
    assert len(parts[0]) == 15
    assert parts[1] == {"gates_2", "hyang_8", "little_0", "nexus_5", "quad_0", "quad_1", "quad_2", "quad_3"}


# --- frames ---------------------------------------------------------------------------------------------------------


def moved(x: Tensor, angle: float, shift: float) -> Tensor:
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=F64)
    return x @ turn + shift


def test_frames_go_there_and_back_and_know_no_place_or_direction(file: Path):
    windows = cut([read(file)])
    unit = ordinary_step(windows)
    frames = Frames.of(windows.past, unit)
    x, c = frames.departure(windows.future), frames.condition(windows.past)
    torch.testing.assert_close(frames.positions(x), windows.future, atol=1e-5, rtol=0)
    again = Frames.of(moved(windows.past, 0.7, 100.0), unit)
    torch.testing.assert_close(again.departure(moved(windows.future, 0.7, 100.0)), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.condition(moved(windows.past, 0.7, 100.0)), c, atol=1e-5, rtol=0)
    # In another unit of length nothing changes either: the unit of the tracks is found from them.
    larger = Frames.of(100 * windows.past, 100 * unit)
    torch.testing.assert_close(larger.departure(100 * windows.future), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(larger.condition(100 * windows.past), c, atol=1e-5, rtol=0)


def test_constant_velocity_is_no_departure_and_a_mirror_changes_one_sign(file: Path):
    windows = cut([read(file)])
    frames = Frames.of(windows.past, 0.4)
    straight = frames.departure(constant_velocity(windows.past, 12))
    assert straight.abs().max() < 1e-6
    other = mirrored(windows)
    x = frames.departure(windows.future)
    y = Frames.of(other.past, 0.4).departure(other.future)
    torch.testing.assert_close(y, x * torch.tensor([1.0, -1.0]), atol=1e-5, rtol=0)
    assert x[..., 1].abs().max() > 0.05, "the agents of this test turn"


def test_an_agent_that_stands_still_has_a_frame():
    past = torch.zeros(1, 8, 2, dtype=F64)
    frames = Frames.of(past, 0.4)
    assert frames.condition(past).isfinite().all()
    assert frames.positions(torch.zeros(1, 12, 2)).abs().max() == 0


# --- displacement ---------------------------------------------------------------------------------------------------


def test_separate_minima_against_a_closed_form():
    """k predictions at known distances: ADE and FDE come of different ones."""
    truth = torch.zeros(1, 2, 2)
    paths = torch.tensor([[[1.0, 0], [4, 0]], [[6, 0], [2, 0]], [[0, 3], [0, 3]]])[:, None]
    found = best_of(paths, truth)
    assert (float(found.average), float(found.final)) == (2.5, 2.0)
    with pytest.raises(InputError, match="paths must be"):
        best_of(paths, truth[:, :1])


def test_the_stochastic_baseline_has_its_law():
    past = torch.tensor([[[0.0, 0], [2, 0]]], dtype=F64).expand(4000, -1, -1)
    paths = stochastic_constant_velocity(past, 3, 5, rng=stream(3)).flatten(0, 1)
    step = paths[:, 0] - past[0, -1]
    torch.testing.assert_close(paths[:, 2] - past[0, -1], 3 * step)
    angle, log_speed = torch.atan2(step[:, 1], step[:, 0]), (step.norm(dim=1) / 2).log()
    mean_is(torch.stack([angle, log_speed], 1), torch.zeros(2, dtype=F64))
    assert float(angle.std()) == pytest.approx(math.radians(15), rel=0.03)
    assert float(log_speed.std()) == pytest.approx(0.25, rel=0.03)


# --- planned paths --------------------------------------------------------------------------------------------------


def linear_path() -> tuple[PlannedPath, MultivariateNormal]:
    """Sub-goals at steps 1 and 3 of 4, the rest a linear map of them; and the same law as one Gaussian."""
    rng = stream(4)
    plan, weight = (noise_like(torch.empty(*shape, dtype=F64), rng) for shape in ((1, 2, 2), (4, 4)))
    path = PlannedPath(plan, lambda p: (p.flatten(1) @ weight.T).unflatten(1, (2, 2)), [1, 3], 4, 0.5, 0.3)
    mean = torch.cat([plan.flatten(), weight @ plan.flatten()])
    root = torch.cat(
        [torch.cat([0.5 * torch.eye(4), torch.zeros(4, 4)], 1), torch.cat([0.5 * weight, 0.3 * torch.eye(4)], 1)]
    )
    order = [(i, d) for i in (1, 3, 0, 2) for d in (0, 1)]
    back = [order.index((i, d)) for i in range(4) for d in (0, 1)]
    return path, MultivariateNormal(mean[back], (root @ root.T)[back][:, back])


def test_a_planned_path_is_one_normalized_density():
    path, whole = linear_path()
    x = noise_like(torch.empty(1, 4, 2, dtype=F64), stream(5))
    torch.testing.assert_close(path.log_prob(x), whole.log_prob(x.flatten(1)))
    torch.testing.assert_close(path.mode.flatten(), whole.mean)


def test_paths_are_drawn_from_it():
    path, whole = linear_path()
    many = PlannedPath(path.plan.mean.expand(20_000, -1, -1), path.rest, path.goals, 4, 0.5, 0.3)
    x = many.sample(stream(6)).flatten(1)
    mean_is(x, whole.mean)
    assert (x.T.cov() - whole.covariance_matrix).abs().max() < 0.1 * whole.covariance_matrix.abs().max()


def test_a_generator_begins_at_straight_lines():
    generator = PlanGenerator(2, 3, steps=6, goals=2, width=4, features=4)
    plan = torch.tensor([[[3.0, 6.0], [9.0, 6.0]]])
    straight = generator.between @ plan
    torch.testing.assert_close(straight[0], torch.tensor([[1.0, 2.0], [2.0, 4.0], [5.0, 6.0], [7.0, 6.0]]))
    with pytest.raises(InputError, match="the past"):
        generator(torch.zeros(1, 2))
    with pytest.raises(InputError, match="evenly"):
        PlanGenerator(2, 3, steps=5, goals=2)


# --- the belief -----------------------------------------------------------------------------------------------------


class Tilt(nn.Module):
    """f(z, c) = w·z + c·z: the belief is N(w + c, I) and log Z = |w + c|²/2."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return ((self.w + c) * z).sum(1)


class LinearGenerator(nn.Module):
    """p(x|z) = N(Az, σ² I)."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Normal:
        return Normal(z @ self.a.T, 0.5)


class ExactInference(nn.Module):
    """The posterior where A has one column a coordinate: Gaussian, with independent entries."""

    def __init__(self, model: LinearGenerator, tilt: Tilt) -> None:
        super().__init__()
        self.model, self.tilt = [model], [tilt]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Normal:
        a = self.model[0].a.detach().diagonal()
        precision = 1 + a**2 / 0.25
        assert c is not None
        return Normal((self.tilt[0].w.detach() + c + a * x / 0.25) / precision, precision.rsqrt().expand_as(x))


class ExactBelief(LatentBelief):
    def synthesize_prior(self, x: Tensor, c: Tensor | None = None, *, rng) -> Tensor:
        assert c is not None
        f = self.prior.f
        assert isinstance(f, Tilt)
        mean = (f.w + c).detach()
        return mean + noise_like(mean, rng)


def test_with_exact_parts_the_bound_and_its_gradient_are_those_of_the_likelihood():
    """x = Az + σε, z ~ N(w + c, I): log p(x|c) is Gaussian, and every loss must be its share of it."""
    w, a = torch.tensor([0.4, -0.7], dtype=F64), torch.tensor([0.8, 1.5], dtype=F64)
    tilt, generator = Tilt(w), LinearGenerator(a.diag())
    sampler = Langevin(1, 0.1)
    model = ExactBelief(
        EBM(tilt, StandardNormal(2).double()), generator, ExactInference(generator, tilt),
        prior_sampler=sampler, posterior_sampler=sampler,
    )  # fmt: skip
    n = 200_000
    x, c = (torch.tensor(v, dtype=F64).expand(n, 2) for v in ([0.9, 0.8], [0.2, 0.5]))
    losses = model.losses(Batch(x, c), rng=stream(8))
    marginal = MultivariateNormal(a.diag() @ (w + c[0]), (a**2 + 0.25).diag())
    log_z = 0.5 * ((w + c[0]) ** 2).sum()
    bound = -losses["inference"].detach()
    assert float(bound) == pytest.approx(float(marginal.log_prob(x[0]) + log_z), abs=0.01)
    learned = w.clone().requires_grad_()
    likelihood = MultivariateNormal(a.diag() @ (learned + c[0]), (a**2 + 0.25).diag()).log_prob(x[0])
    (expected,) = torch.autograd.grad(likelihood, learned)
    (gradient,) = torch.autograd.grad(losses["prior"], tilt.w)
    torch.testing.assert_close(-gradient, expected, atol=0.02, rtol=0)
    assert expected.abs().min() > 0.1, "a gradient of zero would prove nothing"


def test_a_belief_needs_what_was_seen():
    model = CASES["LatentBelief"].build()
    for call in (model.latent_density, model.chain):
        with pytest.raises(Unsupported, match="a prior that depends on a condition, and none was given: use predict"):
            call()


def test_one_prediction_chosen_by_its_plan_is_never_better_than_separate_minima():
    rng = stream(4)
    paths, truth = torch.randn(7, 50, 12, 2, generator=rng), torch.randn(50, 12, 2, generator=rng)
    one, apart = best_by_plan(paths, truth, [2, 5, 8, 11]), best_of(paths, truth)
    assert (one.average >= apart.average).all()
    assert (one.final >= apart.final).all()
    assert (one.average > apart.average).any()
    last = best_by_plan(paths, truth, [11])  # the plan is the last position alone: FDE is the least there is
    torch.testing.assert_close(last.final, apart.final)
    with pytest.raises(InputError, match="paths must be"):
        best_by_plan(paths, truth[:, :1], [0])


# --- other agents ---------------------------------------------------------------------------------------------------


def three_in_a_row() -> Tracks:
    """Agents 0, 1 and 2 walk side by side along the first axis, at y = 0, 1 and 3; agent 2 is gone after 8 frames."""
    lines = [(agent, t, float(t), y) for agent, y, end in ((0, 0.0, 12), (1, 1.0, 12), (2, 3.0, 8)) for t in range(end)]
    agent, frame, x, y = (torch.tensor(column) for column in zip(*lines))
    return Tracks(agent, frame, torch.stack([x, y], 1).double(), "row")


def test_neighbours_are_the_nearest_others_of_the_moment_with_or_without_a_future():
    windows = cut([three_in_a_row()], 8, 2, neighbours=3)
    first = windows[(windows.agent == 0) & (windows.frame == 7)]
    assert first.others is not None
    torch.testing.assert_close(
        first.others[0, :, -1, 1], torch.tensor([1.0, 3.0, torch.nan], dtype=F64), equal_nan=True
    )
    later = windows[(windows.agent == 0) & (windows.frame == 8)]  # agent 2 is gone
    assert later.others is not None
    torch.testing.assert_close(
        later.others[0, :, -1, 1], torch.tensor([1.0, torch.nan, torch.nan], dtype=F64), equal_nan=True
    )
    assert (mirrored(windows).others[..., 1].nan_to_num() == -windows.others[..., 1].nan_to_num()).all()


def test_neighbours_are_seen_in_the_agent_s_own_frame():
    """Turning and moving the whole scene changes nothing; a neighbour that is absent is zeros."""
    windows = cut([three_in_a_row()], 8, 2, neighbours=3)
    frames = Frames.of(windows.past, 1.0, 2)
    seen = frames.neighbours(windows.others)
    assert seen.shape == (len(windows), 3, 17)
    cos, sin = math.cos(1.0), math.sin(1.0)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=F64)
    elsewhere = Frames.of(windows.past @ turn + 5, 1.0, 2).neighbours(windows.others @ turn + 5)
    torch.testing.assert_close(seen, elsewhere, atol=1e-5, rtol=0)
    row = seen[(windows.agent == 0) & (windows.frame == 7)][0]
    assert 0 < row[0, -1] < row[1, -1], "both are to the left, the second farther"
    assert (row[2] == 0).all()
    assert (row[:2, 0] == 1).all()


def test_pooling_forgets_the_order_of_neighbours_and_hears_each():
    class Read(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return c

    rng = stream(0)
    pool = SocialPooling(Read(), own=5, neighbours=4, size=7, width=8, features=3)
    own, others = torch.randn(6, 5, generator=rng), torch.randn(6, 4, 7, generator=rng)
    others[..., 0] = 1
    others[:, 3] = 0  # absent

    def pooled(others: Tensor) -> Tensor:
        return pool(own, torch.cat([own, others.flatten(1)], 1))

    found = pooled(others)
    assert found.shape == (6, 8)
    torch.testing.assert_close(found, pooled(others[:, [2, 3, 0, 1]]))
    filled = others.clone()
    filled[:, 3, 1:] = 9.0  # still absent: what it holds is not read
    torch.testing.assert_close(found, pooled(filled))
    filled[:, 3, 0] = 1
    assert (found - pooled(filled))[:, 5:].abs().amax(1).min() > 1e-3
    assert (pooled(torch.zeros_like(others))[:, 5:] == 0).all()


def test_neighbours_and_joint_agents_exclude_each_other(file: Path):
    with pytest.raises(InputError, match="expected neighbours without pose and agents"):
        TrackSet(lambda part: [read(file)], past=3, future=4, neighbours=2, pose=True)


def test_a_model_with_neighbours_predicts_alike_wherever_its_windows_come_from(file: Path, tmp_path: Path):
    recipe = build("latent_prior", str(file), past=3, future=4, goals=2, neighbours=2, tiny=True)
    fit(recipe, tmp_path / "run")
    opened = open_run(tmp_path / "run")
    test = opened.examples("test")
    assert isinstance(test, TrackSet)
    assert test.batch(torch.arange(2)).c.shape == (2, 5 + 2 * 7)
    given = cut(test.recordings, 3, 4, neighbours=2)
    there = predict(opened.model, opened.data, test.windows, 2, seed=3)
    torch.testing.assert_close(there, predict(opened.model, opened.data, given, 2, seed=3))


# --- the whole way --------------------------------------------------------------------------------------------------


def run_cli(*words: str) -> None:
    cli.main(list(words))


def test_a_user_s_tracks_are_learned_sampled_and_predicted(file: Path, tmp_path: Path, capsys):
    run = tmp_path / "run"
    # A prediction needs eight positions; the last fifth of the time has 13 of them, so windows must be short.
    run_cli("train", "latent_prior", "--data", str(file), "--out", str(run), "--past", "3", "--future", "4",
            "--goals", "2", "--tiny")  # fmt: skip
    run_cli("sample", str(run), "--n", "5")
    run_cli("predict", str(run), "--input", str(file), "--k", "3")
    assert "ADE, best of 3" in capsys.readouterr().out
    with open(run / "predict" / "predictions.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    result = json.loads((run / "predict" / "result.json").read_text())
    assert len(rows) == 3 * 4 * result["figures"]["predicted futures"]
    assert {row["step"] for row in rows} == {"1", "2", "3", "4"}
    assert (run / "predict" / "predictions.png").stat().st_size > 10_000
    last = [row for row in rows if row["agent"] == "0" and row["frame"] == "390"]
    assert len(last) == 12, "the end of a track is predicted too, where no future is known"


def test_a_prediction_follows_from_its_seed_and_row(file: Path, tmp_path: Path):
    recipe = build("latent_prior", str(file), past=3, future=4, goals=2, tiny=True)
    fit(recipe, tmp_path / "run")
    opened = open_run(tmp_path / "run")
    test = opened.examples("test")
    assert isinstance(test, TrackSet)
    windows = test.windows
    one_way = predict(opened.model, opened.data, windows, 2, seed=3)
    few = predict(opened.model, opened.data, windows[slice(0, 2)], 2, seed=3)
    torch.testing.assert_close(few, one_way[:, :2], atol=1e-5, rtol=0)
    assert not torch.equal(one_way, predict(opened.model, opened.data, windows, 2, seed=4))


@pytest.mark.slow
def test_a_gaussian_prior_and_other_recipes_are_built(data_root: Path):
    for data, options in (("eth_ucy", {"scene": "eth", "prior": "gaussian"}), ("sdd", {})):
        found = build("latent_prior", data, tiny=True, **options)
        assert found.examples.unit_length > 0
        algorithm = found.algorithm()
        batch = next(found.batches())
        losses = algorithm.losses(batch, rng=stream(0))
        assert set(losses) == set(found.optimizers(algorithm))
        c = found.conditions(5)
        assert algorithm.sample(5, c, rng=stream(1)).shape == (5, 12, 2)


def test_predict_needs_a_model_of_tracks(tmp_path: Path):
    run_cli("train", "maximum_likelihood", "--data", "ring", "--out", str(tmp_path / "ring"), "--tiny")
    with pytest.raises(SystemExit) as end:
        run_cli("predict", str(tmp_path / "ring"))
    assert end.value.code == 2
