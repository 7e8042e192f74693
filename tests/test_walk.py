"""A newcomer's walk: every command of README and the site, as printed and in order, in a folder of the page's own.

Trainings run with ``--tiny`` behind what is printed, so that the walk takes minutes; ``WALK=full`` leaves it out.
``make walk PAGES="texture or voxels"`` runs chosen pages, ``pytest -s`` prints each command with its seconds.
The Python of pages runs as their doctests, that of notebooks in ``test_notebooks.py``: ``make walk`` is all three.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import walk_inputs

from absynth.data.sets import SETS

ROOT = Path(__file__).parent.parent
FULL = os.environ.get("WALK") == "full"
ELSEWHERE = {
    "studio": "test_studio", "reproduce": "test_experiments", "demo": "test_cli",
    "fetch": "test_sharing, on a hub of its own", "--push": "test_sharing, on a hub of its own",
    "results": "make test", "completion": "test_completion",
}  # fmt: skip
"""Commands that wait, download or take hours, and what runs them."""
CARRIED = ("digits", "digits_table", "mnist5k", "nci5k", "wine", "breast_cancer", "china", "foliage")


def printed(page: Path) -> list[str]:
    """The commands that a page prints on lines of their own, and in README's table, in their order."""
    found, fence = [], None
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            fence = None if fence is not None else line[3:]
        elif (fence == "" and line.startswith(("absynth ", "torchrun "))) or (
            fence is None and line.startswith(("    absynth ", "    torchrun "))
        ):
            found.append(line.strip())
        elif fence is None and line.startswith("|"):
            found += re.findall(r"`(absynth [a-z_]+ [^`]*(?:--data|--out|runs/)[^`]*)`", line)
    return [line for line in found if not re.search(r"\b(METHOD|RUN|PATH|FOLDER|NAME)\b", line) and "..." not in line]


PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if printed(page)]


def left_out(command: str) -> str:
    """What runs a command in place of the walk; empty for one that the walk runs."""
    words = shlex.split(command, comments=True)
    if reason := next((where for word, where in ELSEWHERE.items() if word in words), ""):
        return reason
    data = next((after for word, after in pairwise(words) if word == "--data"), "")
    downloaded = data in SETS and data not in CARRIED and SETS[data].kind != "toy"
    return "no ABSYNTH_DATA" if downloaded and not Path(os.environ.get("ABSYNTH_DATA", "")).is_dir() else ""


def shortened(command: str) -> str:
    """The command with --tiny, and seconds in place of minutes, if it trains."""
    words = shlex.split(command, comments=True)
    if not FULL and "redraw" in words:  # a tiny pyramid has scales 0 and 1
        return command.replace("--scale 2", "--scale 1")
    if FULL or "train" not in words or "--help" in words:
        return command
    command = re.sub(r"--minutes [\d.]+", "--minutes 0.02", command)
    command = re.sub(r"--batch \d\d\d+", "--batch 32", command)  # a tiny training has 64 examples
    return re.sub(r"(\s+#[^'\"]*)?$", " --tiny", command, count=1)


def run(command: str, folder: Path) -> str:
    """What a command says in a shell if it fails; empty if it does not."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    begun = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    print(f"{time.perf_counter() - begun:6.1f} s  status {done.returncode}  $ {command}", flush=True)
    said = [line for line in done.stderr.splitlines() if line.startswith("absynth:")]  # torchrun says more after it
    reason = "\n".join(said) or done.stderr[-800:] or done.stdout[-800:]
    return f"$ {command}\nstatus {done.returncode}: {reason}" if done.returncode else ""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    walk_inputs.make(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_printed_command_runs(page, inputs, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(inputs, folder)
    commands = [command for command in printed(page) if not left_out(command)]
    for name, words in walk_inputs.RUNS.items():
        if any(name in command for command in commands) and not any(f"--out {name}" in c for c in commands):
            assert run(shortened(f"absynth train {words} --out {name}"), folder) == ""
    failed = [said for said in (run(shortened(command), folder) for command in commands) if said]
    assert not failed, "\n\n".join(failed)


def test_the_walk_reads_what_is_printed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text `absynth data ./photos`.\n\n    absynth train vae --data mnist   # a minute\n\n"
        "```\nabsynth sample a\n```\n"
        "```python\n>>> x = 1\nabsynth no\n```\n\n| a | `absynth detect runs/d` | `absynth studio` |\n\n"
        "    absynth sample RUN\n"
    )
    assert printed(page) == ["absynth train vae --data mnist   # a minute", "absynth sample a", "absynth detect runs/d"]
    assert shortened("absynth train vae --data mnist   # a minute") == "absynth train vae --data mnist --tiny"
    assert shortened("absynth train vae --data 'a # b'") == "absynth train vae --data 'a # b' --tiny"
    assert shortened("absynth train vae --minutes 10 --out a") == "absynth train vae --minutes 0.02 --out a --tiny"
    assert shortened("absynth train vae --batch 200 --out a") == "absynth train vae --batch 32 --out a --tiny"
    assert shortened("absynth sample a  # x") == "absynth sample a  # x"
    assert left_out("absynth share runs/a --push me/a")
    assert left_out("absynth studio runs/a")
    assert not left_out("absynth train vae --data digits")
    assert "status 3" in run("echo no >&2; exit 3", tmp_path)
    assert run("absynth --version", tmp_path) == ""


def test_the_walk_meets_every_page_with_commands():
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/start.md", "docs/data.md", "docs/sharing.md", "docs/tables.md"} <= names
    assert sum(len([c for c in printed(page) if not left_out(c)]) for page in PAGES) > 100
