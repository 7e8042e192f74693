"""Runs every task that a model supports, then writes the page of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from absynth import checkpoint, tasks
from absynth.errors import InputError, Unsupported
from absynth.report.page import write


def gather(
    run: Path,
    again: bool = False,
    data: str = "",
    device: str = "auto",
    say: Callable[[str], object] = print,
) -> Path:
    """Run the tasks that the model supports and that were not run yet, and write the page.

    A task that fails costs its own section only.

    Args:
        run: Run directory.
        again: Run tasks again that have a result newer than the weights.
        data: Data of the run, if they moved since training.
        device: auto, cpu, cuda.
        say: Receives a line per task.

    Returns:
        The page.

    Raises:
        InputError: There is no run, it was never trained, its model cannot be opened, or the page cannot be written.
    """
    run = run.expanduser()
    checkpoint.require_trained(run)
    write(run)  # a run that is none, or that cannot be written to, is found before any work
    checkpoint.load(run)  # and so is a model that cannot be opened: no task could run
    left_out: dict[str, str] = {}  # reason -> the first task that gave it
    for name in tasks.tasks():
        if not again and is_current(run, name):
            continue
        module = tasks.find(name)
        if module.REPORT is None:
            continue
        try:
            module.command(run, data=data, device=device, **module.REPORT)
        except Unsupported:
            continue  # not a task for this model
        except InputError as error:
            first = left_out.setdefault(str(error), name)
            say(f"{name}: left out: {error if first == name else f'as {first}'}")
        except Exception as error:  # a task's own fault must not cost the page
            reason = " ".join(str(error).split())[:200]
            say(f"{name}: failed ({type(error).__name__}: {reason}): absynth {name} {run} shows it")
        else:
            say(f"{name}: done")
    return write(run)


def is_current(run: Path, task: str) -> bool:
    """Whether a task has a result that is newer than the run's weights."""
    result, weights = run / task / "result.json", run / "model.safetensors"
    try:
        return result.stat().st_mtime >= weights.stat().st_mtime
    except OSError:
        return False
