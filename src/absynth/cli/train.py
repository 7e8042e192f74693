"""``absynth train METHOD --data DATA --out RUN [flags]``."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.table import Table

from absynth.cli.parser import Parser
from absynth.errors import InputError

_OWN = ("out", "tiny", "minutes", "override", "dry_run", "device", "engine", "score_precision", "track", "config")
"""Flags of ``train`` itself; all others are the recipe's."""


def train(argv: list[str]) -> None:
    """Train a method on data."""
    from absynth import recipes
    from absynth.cli.help import list_methods, method_help
    from absynth.training import check_minutes

    console = Console(highlight=False)
    if not argv or argv[0] in ("-h", "--help"):
        list_methods(console)
        return
    method, rest = argv[0], argv[1:]
    sys.path.insert(0, "")  # a recipe of your own, module:Class, is searched in the working directory
    by_kind = recipes.classes(method)
    if "-h" in rest or "--help" in rest:
        method_help(console, method, _of_data(by_kind, rest))
        return
    given = _read(method, by_kind, rest)
    own: dict[str, Any] = {key: given.pop(key, None) for key in _OWN}
    if own["minutes"] is not None:
        check_minutes(own["minutes"])
        if "steps" in given:
            raise InputError("expected --minutes or --steps, got both: leave one out")
    data = given.pop("data", "")
    if not data:
        raise InputError(f"expected --data NAME, FOLDER or FILE, got none: absynth train {method} --data mnist")
    if own["out"] is None and not own["dry_run"]:
        raise InputError(f"expected --out RUN, got none: add for instance --out runs/{method.split(':')[-1]}")
    recipe = recipes.build(
        method,
        data,
        preset=given.pop("preset", ""),
        tiny=bool(own["tiny"]),
        say=lambda text: _say(console, text),
        **given,
    )
    _train(recipe, own, console)


def _of_data(by_kind: dict, argv: list[str]) -> dict:
    """The recipe for the data that stand among the words, or all where there are none that the method takes."""
    from absynth.data import sets

    data = next((after for word, after in pairwise(argv) if word == "--data"), "")
    kind = sets.kind_before_reading(data) if data else ""
    return {kind: by_kind[kind]} if kind in by_kind else by_kind


def _say(console: Console, text: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes that torchrun starts one speaks
        console.print(text, markup=False, soft_wrap=True)


def _read(method: str, by_kind: dict, argv: list[str]) -> dict[str, Any]:
    """The flags that were given, by the types of the kind of data at hand."""
    from absynth.data import sets

    given = _parser(method, by_kind).read(argv, defaults=False)
    kind = given.get("kind") or (sets.kind_before_reading(given["data"]) if given.get("data") else "")
    if kind in by_kind and set(given) <= {*_OWN, *(f.name for f in dataclasses.fields(by_kind[kind]))}:
        return _parser(method, {kind: by_kind[kind]}).read(argv, defaults=False)
    return given


def _parser(method: str, by_kind: dict) -> Parser:
    """Flags of every kind of data that the method takes; ``build`` refuses those of another kind by name."""
    from absynth.recipes import other_kinds

    parser = Parser(f"absynth train {method}")
    parser.explain = other_kinds
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--override", action="store_true")
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--score_precision", choices=("same", "bf16"), default="same")
    parser.add_argument("--track", type=str)
    parser.add_argument("--config", action="config")
    types: dict[str, list[Any]] = {}
    defaults: dict[str, Any] = {}
    for cls in dict.fromkeys(by_kind.values()):
        hints = get_type_hints(cls)  # of every field where it is declared, which a signature does not hold
        for field in dataclasses.fields(cls):
            if not field.name.startswith("dataset"):
                types.setdefault(field.name, []).append(hints[field.name])
                defaults.setdefault(field.name, field.default)
    for name, found in types.items():
        parser.add_argument(f"--{name}", type=_union(found), default=defaults[name])
    return parser


def _union(types: list[Any]) -> Any:
    """What the kinds of data of a method take as a field; choices are joined, so that a message lists them all."""
    if all(get_origin(found) is Literal for found in types):
        return Literal[tuple(dict.fromkeys(choice for found in types for choice in get_args(found)))]
    return Union[tuple(dict.fromkeys(types))]  # noqa: UP007


def _train(recipe, own: dict[str, Any], console: Console) -> None:
    from absynth import training
    from absynth.devices import choose_device
    from absynth.logs import ProgressBar
    from absynth.samplers import engine
    from absynth.trackers import open_trackers

    device = choose_device(own["device"] or "auto")
    chains, precision = own["engine"] or "auto", own["score_precision"] or "same"
    minutes = own["minutes"]
    if own["dry_run"]:
        with engine.use(chains, drift=precision, updates=recipe.steps):
            _dry_run(recipe, device, console, minutes)
        return
    run: Path = Path(own["out"]).expanduser()
    callbacks: list = [ProgressBar(console), *open_trackers(own["track"] or "", run)]
    training.fit(
        recipe,
        run,
        minutes=minutes,
        override=bool(own["override"]),
        device=device,
        chains=chains,
        drift=precision,
        callbacks=callbacks,
    )
    _say(console, f"trained; the run is {run}. Next: absynth {recipe.first_task} {run}   absynth report {run}")


def _dry_run(recipe, device, console: Console, minutes: float | None) -> None:
    """Print the recipe, its cost and its size."""
    from absynth.training import cost_of_update
    from absynth.updates import Training

    training = Training(recipe, device)
    table = Table("field", "value", title=recipe.name(), title_justify="left")
    for key, value in recipe.fields().items():
        table.add_row(key, repr(value))
    console.print(table)
    players = Table("player", "parameters")
    for name, player in training.players.items():
        players.add_row(name, f"{sum(p.numel() for p in player.parameters()):,}")
    console.print(players)
    begun = time.perf_counter()
    cost = cost_of_update(training)
    spent = time.perf_counter() - begun
    steps = max(1, round(60 * minutes / cost)) if minutes is not None else recipe.steps
    hours, rest = divmod(cost * steps / 60, 60)
    console.print(
        f"one update takes {cost * 1e3:.0f} ms on {device} (measured in {spent:.1f} s); "
        f"{steps} updates take about {hours:.0f} h {rest:.0f} min"
    )
