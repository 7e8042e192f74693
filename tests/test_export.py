"""What `absynth export` writes is read back as the examples that were written."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command import run
from PIL import Image

import absynth as ab
from absynth import recipes
from absynth.data.points import read_ply, write_ply
from absynth.data.voxels import read_binvox, write_binvox
from absynth.errors import InputError
from absynth.tasks import export
from absynth.tasks.opened import Opened

RNG = np.random.default_rng(0)


def opened(method: str, data: Any, folder: Path, **options: Any) -> Opened:
    """A tiny model that was not trained, opened for the task."""
    recipe = recipes.build(method, data, tiny=True, **options)
    return Opened(folder, recipe.algorithm(), recipe, torch.device("cpu"), "export", "", folder)


def test_images(tmp_path):
    pixels = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    run = opened("vae", pixels, tmp_path)
    x = run.data.head(3)
    assert export.write_samples(run, x, tmp_path) == ["0.png", "1.png", "2.png"]
    for i in range(3):
        found = np.asarray(Image.open(tmp_path / f"{i}.png")).transpose(2, 0, 1)
        assert torch.equal(torch.from_numpy(found.copy()), ((x[i] + 1) * 127.5).round().to(torch.uint8))
    many = run.data.batch(torch.arange(11) % 5).x
    assert export.write_samples(run, many, tmp_path / "more")[::10] == ["00.png", "10.png"]


def test_clips(tmp_path, monkeypatch):
    clip = RNG.integers(0, 256, (12, 16, 16), dtype=np.uint8)
    run = opened("maximum_likelihood", clip, tmp_path, kind="video", frames=4)
    x = run.data.head(2)
    assert export.write_samples(run, x, tmp_path) == ["0.gif", "1.gif"]
    assert Image.open(tmp_path / "1.gif").n_frames == x.shape[2]
    if find_spec("av"):
        (tmp_path / "films").mkdir()
        assert export.write_samples(run, x, tmp_path / "films", film=True) == ["0.mp4", "1.mp4"]
        assert ab.data.open(tmp_path / "films", frames=4).shape == (1, 4, 16, 16)
    films = []
    monkeypatch.setattr(export, "write_film", lambda clip, file, rate: films.append((clip.shape, file.name)))
    assert export.write_samples(run, x, tmp_path, film=True) == ["0.mp4", "1.mp4"]
    assert films == [(x.shape[1:], "0.mp4"), (x.shape[1:], "1.mp4")]


def test_rows_of_a_table_have_their_words(tmp_path):
    frame = pd.DataFrame({"age": RNG.normal(40, 9, 100), "city": ["rome", "oslo"] * 50, "species": [*"abcd"] * 25})
    run = opened("detector", frame, tmp_path)
    x = run.data.head(5)
    assert export.write_samples(run, x, tmp_path) == ["samples.csv"]
    found = pd.read_csv(tmp_path / "samples.csv")
    assert list(found.columns) == ["age", "city"]
    known = run.data.index[:5].numpy()
    assert found["city"].tolist() == frame["city"][known].tolist()
    assert np.allclose(found["age"], frame["age"][known], rtol=1e-5)


@pytest.mark.parametrize(("kind", "file"), [("text", "samples.txt"), ("smiles", "samples.smi")])
def test_lines(tmp_path, kind, file):
    lines = [f"the cat sat on mat {i}" for i in range(40)] if kind == "text" else ["CCO", "c1ccccc1O", "CC(=O)N"] * 14
    run = opened("latent_prior", lines, tmp_path, kind=kind)
    assert export.write_samples(run, run.data.head(3), tmp_path) == [file]
    assert (tmp_path / file).read_text() == "\n".join(lines[:3]) + "\n"
    assert ab.data.sets.kind_of(tmp_path / "samples.smi") == "smiles" if kind == "smiles" else True


def test_points_of_the_plane(tmp_path):
    run = opened("maximum_likelihood", "ring", tmp_path)
    x = torch.tensor([[0.5, -1.25], [3.0, 1e-3]])
    assert export.write_samples(run, x, tmp_path) == ["samples.csv"]
    found = pd.read_csv(tmp_path / "samples.csv")
    assert list(found.columns) == ["x0", "x1"]
    assert np.allclose(found.to_numpy(), x.numpy())


def test_clouds(tmp_path):
    clouds = RNG.normal(size=(30, 40, 3))
    run = opened("maximum_likelihood", clouds, tmp_path, kind="points", points=20)
    x = run.data.head(2)
    assert export.write_samples(run, x, tmp_path) == ["0.ply", "1.ply"]
    for i in range(2):
        assert np.allclose(read_ply(tmp_path / f"{i}.ply"), x[i].numpy(), atol=1e-6)
    write_ply(clouds[0], tmp_path / "more.ply")
    assert np.allclose(read_ply(tmp_path / "more.ply"), clouds[0], rtol=1e-6)
    assert ab.data.sets.kind_of(tmp_path) == "points"


@pytest.mark.parametrize("shape", [(8, 8, 8), (3, 4, 5), (16, 16, 16)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_binvox(tmp_path, shape, share):
    """Runs longer than a byte holds are cut, and no axis takes the place of another."""
    x = RNG.random(shape) < share
    write_binvox(x, tmp_path / "x.binvox")
    assert np.array_equal(read_binvox(tmp_path / "x.binvox"), x)


def test_shapes(tmp_path):
    boxes = np.zeros((20, 16, 16, 16), np.uint8)
    for i in range(20):
        boxes[i, 1:3, 2 : 3 + i % 4, 2:9] = 1
    run = opened("multigrid", boxes, tmp_path)
    x = run.data.head(3)
    assert export.write_samples(run, x, tmp_path) == ["0.binvox", "1.binvox", "2.binvox"]
    for i in range(3):
        assert np.array_equal(read_binvox(tmp_path / f"{i}.binvox"), x[i, 0].numpy() > 0)
    assert ab.data.sets.kind_of(tmp_path) == "voxels"


@pytest.mark.parametrize("agents", [1, 2])
def test_tracks_are_their_pasts_and_futures(tmp_path, agents):
    """The residual of a known future gives that future, after its past."""
    rows = [f"{10 * t} {agent} {0.4 * t + agent} {0.5 * agent + 0.01 * t * t}" for t in range(60) for agent in range(4)]
    (tmp_path / "tracks.txt").write_text("\n".join(rows))
    options = {"past": 4, "future": 4} | ({"agents": 2} if agents == 2 else {})
    run = opened("latent_prior" if agents == 1 else "inverse_control", tmp_path / "tracks.txt", tmp_path, **options)
    test = run.examples("test")
    x = test.frames(test.windows).departure(test.windows.future)[:3]
    x = x[:, None].expand(-1, 2, -1, -1) if agents == 2 else x
    assert export.write_samples(run, x, tmp_path) == ["samples.csv"]
    found = pd.read_csv(tmp_path / "samples.csv")
    assert list(found.columns) == ["frame", "agent", "x", "y"]
    for agent in range(3):
        own = found[found.agent == agent]
        known = torch.cat([test.windows.past[agent], test.windows.future[agent]])
        assert own.frame.tolist() == list(range(8))
        assert np.allclose(own[["x", "y"]], known.numpy(), atol=1e-5)
    assert ab.data.sets.kind_of(tmp_path / "samples.csv") == "tracks"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "digits"
    assert run("train", "maximum_likelihood", "--data", "digits", "--out", folder, "--tiny", "--device", "cpu") == 0
    return folder


def test_one_line_says_what_was_written(trained, tmp_path, capsys):
    out = tmp_path / "files"
    for flags, said, files in (
        (("--n", 12), f"{out}: 12 samples in 12 files, 00.png to 11.png", [f"{i:02d}.png" for i in range(12)]),
        (("--n", 2), f"{out}: 2 samples in 2 files, 0.png to 1.png", ["0.png", "1.png"]),
        (("--n", 1), f"{out}: 1 samples in 0.png", ["0.png"]),
        (("--n", 4, "--chain"), f"{out}/chain.gif: 4 chains from their start to their end", ["chain.gif"]),
    ):
        capsys.readouterr()
        assert run("export", trained, *flags, "--out", out) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(said)
        assert sorted(path.name for path in out.iterdir() if path.name != "result.json") == files
    assert run("export", trained, "--n", 3, "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(out)


def test_exported_samples_are_those_of_sample(trained, tmp_path):
    assert run("export", trained, "--n", 3, "--seed", 5, "--out", tmp_path / "e") == 0
    assert run("sample", trained, "--n", 2, "--seed", 5, "--out", tmp_path / "s") == 0
    x = np.load(tmp_path / "s" / "samples.npz")["x"].clip(-1, 1)
    for i in range(2):
        pixels = np.asarray(Image.open(tmp_path / "e" / f"{i}.png"))
        assert np.abs(pixels.reshape(8, 8).astype(float) - (x[i, 0] + 1) * 127.5).max() <= 1


def test_what_cannot_be_exported_is_refused_before_anything_is_removed(trained, tmp_path, capsys):
    out = tmp_path / "files"
    assert run("export", trained, "--n", 2, "--out", out) == 0
    capsys.readouterr()
    assert run("export", trained, "--n", 2, "--film", "--out", out) == 2
    assert "export needs video data" in capsys.readouterr().err
    assert (out / "1.png").exists()
    with pytest.raises(InputError, match="expected a positive temperature, got"):
        export.command(trained, n=2, temperature=0.0, out=out)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected out to be a folder"):
        export.command(tmp_path / "run", out=tmp_path / "samples.csv")
