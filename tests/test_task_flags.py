"""Flags that a model cannot follow are refused in one line, not ignored."""

from __future__ import annotations

import json

import pytest
from command import run
from test_cli import one_line

MOONS = "noise_contrastive/moons"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("sample", MOONS, "--seed", "-1"), "expected --seed of at least 0, got -1"),
        (("sample", MOONS, "--temperature", "0.5"), "--temperature 0.5 is for drawn sequences: add --decoding draw"),
        (("sample", MOONS, "--decoding", "draw"), "--decoding draw is for models with a generator"),
        (("export", MOONS, "--decoding", "draw"), "--decoding draw is for models with a generator"),
        (("evaluate", MOONS, "--sweep", "0,5"), "leave --sweep out"),
        (("compose", MOONS, "--others", "latent_prior/mnist"), "latent_prior/mnist cannot be multiplied"),
        (("compose", MOONS, "--others", MOONS, "--weights", "1"), "expected --weights of 2 numbers"),
        (("compose", MOONS, "--others", MOONS, "--weights", "1,.nan"), "expected --weights of 2 numbers"),
        (("compose", MOONS, "--others", MOONS, "--n", "0"), "--n must be at least 1, got 0"),
        (("train", "vae", "--data", "digits", "--out", "a", "--tiny", "--track", ","), "expected --track tensorboard"),
        (("inpaint", "joint_energy/digits", "--box", "1.5,2,3,1"), "expected --box to be values such as 1,2, got 1.5"),
    ],
)
def test_flags_that_cannot_be_followed(argv, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    assert says in one_line(capsys)


def test_a_list_needs_no_brackets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    figures = []
    for others, weights in ((MOONS, "2,-1"), (f"[{MOONS}]", "[2,-1]"), (f"[ {MOONS} ]", "[2, -1]")):
        capsys.readouterr()
        argv = ("compose", MOONS, "--others", others, f"--weights={weights}", "--n", 4, "--steps", 2, "--json")
        assert run(*argv) == 0
        figures.append(json.loads(capsys.readouterr().out)["figures"])
    assert len(figures[0]) == 2
    assert figures[0] == figures[1] == figures[2]


def test_a_card_as_json(capsys):
    assert run("pretrained", f"{MOONS}/", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["kind"]) == (MOONS, "toy")
    assert run("pretrained", MOONS) == 0
    assert capsys.readouterr().out.startswith("---\nlibrary_name: absynth")
