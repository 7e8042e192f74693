"""Every method that takes video and voxels trains on them, and the laws that make their models what they are."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from absynth import cli, recipes
from absynth.data import sets
from absynth.data.hidden import hidden, through_time
from absynth.metrics.motion import autocorrelation, difference_spectrum, worst_factor
from absynth.networks.growing import GrowingConv
from absynth.networks.spacetime import SpaceTimeF
from absynth.samplers.multiscale import coarsen, refine
from absynth.seeding import stream
from absynth.tasks.features import probe
from absynth.tasks.observed import wrong_share
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


def run(argv: list[str]) -> int:
    """Exit status of one command."""
    try:
        cli.main(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


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
    with pytest.raises(Exception, match="leave frames out"):
        other.set_frames(20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tiny run on a clip, and one on shapes of two classes."""
    root = tmp_path_factory.mktemp("grids")
    np.savez(root / "clip.npz", frames=clip())
    np.savez(root / "shapes.npz", x=shapes(), y=np.arange(40) % 2)
    for kind in DATA:
        name = "clip" if kind == "video" else "shapes"
        flags = ["--kind", kind, "--data", str(root / f"{name}.npz"), "--tiny", "--device", "cpu"]
        assert run(["train", "maximum_likelihood", "--out", str(root / kind), *flags]) == 0
    return root


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        ("video", ["sample", "--n", "3", "--frames", "12"]),
        ("video", ["inpaint", "--samples", "2"]),
        ("video", ["inpaint", "--samples", "2", "--hide", "frames"]),
        ("video", ["inpaint", "--samples", "1", "--hide", "pixels", "--share", "0.3"]),
        ("voxels", ["sample", "--n", "3"]),
        ("voxels", ["inpaint", "--n", "3", "--samples", "2"]),
        ("voxels", ["inpaint", "--n", "3", "--samples", "1", "--hide", "pixels", "--share", "0.7"]),
        ("voxels", ["super_resolve", "--n", "2", "--samples", "1"]),
        ("voxels", ["features", "--labels", "3"]),
        ("voxels", ["detect"]),
    ],
    ids=lambda v: v if isinstance(v, str) else " ".join(v[:1] + v[3:]),
)
def test_tasks_answer_on_clips_and_shapes(kind, argv, runs):
    task, *flags = argv
    assert run([task, str(runs / kind), *flags, "--device", "cpu"]) == 0
    found = json.loads((runs / kind / task / "result.json").read_text())
    assert found["figures"]
    assert all(math.isfinite(v) for v in found["figures"].values())
    for picture in found["pictures"]:
        assert Image.open(runs / kind / task / picture["file"]).size[0] > 40
    if task == "inpaint" and kind == "video":
        assert "interpolation in time" in found["baselines"]["PSNR in the hole"]
    if kind == "voxels" and task in ("inpaint", "super_resolve"):
        assert 0 <= found["figures"]["wrong voxels of the draws' mean"] <= 1


def test_bad_flags_are_refused_in_one_line(runs, capsys):
    for kind, argv, words in (
        ("voxels", ["inpaint", "--box", "[0,0,4,4]"], "give --hide block or pixels"),
        ("voxels", ["sample", "--frames", "9"], "leave --frames and --film out"),
        ("video", ["super_resolve"], "needs image or voxels data"),
        ("video", ["inpaint", "--hide", "pixels", "--share", "0"], "give another share"),
        ("video", ["features"], "needs data with labels"),
    ):
        assert run([argv[0], str(runs / kind), *argv[1:], "--device", "cpu"]) != 0
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line


def test_interpolation_in_time_is_exact_on_lines_and_uses_nothing_hidden():
    time = torch.arange(12.0).view(1, 1, 12, 1, 1)
    slope = torch.randn(2, 3, 1, 5, 5)
    x = 0.3 + slope * time
    hole = hidden((12, 5, 5), "frames", 0.5, rng=stream(3))
    hole[:, [0, 11]] = False
    spoiled = torch.where(hole, 1e6, x)
    assert torch.allclose(through_time(spoiled, hole), x, atol=1e-4)
    never = torch.zeros(1, 12, 5, 5, dtype=torch.bool)
    never[:, :, 2] = True  # a row that is never observed is the mean of the rest
    filled = through_time(torch.where(never, 1e6, x), never)
    rest = x[:, :, :, [0, 1, 3, 4]].mean((2, 3, 4))
    assert torch.allclose(filled[:, :, 3, 2, 0], rest, atol=1e-4)


def test_motion_figures_tell_order_from_disorder():
    drift = torch.from_numpy(clip()).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    walk = torch.cumsum(torch.randn(1, 1, 400, 16, 16, generator=stream(1)), 2) * 0.1
    for x in (torch.nn.functional.avg_pool3d(drift, (1, 1, 5), 1), walk):
        order = torch.randperm(x.shape[2], generator=stream(2))
        same, mixed = x[:, :, : x.shape[2] // 2], x[:, :, order]
        good = worst_factor(autocorrelation(same, 1), autocorrelation(x, 1))
        bad = worst_factor(autocorrelation(mixed, 1), autocorrelation(x, 1))
        assert good < 1.5 < bad
    assert worst_factor(difference_spectrum(2 * walk), difference_spectrum(walk)) == pytest.approx(4, rel=1e-3)
    assert worst_factor(difference_spectrum(walk), difference_spectrum(walk.flip(2))) == pytest.approx(1, rel=1e-3)


def test_wrong_voxels_are_counted_where_asked():
    a, b = torch.ones(2, 1, 4, 4, 4), torch.ones(2, 1, 4, 4, 4)
    b[:, :, 0] = -1
    hole = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    hole[:, :2] = True
    assert wrong_share(a, b) == 0.25
    assert wrong_share(a, b, hole) == 0.5


def test_a_linear_probe_reads_what_is_there_and_no_more():
    rng = stream(4)
    y = torch.arange(400) % 2
    x = torch.randn(400, 30, generator=rng)
    informed = x.clone()
    informed[:, 7] += 4 * (2 * y - 1)
    rows = torch.arange(100)
    assert probe(informed[:300], rows, y[:100], informed[300:], y[300:], 30) > 0.9
    assert 0.3 < probe(x[:300], rows, y[:100], x[300:], y[300:], 30) < 0.7
