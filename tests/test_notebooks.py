"""Every cell of every notebook runs, in a folder of its own, and what the notebooks assert holds."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    names: dict = {"__name__": "__main__"}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are not kept: they would go stale"
            exec(compile(ast.parse("".join(cell["source"])), f"{path.name}, {cell['id']}", "exec"), names)


def test_there_are_notebooks():
    assert {p.stem for p in NOTEBOOKS} >= {"outliers", "missing", "few_labels", "rare_class"}
