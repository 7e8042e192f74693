"""Mutation testing: plant small faults in the sources and count those that the fast tests catch.

    python tests/mutants.py --count 300 --seed 0          (make mutants)

A mutant changes one operator, constant, comparison, sign or statement of one function in the packages below. The tests
of a module are the test files that name it or a class of it; a mutant is killed if they fail or do not finish.
Survivors are printed, and those in ``tests/mutants_accepted.json`` with the reason why they change nothing that a test
could see. Exits with status 1 if fewer than 90 % are killed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "absynth"
TARGETS = ("algorithms", "samplers", "metrics", "density.py", "guard.py", "distributions.py")
SECONDS = 240
BAR = 0.9
SKIPPED = ("extra_repr", "__repr__", "__str__", "summary")
BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARE = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
NAMES = {"mean": "sum", "sum": "mean", "sqrt": "square", "exp": "log", "log": "exp", "amax": "amin", "cos": "sin"}


@dataclass(frozen=True)
class Mutant:
    """One planted fault: where it is and the source of the whole file with it."""

    file: Path
    line: int
    what: str
    source: str

    @property
    def key(self) -> str:
        """A name that does not depend on line numbers."""
        return f"{self.file.relative_to(SOURCE)}: {self.what}"


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    tree = ast.parse(file.read_text())
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name not in SKIPPED):
        for node in _inside(function):
            for what, change in _changes(node):
                undo = change()
                yield Mutant(file, node.lineno, f"{function.name}: {what}", ast.unparse(copy.deepcopy(tree)))
                undo()


def _inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of a function's body, without error messages, annotations and nested functions."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(
            node, ast.Raise | ast.FunctionDef | ast.ClassDef | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom
        ):
            continue
        yield node
        parts = [c for name, c in ast.iter_fields(node) if name not in ("annotation", "returns", "decorator_list")]
        for part in parts:
            stack.extend(p for p in (part if isinstance(part, list) else [part]) if isinstance(p, ast.AST))


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """``(description, apply)`` for each fault that can be planted at a node; ``apply()`` returns its undo."""
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        new = BINARY[type(node.op)]
        yield f"{ast.unparse(node)[:60]} -> {new.__name__}", _swap(node, "op", new())
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARE:
        new = COMPARE[type(node.ops[0])]
        yield f"{ast.unparse(node)[:60]} -> {new.__name__}", _swap(node, "ops", [new()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield f"{ast.unparse(node)[:60]} without its sign", _swap(node, "op", ast.UAdd())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"constant {node.value} -> {node.value + 1}", _swap(node, "value", node.value + 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"constant {node.value} -> {not node.value}", _swap(node, "value", not node.value)
    if isinstance(node, ast.BoolOp):
        new_op: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{ast.unparse(node)[:60]} -> {type(new_op).__name__}", _swap(node, "op", new_op)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield f"{ast.unparse(node)[:60]} -> .{NAMES[node.attr]}", _swap(node, "attr", NAMES[node.attr])
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield f"{ast.unparse(node)[:60]} left out", _swap(node, "value", ast.Constant(None))
    if isinstance(node, ast.AugAssign):
        yield f"{ast.unparse(node)[:60]} left out", _swap(node, "value", ast.Constant(0))


def _swap(node: ast.AST, name: str, value: object):
    before = getattr(node, name)

    def apply():
        setattr(node, name, value)
        return lambda: setattr(node, name, before)

    return apply


def tests_of(file: Path) -> list[str]:
    """Test files that name a module or a public name of it."""
    module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
    names = [n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    words = [re.escape(module), *(rf"\b{n}\b" for n in names if not n.startswith("_"))]
    pattern = re.compile("|".join(words))
    found = [t for t in sorted((ROOT / "tests").glob("test_*.py")) if pattern.search(t.read_text())]
    about = [t for t in found if file.stem in t.stem]
    return [str(t.relative_to(ROOT)) for t in (*about, *(t for t in found if t not in about))]


def survives(mutant: Mutant) -> bool:
    """Whether the fast tests of a module pass with a mutant of it."""
    chosen = tests_of(mutant.file)
    if not chosen:
        return True
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "absynth"
        shutil.copytree(SOURCE, copied, ignore=shutil.ignore_patterns("__pycache__"))
        (copied / mutant.file.relative_to(SOURCE)).write_text(mutant.source)
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *chosen]
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of their choice")
    parser.add_argument("--processes", type=int, default=2, help="mutants tested at once")
    parser.add_argument("--only", default="", help="files whose path holds this text")
    given = parser.parse_args()
    files = [f for t in TARGETS for f in ([SOURCE / t] if t.endswith(".py") else sorted((SOURCE / t).rglob("*.py")))]
    files = [f for f in files if given.only in str(f) and f.name not in ("__init__.py", "engine.py")]
    every = [m for f in files for m in mutants_of(f)]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    accepted = ROOT / "tests" / "mutants_accepted.json"
    reasons: dict[str, str] = json.loads(accepted.read_text()) if accepted.exists() else {}
    alive: list[Mutant] = []
    with ThreadPoolExecutor(given.processes) as pool:
        for i, (mutant, lives) in enumerate(zip(chosen, pool.map(survives, chosen)), 1):
            if lives:
                alive.append(mutant)
                reason = reasons.get(mutant.key, "")
                print(f"survives: {mutant.key} (line {mutant.line}){': ' + reason if reason else ''}", flush=True)
            if i % 20 == 0:
                print(f"{i} of {len(chosen)}: {i - len(alive)} killed", flush=True)
    share = 1 - len(alive) / len(chosen)
    unexplained = sum(m.key not in reasons for m in alive)
    print(f"{len(chosen)} of {len(every)} mutants: {share:.1%} killed, {unexplained} survivors without a reason")
    sys.exit(0 if share >= BAR else 1)


if __name__ == "__main__":
    main()
