"""Commands about the project: demo, experiments, records, data sets, installation."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from rich.console import Console
from rich.table import Table

from absynth.cli.parser import Parser, print_json
from absynth.errors import InputError

if TYPE_CHECKING:
    from absynth.data import Dataset


def demo(argv: list[str]) -> None:
    """``absynth demo``."""
    from absynth.demo import demo as run

    parser = Parser("absynth demo", (run.__doc__ or "").split("\n\n")[0])
    parser.add_function_arguments(run)
    run(**parser.read(argv))


def reproduce(argv: list[str]) -> None:
    """``absynth reproduce``: list the experiments; ``absynth reproduce NAME --seeds 0 1 2`` runs one."""
    from absynth import experiments

    if not argv:
        Console().print(experiments.table())
        print("absynth reproduce NAME [--seeds 0 1 2] [--tiny] runs one")
        return
    parser = Parser("absynth reproduce", "Run an experiment and record its figures.")
    parser.add_argument("name", help="Name of the experiment.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="Seeds. Defaults to those of the record.")
    parser.add_argument("--tiny", action="store_true", help="A few updates of small networks; records nothing.")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="Where its runs are kept.")
    parser.add_argument("--out", type=Path, help="Folder of the record. Defaults to the project's results/.")
    experiments.reproduce(**parser.read(argv))


def results(argv: list[str]) -> None:
    """``absynth results``: the recorded figures; --write and --check keep documents up to date."""
    from absynth import quoting, results

    parser = Parser("absynth results", "The recorded figures.")
    parser.add_argument("--folder", type=Path, default=results.records_folder(), help="Folder of the records.")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="Markdown files whose figures to renew.")
    parser.add_argument(
        "--check", type=Path, nargs="*", default=[], help="Markdown files whose figures must be current."
    )
    given = parser.read(argv)
    for document in given["write"]:
        quoting.write_into(document, given["folder"])
    stale = [place for document in given["check"] for place in quoting.check(document, given["folder"])]
    if stale:
        renew = f"absynth results --write {' '.join(str(d) for d in given['check'])}"
        raise InputError(f"figures are not those of {given['folder']}: {'; '.join(stale)}: {renew} renews them")
    if given["check"]:
        for name in results.stale_records(given["folder"]):
            print(
                f"stale: {name}: its recipe no longer resolves to the recorded one; absynth reproduce {name} renews it"
            )
    if not given["write"] and not given["check"]:
        Console().print(results.table(results.load_all(given["folder"])))


def data(argv: list[str]) -> None:
    """``absynth data``: list the published sets; ``absynth data PATH`` says what is read from a folder or file."""
    from absynth.data import sets
    from absynth.data.decode import SizesDiffer
    from absynth.recipes.bounds import check_bounds

    if argv in ([], ["--json"]):
        if argv:
            rows = [(name, found.kind, found.shape, found.about) for name, found in sets.SETS.items()]
            print_json([dict(zip(("name", "kind", "shape", "about"), row, strict=True)) for row in rows])
            return
        table = Table(
            "name", "kind", "shape", "what it is", title="absynth train METHOD --data NAME", title_justify="left"
        )
        for name, found in sets.SETS.items():
            shape = "" if found.shape is None else "×".join(map(str, found.shape))
            table.add_row(name, found.kind, shape, found.about)
        Console().print(table)
        return
    declared = _reader_options(argv)
    given = _reader_parser(declared).read(argv, defaults=False)
    for name, value in given.items():
        if name in declared:
            check_bounds(declared[name], name, value)
    source, kind, as_json = given.pop("source"), given.pop("kind", ""), given.pop("json", False)
    try:
        found = sets.open(source, kind=kind, **given)
        print_json(_described(found)) if as_json else print(found.summary())
    except SizesDiffer as error:
        if not error.found or as_json:
            raise
        print(
            f"{source}: image data of {error.found} pixels; absynth train resizes the central square of each "
            "to the size of the preset, or to --size N"
        )


def _described(data: Dataset) -> dict[str, Any]:
    """What is read of a source, without what rebuilds it."""
    found = data.description()
    del found["details"]
    return found | {"unit": data.unit, "splits": data.split_sizes(), "notes": list(data.notes)}


def _reader_options(argv: list[str]) -> dict[str, type]:
    """Options of the reader of the source among the words, each with a recipe that declares it as a field."""
    from absynth import recipes
    from absynth.data import sets

    source = next((word for word in argv if not word.startswith("-")), "")
    kind = next((after for word, after in pairwise(argv) if word == "--kind"), "")
    sets.check_kind(kind)
    if not source:
        return {}
    wanted, kind = sets.options_of(source, kind), kind or sets.kind_before_reading(source)
    takers = [found[kind] for found in map(recipes.classes, recipes.methods()) if kind in found]
    fields = {field.name: cls for cls in takers for field in dataclasses.fields(cls)}
    return {name: fields[name] for name in wanted if name in fields}


def _reader_parser(declared: dict[str, type]) -> Parser:
    from absynth import recipes
    from absynth.cli.help import docs_of

    parser = Parser("absynth data", "Say what is read from a data set, a folder or a file.")
    parser.add_argument("source", help="Name of a published set, or a path.")
    parser.add_argument("--kind", default="", help="Kind of data. Defaults to the kind found from the source.")
    for name, cls in declared.items():
        parser.add_argument(f"--{name}", type=get_type_hints(cls)[name], help=docs_of(cls)[name])
    parser.add_argument("--json", action="store_true", help="Print what was read as JSON and nothing else.")
    parser.explain = recipes.other_kinds
    return parser


def doctor(argv: list[str]) -> None:
    """``absynth doctor``: what is installed, which device and precision, where data is searched."""
    import torch

    from absynth.devices import available, choose_device

    parser = Parser("absynth doctor", "What is installed, which device would be used, where data is searched.")
    parser.add_argument("--json", action="store_true", help="Print it as JSON and nothing else.")
    as_json = parser.read(argv)["json"]
    found = {"Python": f"{platform.python_version()} on {platform.machine()}"}
    for package in ("absynth", "torch", "numpy", "safetensors", "jsonargparse", "rich", "pillow", "matplotlib",
                    "scikit-learn", "tensorboard", "rdkit", "pandas", "pyarrow", "torch-fidelity", "gradio",
                    "huggingface_hub"):  # fmt: skip
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "" if as_json else "not installed (optional)"
    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    found["devices"] = ", ".join(available())
    found["would use"] = f"{device} ({name}), float32"
    root = os.environ.get("ABSYNTH_DATA")
    there = "" if root is None else " (found)" if Path(root).is_dir() else " (no such folder)"
    found["ABSYNTH_DATA"] = f"{root}{there}" if root else "not set"
    found["else data in"] = str(Path("~/.cache/absynth/data").expanduser())
    if as_json:
        print_json(found)
        return
    table = Table(show_header=False, title="absynth doctor", title_justify="left")
    for row in found.items():
        table.add_row(*row)
    Console().print(table)
