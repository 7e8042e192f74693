"""The command line: ``absynth train METHOD --data DATA --out RUN``, then tasks on the run.

Fields of recipes and parameters of tasks are the flags, their docstrings the help. A mistake of the user is one line
and exit status 2; a run that diverged is status 3; Ctrl-C is status 130 after a checkpoint.
"""

from __future__ import annotations

import difflib
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence

from absynth.errors import Diverged, InputError, naming_flags

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("absynth.cli.train", "train"),
    "impute": ("absynth.cli.tables", "impute"),
    "report": ("absynth.cli.runs", "report"),
    "compare": ("absynth.cli.runs", "compare"),
    "demo": ("absynth.cli.project", "demo"),
    "reproduce": ("absynth.cli.project", "reproduce"),
    "results": ("absynth.cli.project", "results"),
    "data": ("absynth.cli.project", "data"),
    "doctor": ("absynth.cli.project", "doctor"),
    "pretrained": ("absynth.cli.sharing", "pretrained"),
    "share": ("absynth.cli.sharing", "share"),
    "fetch": ("absynth.cli.sharing", "fetch"),
    "cite": ("absynth.cli.sharing", "cite"),
    "completion": ("absynth.cli.completion", "completion"),
    "studio": ("absynth.cli.studio", "studio"),
}
"""Commands that are not tasks: module and function, imported when called so that help starts at once."""

SYNONYMS = {
    "complete": "inpaint", "fill": "inpaint", "generate": "sample", "draw": "sample", "score": "detect", "fit": "train",
    "save": "share", "push": "share", "download": "fetch", "models": "pretrained", "datasets": "data",
}  # fmt: skip
"""Words that people try, and the commands that they mean."""

HELP = """absynth: energy-based generative models.

  absynth train METHOD --data DATA --out RUN    train a method on a published data set, a folder or a file

Methods
{methods}

Tasks on a run (absynth TASK RUN)
{tasks}

Your table
  impute                fill the missing entries of a table: absynth impute --data TABLE --out FILLED

Models that travel
  pretrained            list the pretrained models; every task takes a name for a run: absynth sample NAME
  share RUN             save a run as a folder with a model card, or to the Hugging Face hub
  fetch OWNER/NAME      download a model from the hub

Pages and project
  studio [RUN ...]      trained models in a browser: chains as they run, masks, mixtures, molecules, tracks, tables
  report RUN            one page of everything about a run
  compare RUN RUN ...   one page that lays runs beside each other
  demo                  train and show several models on data that is already here, in about three minutes
  data                  list the data sets; absynth data PATH says what was read from your folder or file
  reproduce             list the experiments behind the figures, or run one
  results               the recorded figures
  doctor                what is installed, which device, where data is searched
  cite METHOD           what to cite, as BibTeX
  completion SHELL      completion of bash, zsh or fish: absynth completion --help

Every command explains its flags with --help."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    with naming_flags():
        _main(argv)


def _main(argv: Sequence[str] | None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):  # a terminal or a log without UTF-8 gets "?" for what it cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if not os.environ.get("COLUMNS", "").strip("0"):  # a terminal without a width would show nothing
        os.environ.pop("COLUMNS", None)
    try:
        _run(argv)
    except InputError as error:
        _stop(f"absynth: {error}", 2)
    except Diverged as error:
        _stop(f"absynth: diverged: {error}", 3)
    except KeyboardInterrupt:
        resumes = ", and the same command resumes" if argv[:1] in (["train"], ["reproduce"]) else ""
        _stop(f"absynth: stopped; what was saved is complete{resumes}", 130)
    except BrokenPipeError:
        sys.exit(141)
    except (MemoryError, RuntimeError) as error:
        _stop(f"absynth: {_refused_by_machine(error)}", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _stop(f"absynth: {where}{error.strerror or error}: check the path and its permissions", 2)


def _refused_by_machine(error: Exception) -> str:
    """What the machine could not give, in words; any other error is raised again.

    Raises:
        RuntimeError: It is a fault of the program.
    """
    text = " ".join(str(error).split())
    if "home directory" in text:  # of a user who is not known here, or none at all
        return "expected a path, got ~ of a user without a home: write the path out"
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        size = re.search(r"allocate (\d+) bytes|allocate ([\d.]+ \w+)", text)
        wanted = f" ({size[1] + ' bytes' if size[1] else size[2]} at once)" if size else ""
        return f"out of memory{wanted}: make the networks, the batch or --n smaller"
    raise error


def _stop(text: str, status: int) -> None:
    print(" ".join(text.split()) + "\n", end="", file=sys.stderr)  # one write: several processes share a terminal
    sys.exit(status)


def _run(argv: list[str]) -> None:
    from absynth.tasks import tasks

    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return
    name, rest = argv[0], argv[1:]
    if name in ("--version", "version"):
        from importlib.metadata import version

        print(version("absynth"))
    elif name in COMMANDS:
        module, function = COMMANDS[name]
        getattr(importlib.import_module(module), function)(rest)
    elif name in tasks() and not {"-h", "--help"}.isdisjoint(rest):
        from absynth.cli.task_help import task_help

        print(task_help(name))
    elif name in tasks():
        from absynth.cli.runs import task

        task(name, rest)
    else:
        near = [SYNONYMS[name]] if name in SYNONYMS else difflib.get_close_matches(name, [*tasks(), *COMMANDS], 1, 0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a command, got {name!r}{hint}: absynth --help lists them")


def _help() -> str:
    import pkgutil
    import textwrap
    from pathlib import Path

    from absynth.tasks import titles

    folder = Path(__file__).parent.parent / "recipes"
    names = sorted(
        m.name
        for m in pkgutil.iter_modules([str(folder)])
        if m.name not in ("recipe", "presets", "bounds") and m.name[0] != "_"
    )
    methods = textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")
    tasks = "\n".join(f"  {name:<22}{title}" for name, title in titles().items())
    return HELP.format(methods=methods, tasks=tasks)
