"""Pretrained models: they load by name, are small, have cards, and their figures are those of their results."""

from __future__ import annotations

import json

import pytest
from test_cli import one_line, run

import absynth as ab
from absynth import released, tasks
from absynth.metrics import mmd
from absynth.report import TaskResult
from absynth.results import number
from absynth.sharing import card
from absynth.tasks.opened import open_run
from absynth.tasks.sample import samples

NAMES = released.names()
AT_HAND = ("breast_cancer", "digits", "moons", "ring")
"""Data sets that are here without a download."""


def test_there_are_enough_and_they_are_small():
    assert len(NAMES) >= 10
    sizes = {name: sum(p.stat().st_size for p in released.find(name).rglob("*") if p.is_file()) for name in NAMES}
    assert max(sizes.values()) < 5e6
    assert sum(sizes.values()) < 40e6


@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_its_card_and_its_figure(name):
    folder = released.find(name)
    text = (folder / "README.md").read_text()
    found = card.summary(folder)
    assert found["baselines"], "a figure stands beside its baseline"
    assert f"| {found['figure']} | {number(found['value'])} |" in text
    assert f"`{found['command']}`" in text
    assert found["command"].split()[2] == name
    assert f'ab.pretrained("{name}")' in text
    for path in folder.rglob("*.json*"):
        assert '": "/' not in path.read_text(), f"{path} holds a path"
    model = ab.pretrained(name)
    assert f"{model.recipe.name()}/{model.recipe.data}" == name
    if model.config["data"]["name"] in AT_HAND:  # a change of fingerprints would part models from their data
        assert len(open_run(folder).dataset.split("test")) >= 0


def test_models_of_the_plane_sample_what_they_learned():
    """Near the data: the kernel discrepancy of the card, within what a thousand samples leave open."""
    name = "noise_contrastive/moons"
    folder = released.find(name)
    known = TaskResult.load(folder / "evaluate").figures["kernel discrepancy"]
    opened = open_run(folder)
    x = samples(opened.model, 1000, seed=0).flatten(1)
    assert float(mmd(x, opened.examples("test").head(1000).flatten(1))) == pytest.approx(known, rel=0.01)


def test_commands_take_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "noise_contrastive/moons"
    assert run("sample", name, "--n", 4, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == f"runs/pretrained/{name}/sample"
    assert (tmp_path / said["folder"] / "samples.npz").exists()
    assert run("export", name, "--n", 3, "--out", tmp_path / "rows") == 0
    assert len((tmp_path / "rows" / "samples.csv").read_text().splitlines()) == 4
    (tmp_path / "noise_contrastive" / "moons").mkdir(parents=True)  # a path of that name comes first
    assert run("sample", name) == 2
    capsys.readouterr()
    assert run("sample", "noise_contrastive/moon") == 2
    assert "nearest: noise_contrastive/moons" in one_line(capsys)
    assert run("pretrained", "noise_contrastive/moon") == 2
    assert "nearest: noise_contrastive/moons" in one_line(capsys)
    assert run("pretrained", name) == 0
    assert "# noise_contrastive on moons" in capsys.readouterr().out
    assert run("pretrained", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == NAMES == ab.pretrained()
    assert run("pretrained") == 0
    assert "noise_contrastive/moons" in capsys.readouterr().out


def test_a_damaged_copy_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "noise_contrastive/moons"
    copy = released.locate(name)
    body = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(body[:-1])
    assert released.locate(name) == copy
    assert (copy / "model.safetensors").read_bytes() == body


@pytest.mark.parametrize("kind", ["conditional/mnist", "latent_prior/nci5k"])
def test_export_writes_the_files_of_a_kind(kind, tmp_path):
    assert run("export", kind, "--n", 3, "--out", tmp_path) == 0
    names = {path.name for path in tmp_path.iterdir()} - {"result.json"}
    assert names == ({"0.png", "1.png", "2.png"} if kind == "conditional/mnist" else {"samples.smi"})
    if kind == "conditional/mnist":
        assert run("export", kind, "--n", 4, "--chain", "--out", tmp_path) == 0
        assert (tmp_path / "chain.gif").read_bytes()[:6] == b"GIF89a"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_card_s_figure_is_what_its_command_prints(name, tmp_path, data_root):
    found = card.summary(released.find(name))
    _, task, _, *flags = found["command"].split()
    values = {flag.removeprefix("--").replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2])}
    numbers = {key: float(v) if "." in v else int(v) if v.isdigit() else v for key, v in values.items()}
    again = tasks.find(task).command(released.find(name), out=tmp_path, device="cpu", **numbers)
    assert again.figures[found["figure"]] == pytest.approx(found["value"], rel=0.01)
