"""How the package is layered: no circle of imports, and no file imports from a layer above its own."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import absynth

SRC = Path(absynth.__file__).parent
LAYERS = (
    ("errors", "distributed", "devices", "files", "lock", "seeding", "types"),
    (
        "checkpoint",
        "rebuilding",
        "logs",
        "results",
        "quoting",
        "pictures",
        "density",
        "densities",
        "distributions",
        "references",
        "dynamic_texture",
        "released",
        "citations",
        "trackers",
    ),
    ("data.vocabulary", "report", "report.result", "report.html", "report.style", "engine", "samplers"),
    ("networks", "classifiers", "gaussian"),
    ("data", "metrics", "algorithms", "scenes"),
    ("guard", "selection"),
    ("recipes",),
    ("updates", "training", "tasks", "sklearn"),
    ("report.page", "report.compare", "report.gather", "report.logs", "sharing"),
    ("experiments", "demo", "studio"),
    ("cli",),
)
"""From the lowest up, by the longest prefix that fits a module's name."""


def module(file: Path) -> str:
    parts = file.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in SRC.rglob("*.py")}


def imported(file: Path, *, at_load: bool) -> set[str]:
    """Modules of the package that a file imports: when it is loaded, or anywhere but for types."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only or (at_load and id(node) in inside):
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("absynth"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("absynth")}
    return found & set(MODULES) - {"absynth"}


def test_no_circle_of_imports():
    graph = {name: imported(file, at_load=True) - {name} for name, file in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def layer(name: str) -> int:
    known = {prefix: i for i, prefixes in enumerate(LAYERS) for prefix in prefixes}
    parts = name.split(".")[1:]
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((known[prefix] for prefix in prefixes if prefix in known), -1)


def test_every_module_has_a_layer():
    assert [name for name in MODULES if layer(name) < 0 and name not in ("absynth", "absynth.__main__")] == []


def test_nothing_imports_from_above():
    upward = [
        f"{name} imports {other}"
        for name, file in MODULES.items()
        if name not in ("absynth", "absynth.__main__")
        for other in imported(file, at_load=True)
        if layer(other) > layer(name)
    ]
    assert upward == []
