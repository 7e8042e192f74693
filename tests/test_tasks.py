"""Tasks: the laws they promise, where those are known exactly, and each of them end to end on tiny runs."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import laws
import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from torch import Tensor, nn

from absynth import recipes, tasks
from absynth.algorithms import Chain
from absynth.algorithms.latent_prior import LatentPrior
from absynth.algorithms.maximum_likelihood import MaximumLikelihood
from absynth.density import EBM, restrict
from absynth.distributions import GaussianGenerator, StandardNormal, Uniform
from absynth.errors import InputError
from absynth.metrics.grid import Grid
from absynth.samplers import HMC, ChainWarning, FromNoise, Langevin, summarize_chains
from absynth.seeding import Streams, stream
from absynth.tasks import chain
from absynth.tasks.compose import compose, composed
from absynth.tasks.inpaint import box_hole, compute_baselines, inpaint, painted_hole
from absynth.tasks.observed import nearest, psnr
from absynth.tasks.opened import Opened, open_run
from absynth.tasks.super_resolve import blocks, coarse, super_resolve, with_means
from absynth.tasks.translate import mean_distance, translate
from absynth.types import Sampler

N = 3000
MEAN = torch.tensor([0.3, -0.2, 0.1, 0.4])
PRECISION = torch.tensor([[2.0, 0.6, 0.5, -0.3], [0.6, 1.5, -0.4, 0.2], [0.5, -0.4, 1.8, 0.7], [-0.3, 0.2, 0.7, 1.2]])
Y = torch.tensor([[[[1.0, -0.5], [0.25, 0.0]]]])


class Quadratic(nn.Module):
    """f of N(mean, precision⁻¹) on events of any shape."""

    def __init__(self, mean: Tensor, precision: Tensor) -> None:
        super().__init__()
        self.mean, self.precision = mean, precision

    def forward(self, x: Tensor) -> Tensor:
        d = x.flatten(1) - self.mean
        return -0.5 * ((d @ self.precision) * d).sum(1)


def gaussian_model(sampler: Sampler) -> MaximumLikelihood:
    flat = Uniform(1, 2, 2)
    return MaximumLikelihood(EBM(Quadratic(MEAN, PRECISION), flat), start=FromNoise(flat), sampler=sampler)


def opened(model: MaximumLikelihood | LatentPrior) -> Opened:
    return Opened(Path("run"), model, recipes.build("latent_prior", "digits", tiny=True), torch.device("cpu"))


def given(precision: Tensor, mean: Tensor, rows: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of N(mean, precision⁻¹) given rows @ x = y, by the textbook formula."""
    cov = precision.inverse()
    gain = cov @ rows.T @ (rows @ cov @ rows.T).inverse()
    return mean + gain @ (y - rows @ mean), cov - gain @ rows @ cov


EXACT = HMC(steps=40, step_size=0.4, leapfrog_steps=3)  # 1.2: far from half a period of any direction here


@pytest.mark.parametrize("hole", [(0, 1), (1, 2, 3)])
def test_inpainting_a_correlated_gaussian_has_the_exact_conditional_law(hole):
    known = torch.tensor([i not in hole for i in range(4)]).view(1, 2, 2)
    fill = restrict(lambda v: v.new_zeros(len(v)), known, Y.expand(N, 1, 2, 2)).fill
    x = gaussian_model(EXACT).complete(fill, N, rng=stream(3)).flatten(1)
    mean, cov = given(PRECISION, MEAN, torch.eye(4)[known.flatten()], Y.flatten()[known.flatten()])
    for i in hole:
        laws.normal_law(x[:, i], float(mean[i]), float(cov[i, i]))
        with pytest.raises(AssertionError):  # the marginal law, which looks at nothing that was seen, is another
            laws.normal_law(x[:, i], float(MEAN[i]), float(PRECISION.inverse()[i, i]))
    laws.normal_law(x[:, list(hole)].sum(1), float(mean[list(hole)].sum()), float(cov[list(hole)][:, list(hole)].sum()))
    torch.testing.assert_close(x[:, known.flatten()], Y.flatten()[known.flatten()].expand(N, -1))


def test_super_resolution_of_a_gaussian_has_the_exact_conditional_law():
    y = torch.full((N, 1, 1, 1), 0.7)
    x = gaussian_model(EXACT).complete(with_means(y, 2), N, rng=stream(4))
    torch.testing.assert_close(coarse(x, 2), y)
    mean, cov = given(PRECISION, MEAN, torch.full((1, 4), 0.25), torch.tensor([0.7]))
    for i in range(4):
        laws.normal_law(x.flatten(1)[:, i], float(mean[i]), float(cov[i, i]))
    contrast = torch.tensor([1.0, -1.0, 2.0, 0.5])
    laws.normal_law(x.flatten(1) @ contrast, float(mean @ contrast), float(contrast @ cov @ contrast))


class Linear(nn.Module):
    """g(z) = W z as a picture of 2 × 2."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T).view(-1, 1, 2, 2)


class Flat(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return 0.0 * z.sum(1)


WEIGHT = torch.tensor([[1.0, 0.2], [0.3, -0.8], [0.5, 0.5], [-0.4, 0.9]])
STD = 0.4


def latent_model(posterior_sampler: Sampler) -> LatentPrior:
    return LatentPrior(
        EBM(Flat(), StandardNormal(2)),
        GaussianGenerator(Linear(WEIGHT), STD),
        prior_sampler=Langevin(1, 0.1),
        posterior_sampler=posterior_sampler,
    )


@pytest.mark.parametrize("kind", ["hole", "means"])
def test_through_a_linear_generator_only_what_was_observed_is_looked_at(kind):
    model = latent_model(EXACT)
    if kind == "hole":
        known = torch.tensor([True, False, True, False]).view(1, 2, 2)
        fill = restrict(lambda v: v.new_zeros(len(v)), known, Y.expand(N, 1, 2, 2)).fill
        rows, y = torch.eye(4)[known.flatten()], Y.flatten()[known.flatten()]
    else:
        fill = with_means(coarse(Y, 2).expand(N, 1, 1, 1), 2)
        rows, y = torch.full((1, 4), 0.25), coarse(Y, 2).flatten()
    x = model.complete(fill, N, rng=stream(5)).flatten(1)
    # (z, x) is Gaussian with precision [[I + WᵀW/σ², −Wᵀ/σ²], [−W/σ², I/σ²]]; given rows @ x = y.
    precision = torch.cat([
        torch.cat([torch.eye(2) + WEIGHT.T @ WEIGHT / STD**2, -WEIGHT.T / STD**2], 1),
        torch.cat([-WEIGHT / STD**2, torch.eye(4) / STD**2], 1),
    ])  # fmt: skip
    wide = torch.cat([torch.zeros(len(rows), 2), rows], 1)
    mean, cov = given(precision, torch.zeros(6), wide, y)
    keep = torch.eye(4) - rows.T @ (rows @ rows.T).inverse() @ rows
    for i in (1, 3):
        row = keep[i] @ WEIGHT
        offset = float((torch.eye(4) - keep)[i] @ rows.T @ (rows @ rows.T).inverse() @ y)
        laws.normal_law(x[:, i], float(row @ mean[:2]) + offset, float(row @ cov[:2, :2] @ row))


def test_a_draw_follows_from_its_image_and_number_whatever_else_is_drawn():
    for model in (gaussian_model(Langevin(5, 0.3)), latent_model(Langevin(5, 0.3))):
        o, x = opened(model), torch.randn(7, 1, 2, 2, generator=stream(1))
        hole = box_hole([1, 0, 1, 2], 2, 2)
        whole = inpaint(o, x, hole, 3, seed=8)
        torch.testing.assert_close(inpaint(o, x[:4], hole, 2, seed=8, batch=3), whole[:2, :4])
        assert float((whole[0] - whole[1]).abs().max()) > 0.1  # fills differ
        assert float((inpaint(o, x, hole, 1, seed=9)[0] - whole[0]).abs().max()) > 0.1
        changed = torch.where(hole, torch.full_like(x, 9.0), x)  # what the hole hides is never looked at
        torch.testing.assert_close(inpaint(o, changed, hole, 3, seed=8), whole)
        y = coarse(x, 2)
        torch.testing.assert_close(
            super_resolve(o, y[:4], 2, 2, seed=8, batch=1), super_resolve(o, y, 2, 3, seed=8)[:2, :4]
        )


def test_holes():
    hole = box_hole([2, 1, 3, 2], 5, 6)
    assert hole.sum() == 6
    assert hole[0, 1:3, 2:5].all()
    for bad in ([4, 0, 3, 2], [0, 0, 0, 1], [-1, 0, 2, 2], [1, 2]):
        with pytest.raises(InputError, match="box"):
            box_hole(bad, 5, 6)


def test_a_painted_hole_is_white_or_opaque(tmp_path):
    painted = np.zeros((4, 4), np.uint8)
    painted[1, 2:] = 255
    Image.fromarray(painted).save(tmp_path / "white.png")
    assert painted_hole(tmp_path / "white.png", 4, 4)[0].equal(torch.from_numpy(painted > 0))
    assert painted_hole(tmp_path / "white.png", 8, 8).sum() == 8
    brush = np.zeros((4, 4, 4), np.uint8)
    brush[2, 1] = (0, 0, 0, 255)  # black paint on transparent ground is paint
    Image.fromarray(brush).save(tmp_path / "brush.png")
    assert painted_hole(tmp_path / "brush.png", 4, 4)[0].nonzero().tolist() == [[2, 1]]
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "empty.png")
    with pytest.raises(InputError, match="paints nothing"):
        painted_hole(tmp_path / "empty.png", 4, 4)
    with pytest.raises(InputError, match="must be an image file"):
        painted_hole(tmp_path / "none.png", 4, 4)


def test_baselines_and_psnr():
    train = torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, -1.0]]).view(2, 1, 2, 2)
    x = torch.tensor([[0.9, 0.8, 0.9, 0.5]]).view(1, 1, 2, 2)
    hole = box_hole([1, 1, 1, 1], 2, 2)
    others = compute_baselines(x, hole, train)
    assert others["nearest training image"].flatten().tolist() == pytest.approx([0.9, 0.8, 0.9, -1.0])
    assert others["mean training image"].flatten().tolist() == pytest.approx([0.9, 0.8, 0.9, 0.0])
    assert psnr(others["mean training image"], x, hole) == pytest.approx(10 * np.log10(4 / 0.25))
    assert psnr(others["mean training image"], x) == pytest.approx(10 * np.log10(4 / (0.25 / 4)))
    torch.testing.assert_close(nearest(x, train, lambda v: coarse(v, 2)), train[1:])  # of block means .775: .25, .5
    torch.testing.assert_close(coarse(blocks(x, 2), 2), x)


# Composition ----------------------------------------------------------------------------------------------------------


class Bumps(nn.Module):
    """log of a mixture of Gaussians in the plane."""

    def __init__(self, *centres: tuple[float, float], std: float) -> None:
        super().__init__()
        self.centres, self.std = torch.tensor(centres), std

    def forward(self, x: Tensor) -> Tensor:
        return (-0.5 * torch.cdist(x, self.centres.to(x)).square() / self.std**2).logsumexp(1)


def plane(f: nn.Module, sampler: Sampler) -> Chain:
    ebm = EBM(f, Uniform(2, low=-2.0, high=2.0))
    return Chain(ebm(), ebm.reference, sampler)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.5), (1.0, -0.3)])
def test_a_product_of_mixtures_has_the_law_of_quadrature(weights):
    sampler = HMC(steps=20, step_size=0.3, leapfrog_steps=4)
    chains = [
        plane(Bumps((-0.8, 0.0), (0.8, 0.3), std=0.7), sampler),
        plane(Bumps((0.2, -0.5), (-0.6, 0.9), std=0.9), sampler),
    ]
    x = compose(chains, weights, 800, seed=1, batch=800, device="cpu")
    grid = Grid(-6, 6, 240, 2)
    mass = (grid.log_prob(composed(chains, weights)) + grid.log_cell).exp().view(240, 240)
    edges = np.linspace(-6, 6, 241)
    alone = (grid.log_prob(chains[0].tempered) + grid.log_cell).exp().view(240, 240)
    for axis in (0, 1):
        cdf = np.concatenate([[0], mass.sum(1 - axis).cumsum(0).numpy()])
        laws.same_law(x[:, axis], lambda v, c=cdf: np.interp(v, edges, c))
    other = np.concatenate([[0], alone.sum(1).cumsum(0).numpy()]) if weights == (1.0, 1.0) else None
    if other is not None:
        with pytest.raises(AssertionError):  # the first factor alone is another law
            laws.same_law(x[:, 0], lambda v: np.interp(v, edges, other))


def test_a_product_counts_each_run_at_its_own_temperature():
    chains = [
        plane(Bumps((0.0, 0.0), std=1.0), Langevin(80, 0.4, 0.2)),  # temperature 1/4
        plane(Bumps((1.0, 1.0), std=2.0), Langevin(1, 0.1)),  # temperature 1
    ]
    assert chains[0].temperature == pytest.approx(0.25)
    x = compose(chains, (1.0, 2.0), 800, seed=2, batch=800, device="cpu")
    # p_1^4 p_2^2: precision 4 + 2/4; Langevin's own inflation is 1/(1 − δ²P/4) of the climbed density, 1/4 of that.
    precision = 4.5
    inflated = 1 / precision / (1 - 0.4**2 * precision / 4 / 4)
    laws.normal_law(x[:, 0], 0.5 / precision, inflated)
    with pytest.raises(InputError, match="without noise"):
        replace(chains[0], sampler=Langevin(5, 0.1, 0.0)).tempered(x)


def test_translation_moves_less_in_fewer_steps():
    chain = opened(gaussian_model(Langevin(1, 0.2, 0.02))).data_chain()
    x = torch.full((200, 1, 2, 2), 3.0)
    moved = []
    for steps in (0, 1, 5, 25):
        chain = replace(chain, sampler=Langevin(steps, 0.2, 0.02))
        moved.append(float((translate(chain, x, rng=stream(2)) - x).flatten(1).norm(dim=1).mean()))
    assert moved[0] == 0
    assert moved == sorted(moved)
    assert moved[3] > 4 * moved[1] > 0
    assert mean_distance(x[:1], torch.zeros(5, 1, 2, 2)) == pytest.approx(6.0)


# End to end -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Tiny runs: a latent prior, a short-run EBM of a folder of pictures, two EBMs in the plane, a ladder."""
    root = tmp_path_factory.mktemp("runs")
    photos = root / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(45):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(photos / f"{i:02d}.png")
    made = {"photos": photos}
    wanted = {
        "latent": ["latent_prior", "--data", "digits"],
        "pictures": ["maximum_likelihood", "--data", photos, "--start", "noise"],
        "persistent": ["maximum_likelihood", "--data", photos, "--start", "persistent", "--seed", 1],
        "ring": ["maximum_likelihood", "--data", "ring"],
        "ring2": ["maximum_likelihood", "--data", "ring", "--seed", 1],
        "ladder": ["diffusion_recovery", "--data", "ring"],
        "growing": ["coarse_to_fine", "--data", photos],
    }
    for name, argv in wanted.items():
        made[name] = root / name
        assert run("train", *argv, "--out", made[name], "--tiny", "--device", "cpu") == 0
    return made


@pytest.mark.parametrize(
    "argv",
    [
        ("inpaint", "latent", "--n", 5, "--samples", 2),
        ("inpaint", "pictures", "--n", 3, "--samples", 2, "--box", "[1,2,5,6]"),
        ("inpaint", "persistent", "--n", 2, "--mask", "{photos}/03.png"),
        ("super_resolve", "latent", "--n", 5, "--samples", 2, "--factor", 2),
        ("super_resolve", "pictures", "--n", 3, "--samples", 2),
        ("translate", "pictures", "--input", "{photos}", "--n", 4, "--steps", 2),
        ("compose", "ring", "--others", "[{ring2}]", "--weights", "[1,-0.2]", "--n", 20, "--steps", 5),
        pytest.param(("compose", "pictures", "--others", "[{persistent}]", "--n", 3), marks=pytest.mark.slow),
        ("likelihood", "ring", "--n", 6, "--chains", 6, "--temperatures", 5),
        pytest.param(("likelihood", "latent", "--n", 2, "--chains", 3, "--temperatures", 5), marks=pytest.mark.slow),
        pytest.param(("likelihood", "pictures", "--n", 2, "--chains", 3, "--temperatures", 5), marks=pytest.mark.slow),
        ("detect", "pictures"),
        ("detect", "ring"),
        ("evaluate", "ring", "--n", 50),
        ("chain", "pictures", "--n", 10, "--long", 9),
        pytest.param(
            ("evaluate", "pictures", "--n", 36, "--sweep", "[1,3]", "--cache", "{photos}/../features"),
            marks=pytest.mark.slow,
        ),
        ("sample", "persistent", "--n", 3, "--steps", 4),
        ("sample", "ladder", "--n", 3, "--steps", 4),
        ("chain", "ladder", "--n", 10, "--long", 9),
        pytest.param(("likelihood", "ladder", "--n", 6, "--chains", 6, "--temperatures", 5), marks=pytest.mark.slow),
        ("compose", "ladder", "--others", "[{ring}]", "--n", 20, "--steps", 5),
        ("inpaint", "growing", "--n", 2, "--samples", 2),
        ("super_resolve", "growing", "--n", 2, "--samples", 1),
        ("detect", "growing"),
        ("reconstruct", "pictures", "--n", 2),
        ("interpolate", "pictures", "--n", 2, "--steps", 3),
        ("translate", "growing", "--input", "{photos}", "--n", 2),
    ],
    ids=lambda argv: f"{argv[0]}-{argv[1]}",
)
def test_tasks_answer_on_every_model_that_can(argv, runs):
    name, of, *flags = argv
    flags = [str(flag).format(**runs) for flag in flags]
    assert run(name, runs[of], *flags) == 0
    found = json.loads((runs[of] / name / "result.json").read_text())
    assert found["figures"]
    assert all(np.isfinite(v) for v in found["figures"].values())
    for picture in found["pictures"]:
        assert Image.open(runs[of] / name / picture["file"]).size[0] > 40
    assert bool(found["pictures"]) == (name != "likelihood" and argv[:2] != ("evaluate", "ring"))
    if name in ("inpaint", "compose"):
        assert run(name, runs[of], *flags) == 0  # the same seed gives the same numbers
        assert json.loads((runs[of] / name / "result.json").read_text())["figures"] == found["figures"]


def test_chains_that_disagree_are_a_warning_on_one_line(runs, tmp_path, capsys):
    """The line is that of ``ab.draw``; it goes to stderr and into the result's text, and leaves its JSON whole."""
    capsys.readouterr()
    assert run("chain", runs["ring"], "--n", 8, "--long", 200, "--json", "--out", tmp_path / "short") == 0
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    model = open_run(runs["ring"], "cpu").model
    _, _, draws = chain.path(model.chain(), 8, 200, [0], rng=Streams(0, range(8), device="cpu"))
    warning = summarize_chains(draws).warning
    assert "run longer" in warning
    assert line == f"absynth: warning: the last half of the long run, 8 chains of 100 draws: states: {warning}"
    assert f"8 chains of 100 draws: states: {warning}. R-hat" in json.loads(out)["text"]


@pytest.mark.parametrize(("apart", "trouble"), [((0, 0), ""), ((0, 9), "energy: R-hat "), ((9, 9), "states: R-hat ")])
def test_independent_chains_have_no_warning_and_shifted_ones_have_one(apart, trouble, monkeypatch, tmp_path):
    model = replace(opened(gaussian_model(EXACT)), task="chain", out=tmp_path)
    rng, shift = stream(1), torch.arange(20.0) / 19
    x, energies = torch.randn(20, 500, 1, 2, 2, generator=rng), torch.randn(1001, 20, generator=rng)
    kept = torch.zeros(8, 20, 1, 2, 2), energies + apart[1] * shift, x + apart[0] * shift.view(20, 1, 1, 1, 1)
    monkeypatch.setattr(chain, "open_run", lambda *_, **__: model)
    monkeypatch.setattr(chain, "path", lambda *_, **__: kept)
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        found = chain.command(tmp_path, n=20, long=1000, at=list(range(8)))
    assert f"20 chains of 500 draws: {trouble or 'no trouble found. R-hat near 1'}" in found.text
    said = [str(w.message) for w in issued if w.category is ChainWarning]
    assert len(said) == bool(trouble)
    assert not said or (trouble in said[0] and said[0].endswith("run longer, or cross modes with Tempering"))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("inpaint", "ring"), "needs image or video or voxels data"),
        (("inpaint", "ladder"), "needs image or video or voxels data"),
        (("inpaint", "latent", "--box", "[0,0,9,9]"), "must lie within images of 8x8"),
        (("inpaint", "latent", "--box", "[0,0,2,2]", "--mask", "a.png"), "leave one out"),
        (("inpaint", "latent", "--samples", 0), "at least 1"),
        (("super_resolve", "latent", "--factor", 3), "divide the sides 8x8"),
        (("super_resolve", "ring"), "needs image or voxels data"),
        (("translate", "latent", "--label", 3), "this needs a density of the data"),
        (("translate", "pictures"), "--input"),
        (("translate", "pictures", "--label", 3), "no labels"),
        (("translate", "ring", "--label", 3), "needs image data"),
        (("compose", "ring"), "--others"),
        (("compose", "ring", "--others", "[{pictures}]"), "one shape"),
        (("compose", "ring", "--others", "[{latent}]"), "this needs a density of the data"),
        (("compose", "ring", "--others", "[{ring2}]", "--weights", "[1,2,3]"), "2 numbers"),
        (("compose", "ring", "--others", "[{ring2}]", "--weights", "[-1,-2]"), "one of them positive"),
        (("likelihood", "ring", "--chains", 0), "at least 1"),
        (("reconstruct", "persistent"), "latent variable"),
        (("interpolate", "pictures", "--input", "{photos}"), "leave out --input"),
        (("likelihood", "growing"), "without noise"),
    ],
    ids=lambda value: "-".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_a_model_that_cannot_says_so_in_one_line(argv, says, runs, capsys):
    name, of, *flags = argv
    capsys.readouterr()
    assert run(name, runs[of], *[str(flag).format(**runs) for flag in flags]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (line,) = text.strip().splitlines()
    assert says in line


# Where data and results are -------------------------------------------------------------------------------------------


def test_results_go_elsewhere_and_the_run_stays_as_it_was(runs, tmp_path):
    before = sorted(p.relative_to(runs["ring2"]) for p in runs["ring2"].rglob("*"))
    assert run("sample", runs["ring2"], "--n", 4, "--out", tmp_path / "there") == 0
    assert {p.name for p in (tmp_path / "there").iterdir()} == {"result.json", "samples.npz", "samples.png"}
    assert sorted(p.relative_to(runs["ring2"]) for p in runs["ring2"].rglob("*")) == before


def test_data_that_moved_are_found_by_data_and_data_that_changed_are_refused(runs, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree(runs["photos"], photos)
    made = tmp_path / "run"
    assert run("train", "maximum_likelihood", "--data", photos, "--out", made, "--tiny", "--device", "cpu") == 0
    photos.rename(tmp_path / "moved")
    assert run("sample", made, "--n", 2) == 0  # the data are not needed
    capsys.readouterr()
    assert run("inpaint", made) == 2
    assert "give --data if they moved, or --input with examples of yours" in capsys.readouterr().err
    assert run("inpaint", made, "--data", tmp_path / "moved", "--n", 2) == 0
    Image.new("L", (16, 16)).save(tmp_path / "moved" / "more.png")
    capsys.readouterr()
    assert run("inpaint", made, "--data", tmp_path / "moved", "--n", 2) == 2
    assert "are not those that" in capsys.readouterr().err


def test_scores_name_their_files(runs):
    assert run("detect", runs["pictures"], "--input", runs["photos"]) == 0
    lines = (runs["pictures"] / "detect" / "scores.csv").read_text().splitlines()
    assert lines[0] == "example,score,outlier"
    assert {line.split(",")[0] for line in lines[1:]} == {f"{i:02d}.png" for i in range(45)}


def test_a_result_is_printed_as_json(runs, capsys):
    capsys.readouterr()
    assert run("sample", runs["ring"], "--n", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out)["figures"]["samples"] == 3


def test_tasks_declare_themselves():
    for name in tasks.tasks():
        module = tasks.find(name)
        assert tasks.titles()[name] == module.TITLE
        assert len(module.NEEDS.split()) > 1
        parameters = inspect.signature(module.command).parameters
        assert {"run", "data", "out", "device"} <= set(parameters)
        assert module.REPORT is None or set(module.REPORT) <= set(parameters)
    with pytest.raises(InputError, match="nearest: sample"):
        tasks.find("samples")


def test_tasks_ask_for_no_class():
    for path in Path(tasks.__file__).parent.glob("*.py"):
        assert not re.search(
            r"\b(hasattr|getattr|isinstance)\((model|recipe|opened|\w+\.model|\w+\.recipe)", path.read_text()
        )
