"""Trackers: the same numbers as metrics.jsonl, one run that goes on when training is resumed, one line without them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from test_cli import one_line, run
from test_logs import TOY, row

from absynth.errors import InputError
from absynth.trackers import TRACKERS, TensorBoard, Trackio, Wandb, open_trackers

DIGITS = ("train", "latent_prior", "--data", "digits", "--tiny", "--device", "cpu")


def test_tensorboard_gets_the_same_numbers(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoard(tmp_path)
    board.begin(TOY, 0)
    for step in (1, 2):
        board.log(row(step, stability={"prior": 0.5} if step == 1 else {}))
    board.say("nothing")
    board.end()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/prior")] == [(1, 0.125), (2, 0.125)]
    assert [(e.step, e.value) for e in events.Scalars("gradient/prior")] == [(1, 2.0), (2, 2.0)]
    assert [(e.step, e.value) for e in events.Scalars("stability/prior")] == [(1, 0.5)]


class FakeService(ModuleType):
    """What wandb and trackio have in common, as a record of calls."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple] = []

    def init(self, **given):
        self.calls.append(("init", given))
        return self

    def log(self, numbers, step):
        self.calls.append(("log", step, numbers))

    def alert(self, title, text):
        self.calls.append(("alert", text))

    def finish(self):
        self.calls.append(("finish",))


@pytest.mark.parametrize(("name", "kind"), [("wandb", Wandb), ("trackio", Trackio)])
def test_services_get_the_same_numbers(name, kind, tmp_path, monkeypatch):
    service = FakeService(name)
    monkeypatch.setitem(sys.modules, name, service)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    place = tmp_path / "mine"
    place.mkdir()
    for start in (0, 2):  # trained, stopped and resumed
        tracker = kind(place)
        tracker.begin(TOY, start)
        tracker.log(row(start + 1))
        tracker.say("guard: step 1: the loss is nan")
        tracker.say("engine: traced")
        tracker.end()
    first, second = (call[1] for call in service.calls if call[0] == "init")
    assert first["project"] == "absynth"
    assert first["name"] == "mine"
    assert first["config"]["steps"] == TOY.steps
    assert second["resume"] == "allow"
    assert first.get("id") == second.get("id")
    logged = [call for call in service.calls if call[0] == "log"]
    assert logged == [("log", step, {"loss/prior": 0.125, "gradient/prior": 2.0}) for step in (1, 3)]
    assert sum(call[0] == "alert" for call in service.calls) == (2 if kind is Wandb else 0)
    assert service.calls[-1] == ("finish",)


def test_wandb_files_runs_where_its_settings_say(tmp_path, monkeypatch):
    service = FakeService("wandb")
    monkeypatch.setitem(sys.modules, "wandb", service)
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    Wandb(tmp_path).begin(TOY, 0)
    assert "project" not in service.calls[0][1]
    Wandb(tmp_path).begin(TOY, 0)  # another run in the same place
    assert service.calls[0][1]["id"] != service.calls[1][1]["id"]


def test_trackers_by_flag(tmp_path, capsys, monkeypatch):
    service = FakeService("wandb")
    monkeypatch.setitem(sys.modules, "wandb", service)
    assert run(*DIGITS, "--out", tmp_path / "run", "--track", "wandb,tensorboard") == 0
    assert (tmp_path / "run" / "wandb" / "id.txt").exists()
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert sum(call[0] == "log" for call in service.calls) == 4
    capsys.readouterr()
    assert run(*DIGITS, "--out", tmp_path / "other", "--track", "tensorbord") == 2
    assert "expected --track tensorboard, wandb, trackio, got 'tensorbord'" in one_line(capsys)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", TRACKERS)
def test_without_its_package_a_tracker_is_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(InputError, match=rf"track {name} needs its package, found none: pip install"):
        open_trackers(name, tmp_path)
