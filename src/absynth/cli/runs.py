"""Commands on trained runs: tasks, the report, the comparison."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from absynth.cli.parser import Parser, print_json
from absynth.errors import InputError


@contextmanager
def _warnings_on_one_line() -> Iterator[None]:
    """Warnings about chains go to stderr without the place in the library that issued them."""
    from absynth.samplers import ChainWarning

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message, category, *place) -> None:
            if issubclass(category, ChainWarning):
                print(f"absynth: warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *place)

        warnings.simplefilter("always", ChainWarning)
        warnings.showwarning = show
        yield


def task(name: str, argv: list[str]) -> None:
    """``absynth TASK RUN [flags]``: run it, print its figures, renew the report."""
    from absynth import distributed, released, tasks
    from absynth.devices import choose_device
    from absynth.report import page
    from absynth.samplers import engine

    command = tasks.find(name).command
    parser = Parser(f"absynth {name}", (command.__doc__ or "").split("\n\n")[0])
    parser.add_function_arguments(command, as_positional=True)
    parser.add_argument("--json", action="store_true", help="Print the result as JSON and nothing else.")
    if not argv:
        raise InputError(f"expected a run, got none: absynth {name} RUN, with RUN from absynth train --out RUN")
    given = parser.read(argv)
    as_json = given.pop("json")
    if given.get("seed", 0) < 0:
        raise InputError(f"expected --seed of at least 0, got {given['seed']}")
    run = given["run"] = released.locate(given["run"])
    _require_own(given.get("out"))
    group = distributed.process_group(choose_device(given.get("device") or "auto"))
    with engine.use("auto"), group, _warnings_on_one_line():
        if distributed.rank():  # process 0 alone writes the result
            with tempfile.TemporaryDirectory() as aside:
                command(**given | {"out": Path(aside)})
            return
        found = command(**given)
    if as_json:
        print_json(found.as_dict() | {"folder": str(found.folder)})
    else:
        _print(found, Console(highlight=False), given.get("out"))
    # The page of a pretrained model is written by absynth report: a first look at a model should not wait for it.
    seen = (run / "report.html").exists() or not run.is_relative_to(released.COPIES)
    if seen and found.folder.resolve().is_relative_to(run.resolve()):
        page.write(run)


def _require_own(out: Path | None) -> None:
    """Refuse a folder that holds other things than a result: images written beside data would become data."""
    if out is None or not (folder := out.expanduser()).is_dir() or (folder / "result.json").exists():
        return
    if any(path.name[0] != "." for path in folder.iterdir()):
        raise InputError(
            f"expected --out a new folder or one with a result, got {out}, which holds other files: name another"
        )


def _print(found, console: Console, out: Path | None) -> None:
    if found.figures:
        methods = sorted({m for by in found.baselines.values() for m in by})
        table = Table("figure", "this run", *methods, title=found.title, title_justify="left")
        for figure, value in found.figures.items():
            others = found.baselines.get(figure, {})
            table.add_row(figure, f"{value:.5g}", *(f"{others[m]:.5g}" if m in others else "" for m in methods))
        console.print(table)
    for each in found.tables:
        table = Table(*each["columns"], title=each["caption"], title_justify="left")
        for row in each["rows"]:
            table.add_row(*(f"{v:.5g}" if isinstance(v, float) else escape(str(v)) for v in row))
        console.print(table)
    if not (found.figures or found.tables or found.pictures):
        console.print(f"{found.folder}: {found.text}", markup=False, soft_wrap=True)
        return
    for image in found.pictures:
        console.print(f"{found.folder / image['file']}: {image['caption']}", markup=False, soft_wrap=True)
    shown = {"result.json", *(image["file"] for image in found.pictures)}
    others = sorted(p.name for p in found.folder.iterdir() if p.is_file() and p.name not in shown and p.name[0] != ".")
    if others:
        console.print(f"{found.folder}: also {', '.join(others)}", markup=False, soft_wrap=True)
    if out is not None and out.suffix:
        console.print(f"{out}: written", markup=False, soft_wrap=True)


def report(argv: list[str]) -> None:
    """``absynth report RUN``: one page of everything about a run; runs the tasks that were not run yet."""
    from absynth import released
    from absynth.report import gather, logs

    parser = Parser("absynth report", "Write one page about a run; run the tasks that the model supports.")
    parser.add_function_arguments(gather.gather, as_positional=True, skip={"say"})
    parser.add_argument("--json", action="store_true", help="Print the page's path and all results as JSON alone.")
    given = parser.read(argv)
    as_json = given.pop("json")
    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    run = given["run"] = released.locate(given["run"])
    with _warnings_on_one_line():
        page = gather.gather(**given, say=lambda text: console.print(text, markup=False))
    if as_json:
        print_json({"page": str(page), "results": [result.as_dict() for _, result in logs.read(run).results]})
    else:
        print(page)


def compare(argv: list[str]) -> None:
    """``absynth compare RUN RUN ...``: one page that lays runs beside each other."""
    from absynth import released
    from absynth.report import compare as page

    parser = Parser("absynth compare", "Write one page that lays runs beside each other: figures, curves, samples.")
    parser.add_argument("runs", nargs="+", type=Path, help="Directories of trained runs.")
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="The page to write.")
    given = parser.read(argv)
    out = given["out"].expanduser()
    replaced = " (replaces the page that was there)" if out.exists() else ""
    print(f"{page.compare([released.locate(run) for run in given['runs']], out)}{replaced}")
