"""The command line as a user meets it: every recipe tiny, stopped and resumed, asked; and what happens on bad input."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from safetensors.torch import load_file
from test_presets import write_data

import absynth
from absynth import cli, files, recipes
from absynth.algorithms import LatentPrior
from absynth.errors import InputError
from absynth.metrics import molecules

DIGITS = ("train", "latent_prior", "--data", "digits")


@pytest.fixture
def photos(tmp_path):
    """A folder of 40 small colour pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def one_line(capsys) -> str:
    """What went to standard error: one line, no traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (line,) = text.strip().splitlines()
    return line


KINDS = {
    "image": ("latent_prior", []),
    "table": ("vae", ["--target", "class"]),
    "text": ("latent_prior", ["--kind", "text"]),
    "smiles": ("latent_prior", []),
    "tracks": ("latent_prior", []),
    "pairs": ("conditional", ["--kind", "pairs"]),
    "picture": ("texture", ["--kind", "picture"]),
    "toy": ("maximum_likelihood", []),
    "video": ("maximum_likelihood", []),
    "voxels": ("maximum_likelihood", []),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_trains_goes_on_and_samples(kind, tmp_path):
    method, options = KINDS[kind]
    data = "ring" if kind == "toy" else write_data(kind, tmp_path / "data")
    out = tmp_path / "run"
    flags = ["--tiny", "--device", "cpu", "--data", data, *options]
    assert run("train", method, "--out", out, *flags) == 0
    whole = (out / "model.safetensors").read_bytes()
    steps = json.loads((out / "recipe.json").read_text())["fields"]["steps"]
    assert json.loads((out / "config.json").read_text())["step"] == steps

    # The same, killed before its last checkpoint and resumed, is equal bit for bit.
    again = tmp_path / "again"
    os.rename(out, again)
    (again / "model.safetensors").unlink()
    shutil.rmtree(max(again.glob("step_*"), key=lambda p: int(p.name.removeprefix("step_"))))
    assert run("train", method, "--out", again, *flags) == 0
    assert (again / "model.safetensors").read_bytes() == whole
    assert run("sample", again, "--n", 5, "--device", "cpu") == 0
    assert any((again / "sample").glob("*.np*")) or any((again / "sample").glob("*.txt"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A tiny run on the digits, one label held out."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    assert run(*DIGITS, "--out", out, "--tiny", "--anomaly", 4, "--device", "cpu") == 0
    return out


@pytest.mark.parametrize(
    "argv",
    [
        ("sample", "--n", 12, "--steps", 5),
        ("reconstruct", "--n", 30),
        ("interpolate", "--n", 3, "--steps", 4),
        ("chain", "--n", 10, "--long", 30),
        ("detect", "--n", 60, "--steps", 5),
    ],
    ids=lambda argv: argv[0],
)
def test_every_task_leaves_pictures_figures_and_a_report(argv, digits, capsys):
    name, *flags = argv
    assert run(name, digits, *flags) == 0
    found = json.loads((digits / name / "result.json").read_text())
    for picture in found["pictures"]:
        assert Image.open(digits / name / picture["file"]).size[0] > 40
    assert found["pictures"]
    assert (digits / "report.html").stat().st_size > 5000
    first = {p["file"]: (digits / name / p["file"]).read_bytes() for p in found["pictures"]}
    assert run(name, digits, *flags) == 0  # the same seed gives the same pictures and numbers
    assert json.loads((digits / name / "result.json").read_text())["figures"] == found["figures"]
    assert {f: (digits / name / f).read_bytes() for f in first} == first


def test_sample_i_is_the_same_at_any_batch_size(digits):
    for batch in (1, 7, 20):
        assert run("sample", digits, "--n", 20, "--batch", batch) == 0
        x = np.load(digits / "sample" / "samples.npz")["x"]
        if batch == 1:
            first = x
        np.testing.assert_allclose(x, first, atol=2e-5)
    assert run("sample", digits, "--n", 20, "--seed", 1) == 0
    assert not np.allclose(np.load(digits / "sample" / "samples.npz")["x"], first, atol=1e-2)


def test_dry_run_trains_nothing_and_prints_the_recipe(tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        run(
            "train",
            "latent_prior",
            "--data",
            "digits",
            "--dry-run",
            "--out",
            out,
            "--generator-width",
            20,
            "--energy-width",
            10,
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "prior_step_size" in printed
    assert "parameters" in printed
    assert "one update takes" in printed
    assert not out.exists()


def test_a_users_own_recipe_and_pictures(tmp_path, photos, capsys):
    array = tmp_path / "mine.npy"
    np.save(array, np.random.default_rng(0).normal(size=(30, 12, 12)).astype(np.float32))
    out = tmp_path / "run"
    assert run("train", "latent_prior", "--data", array, "--out", out, "--tiny") == 0
    assert json.loads((out / "recipe.json").read_text())["data"]["shape"] == [1, 12, 12]
    assert "12×12" in capsys.readouterr().out
    assert run("detect", out, "--input", array, "--steps", 3) == 0
    assert len((out / "detect" / "scores.csv").read_text().splitlines()) == 31


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (
            (*DIGITS, "--out", "{out}", "--prior-step-sise", "1"),
            "nearest: --prior-step-size",
        ),
        (("train", "latent_pior", "--out", "{out}"), "nearest: latent_prior"),
        (DIGITS, "--out"),
        ((*DIGITS, "--out", "{out}", "--steps", "many"), "expected --steps to be a whole number, got many"),
        ((*DIGITS, "--out", "{out}", "--tiny", "--device", "cuda:7"), "cuda:7"),
        ((*DIGITS, "--out", "{out}", "--anomaly", "77"), "77"),
        (("train", "latent_prior", "--out", "{out}"), "--data"),
        (("train", "latent_prior", "--out", "{out}", "--data", "{tmp}/nowhere"), "nowhere"),
        (("train", "latent_prior", "--out", "{out}", "--data", "{tmp}/empty"), "empty"),
        (("train", "latent_prior", "--out", "{out}", "--data", "{tmp}/corrupt"), "bad.png"),
        (("train", "latent_prior", "--out", "{out}", "--data", "{tmp}/mnits"), "mnits', which is none (nearest: mnist"),
        ((*DIGITS, "--out", "{out}", "--limit", "5", "--batch", "9"), "got 5: give --batch 5 or less"),
        ((*DIGITS, "--out", "{out}", "--minutes", "0"), "expected a positive number of --minutes, got 0"),
        (
            (*DIGITS, "--out", "{out}", "--preset", "nci5k"),
            "preset nci5k of latent_prior is for smiles data, got image",
        ),
        (
            ("train", "vae", "--out", "{out}", "--data", "wine", "--preset", "mnist"),
            "preset mnist of vae is for image data, got table data: presets for table data are breast_cancer",
        ),
        ((*DIGITS, "--out", "{out}", "--kind", "imag"), "expected a kind of data, got 'imag' (nearest: image)"),
        (("train", "vae", "--out", "{out}", "--data", "circle_sequences"), "vae takes toy sets of vectors, got circle"),
        (("train", "cycle_sequences", "--out", "{out}", "--data", "ring"), "takes toy sets of sequences, got ring"),
        (("reproduce", "ppca", "--seeds", "0", "x"), "expected --seeds to be a whole number, got x"),
        ((*DIGITS, "--out", "{out}", "--tokens", "atoms"), "--tokens of latent_prior is for smiles data, got it with"),
        (("train", "vae", "--out", "{out}", "--data", "ring", "--column", "x"), "--column (nearest: --"),
        (("train", "latent_prior", "--out", "{out}", "--data", "{tmp}/nan.npy"), "nan.npy"),
        (("smaple", "{out}"), "nearest: sample"),
        (("complete", "{out}"), "nearest: inpaint"),
        (("fetch",), "expected repo, --out, got no value of it: absynth fetch --help"),
        ((*DIGITS, "--out", "{out}", "--limit", "-1"), "expected --limit of at least 0, got -1"),
        ((*DIGITS, "--out", "{out}", "--seed", ""), "expected a value after --seed, got an empty one"),
        ((*DIGITS, "--out", ""), "expected a value after --out, got an empty one"),
        ((*DIGITS, "--out", "{out}", "--seed"), "expected a value after --seed, got none"),
        ((*DIGITS, "--out", "{out}", "more"), "expected flags and their values, got more besides"),
        ((*DIGITS, "--out", "{out}", "--select-by", "x"), "expected --select-by to be one of samples, labels, loss"),
        (("impute", "--data", "t.csv"), "expected --out, got no value of it: absynth impute --help"),
        (("impute", "--data", "t.csv", "--out", "f.csv", "--seed", "-1"), "expected --seed between 0 and 4294967295"),
        (("compose", "{tmp}/nowhere", "--weights", "nan"), "expected --weights to be values such as 1,2, got nan"),
        (("compose", "{tmp}/nowhere", "--others"), "expected a value after --others, got none"),
        (("sample",), "absynth sample RUN"),
        (("sample", "{tmp}/nowhere"), "nowhere"),
        (("sample", "{tmp}/empty"), "config.json"),
        (("report", "{tmp}/nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(argv, says, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt").mkdir()
    for i in range(12):
        Image.new("L", (8, 8), 10 * i).save(tmp_path / "corrupt" / f"{i}.png")
    (tmp_path / "corrupt" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    values = np.random.default_rng(0).normal(size=(20, 8, 8))
    values[3, 2, 1] = np.nan
    np.save(tmp_path / "nan.npy", values)
    out = tmp_path / "out"
    assert run(*(str(a).format(out=out, tmp=tmp_path) for a in argv)) == 2
    assert says in one_line(capsys)
    assert not out.exists()


def test_a_run_of_another_recipe_or_other_numbers_is_left_alone(digits, capsys):
    before = (digits / "model.safetensors").read_bytes()
    assert run("train", "maximum_likelihood", "--data", "ring", "--out", digits, "--tiny") == 2
    assert "latent_prior" in one_line(capsys)
    assert run(*DIGITS, "--out", digits, "--tiny", "--anomaly", 4, "--std", 0.25) == 2
    assert "std 0.2 there, 0.25 now" in one_line(capsys)
    assert (digits / "model.safetensors").read_bytes() == before


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    flags = (*DIGITS, "--out", out, "--tiny", "--device", "cpu")
    assert run(*flags) == 0
    before = load_file(out / "model.safetensors")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert run(*flags, "--steps", 8) in (0, 2)  # --tiny fixes the steps; the claim alone is written
    assert "No space left on device" in one_line(capsys)
    monkeypatch.undo()
    assert run(*flags) == 0
    after = load_file(out / "model.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_a_checkpoint_cut_short_falls_back_and_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    flags = (*DIGITS, "--out", out, "--tiny", "--device", "cpu")
    assert run(*flags) == 0
    whole = (out / "model.safetensors").read_bytes()
    state = out / "step_000004" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    capsys.readouterr()
    assert run(*flags) == 0
    assert "step_000004 is damaged" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == whole


def test_a_report_of_weights_cut_short_is_one_line(digits, tmp_path, capsys):
    broken = shutil.copytree(digits, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:300])
    assert run("report", broken) == 2
    assert "model.safetensors cannot be read" in one_line(capsys)


def test_a_row_of_no_samples_is_refused_for_data_that_are_drawn_without_rows(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "maximum_likelihood", "--data", "moons", "--out", out, "--tiny", "--device", "cpu") == 0
    capsys.readouterr()
    assert run("sample", out, "--columns", 0) == 2
    assert one_line(capsys).endswith("--columns must be at least 1, got 0")


def test_a_networks_wrong_shape_is_named(tmp_path, monkeypatch, capsys):
    from absynth.recipes.latent_prior import images

    def column(*sizes, **_):
        return torch.nn.Linear(sizes[0], 1)

    monkeypatch.setattr(images, "mlp_f", column)
    assert run(*DIGITS, "--out", tmp_path / "run", "--tiny", "--device", "cpu") == 2
    assert "f must return shape [8], got [8, 1]" in one_line(capsys)


def test_load_gives_a_model_that_answers(digits):
    import absynth as ab

    model = ab.load(digits)
    assert isinstance(model, LatentPrior)
    x = model.sample(3, rng=ab.stream(0))
    z = model.sample_posterior(x, rng=ab.stream(1))
    assert model.posterior(x)(z).shape == (3,)


@pytest.mark.parametrize("argv", [(), ("--help",), ("doctor",), ("train",), ("--version",), ("cite",)])
def test_what_explains_itself(argv, capsys):
    assert run(*argv) == 0
    assert len(capsys.readouterr().out) > 4


def test_help_of_a_recipe_explains_every_field(capsys):
    assert run("train", "latent_prior", "--help") == 0
    printed = capsys.readouterr().out
    for cls in recipes.classes("latent_prior").values():
        for field in dataclasses.fields(cls):  # once, whatever the number of recipes that have it
            shown = printed.count(f"\n  --{field.name.replace('_', '-')} ")
            assert shown == (field.name != "dataset"), field.name
    assert "Step size δ of the prior chain" in printed


def test_photos_as_people_have_them_take_the_presets_size_and_a_batch_that_fits(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.new("RGB", (70 + i, 60), (20 * i, 0, 0)).save(tmp_path / "photos" / f"{i}.jpg")
    said: list[str] = []
    recipe = recipes.build("latent_prior", str(tmp_path / "photos"), say=said.append)
    assert (recipe.shape, recipe.size, recipe.preset) == ((3, 64, 64), 64, "celeba")
    n = len(recipe.examples)
    assert recipe.batch == n < 100
    assert "pixels: the central square of each resized to 64×64, the size of celeba" in said[0]
    assert said[2].startswith(f"batch lowered to {n}, for there are {n} examples")
    assert recipes.build("latent_prior", tmp_path / "photos", size=32, batch=100).shape == (3, 32, 32)
    with pytest.raises(InputError, match=r"images of one size, got 70×60 in .*: size=N resizes"):  # no preset is known
        absynth.data.open(tmp_path / "photos")


def test_a_page_of_runs_never_replaces_another_file(tmp_path, capsys, digits):
    (tmp_path / "mine.html").write_text("my thesis")
    assert run("compare", digits, digits, "--out", tmp_path / "mine.html") == 2
    assert "mine.html exists and is no comparison of runs: choose another --out" in one_line(capsys)


def test_what_the_machine_cannot_give_is_one_line(tmp_path, capsys, monkeypatch):
    assert run("sample", "~nobody-of-this-name/run") == 2
    assert "a user without a home" in one_line(capsys)
    tiny = (*DIGITS, "--tiny", "--device", "cpu", "--out", tmp_path / "run")
    assert run(*tiny, "--latent", "99999999999") == 2
    assert "out of memory (3199999999968 bytes at once): make the networks" in one_line(capsys)
    assert run(*tiny[:-1], "~nobody-of-this-name/run") == 2
    assert "a user without a home" in one_line(capsys)
    monkeypatch.setattr(cli, "_run", lambda argv: (_ for _ in ()).throw(RuntimeError("a fault of the program")))
    with pytest.raises(RuntimeError):
        run("data")


def test_tiny_takes_the_numbers_given(tmp_path):
    out = tmp_path / "run"
    assert run(*DIGITS, "--tiny", "--steps", 6, "--batch", 5, "--device", "cpu", "--out", out) == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["step"], config["fields"]["steps"], config["fields"]["batch"]) == (6, 6, 5)


def test_rdkit_is_asked_for_before_molecules_are_trained_on(tmp_path, capsys, monkeypatch):
    data = write_data("smiles", tmp_path)
    monkeypatch.setattr(molecules, "rdkit", lambda: (_ for _ in ()).throw(InputError("molecules need rdkit")))
    assert run("train", "latent_prior", "--data", data, "--tiny", "--device", "cpu", "--out", tmp_path / "run") == 2
    assert one_line(capsys) == "absynth: molecules need rdkit"
    assert not (tmp_path / "run").exists()


def test_data_takes_the_options_of_the_reader(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 3},{'uv'[i % 2]}\n" for i in range(40)))
    assert run("data", tmp_path / "t.csv", "--target", "y", "--limit", 8) == 0
    assert "8 rows of shape 2, 2 classes (u, v)" in capsys.readouterr().out
    for words, says in {
        ("--target", "z"): "expected a column 'z', got a, b, y",
        ("--limit", -3): "expected --limit of at least 0, got -3",
        ("--size", 8): "it is an option of image, pairs, video, voxels data",
    }.items():
        assert run("data", tmp_path / "t.csv", *words) == 2
        assert says in one_line(capsys)


def test_a_result_is_never_written_among_other_files(digits, photos, tmp_path, capsys):
    """Samples beside training images would be trained on."""
    assert run("sample", digits, "--n", "2", "--out", photos) == 2
    assert "which holds other files: name another" in one_line(capsys)
    assert len(list(photos.iterdir())) == 40
    for _ in range(2):  # an earlier result is replaced
        assert run("sample", digits, "--n", "2", "--out", tmp_path / "result") == 0
    assert run("sample", digits, "--n", "2", "--temperature", "-1") == 2
    assert "expected a positive --temperature, got -1" in one_line(capsys)


@pytest.mark.parametrize("columns", ["0", "1", "x"])
def test_help_on_terminals_without_a_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert run("train", "latent_prior", "--help") == 0
    assert "--prior-steps" in capsys.readouterr().out
