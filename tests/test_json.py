"""``--json``: every task prints one valid JSON object, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run
from PIL import Image

from absynth import tasks
from absynth.report import TaskResult
from absynth.tasks import sample

TRAINED = {
    "conv": ("latent_prior_conv", "digits"), "patches": ("patchwise", "{folder}/photo.png"),
    "lines": ("latent_prior", "{folder}/lines.txt"), "pair": ("cooperative", "digits"),
}  # fmt: skip
"""Runs of tasks that no pretrained model answers: method and data."""

CASES: dict[str, tuple[Any, ...]] = {
    "sample": ("noise_contrastive/moons", "--n", 4),
    "evaluate": ("noise_contrastive/moons", "--n", 50),
    "reconstruct": ("latent_prior/nci5k", "--n", 2),
    "interpolate": ("latent_prior/mnist", "--n", 2, "--steps", 3),
    "inpaint": ("joint_energy/digits", "--n", 2, "--samples", 2),
    "super_resolve": ("joint_energy/digits", "--n", 2, "--samples", 2, "--factor", 2),
    "translate": ("joint_energy/digits", "--label", 3, "--n", 2),
    "predict": ("latent_prior/eth_ucy", "--input", "{folder}/tracks.txt", "--k", 2),
    "chain": ("maximum_likelihood/ring", "--n", 10, "--long", 20),
    "classify": ("joint_energy/digits",),
    "compose": ("noise_contrastive/moons", "--others", "maximum_likelihood/ring", "--n", 5, "--steps", 5),
    "detect": ("detector/breast_cancer",),
    "edit": ("conv", "--n", 2),
    "export": ("noise_contrastive/moons", "--n", 4),
    "features": ("joint_energy/digits",),
    "guide": ("latent_prior/nci5k", "--n", 2),
    "likelihood": ("maximum_likelihood/ring", "--n", 5, "--chains", 5, "--temperatures", 4),
    "perplexity": ("lines", "--n", 20),
    "redraw": ("patches", "--input", "{folder}/photo.png"),
    "refine": ("pair", "--n", 2),
}
"""A run and flags for every task."""

QUICK = {"sample", "evaluate", "compose", "export", "reconstruct", "translate", "features"}
SLOW = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CASES]


def strictly(text: str) -> Any:
    """The one value in a text, of JSON as other programs read it: without NaN and infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Inputs of tasks."""
    found = tmp_path_factory.mktemp("json")
    rows = [f"{10 * t} {agent} {0.4 * t + agent} {0.5 * agent}" for t in range(60) for agent in range(4)]
    (found / "tracks.txt").write_text("\n".join(rows))
    (found / "lines.txt").write_text("\n".join(f"the cat sat on mat {i % 7} of {i % 5}" for i in range(300)))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(found / "photo.png")
    return found


@pytest.fixture
def place(folder, monkeypatch) -> Path:
    """A folder to work in, where pretrained models leave their copies."""
    monkeypatch.chdir(folder)
    return folder


def test_every_task_has_a_case():
    assert set(CASES) == set(tasks.tasks())


@pytest.mark.parametrize("name", SLOW)
def test_a_task_prints_one_json_object_and_nothing_else(name, place, capsys):
    if name == "guide":
        pytest.importorskip("rdkit")
    of, *flags = (str(word).format(folder=place) for word in CASES[name])
    if of in TRAINED:
        method, data = TRAINED[of]
        of = place / of
        assert run("train", method, "--data", data.format(folder=place), "--out", of, "--tiny", "--device", "cpu") == 0
    capsys.readouterr()
    assert run(name, of, *flags, "--json") == 0
    found = strictly(capsys.readouterr().out)
    assert found["task"] == name
    assert found["figures"] or name in ("export", "interpolate", "redraw", "guide")
    saved = json.loads((Path(found.pop("folder")) / "result.json").read_text())
    assert found == saved


def test_other_commands_too(place, monkeypatch, capsys):
    def printed(*words: object) -> Any:
        capsys.readouterr()
        assert run(*words, "--json") == 0
        return strictly(capsys.readouterr().out)

    assert printed("doctor")["torch"].startswith("2.")
    mnist = next(each for each in printed("data") if each["name"] == "mnist")
    assert (mnist["kind"], mnist["shape"]) == ("image", [1, 28, 28])
    lines = printed("data", place / "lines.txt")
    assert (lines["kind"], lines["unit"], lines["class_names"]) == ("text", "sentences", [])
    assert lines["examples"] + sum(lines["splits"].values()) == 300
    assert printed("share", "noise_contrastive/moons", "--out", place / "moons") == {"folder": str(place / "moons")}
    monkeypatch.setattr(tasks, "tasks", lambda: ["export"])  # report runs every task
    found = printed("report", "noise_contrastive/moons")
    assert Path(found["page"]).is_file()
    assert {result["task"] for result in found["results"]} >= {"evaluate"}


def test_what_is_no_number_is_null(tmp_path, monkeypatch, capsys):
    """JSON has no NaN; a figure that is none does not break the program that reads it."""

    def command(run: Path, out: Path | None = None, data: str = "", device: str = "auto") -> TaskResult:
        """Find nothing."""
        table = {"caption": "a", "columns": ["b"], "rows": [[-math.inf], [0.5]]}
        figures = {"bad": math.nan, "good": 2.0, "count": 3}
        return TaskResult(
            "sample", "Samples", "absynth sample", 0, "", figures=figures, tables=[table], folder=tmp_path
        )

    monkeypatch.setattr(sample, "command", command)
    monkeypatch.chdir(tmp_path)
    assert run("sample", "noise_contrastive/moons", "--json") == 0
    found = strictly(capsys.readouterr().out)
    assert found["figures"] == {"bad": None, "good": 2.0, "count": 3}
    assert found["tables"][0]["rows"] == [[None], [0.5]]


@pytest.mark.parametrize("flags", [("nowhere",), ("noise_contrastive/moons", "--label", "3")])
def test_a_mistake_leaves_stdout_empty(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("sample", *flags, "--json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
