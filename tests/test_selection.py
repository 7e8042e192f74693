"""Weights chosen by a held-out figure, and training that stops early."""

from __future__ import annotations

import json
import math

import pytest
import torch

import absynth as ab
from absynth import checkpoint
from absynth.algorithms import Algorithm
from absynth.errors import InputError
from absynth.selection import Best, HeldOut
from absynth.updates import Training

CPU = torch.device("cpu")


def recipe(method: str = "vae", **fields) -> ab.Recipe:
    numbers = {"steps": 12, "checkpoint_every": 3, "log_every": 3, "validation": 0.2, "select_by": "loss", "threads": 1}
    return ab.recipe(method, **{"data": "digits", "tiny": True} | numbers | fields)


def scripted(monkeypatch, figures: list[float]) -> None:
    """Held-out figures in this order, whatever the model is; a resumed run goes on in it."""

    def figure(self, algorithm) -> float:
        return figures.pop(0)

    monkeypatch.setattr(HeldOut, "figure", figure)


def journal(run) -> list[dict]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def test_the_weights_of_the_best_figure_are_saved_and_not_the_last(tmp_path, monkeypatch):
    scripted(monkeypatch, [3.0, 1.0, float("nan"), 2.0])
    chosen = ab.fit(recipe(), tmp_path / "run")
    plain = ab.fit(recipe(select_by="", steps=6), tmp_path / "six")
    last = ab.fit(recipe(select_by=""), tmp_path / "last")
    assert all(torch.equal(a, b) for a, b in zip(chosen.parameters(), plain.parameters()))
    assert not all(torch.equal(a, c) for a, c in zip(chosen.parameters(), last.parameters()))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["selected"] == {"step": 6, "loss": 1.0}
    assert config["step"] == 12
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["held-out"]["loss"] for row in rows if row["step"] in (3, 6, 12)] == [3.0, 1.0, 2.0]
    assert journal(tmp_path / "run")[-1]["text"].endswith("weights of step 6 with held-out loss 1")


def test_training_stops_when_the_figure_has_not_improved(tmp_path, monkeypatch):
    scripted(monkeypatch, [3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    run = tmp_path / "run"
    ab.fit(recipe(steps=30, patience=2), run)
    assert journal(run)[-1]["text"].endswith("stopped early at step 12")
    assert checkpoint.finished(run) == 12
    ab.fit(recipe(steps=30, patience=2), run)  # it is done
    assert checkpoint.finished(run) == 12
    ab.fit(recipe(steps=30, patience=3), run)  # it waits for one more
    assert checkpoint.finished(run) == 15


def test_an_interrupted_run_selects_as_one_that_nobody_touched(tmp_path, monkeypatch):
    ab.fit(recipe("latent_prior", select_by="samples", ema=0.9), tmp_path / "whole")

    save = checkpoint.save

    def killed(run, step, state, keep):
        save(run, step, state, keep)
        if step == 6:
            raise RuntimeError("killed")

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(RuntimeError, match="killed"):
        ab.fit(recipe("latent_prior", select_by="samples", ema=0.9), tmp_path / "cut")
    monkeypatch.setattr(checkpoint, "save", save)
    ab.fit(recipe("latent_prior", select_by="samples", ema=0.9), tmp_path / "cut")
    names = ("model.safetensors", "config.json")
    for name in names:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_looking_changes_nothing_that_is_learned(tmp_path):
    """The noise and the running statistics of training are those of a run without a figure."""
    training = [Training(recipe("latent_prior", select_by=by), CPU) for by in ("samples", "")]
    for one in training:
        batches = one.recipe.batches()
        for _ in range(3):
            one.learn(next(batches))
            one.advance()
            one.judge()
    for a, b in zip(*(one.algorithm.state_dict().values() for one in training)):
        assert torch.equal(a, b)


class Silent(Algorithm):
    """Learns nothing; its subclasses answer one question."""

    def losses(self, batch, *, rng):
        return {}

    def sample(self, n, c=None, *, rng):
        return torch.zeros(n, 1)


def test_figures_say_what_they_are():
    """The log loss of guesses, zero distance of the validation examples to themselves, and the loss of an encoder."""
    labels = HeldOut(recipe("symbol_vector", select_by="labels"), CPU)

    class Guess(Silent):
        def classify(self, x):
            return torch.zeros(len(x), 10)

    assert labels.figure(Guess()) == pytest.approx(math.log(10))

    samples = HeldOut(recipe(select_by="samples"), CPU)

    class Copy(Silent):
        shift = 0.0

        def sample(self, n, c, *, rng):
            return samples.held.batch(samples.rows).x[:n] + self.shift

    copy = Copy()
    assert samples.figure(copy) == pytest.approx(0.0, abs=1e-12)
    copy.shift = 0.1
    near = samples.figure(copy)
    copy.shift = 0.3
    assert samples.figure(copy) > near > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation": 0.0}, "no validation split: give validation"),
        ({"select_by": "", "patience": 2}, "patience needs a held-out figure"),
        ({"validation_data": "held.npy"}, "got validation, which sets others aside"),
        ({"validation_data": "held.npy", "validation": 0.0, "select_by": ""}, "no figure to measure"),
        ({"validation_data": "held.npy", "validation": 0.0}, "held.npy, which does not exist"),
    ],
)
def test_a_figure_needs_validation_examples(fields, message):
    with pytest.raises(InputError, match=message):
        recipe(**fields)


def test_validation_examples_of_ones_own_are_scaled_as_the_training_data_are(tmp_path):
    rows = torch.randn(60, 3, generator=ab.stream(seed=1)).double() * 5 + 100
    for name, part in (("train.csv", rows[:40]), ("held.csv", rows[40:])):
        lines = ["a,b,c", *(",".join(map(str, row)) for row in part.tolist())]
        (tmp_path / name).write_text("\n".join(lines))
    mine = recipe(data=str(tmp_path / "train.csv"), validation=0.0, validation_data=str(tmp_path / "held.csv"))
    held = HeldOut(mine, CPU).held
    assert len(held) == 20
    assert torch.allclose(mine.examples.to_original(held.all()).float(), rows[40:].float(), rtol=1e-5)
    ab.fit(mine, tmp_path / "run")
    assert math.isfinite(json.loads((tmp_path / "run" / "config.json").read_text())["selected"]["loss"])


def test_a_figure_that_the_method_does_not_have_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not classify"):
        ab.fit(recipe(select_by="labels"), tmp_path / "run")
    with pytest.raises(InputError, match="energy differences"):
        ab.fit(recipe("maximum_likelihood"), tmp_path / "other")


def test_nan_is_never_the_best():
    first = Best(0, float("inf"), 0, {}).after(3, float("nan"), {"w": torch.ones(1)})
    assert (first.step, first.since, first.weights) == (0, 1, {})
    better = first.after(6, 1.0, {"w": torch.ones(1)})
    assert (better.step, better.since) == (6, 0)
