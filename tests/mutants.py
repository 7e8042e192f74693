"""Mutation testing: plant small faults in the sources and count those that the fast tests catch.

    python tests/mutants.py --count 300 --seed 0          (make mutants)

A mutant changes one operator, constant, comparison, sign or statement of one function in the packages below. It is
tested by the conformance tests of the classes in its file and by the few test files that are most about it, so a
survivor may still be killed by others: the share is a lower bound. Survivors are printed, with the reason in
``tests/mutants_accepted.json`` why they change nothing that a test could see. Exits with status 1 if fewer than 90 %
are killed. The tests must pass without a fault, which is checked first.

Each mutant has a process of its own, a fork of one that has imported the package and the tests: there the code of the
functions that the fault is in is replaced, which saves importing everything anew.
"""

from __future__ import annotations

import argparse
import ast
import gc
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType

import beartype.claw  # noqa: F401  what every test needs is imported once, before the forks
import hypothesis  # noqa: F401
import jaxtyping  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch.func  # noqa: F401

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "absynth"
TARGETS = ("algorithms", "samplers", "metrics", "density.py", "guard.py", "distributions.py")
CONFORMANCE = ("test_learning_rule.py", "test_fields.py", "test_algorithms.py", "test_capabilities.py")
ACCEPTED = ROOT / "tests" / "mutants_accepted.json"
FILES = 6
"""Number of test files beside the conformance tests."""
CASES = 6
"""Number of lines of the conformance table, for a file that many algorithms share."""
TEST = 60
"""Seconds of processor time after which a test has failed."""
BAR = 0.9
OPTIONS = ("-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly")
SKIPPED = ("extra_repr", "__repr__", "__str__", "summary")
BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARE = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
NAMES = {"mean": "sum", "sum": "mean", "sqrt": "square", "exp": "log", "log": "exp", "amax": "amin", "cos": "sin"}


@dataclass(frozen=True)
class Mutant:
    """One planted fault: where it is, what it is, and its number among the faults of the file."""

    file: Path
    line: int
    what: str
    number: int

    @property
    def key(self) -> str:
        """A name that does not depend on line numbers."""
        return f"{self.file.relative_to(SOURCE)}: {self.what}"

    @property
    def tree(self) -> ast.Module:
        """The whole file with the fault."""
        tree = ast.parse(self.file.read_text())
        _, _, plant = next(islice(_faults(tree), self.number, None))
        plant()
        return ast.fix_missing_locations(tree)


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file."""
    for number, (line, what, _) in enumerate(_faults(ast.parse(file.read_text()))):
        yield Mutant(file, line, what, number)


def _faults(tree: ast.Module) -> Iterator[tuple[int, str, Callable[[], None]]]:
    """``(line, description, plant)`` of each fault that a file can have; ``plant()`` changes the tree."""
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name not in SKIPPED):
        for node in _inside(function):
            for what, plant in _changes(node):
                yield node.lineno, f"{function.name}: {what}", plant


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


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    """``(description, plant)`` for each fault that can be planted at a node."""
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        new = BINARY[type(node.op)]
        yield f"{ast.unparse(node)[:60]} -> {new.__name__}", partial(setattr, node, "op", new())
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARE:
        new = COMPARE[type(node.ops[0])]
        yield f"{ast.unparse(node)[:60]} -> {new.__name__}", partial(setattr, node, "ops", [new()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield f"{ast.unparse(node)[:60]} without its sign", partial(setattr, node, "op", ast.UAdd())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"constant {node.value} -> {node.value + 1}", partial(setattr, node, "value", node.value + 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"constant {node.value} -> {not node.value}", partial(setattr, node, "value", not node.value)
    if isinstance(node, ast.BoolOp):
        new_op: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{ast.unparse(node)[:60]} -> {type(new_op).__name__}", partial(setattr, node, "op", new_op)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield f"{ast.unparse(node)[:60]} -> .{NAMES[node.attr]}", partial(setattr, node, "attr", NAMES[node.attr])
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield f"{ast.unparse(node)[:60]} left out", partial(setattr, node, "value", ast.Constant(None))
    if isinstance(node, ast.AugAssign):
        yield f"{ast.unparse(node)[:60]} left out", partial(setattr, node, "value", ast.Constant(0))


def tests_of(file: Path) -> list[list[str]]:
    """Arguments of pytest, run one after another until a test fails: the likeliest tests to see a fault of a file.

    First test files named after it, then those that import it or a public name of it, then those of its users.
    """
    module, public = dotted(file), public_names(file)
    users = [f for f, text in sources().items() if f"from {module} import" in text and f.stem[0] != "_"]
    users.sort(key=lambda f: f.parent != file.parent)
    packages = [module.rsplit(".", k)[0] for k in range(module.count(".") + 1)]  # where its names may come from
    names = {module, *(f"{package}.{name}" for package in packages for name in public)}
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, public)) or '-'})\b")
    own, by_user = {}, {}
    for test in sorted((ROOT / "tests").glob("test_*.py")):
        text, imported = test.read_text(), imports(test)
        if test.name in CONFORMANCE:
            continue
        if imported & names:
            own[test] = (file.stem in test.stem, module in imported, len(words.findall(text)) / len(text))
        elif found := [k for k, f in enumerate(users) if f.stem in test.stem]:
            by_user[test] = found[0]
    chosen = [*sorted(own, key=lambda test: own[test], reverse=True), *sorted(by_user, key=lambda test: by_user[test])]
    runs = [[str(test.relative_to(ROOT))] for test in chosen[:FILES]]
    if file.parent.name == "algorithms":
        table = (ROOT / "tests" / "cases.py").read_text()
        cases = [n for n in (*public, *(n for f in users for n in public_names(f))) if f'"{n}' in table]
        runs.insert(0, [*(f"tests/{name}" for name in CONFORMANCE), "-k", " or ".join(cases[:CASES])])
    return runs


@cache
def sources() -> dict[Path, str]:
    """The text of every file of the package."""
    return {f: f.read_text() for f in sorted(SOURCE.rglob("*.py"))}


@cache
def imports(test: Path) -> set[str]:
    """Modules of absynth that a test imports from, and the names that it imports or reads from ``ab``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(test.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("absynth"):
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("ab", "absynth"):
            found.add(f"absynth.{node.attr}")
    return found


def dotted(file: Path) -> str:
    """The name by which a file is imported."""
    return ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)


def public_names(file: Path) -> list[str]:
    """Classes and functions of a file."""
    names = [n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    return [n for n in names if not n.startswith("_")]


class Watch:
    """Plugin of pytest: a test that takes longer than ``TEST`` seconds of processor time fails.

    Args:
        pipe: What the names of failures are written to.
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def note(self, name: str) -> None:
        os.write(self.pipe, f"{name}\n".encode())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        def stop(number: int, frame: object) -> None:
            raise TimeoutError(f"{item.nodeid} takes longer than {TEST} seconds")

        before = signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, TEST)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.note(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.note(report.nodeid)


def run_tests(runs: list[list[str]], plant: Callable[[], None] = lambda: None) -> str:
    """The test that fails first in a fork of this process, or "". ``plant`` puts a fault into the fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            failed = pipe.readline().strip()
        passed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return "" if passed else failed or "the process itself"
    code = 1
    try:
        log = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(log, stream)
        plant()
        code = 0
        for run in runs:
            found = pytest.main(["-x", *OPTIONS, *run], [Watch(writing)])
            if found not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                code = 1
                break
    finally:
        os._exit(code)


def load(package: Path, tests: list[str]) -> dict[str, list[FunctionType]]:
    """Import the package of a folder and the tests; returns the functions of each file of the package.

    The tests' own ``conftest.py`` comes first, so shapes and types are checked in every test.
    """
    os.environ.update(PYTHONPATH=str(package), OMP_NUM_THREADS="1")
    sys.path.insert(0, str(package))
    sys.dont_write_bytecode = True
    os.chdir(ROOT)
    with redirect_stdout(io.StringIO()) as said:
        found = pytest.main(["--collect-only", *OPTIONS, *tests])
    if found != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected: {said.getvalue()[-2000:]}")
    functions: dict[str, list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(str(package)):
            functions.setdefault(each.__code__.co_filename, []).append(each)
    return functions


def forget(package: Path) -> None:
    """Have the package and the tests imported anew when they are next used."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and file.startswith((str(package), str(ROOT / "tests"))):
            del sys.modules[name]


def codes_of(tree: ast.Module, file: str) -> dict[tuple[str, int], CodeType]:
    """The code of every function of a file that is no function's own, by name and line."""
    found, stack = {}, [compile(tree, file, "exec", dont_inherit=True)]
    while stack:
        for code in (c for c in stack.pop().co_consts if isinstance(c, CodeType)):
            if "<locals>" not in code.co_qualname:
                found[code.co_qualname, code.co_firstlineno] = code
                stack.append(code)
    return found


@contextmanager
def planted(mutant: Mutant, package: Path, functions: dict[str, list[FunctionType]]) -> Iterator[Callable[[], None]]:
    """A function that plants the fault in this process, and the fault in the package's file for those started anew."""
    path = package / mutant.file.relative_to(SOURCE.parent)
    file, source, times = str(path), path.read_text(), path.stat()
    faulty = codes_of(mutant.tree, file)
    sound = codes_of(ast.parse(source), file)
    changed = {key: code for key, code in faulty.items() if code != sound[key]}

    def plant() -> None:
        for (name, line), code in changed.items():
            for function in functions.get(file, []):
                old = function.__code__
                if old.co_qualname != name or abs(old.co_firstlineno - line) > 2:  # decorators may come first
                    continue
                if old.co_freevars != code.co_freevars:  # a call of super was left out
                    forget(package)
                    return
                function.__code__ = code

    path.write_text(ast.unparse(mutant.tree))
    try:
        yield plant
    finally:
        path.write_text(source)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def survivors(mutants: list[Mutant], process: int, checked: bool) -> list[Mutant]:
    """Those that the tests miss, printed as they are found."""
    alive = []
    used = sorted({test for m in mutants for run in tests_of(m.file) for test in run if test.endswith(".py")})
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(SOURCE, package / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
        functions = load(package, used)
        if not checked and (failed := run_tests([used])):
            raise RuntimeError(f"{failed} fails without a fault, so every mutant would count as killed: run make test")
        for i, mutant in enumerate(mutants, 1):
            begun = time.monotonic()
            runs = tests_of(mutant.file)
            with planted(mutant, package, functions) as plant:
                killer = run_tests(runs, plant) if runs else ""
            if not killer:
                alive.append(mutant)
            seconds = time.monotonic() - begun
            text = f"{mutant.key} (line {mutant.line}) " + (f"killed by {killer}" if killer else "SURVIVES")
            print(f"[{process}] {i} of {len(mutants)}, {seconds:.0f} s: {text}", flush=True)
    return alive


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of their choice")
    parser.add_argument("--processes", type=int, default=2, help="mutants tested at once")
    parser.add_argument("--only", default="", help="files whose path holds this text")
    parser.add_argument("--checked", action="store_true", help="the tests are known to pass without a fault")
    given = parser.parse_args()
    files = [f for t in TARGETS for f in ([SOURCE / t] if t.endswith(".py") else sorted((SOURCE / t).rglob("*.py")))]
    files = [f for f in files if given.only in str(f) and f.name not in ("__init__.py", "engine.py")]
    every = [m for f in files for m in mutants_of(f)]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    reasons: dict[str, str] = json.loads(ACCEPTED.read_text())
    parts = [(chosen[k :: given.processes], k, given.checked) for k in range(given.processes)]
    with multiprocessing.get_context("fork").Pool(given.processes) as pool:
        alive = [mutant for part in pool.starmap(survivors, parts, chunksize=1) for mutant in part]
    for mutant in alive:
        print(f"survives: {mutant.key} (line {mutant.line}): {reasons.get(mutant.key, 'NO REASON')}")
    share = 1 - len(alive) / len(chosen)
    unexplained = sum(m.key not in reasons for m in alive)
    print(f"{len(chosen)} of {len(every)} mutants: {share:.1%} killed, {unexplained} survivors without a reason")
    sys.exit(0 if share >= BAR else 1)


if __name__ == "__main__":
    main()
