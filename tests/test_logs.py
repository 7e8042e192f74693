"""What training writes and says: lines that can be read back, on a terminal and off it."""

from __future__ import annotations

import errno
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from test_training import RECIPES, Interrupts

import absynth
from absynth.errors import InputError
from absynth.logs import Journal, MetricsFile, ProgressBar

TOY = replace(RECIPES["toy"], steps=20, log_every=1, checkpoint_every=100)


def row(step: int, **more: object) -> dict:
    return {"step": step, "seconds": float(step), "loss": {"prior": 0.125}, "gradient": {"prior": 2.0}, **more}


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_metrics_are_appended_and_rewound(tmp_path):
    metrics = MetricsFile(tmp_path, 0)
    for step in (5, 10, 15):
        metrics.log(row(step))
    assert steps(metrics.path) == [5, 10, 15]
    metrics.rewind(10)
    assert steps(metrics.path) == [5, 10]
    with metrics.path.open("a") as file:
        file.write('{"step": 11, "secon')
    MetricsFile(tmp_path, 5).log(row(6))
    assert steps(metrics.path) == [5, 6]
    assert json.loads(metrics.path.read_text().splitlines()[1]) == row(6)


def test_the_journal_tells_what_matters_to_who_watches(tmp_path):
    watcher = Interrupts(-1)
    journal = Journal(tmp_path, [watcher])
    journal.write("start", 0, "δ = 0.1")
    journal.write("guard", 7, "step 7: prior: its loss is nan", tries=1)
    journal.write("damaged", 8, "checkpoint step_000008 is damaged")
    journal.write("finish", 9, "9 s of training")
    rows = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines()]
    assert [(r["event"], r["step"], r.get("tries")) for r in rows] == [
        ("start", 0, None), ("guard", 7, 1), ("damaged", 8, None), ("finish", 9, None)
    ]  # fmt: skip
    assert all(r["time"].endswith("+00:00") for r in rows)
    assert "δ" in journal.path.read_text(encoding="utf-8")
    assert watcher.said == ["guard: step 7: prior: its loss is nan", "damaged: checkpoint step_000008 is damaged"]
    Journal(tmp_path, [])  # another process, later
    assert len(journal.path.read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize("make", [lambda run: Journal(run, []), lambda run: MetricsFile(run, 0)])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, make):
    log = make(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match=r"could not write .*jsonl: No space left on device") as error:
        log.write("start", 0, "") if isinstance(log, Journal) else log.log(row(1))
    assert "\n" not in str(error.value)


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    out = io.StringIO()
    absynth.fit(TOY, tmp_path, callbacks=[ProgressBar(Console(file=out, width=120))])
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/20" for n in (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20)]
    assert "prior " in lines[0]
    assert lines[-1].endswith("about 0 s left")


def test_the_time_left_and_the_loss_are_in_the_line():
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, width=120))
    bar.begin(TOY, 0)
    bar.log(row(5))
    bar.say("guard: [it] spoke")
    bar.end()
    assert out.getvalue().splitlines() == ["step 5/20  prior 0.125  about 15 s left", "guard: [it] spoke"]


def test_a_bar_on_a_terminal():
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, width=120, force_terminal=True))
    bar.begin(TOY, 10)
    bar.log(row(15))
    bar.say("guard spoke")
    bar.log(row(20))
    bar.end()
    shown = out.getvalue()
    assert "small:ModesPrior" in shown
    assert "20/20" in shown
    assert "prior 0.125" in shown
    assert "guard spoke" in shown
