"""``absynth TASK --help``, read from the task's source: help should not wait for torch."""

from __future__ import annotations

import ast
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from absynth import tasks as folder_of_tasks

WIDTH = 32
"""Columns of a flag and the gap behind it."""


def task_help(name: str) -> str:
    """The help of a task: its flags with what they mean and their defaults, from the docstring of its command."""
    folder = Path(folder_of_tasks.__file__).parent
    tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
    command = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "command")
    summary, _, arguments = (ast.get_docstring(command) or "").partition("Args:\n")
    texts = _texts(arguments)
    given = command.args.args
    defaults = [None] * (len(given) - len(command.args.defaults)) + list(command.args.defaults)
    rows = []
    for argument, default in zip(given, defaults, strict=True):
        if default is None:
            rows.append((argument.arg.upper(), texts[argument.arg] + " A pretrained model's name is taken too."))
            continue
        flag = f"--{argument.arg.replace('_', '-')} {_values(argument.annotation, folder)}"
        shown = _shown(default)
        rows.append((flag, texts[argument.arg] + (f" [default: {shown}]" if shown else "")))
    rows.append(("--json", "Print the result as JSON and nothing else."))
    about = "\n\n".join(_wrapped(text, _columns(), "") for text in summary.strip().split("\n\n"))
    return f"absynth {name} RUN [flags]\n\n{about}\n\n" + "\n".join(flag_lines(rows, _columns()))


def flag_lines(rows: Iterable[tuple[str, str]], columns: int) -> list[str]:
    """Flags with what they mean beside them, or below where a flag is long."""
    found = []
    for flag, text in rows:
        wrapped = textwrap.wrap(text, max(40, columns - WIDTH)) or [""]
        head = f"  {flag:<28}  " if len(flag) <= 28 else f"  {flag}\n{'':{WIDTH}}"
        found.append(head + f"\n{'':{WIDTH}}".join(wrapped))
    return found


def _columns() -> int:
    width = os.environ.get("COLUMNS", "")
    return int(width) if width.isdigit() else shutil.get_terminal_size((100, 24)).columns


def _wrapped(text: str, columns: int, indent: str) -> str:
    return textwrap.fill(" ".join(text.split()), max(40, columns), initial_indent=indent, subsequent_indent=indent)


def _texts(arguments: str) -> dict[str, str]:
    """What a docstring's section Args says of each name."""
    section = textwrap.dedent(arguments).split("\n\n")[0]
    entries = re.split(r"^(\w+): ", section, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(entries[::2], entries[1::2], strict=True)}


def _values(annotation: ast.expr | None, folder: Path) -> str:
    """What a flag takes, as help writes it."""
    kind = "" if annotation is None else ast.unparse(annotation)
    kind = kind.removesuffix(" | None")
    choices = annotation if kind.startswith("Literal[") else _alias(kind, folder)
    if isinstance(choices, ast.Subscript):
        return "{" + ",".join(map(str, _constants(choices.slice))) + "}"
    several = re.fullmatch(r"(?:list|tuple)\[(\w+).*\]", kind)
    words = {"int": "N", "float": "X", "bool": "{true,false}", "Path": "PATH", "str": "TEXT"}
    return f"[{words[several[1]]},...]" if several else words.get(kind, "")


def _alias(name: str, folder: Path) -> ast.expr | None:
    """The type that a name stands for in the tasks: ``Hide = Literal[...]``."""
    assigned = re.compile(rf"^{re.escape(name)} = (Literal\[.*?\])$", re.MULTILINE | re.DOTALL)
    for path in sorted(folder.glob("*.py")) if name.isidentifier() else ():
        if found := assigned.search(path.read_text(encoding="utf-8")):
            return ast.parse(found[1], mode="eval").body
    return None


def _constants(values: ast.expr) -> Sequence[object]:
    found = ast.literal_eval(values)
    return found if isinstance(found, tuple) else (found,)


def _shown(default: ast.expr) -> str:
    """A default as help writes it; empty for none."""
    if isinstance(default, ast.Call):  # Path("runs/features")
        default = default.args[0]
    value = ast.literal_eval(default)
    if value is None or value == "":
        return ""
    if isinstance(value, tuple):
        return str(list(value)).replace(" ", "")
    return str(value).lower() if isinstance(value, bool) else str(value)
