"""Runs on disk: a kill, a full disk, a flipped bit or somebody else's folder never cost more than they must."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_training import CPU, RECIPES, Interrupts, assert_same_run, assert_same_state, journal, metrics, state

import absynth
from absynth import checkpoint, files
from absynth.data.order import minibatches
from absynth.errors import InputError, Unsupported
from absynth.files import write_atomic

TOY = replace(RECIPES["toy"], keep=3, checkpoint_every=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def run(tmp_path) -> Path:
    """A finished run of 12 steps with checkpoints 4, 8 and 12."""
    absynth.fit(TOY, tmp_path / "run")
    return tmp_path / "run"


# Written whole or not at all -----------------------------------------------------------------------------------------


def test_a_kill_between_write_and_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert contents(tmp_path) == {"a.json": b"old"}


def test_a_kill_between_write_and_rename_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, {"step": 1}, keep=3)
    before = contents(tmp_path)
    rename = Path.rename

    def killed(self, target):
        if ".before" not in Path(target).name and ".before" not in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    for step in (1, 2):  # a step that is written again, and a new one
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, step, {"step": 100}, keep=3)
        assert contents(tmp_path) == before
        assert checkpoint.latest(tmp_path, CPU, pytest.fail) == {"step": 1}


def torch_full(*_: object, **__: object) -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nmore lines")


@pytest.mark.parametrize(
    ("owner", "name", "fails"),
    [(os, "fsync", no_space), (torch, "save", torch_full), (Path, "mkdir", no_space), (Path, "rename", no_space)],
)
def test_a_full_disk_is_one_line_and_the_previous_state_stays(tmp_path, monkeypatch, owner, name, fails: Callable):
    checkpoint.save(tmp_path, 1, {"step": 1}, keep=1)
    before = contents(tmp_path)
    monkeypatch.setattr(owner, name, fails)
    with pytest.raises(InputError, match=r"could not write .*step_000002.*what was there before is untouched") as error:
        checkpoint.save(tmp_path, 2, {"step": 2}, keep=1)
    one_line(error)
    monkeypatch.undo()
    assert contents(tmp_path) == before
    assert checkpoint.latest(tmp_path, CPU, pytest.fail) == {"step": 1}


@pytest.mark.parametrize("which", ["model.safetensors", "config.json", "metrics.jsonl", "journal.jsonl"])
def test_a_disk_that_fills_during_training_is_one_line(tmp_path, monkeypatch, which):
    absynth.fit(replace(TOY, steps=4), tmp_path / "run")
    before = contents(tmp_path / "run")
    write_bytes, opened = Path.write_bytes, Path.open

    def full_write(self, data):
        no_space() if which in self.name else None
        return write_bytes(self, data)

    def full_open(self, mode="r", *arguments, **named):
        no_space() if which in self.name and mode == "a" else None
        return opened(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "write_bytes", full_write)
    monkeypatch.setattr(Path, "open", full_open)
    with pytest.raises(InputError, match=rf"could not write .*{which}: No space left on device") as error:
        absynth.fit(TOY, tmp_path / "run")
    one_line(error)
    after = contents(tmp_path / "run")
    assert all(after[name] == before[name] for name in before if name.startswith("step_") or name == which)
    assert not any(name.endswith(".tmp") for name in after)
    monkeypatch.undo()
    absynth.fit(TOY, tmp_path / "run")  # with space again it goes on, and nothing is missing
    absynth.fit(TOY, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_keep_is_respected(run):
    assert [p.name for p in checkpoint.checkpoints(run)] == ["step_000012", "step_000008", "step_000004"]
    assert not (run / "step_000000").exists()


def test_going_back_forgets_what_came_later(run):
    checkpoint.drop_after(run, 8)
    assert [p.name for p in checkpoint.checkpoints(run)] == ["step_000008", "step_000004"]


def test_checkpoints_are_sorted_by_number(tmp_path):
    for step in (999_999, 1_000_000, 5):
        checkpoint.save(tmp_path, step, {"step": step}, keep=9)
    assert checkpoint.latest(tmp_path, CPU, pytest.fail) == {"step": 1_000_000}


# Damage --------------------------------------------------------------------------------------------------------------


def truncate(folder: Path) -> None:
    path = folder / "state.pt"
    path.write_bytes(path.read_bytes()[:1000])


def flip(folder: Path) -> None:
    path = folder / "state.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(folder: Path) -> None:
    (folder / "state.pt").unlink()


def empty(folder: Path) -> None:
    (folder / "sha256").write_text("")


@pytest.mark.parametrize("damage", [truncate, flip, lose, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(run, tmp_path, damage):
    damage(run / "step_000012")
    watcher = Interrupts(-1)
    absynth.fit(TOY, run, callbacks=[watcher])
    assert watcher.begun == 8
    events = [row for row in journal(run) if row["event"] == "damaged"]
    assert len(events) == 1
    assert events[0]["text"].startswith("checkpoint step_000012 is damaged")
    assert watcher.said[0].startswith("damaged: checkpoint step_000012")
    absynth.fit(TOY, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", run)


def test_all_damaged_starts_afresh_and_says_so(run, tmp_path):
    for folder in checkpoint.checkpoints(run):
        flip(folder)
    with pytest.raises(InputError, match="holds a model of 12 updates but no intact checkpoint") as error:
        absynth.fit(TOY, run)  # a finished model is not overwritten
    one_line(error)
    (run / "model.safetensors").unlink()
    absynth.fit(TOY, run)
    said = [row["text"] for row in journal(run) if row["event"] == "damaged"]
    assert len(said) == 4
    assert said[-1] == "no checkpoint is intact: starting afresh"
    assert journal(run)[-2]["event"] == "start"
    absynth.fit(TOY, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", run)
    assert [p.name for p in checkpoint.checkpoints(run)] == ["step_000012", "step_000008", "step_000004"]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(tmp_path):
    checkpoint.save(tmp_path, 1, {"step": 1}, keep=3)
    checkpoint.save(tmp_path, 2, {"step": 2}, keep=3)
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))):
        state_file = tmp_path / "step_000002/state.pt"
        state_file.parent.mkdir(exist_ok=True)
        write({"step": 2, "evil": Evil(tmp_path / "was_here")}, state_file)
        (state_file.parent / "sha256").write_text(hashlib.sha256(state_file.read_bytes()).hexdigest())
        said = []
        assert checkpoint.latest(tmp_path, CPU, said.append) == {"step": 1}
        assert len(said) == 1
        assert not (tmp_path / "was_here").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "was_here")))
    assert (tmp_path / "was_here").exists()  # the bait works


def test_torn_lines_are_dropped(run):
    for name in ("metrics.jsonl", "journal.jsonl"):
        with (run / name).open("a") as file:
            file.write('{"step": 2, "ev')
    absynth.fit(replace(TOY, steps=15), run)
    assert [row["step"] for row in metrics(run)] == [3, 6, 9, 12, 15]
    assert [row["event"] for row in journal(run)] == ["start", "finish", "resume", "finish"]


# Whose folder is it --------------------------------------------------------------------------------------------------


def refused(recipe, folder: Path) -> str:
    before = contents(folder)
    with pytest.raises(InputError) as error:
        absynth.fit(recipe, folder)
    assert contents(folder) == before
    return one_line(error)


def test_another_recipes_run_is_refused(run):
    message = refused(RECIPES["digits"], run)
    assert "is a run of small:ModesPrior, expected latent_prior" in message


def test_other_numbers_are_refused_by_name(run):
    message = refused(replace(TOY, energy_lr=0.5, seed=3, keep=9), run)
    assert "(seed 0 there, 3 now, energy_lr 0.001 there, 0.5 now)" in message
    absynth.fit(replace(TOY, keep=2, log_every=1, checkpoint_every=6), run)  # these may change
    assert json.loads((run / "recipe.json").read_text())["fields"]["keep"] == 2


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "is not empty and is no run" in refused(TOY, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"recipe": "latent_prior"}', '{"recipe": 1, "fields": {}}'])
def test_a_damaged_recipe_file_is_refused(run, text):
    (run / "recipe.json").write_text(text)
    assert "recipe.json is damaged" in refused(TOY, run)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError) as error:
        absynth.fit(TOY, tmp_path / "run")
    one_line(error)


def test_what_a_kill_left_is_cleared_away(tmp_path):
    (tmp_path / ".recipe.json.17.tmp").write_text("{")  # killed before the run was claimed
    (tmp_path / ".step_000000.17.tmp").mkdir()
    checkpoint.claim(tmp_path, TOY)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.json"]


# Loading -------------------------------------------------------------------------------------------------------------


def test_load_gives_the_trained_model(run):
    loaded = absynth.load(run)
    saved = state(run)["algorithm"]
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training
    assert loaded.recipe == TOY
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    absynth.load(run)
    assert torch.equal(torch.rand(2), expected)


def other_config(**changes: object) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        config = json.loads((run / "config.json").read_text()) | changes
        (run / "config.json").write_text(json.dumps(config))

    return change


def without(key: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        config = json.loads((run / "config.json").read_text())
        del config[key]
        (run / "config.json").write_text(json.dumps(config))

    return change


def cut_weights(run: Path) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])


def wrong_shapes(run: Path) -> None:
    weights = safetensors.torch.load_file(run / "model.safetensors")
    weights["prior.f.0.weight"] = torch.zeros(3, 3)
    safetensors.torch.save_file(weights, run / "model.safetensors")


def missing_weight(run: Path) -> None:
    weights = safetensors.torch.load_file(run / "model.safetensors")
    del weights["prior.f.0.weight"]
    safetensors.torch.save_file(weights, run / "model.safetensors")


DAMAGE = {
    "no config": lambda run: (run / "config.json").unlink(),
    "no weights": lambda run: (run / "model.safetensors").unlink(),
    "half a config": lambda run: (run / "config.json").write_text('{"recipe": "latent_pr'),
    "config of another kind": lambda run: (run / "config.json").write_text("[1]"),
    "no recipe": without("recipe"),
    "no fields": without("fields"),
    "no remedies": without("remedies"),
    "unknown recipe": other_config(recipe="latent_priors"),
    "unknown field": other_config(fields={"colour": 1}),
    "field of another kind": other_config(fields={"nef": "many"}),
    "remedies of another kind": other_config(remedies={"pills": 3}),
    "remedy for nobody": other_config(remedies={"step_size": {"nobody": 0.5}}),
    "half the weights": cut_weights,
    "no bytes": lambda run: (run / "model.safetensors").write_bytes(b""),
    "wrong shapes": wrong_shapes,
    "a weight too few": missing_weight,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_loading_a_damaged_run_is_one_line(name, run_once):
    DAMAGE[name](run_once)
    with pytest.raises(InputError) as error:
        absynth.load(run_once)
    assert len(one_line(error)) > 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("trained")
    absynth.fit(replace(TOY, steps=1), folder)
    return {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}


@pytest.fixture
def run_once(trained, tmp_path) -> Path:
    for name, data in trained.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_loading_needs_a_run(tmp_path, run_once):
    absynth.load(run_once)  # what the test above damages loads
    with pytest.raises(InputError, match="expected a run directory, found none") as error:
        absynth.load(tmp_path / "nowhere")
    one_line(error)


def test_json_files_are_read_as_objects(tmp_path):
    files.write_json(tmp_path / "a.json", {"δ": 1})
    assert files.read_json(tmp_path / "a.json") == {"δ": 1}
    assert "δ" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["config.json", "recipe.json", "model.safetensors", "metrics.jsonl", "journal.jsonl"])
def test_a_pipe_where_a_file_should_be_is_one_line(name, tmp_path):
    absynth.fit(RECIPES["toy"], tmp_path / "run")
    path = tmp_path / "run" / name
    path.unlink()
    os.mkfifo(path)
    resume = lambda run: absynth.fit(replace(RECIPES["toy"], steps=14), run)  # noqa: E731
    use = absynth.load if name in ("config.json", "model.safetensors") else resume
    with pytest.raises(InputError, match="a pipe or a device"):
        use(tmp_path / "run")


def test_a_pipe_where_a_checkpoint_should_be_is_set_aside(tmp_path):
    absynth.fit(RECIPES["toy"], tmp_path / "run")
    whole = state(tmp_path / "run")
    for name in ("state.pt", "sha256"):
        path = checkpoint.checkpoints(tmp_path / "run")[0] / name
        path.unlink()
        os.mkfifo(path)
        absynth.fit(RECIPES["toy"], tmp_path / "run")
        assert_same_state(state(tmp_path / "run"), whole)


def test_a_log_of_other_bytes_is_read_as_far_as_it_goes(tmp_path):
    absynth.fit(RECIPES["toy"], tmp_path / "run")
    for name in ("metrics.jsonl", "journal.jsonl"):
        with (tmp_path / "run" / name).open("ab") as file:
            file.write(b"\xff\xfe\x00\n")
    absynth.fit(replace(RECIPES["toy"], steps=14), tmp_path / "run")
    assert [row["event"] for row in journal(tmp_path / "run")] == ["start", "finish", "resume", "finish"]


def test_a_run_that_was_never_trained_gives_way_and_says_how_to_train_it(tmp_path):
    too_many = replace(TOY, steps=2, checkpoint_every=2)
    checkpoint.claim(tmp_path, too_many)  # and then the process was killed
    with pytest.raises(InputError, match=r"has no trained weights yet: train it with absynth train .* --out"):
        absynth.load(tmp_path)
    told = Interrupts(-1)
    absynth.fit(replace(too_many, latent=2, prior_steps=2), tmp_path, callbacks=[told])
    with pytest.raises(InputError, match="begun with other numbers"):  # trained now
        absynth.fit(too_many, tmp_path)
    absynth.fit(replace(too_many, prior_steps=2), tmp_path, minutes=9.0, callbacks=[told])
    assert told.said[0].endswith("steps=N changes them")
    assert told.said[-1] == f"{tmp_path} is finished, with all of its 2 updates: steps=4 trains on"


def test_what_cannot_be_trained_leaves_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(type(TOY), "batches", lambda self, start=0: minibatches(5, 8, seed=0))
    with pytest.raises(InputError, match="batch=5 or less"):
        absynth.fit(TOY, tmp_path / "run")
    with pytest.raises(InputError, match="positive number of minutes, got 0"):
        absynth.fit(TOY, tmp_path / "run", data="nowhere", minutes=0.0)
    rows = torch.rand(20, 3, 8, 8)
    with pytest.raises(Unsupported, match=r"expected toy or table data .* got image data \(in memory\)"):
        absynth.fit(replace(TOY, data=""), tmp_path / "run", data=rows)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="could not write"):
        write_atomic(tmp_path / "taken" / "new.json", "{}")
    assert (tmp_path / "taken").read_text() == "mine"
