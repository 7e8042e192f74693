"""The command line: ``absynth train RECIPE --out RUN``, then questions asked of the run.

Recipes' fields and tasks' parameters are the flags, their docstrings the help. What a user did wrong is one line and
exit status 2; a run that diverged past help is status 3; Ctrl-C is status 130 after a checkpoint.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from absynth.errors import Diverged, InputError

set_parsing_settings(docstring_parse_attribute_docstrings=True)

TASKS = (
    "sample", "reconstruct", "interpolate", "chain", "detect", "evaluate",
    "inpaint", "super_resolve", "translate", "compose", "likelihood", "revise",
    "edit", "perplexity", "predict", "guide", "classify",
)  # fmt: skip
"""Each is a module of absynth.tasks with a function ``command``."""

HELP = """absynth: energy-based generative models.

  absynth train RECIPE --out RUN   train a recipe (absynth train --help lists them)
  absynth sample RUN               draw samples                 absynth chain RUN          the chain that draws
  absynth reconstruct RUN          pictures through z and back  absynth detect RUN         anomaly scores
  absynth interpolate RUN          between pictures             absynth evaluate RUN       how good it is
  absynth inpaint RUN              fill a hole                  absynth super_resolve RUN  fine from coarse
  absynth translate RUN            pictures into its domain     absynth compose RUN        product of several runs
  absynth likelihood RUN           log Z and log p(x)           absynth revise RUN         drafts and z, step by step
  absynth edit RUN                 patches of a map z           absynth perplexity RUN     how good its text is
  absynth predict RUN              where agents go next         absynth guide RUN          molecules to order
  absynth classify RUN             classes, from few labels
  absynth report RUN               one page with all of it      absynth results            the recorded figures
  absynth demo                     train and show everything on data that is already here, in about a minute
  absynth doctor                   what is installed, which device, where data is looked for

Every command explains its flags with --help."""


class Parser(ArgumentParser):
    """An argument parser whose mistakes are one line with the nearest name."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(" ".join(str(message).split()))

    def read(self, argv: Sequence[str]) -> dict:
        """Parse; flags may be written with - or _."""
        flags = {o for a in self._actions for o in a.option_strings}
        argv = [_underscored(word) for word in argv]
        for word in argv:
            name = word.split("=", 1)[0]
            if name.startswith("--") and name not in flags:
                near = difflib.get_close_matches(name, flags, n=1, cutoff=0.4)
                hint = f" (nearest: {near[0]})" if near else ""
                raise InputError(f"expected a flag of {self.prog}, got {name}{hint}: --help lists them")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.parse_args(argv).as_dict()
        except InputError:
            raise
        except Exception as error:  # argparse and jsonargparse raise several kinds; all of them are the user's words
            text = " ".join(str(error).split())
            raise InputError(f"{self.prog}: {text}: --help explains the flags") from None


def _underscored(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    argv = list(sys.argv[1:] if argv is None else argv)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        _run(argv)
    except InputError as error:
        errors.print(f"absynth: {error}", markup=False)
        sys.exit(2)
    except Diverged as error:
        errors.print(f"absynth: diverged: {error}", markup=False)
        sys.exit(3)
    except KeyboardInterrupt:
        errors.print("absynth: stopped; what was saved is complete, and the same command goes on", markup=False)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)


def _run(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    name, rest = argv[0], argv[1:]
    if name in ("--version", "version"):
        from absynth import __version__

        print(__version__)
    elif name in TASKS:
        task(name, rest)
    elif name in COMMANDS:
        COMMANDS[name](rest)
    else:
        near = difflib.get_close_matches(name, [*TASKS, *COMMANDS], n=1, cutoff=0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a command, got {name!r}{hint}: absynth --help lists them")


# Training ------------------------------------------------------------------------------------------------------------


_OWN = ("out", "tiny", "dry_run", "device", "engine", "drift", "tensorboard", "config")
"""Flags of ``train`` itself; all others are the recipe's."""


def train(argv: list[str]) -> None:
    """``absynth train RECIPE --out RUN [flags]``."""
    from absynth import recipes

    if not argv or argv[0] in ("-h", "--help"):
        table = Table("recipe", "what it trains", title="absynth train RECIPE --out RUN [flags]", title_justify="left")
        for name in recipes.names():
            table.add_row(name, (recipes.find(name).__doc__ or "").splitlines()[0])
        Console().print(table)
        Console().print("absynth train RECIPE --help explains a recipe's flags", highlight=False)
        return
    sys.path.insert(0, "")  # a user's own module:Class lies where the user stands
    cls = recipes.find(argv[0])
    parser = Parser(f"absynth train {argv[0]}", cls.__doc__ or "")
    parser.add_argument("--out", type=Path, help="directory of the run; made, or gone on with")
    parser.add_argument("--tiny", action="store_true", help="the same in seconds: to see that everything works")
    parser.add_argument("--dry_run", action="store_true", help="print the recipe, its cost and its size; train nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--engine", default="auto", help="of the chains: auto, eager, planned, compiled, graph")
    parser.add_argument("--drift", choices=("same", "bf16"), default="same", help="bf16: chains of rounded layers")
    parser.add_argument("--tensorboard", action="store_true", help="also write logs for TensorBoard")
    parser.add_argument("--config", action="config", help="YAML file of flags")
    parser.add_class_arguments(cls)
    given = parser.read(argv[1:])
    own = {key: given.pop(key) for key in _OWN}
    recipe = cls(**given)
    recipe = recipe.tiny() if own["tiny"] else recipe
    if own["out"] is None and not own["dry_run"]:
        raise InputError(f"expected --out RUN, got none: add for instance --out runs/{argv[0].split(':')[-1]}")
    _train(recipe, own)


def _train(recipe, own: dict) -> None:
    from absynth import training
    from absynth.devices import choose_device
    from absynth.logs import ProgressBar, TensorBoard
    from absynth.samplers import engine

    console = Console(highlight=False)
    device = choose_device(own["device"])
    recipe = recipe.resolve()
    if own["dry_run"]:
        with engine.use(own["engine"], drift=own["drift"], updates=recipe.steps):
            _dry_run(recipe, device, console)
        return
    run: Path = own["out"]
    describe(recipe, console)
    watchers: list = [ProgressBar(console)]
    if own["tensorboard"]:
        watchers.append(TensorBoard(run))
    training.fit(recipe, run, device=device, chains=own["engine"], drift=own["drift"], watchers=watchers)
    console.print(f"trained; the run is {run}. Next: absynth sample {run}   absynth report {run}")


def describe(recipe, console: Console) -> None:
    """Say what was found in the data, where there is something to find."""
    images = getattr(recipe, "images", None)
    if images is not None:
        found = images("train")
        console.print(f"{found!r}, values {found.low:g} to {found.high:g} become -1 to 1", markup=False)


def _dry_run(recipe, device, console: Console) -> None:
    import time

    import torch

    from absynth.training import Training

    training = Training(recipe, device)
    describe(recipe, console)
    table = Table("field", "value", title=recipe.name(), title_justify="left")
    for key, value in recipe.fields().items():
        table.add_row(key, repr(value))
    console.print(table)
    players = Table("player", "parameters")
    for name, player in training.players.items():
        players.add_row(name, f"{sum(p.numel() for p in player.parameters()):,}")
    console.print(players)
    batches = recipe.batches()
    times = []
    for _ in range(3):
        batch, begun = next(batches), time.perf_counter()
        training.learn(batch)
        training.advance()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    cost = min(times)
    hours, minutes = divmod(cost * recipe.steps / 60, 60)
    console.print(
        f"one step takes {cost * 1e3:.0f} ms on {device}; {recipe.steps} steps about {hours:.0f} h {minutes:.0f} min"
    )


# Questions to a run --------------------------------------------------------------------------------------------------


def task(name: str, argv: list[str]) -> None:
    """``absynth TASK RUN [flags]``: run it, print its figures, renew the report."""
    from absynth import report
    from absynth.samplers import engine

    command: Callable = importlib.import_module(f"absynth.tasks.{name}").command
    parser = Parser(f"absynth {name}", (command.__doc__ or "").split("\n\n")[0])
    parser.add_function_arguments(command, as_positional=True)
    if not argv:
        raise InputError(f"expected a run, got none: absynth {name} RUN, with RUN from absynth train --out RUN")
    with engine.use("auto"):
        found = command(**parser.read(argv))
    run = Path(argv[0]) if not argv[0].startswith("-") else Path(parser.read(argv)["run"])
    console = Console(highlight=False)
    if found.figures:
        methods = sorted({m for by in found.baselines.values() for m in by})
        table = Table("figure", "this run", *methods, title=found.title, title_justify="left")
        for figure, value in found.figures.items():
            beside = found.baselines.get(figure, {})
            table.add_row(figure, f"{value:.5g}", *(f"{beside[m]:.5g}" if m in beside else "" for m in methods))
        console.print(table)
    for each in found.tables:
        table = Table(*each["columns"], title=each["caption"], title_justify="left")
        for row in each["rows"]:
            table.add_row(*(f"{v:.5g}" if isinstance(v, float) else escape(str(v)) for v in row))
        console.print(table)
    for picture in found.pictures:
        console.print(f"{run / name / picture['file']}: {picture['caption']}", markup=False)
    report.write(run)


def report_command(argv: list[str]) -> None:
    """``absynth report RUN``: one page of everything that was asked of the run so far, and what is cheap to ask."""
    from absynth import report
    from absynth.tasks.opened import open_run

    parser = Parser("absynth report", "Write RUN/report.html; asks what was not asked yet.")
    parser.add_argument("run", type=Path, help="directory of a trained run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    given = parser.read(argv)
    run: Path = given["run"]
    opened = open_run(run, given["device"])
    wanted = ["sample", "chain", "reconstruct", "interpolate", "evaluate"]
    wanted += ["detect"] if getattr(opened.recipe, "anomaly", -1) >= 0 else []
    console = Console(highlight=False, soft_wrap=True)
    for name in wanted:
        if not (run / name / "result.json").exists():
            console.print(f"asking: {name}")
            try:
                importlib.import_module(f"absynth.tasks.{name}").command(run, device=given["device"])
            except InputError as why:  # not every model can do everything
                console.print(f"  left out: {why}", markup=False)
    print(report.write(run))


def demo_command(argv: list[str]) -> None:
    """``absynth demo``."""
    from absynth import demo

    parser = Parser("absynth demo", (demo.demo.__doc__ or "").split("\n\n")[0])
    parser.add_function_arguments(demo.demo)
    demo.demo(**parser.read(argv))


def results_command(argv: list[str]) -> None:
    """``absynth results``: the recorded figures; --write and --check keep documents up to date."""
    from absynth import results

    parser = Parser("absynth results", "The recorded figures, from results/*.json.")
    parser.add_argument("--folder", type=Path, default=Path("results"), help="where the records lie")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="Markdown files whose figures to renew")
    parser.add_argument(
        "--check", type=Path, nargs="*", default=[], help="Markdown files whose figures must be current"
    )
    given = parser.read(argv)
    for document in given["write"]:
        results.write_into(document, given["folder"])
    stale = [place for document in given["check"] for place in results.check(document, given["folder"])]
    if stale:
        renew = f"absynth results --write {' '.join(str(d) for d in given['check'])}"
        raise InputError(f"figures are not those of {given['folder']}: {'; '.join(stale)}: {renew} renews them")
    if not given["write"] and not given["check"]:
        Console().print(results.table(results.load_all(given["folder"])))


def doctor(argv: list[str]) -> None:
    """``absynth doctor``: what is installed, which device and precision, where data is looked for."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from absynth.devices import available, choose_device

    Parser("absynth doctor", "What is installed, which device would be used, where data is looked for.").read(argv)
    table = Table(show_header=False, title="absynth doctor", title_justify="left")
    table.add_row("Python", f"{platform.python_version()} on {platform.machine()}")
    for package in ("absynth", "torch", "numpy", "safetensors", "jsonargparse", "rich", "pillow", "matplotlib",
                    "scikit-learn", "tensorboard", "rdkit", "torch-fidelity"):  # fmt: skip
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "not installed (optional)")
    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    table.add_row("devices", ", ".join(available()))
    table.add_row("would use", f"{device} ({name}), float32")
    root = os.environ.get("ABSYNTH_DATA")
    there = "" if root is None else " (there)" if Path(root).is_dir() else " (no such folder)"
    table.add_row("ABSYNTH_DATA", f"{root}{there}" if root else "not set")
    table.add_row("else data in", str(Path("~/.cache/absynth/data").expanduser()))
    Console().print(table)


def cite(argv: list[str]) -> None:
    """``absynth cite [RECIPE]``: what to cite."""
    from absynth import recipes
    from absynth.algorithms import Algorithm

    if argv:
        cls = recipes.find(argv[0])
        modules = [cls.__module__]
        for base in cls.__mro__[1:]:
            if base.__module__.startswith("absynth.recipes.") and base.__module__ != "absynth.recipes.recipe":
                modules.append(base.__module__)
        made = [thing for name in modules for thing in vars(sys.modules[name]).values() if isinstance(thing, type)]
        modules += [thing.__module__ for thing in made if issubclass(thing, Algorithm)]
        for name in dict.fromkeys(modules):
            print((sys.modules[name].__doc__ or "").strip(), end="\n\n")
        return
    print("Each algorithm's module names its paper: absynth cite RECIPE prints it. For the library, see CITATION.cff.")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "report": report_command,
    "demo": demo_command,
    "results": results_command,
    "doctor": doctor,
    "cite": cite,
}


if __name__ == "__main__":
    main()
