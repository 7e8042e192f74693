"""``absynth train --help`` and ``absynth train METHOD --help``: methods, presets with figures, flags in groups."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from absynth import recipes
from absynth.cli.task_help import flag_lines
from absynth.recipes import OPTIONS, Recipe

RUN_FLAGS = {
    "out DIR": "Run directory. Created if missing; an existing run of the same recipe is resumed.",
    "minutes M": "Train for about M minutes: the cost of the first updates is measured and --steps set from it.",
    "override": "Change learning rates, step sizes or weights of terms of a run that is resumed.",
    "tiny": "A few updates of small networks, in seconds, to see that everything works.",
    "dry-run": "Print the recipe, its cost and its size; train nothing.",
    "device NAME": "auto, cpu, cuda, cuda:1 ... [default: auto]",
    "engine NAME": "Engine of the chains: auto, eager, traced, compiled, graph. [default: auto]",
    "score-precision P": "same, or bf16 for chains whose layers are computed in bfloat16. [default: same]",
    "track NAMES": "Also log to tensorboard, wandb or trackio; several are separated by commas.",
    "config FILE": "YAML file of flags.",
}
_GROUPS = ("Data", "Model", "Sampling", "Optimization", "Run", "Guard")
_RUN = {"seed", "shards", "threads", "log_every", "checkpoint_every", "keep", "preset"}


def group_of(field: str) -> str:
    """The help group of a recipe's field."""
    if field in OPTIONS or field in ("data", "kind", "data_y"):
        return "Data"
    if field.startswith("guard_"):
        return "Guard"
    if field in _RUN:
        return "Run"
    if (
        field in ("steps", "batch", "ema")
        or field.endswith(("_lr", "_decay", "_weight"))
        or field in ("lr", "beta1", "beta2", "decay", "select_by", "patience")
    ):
        return "Optimization"
    if field.endswith(("_steps", "_step_size", "_start", "_rounds", "_noise", "noise_scale")) or field in (
        "temperature", "chains", "restart", "start",
    ):  # fmt: skip
        return "Sampling"
    return "Model"


def docs_of(cls: type) -> dict[str, str]:
    """The docstring under each field of a dataclass and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
        for node, after in pairwise(body):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_text:
                found[node.target.id] = " ".join(str(after.value.value).split())  # type: ignore[union-attr]
    return found


def list_methods(console: Console) -> None:
    """One line per method: what it is, what data it takes, which presets it has."""
    table = Table(
        "method", "what it is", "data", title="absynth train METHOD --data DATA --out RUN", title_justify="left"
    )
    for method in recipes.methods():
        by_kind = recipes.classes(method)
        first = next(iter(by_kind.values()))
        table.add_row(method, _first_line(first), ", ".join(by_kind))
    console.print(table)
    console.print("absynth train METHOD --help shows a method's presets and flags")


def method_help(console: Console, method: str, by_kind: Mapping[str, type[Recipe]]) -> None:
    """Presets with expected time, published and recorded figures; then every flag, in groups."""
    console.print(f"absynth train {method} --data DATA --out RUN [flags]\n", markup=False)
    for cls in dict.fromkeys(by_kind.values()):
        kinds = ", ".join(k for k, c in by_kind.items() if c is cls)
        console.print(f"{_first_line(cls)} Takes {kinds} data.", markup=False)
        _presets(console, cls)
    _flags(console, "Command", [(f"--{flag}", text) for flag, text in RUN_FLAGS.items()])
    fields, classes = _fields(by_kind), len(set(by_kind.values()))
    for group in _GROUPS:
        rows = [_entry(name, uses, len(uses) == classes) for name, uses in fields.items() if group_of(name) == group]
        _flags(console, group, rows)
    if classes > 1:
        console.print(f"\nabsynth train {method} --data DATA --help shows what holds for your data alone", markup=False)


@dataclasses.dataclass(frozen=True)
class _Use:
    """A field of a method for some kinds of data."""

    kinds: str
    text: str
    default: str
    values: str


def _fields(by_kind: Mapping[str, type[Recipe]]) -> dict[str, list[_Use]]:
    """Every field by name, with its uses."""
    found: dict[str, list[_Use]] = {}
    classes = list(dict.fromkeys(by_kind.values()))
    for cls in classes:
        docs, hints = docs_of(cls), get_type_hints(cls)
        kinds = ", ".join(k for k, c in by_kind.items() if c is cls)
        for field in dataclasses.fields(cls):
            if not field.name.startswith("dataset"):
                default = "" if field.default in ("", (), None) else _shown(field.default)
                use = _Use(kinds, docs.get(field.name, ""), default, _metavar(field, hints[field.name]))
                found.setdefault(field.name, []).append(use)
    return found


def _entry(name: str, uses: list[_Use], everywhere: bool) -> tuple[str, str]:
    """A flag and its help: what it means, for which kinds of data, and its default."""
    choices = dict.fromkeys(choice for use in uses for choice in use.values.strip("{}").split(","))
    values = "{" + ",".join(choices) + "}" if uses[0].values.startswith("{") else uses[0].values
    flag = f"--{name.replace('_', '-')} {values}".rstrip()
    texts = {use.text: [u for u in uses if u.text == use.text] for use in uses}
    several = len(texts) > 1 or not everywhere
    parts = []
    for text, same in texts.items():
        of = f" ({', '.join(use.kinds for use in same)} data)" if several else ""
        defaults = {use.default: [u.kinds for u in same if u.default == use.default] for use in same}
        usual = max(defaults, key=lambda value: len(defaults[value]))
        others = [f"{value or 'none'} for {', '.join(kinds)}" for value, kinds in defaults.items() if value != usual]
        shown = "; ".join(([usual or "none"] if usual or others else []) + others)
        parts.append(f"{text}{of}" + (f" [default: {shown}]" if shown else ""))
    return flag, " ".join(parts)


def _presets(console: Console, cls: type[Recipe]) -> None:
    from absynth import results

    presets = recipes.presets(cls)
    if not presets:
        return
    records = results.load_all(results.records_folder())
    table = Table("preset", "minutes", "recorded", "published")
    for key, preset in presets.items():
        minutes = "" if preset.minutes is None else f"{preset.minutes:g}"
        published = " ".join(p for p in (preset.published, f"({preset.source})" if preset.source else "") if p)
        table.add_row(key, minutes, escape(results.headline(records, preset.recorded)), published)
    console.print(table)
    for key, preset in presets.items():
        numbers = ", ".join(f"{k} {_shown(v)}" for k, v in preset.fields.items()) or "the defaults"
        console.print("\n    ".join(textwrap.wrap(f"  {key}: {numbers}", max(40, console.width - 4))), markup=False)


def _flags(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(f"\n{title}")
    for line in flag_lines(rows, console.width):
        console.print(line, markup=False, soft_wrap=True)


def _metavar(field: dataclasses.Field, hint: Any) -> str:
    kind = str(field.type)
    if get_origin(hint) is Literal:
        return "{" + ",".join(choice for choice in map(str, get_args(hint)) if choice) + "}"
    numbers = {"int": "N", "Count": "N", "Natural": "N", "float": "X", "Positive": "X", "NonNegative": "X"}
    return {"bool": "{true,false}", "str": "TEXT", "Share": "X", "Decay": "X", **numbers}.get(kind, "")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").splitlines()[0]
