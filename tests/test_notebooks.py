"""Every notebook runs from top to bottom in a kernel and a folder of its own, and what it asserts holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))
LONG = {"compose", "few_labels", "latent_prior", "missing", "molecules", "outliers", "rare_class", "sample_any_density"}
"""Notebooks of more than ten seconds of CPU time: CI runs them with the documents, by `make docs`."""
CASES = [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LONG else []) for p in NOTEBOOKS]
RUN = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], as_version=4)
place = {"metadata": {"path": "."}}
NotebookClient(book, timeout=120, startup_timeout=120, kernel_name="python3", resources=place).execute()
"""


@pytest.mark.parametrize("path", CASES)
def test_a_notebook_runs(path, tmp_path):
    if path.stem == "molecules":
        pytest.importorskip("rdkit")
    # In a process of its own, whose event loop and signals are not those of the tests.
    done = subprocess.run([sys.executable, "-c", RUN, path], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_failing_cell_fails(tmp_path):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": "1 / 0"}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    (tmp_path / "bad.ipynb").write_text(json.dumps(book))
    done = subprocess.run([sys.executable, "-c", RUN, "bad.ipynb"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert "ZeroDivisionError" in done.stderr


def test_there_are_notebooks_without_stale_outputs():
    assert {p.stem for p in NOTEBOOKS} >= LONG
    for path in NOTEBOOKS:
        assert path.stat().st_size < 200_000
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells), f"{path.name}: save it without outputs, they go stale"
