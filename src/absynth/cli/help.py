"""``absynth train --help`` and ``absynth train METHOD --help``: methods, presets with figures, flags in groups."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from absynth import recipes
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
        or field in ("lr", "beta1", "beta2", "decay")
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
    several = len(set(by_kind.values())) > 1
    for cls in dict.fromkeys(by_kind.values()):
        kinds = ", ".join(k for k, c in by_kind.items() if c is cls)
        console.print(f"{_first_line(cls)} Takes {kinds} data.", markup=False)
        _presets(console, cls)
    _flags(console, "Command", [(f"--{flag}", text) for flag, text in RUN_FLAGS.items()])
    rows: dict[str, list[tuple[str, str]]] = {name: [] for name in _GROUPS}
    seen: set[tuple[str, str]] = set()
    for cls in dict.fromkeys(by_kind.values()):
        docs = docs_of(cls)
        for field in dataclasses.fields(cls):
            if field.name.startswith("dataset") or (field.name, repr(field.default)) in seen:
                continue
            seen.add((field.name, repr(field.default)))
            of = (
                f" ({', '.join(k for k, c in by_kind.items() if c is cls)} data)"
                if several and field.name not in Recipe.__dataclass_fields__
                else ""
            )
            default = "" if field.default in ("", (), None) else f" [default: {_shown(field.default)}]"
            rows[group_of(field.name)].append(
                (f"--{field.name.replace('_', '-')} {_metavar(field)}", f"{docs.get(field.name, '')}{of}{default}")
            )
    for name in _GROUPS:
        _flags(console, name, rows[name])


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
        console.print("\n    ".join(textwrap.wrap(f"  {key}: {numbers}", console.width - 4)), markup=False)


def _flags(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(f"\n{title}")
    for flag, text in rows:
        wrapped = textwrap.wrap(text, max(40, console.width - 32)) or [""]
        head = f"  {flag:<28}  " if len(flag) <= 28 else f"  {flag}\n{'':32}"
        console.print(head + f"\n{'':32}".join(wrapped), markup=False, soft_wrap=True)


def _metavar(field: dataclasses.Field) -> str:
    kind = str(field.type)
    if kind.startswith("Literal"):
        return "{" + kind[8:-1].replace('"', "").replace("'", "").replace(" ", "") + "}"
    numbers = {"int": "N", "Count": "N", "Natural": "N", "float": "X", "Positive": "X", "NonNegative": "X"}
    return {"bool": "{true,false}", "str": "TEXT", "Share": "X", "Decay": "X", **numbers}.get(kind, "")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").splitlines()[0]
