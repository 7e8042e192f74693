"""Saved models load as they were, say what they are, tell no path of this machine and run nobody's code."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import fake_hub
import pytest
import safetensors
import torch
from test_cli import one_line, run

import absynth as ab
from absynth import checkpoint
from absynth.report import TaskResult
from absynth.sharing import folder as saving
from absynth.sharing import hub

FORMAT_1 = Path(__file__).parent / "format_1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A tiny run of a folder of your own, sampled and measured."""
    folder = tmp_path_factory.mktemp("private")
    ab.fit(ab.recipe("latent_prior", str(_images(folder / "photos")), tiny=True), folder / "run")
    typed = ["reconstruct", str(folder / "run"), "--n", "6", "--out", str(folder / "run" / "reconstruct")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["absynth", *typed])
        assert run(*typed) == 0
    assert run("sample", folder / "run", "--n", 4) == 0
    return folder / "run"


def _images(folder: Path) -> Path:
    """A folder of 40 small grey pictures."""
    from PIL import Image

    folder.mkdir()
    for i in range(40):
        Image.new("L", (8, 8), 6 * i).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def saved_once(trained) -> Path:
    folder = trained.parent / "saved"
    return ab.load(trained).save_pretrained(folder, license="CC-BY-4.0", limits=["Grey squares only."])


@pytest.fixture
def saved(saved_once, tmp_path) -> Path:
    """The run as a saved model."""
    return Path(shutil.copytree(saved_once, tmp_path / "saved"))


def drawn(model) -> torch.Tensor:
    return model.sample(3, rng=ab.stream(seed=1))


def test_a_saved_model_is_the_model(trained, saved):
    model = ab.from_pretrained(saved)
    assert torch.equal(drawn(model), drawn(ab.load(trained)))
    assert model.recipe.name() == "latent_prior"
    again = model.save_pretrained(
        saved.parent / "again", license="CC-BY-4.0", limits=["Grey squares only."], name="saved"
    )
    names = sorted(path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file())
    assert all((saved / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_the_card_says_what_was_measured(trained, saved):
    text = (saved / "README.md").read_text()
    measured = TaskResult.load(trained / "reconstruct")
    assert f"| test MSE | {ab.results.number(measured.figures['test MSE'])} | mean image" in text
    assert "`absynth reconstruct saved --n 6`" in text
    assert "license: cc-by-4.0" in text
    assert "\nCC-BY-4.0\n" in text
    assert "- Grey squares only." in text
    assert "@inproceedings{pang2020latent," in text
    assert "| fingerprint | " + ab.load(trained).config["data"]["fingerprint"] in text
    for file in ("sample/samples.png", "curves/loss.png"):
        assert f"]({file})" in text
        assert (saved / file).is_file()


def test_nothing_tells_where_it_was_made(trained, saved):
    for path in saved.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".md"):
            assert str(trained.parent) not in path.read_text(), path
    assert json.loads((saved / "config.json").read_text())["fields"]["data"] == "photos"


def test_every_task_takes_a_saved_model(saved, trained):
    assert run("sample", saved, "--n", 2) == 0
    assert run("compare", saved, trained, "--out", saved / "both.html") == 0


@pytest.mark.parametrize("task", ["evaluate", "reconstruct"])
def test_without_its_data_a_task_asks_for_them(task, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the folder of images is elsewhere
    assert run(task, saved) == 2
    said = one_line(capsys)
    assert f"the data of {saved} cannot be read" in said
    assert "give --data if they moved" in said


def test_changed_weights_lose_the_figures_of_the_old_ones(trained, saved, tmp_path):
    model = ab.load(trained)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(saved)  # replaces what is there
    assert not (saved / "reconstruct").exists()
    assert "were measured" in (saved / "README.md").read_text()
    assert torch.equal(drawn(ab.from_pretrained(saved)), drawn(model))


def test_half_is_half_the_size_and_nearly_the_model(trained, tmp_path):
    model = ab.load(trained)
    full, half = model.save_pretrained(tmp_path / "full"), model.save_pretrained(tmp_path / "half", half=True)
    a, b = (len(_tensors(folder)) for folder in (full, half))
    assert b < 0.6 * a
    assert torch.allclose(drawn(ab.from_pretrained(half)), drawn(model), atol=0.02)
    assert next(ab.from_pretrained(half).parameters()).dtype == torch.float32
    with torch.no_grad():
        next(model.parameters()).fill_(1e5)
    with pytest.raises(ab.InputError, match="save without half"):
        model.save_pretrained(tmp_path / "large", half=True)


def _tensors(folder: Path) -> bytes:
    body = (folder / "model.safetensors").read_bytes()
    return body[8 + int.from_bytes(body[:8], "little") :]


def test_a_model_of_the_first_format_loads_for_ever():
    model = ab.from_pretrained(FORMAT_1)
    x = model.generate(torch.ones(1, 4))
    expected = torch.tensor([-0.0487772673, -0.3145676851, 0.3026407659, -0.0871429965])
    assert torch.allclose(x.flatten()[:4], expected.to(x), atol=1e-5)
    assert float(model.prior.f(torch.ones(1, 4)).detach()) == pytest.approx(0.2311693728, abs=1e-5)


# What cannot be saved or loaded ---------------------------------------------------------------------------------------


def copied(tmp_path: Path, **changes: object) -> Path:
    """The stored model with another configuration."""
    folder = Path(shutil.copytree(FORMAT_1, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "README.md").touch()  # a model card says that the folder came from elsewhere
    return folder


def test_damaged_and_foreign_files_are_refused(tmp_path):
    folder = copied(tmp_path)
    body = bytearray((folder / "model.safetensors").read_bytes())
    body[-3] ^= 1
    (folder / "model.safetensors").write_bytes(body)
    with pytest.raises(ab.InputError, match=r"its digest does not match\): download or copy the folder"):
        ab.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ab.InputError, match=r"expected .*model.safetensors, found none: download or copy"):
        ab.from_pretrained(folder)
    for changes, said in (
        ({"format": 2}, "in format 2, this version reads format 1"),
        ({"fields": {"wings": 2}}, "config.json: .*does not know: wings"),
        ({"recipe": "os:system"}, "import os before"),
        ({"recipe": "no_such_module:Class"}, "import no_such_module before loading it"),
        ({"recipe": "vae"}, "does not know|another run|does not fit"),
    ):
        shutil.rmtree(folder)
        folder = copied(tmp_path, **changes)
        with pytest.raises(ab.InputError, match=said if said != "import os before" else "must be a subclass"):
            ab.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ab.InputError, match="give a folder that save_pretrained wrote"):
        ab.from_pretrained(folder)
    with pytest.raises(ab.InputError, match="expected a folder or OWNER/NAME"):
        ab.from_pretrained(tmp_path / "none")


def test_networks_larger_than_the_file_are_not_made(tmp_path, monkeypatch):
    """A stranger may write any width and a digest that fits it."""
    monkeypatch.setattr(checkpoint, "_recipe_digest", lambda config: stored[1])
    with safetensors.safe_open(FORMAT_1 / "model.safetensors", "pt") as file:
        stored = file.metadata()["digests"].split()
    fields = json.loads((FORMAT_1 / "config.json").read_text())["fields"]
    for field, value in (("energy_width", 10**9), ("generator_width", 10**7), ("latent", 10**9), ("latent", 10**15)):
        folder = copied(tmp_path, fields=fields | {field: value})
        with pytest.raises(ab.InputError, match=r"larger than the \d+ numbers of model.safetensors: download or copy"):
            ab.from_pretrained(folder)
        shutil.rmtree(folder)
    for damaged in ([], {**fields, "energy_width": None}):
        folder = copied(tmp_path, fields=damaged)
        with pytest.raises(ab.InputError):
            ab.from_pretrained(folder)
        shutil.rmtree(folder)


def test_code_that_comes_with_a_model_does_not_run(tmp_path, capsys):
    folder = copied(tmp_path, recipe="comes_with_it:Recipe", module_folder=str(tmp_path / "copy"))
    (folder / "comes_with_it.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ab.InputError):
        ab.from_pretrained(folder)
    with pytest.raises(ab.InputError):
        ab.load(folder)
    assert run("sample", folder) == 2
    one_line(capsys)
    assert not (tmp_path / "ran").exists()
    assert "comes_with_it" not in sys.modules


def test_what_is_no_place_for_a_model(trained, tmp_path, capsys):
    model = ab.load(trained)
    for place in (trained, trained.parent / "photos", trained / "recipe.json"):
        before = sorted(place.iterdir()) if place.is_dir() else place.read_text()
        assert run("share", trained, "--out", place) == 2
        assert "choose another" in one_line(capsys)
        assert before == (sorted(place.iterdir()) if place.is_dir() else place.read_text())
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    assert (model.save_pretrained(tmp_path / "clone") / ".git").is_dir()
    assert run("share", trained) == 2
    assert "expected --out FOLDER or --push OWNER/NAME" in one_line(capsys)
    model.run = model.config = None
    with pytest.raises(ab.InputError, match="expected a model with a recipe"):
        model.save_pretrained(tmp_path / "none")


def test_texts_that_are_none():
    texts = {"license": "MIT", "name": "", "limits": ["Grey squares only."]}
    saving._check_texts(**texts)
    for wrong, said in (
        ({"license": 3}, "expected license as text, got 3"),
        ({"name": Path("a")}, "expected name as text"),
        ({"limits": "Grey squares only."}, "expected limits as a list of sentences"),
        ({"license": "MIT\nevil: yes"}, "expected license on one line"),
        ({"limits": [3]}, "expected limits as a list of sentences"),
    ):
        with pytest.raises(ab.InputError, match=said):
            saving._check_texts(**texts | wrong)


# The hub --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def a_hub(tmp_path, monkeypatch):
    """A hub on this machine, with the real client."""
    client = pytest.importorskip("huggingface_hub")
    with fake_hub.serve() as (url, server):
        found = SimpleNamespace(
            HfApi=partial(client.HfApi, endpoint=url, token="hf_none"),
            snapshot_download=partial(
                client.snapshot_download, endpoint=url, token=False, cache_dir=tmp_path / "cache"
            ),
        )
        monkeypatch.setattr(hub, "_client", lambda: found)
        yield server


def test_to_the_hub_and_back(a_hub, trained, tmp_path, capsys):
    model = ab.load(trained)
    assert model.push_to_hub("somebody/squares", license="MIT").endswith("/somebody/squares")
    files = a_hub.models["somebody/squares"]
    assert "# latent_prior on photos" in files["README.md"].decode()
    assert 'ab.from_pretrained("somebody/squares")' in files["README.md"].decode()
    files |= {"code.py": b"raise SystemExit", "pytorch_model.bin": b"\x80\x04", "old/result.json": b"{}"}
    found = ab.from_pretrained("somebody/squares")
    assert torch.equal(drawn(found), drawn(model))
    assert {path.suffix for path in found.run.rglob("*") if path.is_file()} <= {
        ".json",
        ".jsonl",
        ".md",
        ".png",
        ".safetensors",
    }
    assert run("fetch", "somebody/squares", "--out", tmp_path / "fetched") == 0
    assert torch.equal(drawn(ab.load(tmp_path / "fetched")), drawn(model))
    assert run("share", trained, "--push", "somebody/squares", "--private") == 0
    assert "old/result.json" not in files
    assert "reconstruct/result.json" in files
    capsys.readouterr()
    assert run("fetch", "somebody/squares", "--out", tmp_path / "fetched") == 2
    assert "choose another --out" in one_line(capsys)
    assert run("fetch", "somebody/circles", "--out", tmp_path / "other") == 2
    assert "could not fetch somebody/circles from the hub (RepositoryNotFoundError" in one_line(capsys)


def test_without_its_package_the_hub_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ab.InputError, match=r"pip install 'absynth\[hub\]'"):
        ab.from_pretrained("somebody/squares")
    with pytest.raises(ab.InputError, match="expected no revision with a folder"):
        ab.from_pretrained(FORMAT_1, revision="main")
    with pytest.raises(ab.InputError, match="expected OWNER/NAME"):
        ab.push_to_hub(ab.load(FORMAT_1), "squares")
