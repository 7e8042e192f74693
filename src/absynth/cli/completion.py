"""``absynth completion SHELL``: commands, methods, flags and choices, completed by bash, zsh or fish."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from absynth.errors import InputError

WHERE = {
    "bash": "absynth completion bash > ~/.local/share/bash-completion/completions/absynth",
    "zsh": "absynth completion zsh > ~/.zfunc/_absynth",
    "fish": "absynth completion fish > ~/.config/fish/completions/absynth.fish",
}
"""What makes each shell complete from its next start on."""


def completion(argv: list[str]) -> None:
    """``absynth completion bash``: print the completion script of a shell."""
    if argv in (["-h"], ["--help"]):
        print("\n".join(["Print the completion script of a shell:", "", *WHERE.values()]))
        return
    if len(argv) != 1 or argv[0] not in WHERE:
        raise InputError(f"expected one of {', '.join(WHERE)}, got {' '.join(argv) or 'none'}: {WHERE['bash']}")
    import shtab

    print(shtab.complete(parser(), argv[0]))


def parser() -> argparse.ArgumentParser:
    """The command line as argparse and shtab see it: commands, flags and choices. Nothing is read by it."""
    from absynth import experiments, recipes, released, tasks
    from absynth.cli import COMMANDS
    from absynth.cli.help import RUN_FLAGS
    from absynth.data.sets import SETS

    root = argparse.ArgumentParser("absynth", add_help=False)
    commands = root.add_subparsers()
    for name, title in tasks.titles().items():
        command = commands.add_parser(name, help=title, add_help=False)
        function = tasks.find(name).command
        hints = get_type_hints(function)
        _run(command, "run")
        for parameter in inspect.signature(function).parameters:
            if parameter != "run":
                _flag(command, parameter, hints[parameter])
        command.add_argument("--json", action="store_true")
    choices = {
        "pretrained": released.names(),
        "reproduce": experiments.names(),
        "cite": recipes.methods(),
        "completion": list(WHERE),
    }
    for name in COMMANDS:
        command = commands.add_parser(name, help=name, add_help=False)  # shtab leaves out what has no help
        if name in choices:
            command.add_argument("name", nargs="*", choices=choices[name])
        elif name in ("report", "share", "compare", "studio"):
            _run(command, "run", nargs="*")
        elif name == "data":
            _named(command, "source", "_absynth_data", list(SETS))
        elif name != "train":
            _path(command, "path", nargs="*")
    methods = commands.choices["train"].add_subparsers()
    for method in recipes.methods():
        own = methods.add_parser(method, help=method, add_help=False)
        for flag in RUN_FLAGS:
            own.add_argument(f"--{flag.split()[0]}", action="store_true" if " " not in flag else "store")
        _fields(own, method)
    return root


def _fields(command: argparse.ArgumentParser, method: str) -> None:
    """The fields of a method's recipes, whatever kind of data they take."""
    from absynth import recipes

    types: dict[str, Any] = {}
    for cls in recipes.classes(method).values():
        hints = get_type_hints(cls)
        types |= {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.name != "dataset"}
    for name, kind in types.items():
        _flag(command, name, kind)


def _flag(command: argparse.ArgumentParser, name: str, kind: Any) -> None:
    """A flag with its choices; data sets and runs are completed as names and paths."""
    from absynth.data.sets import SETS

    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        command.add_argument(flag, action="store_true")
    elif get_origin(kind) is Literal:
        command.add_argument(flag, choices=[str(choice) for choice in get_args(kind)])
    elif name == "others":
        _run(command, flag)
    elif name in ("data", "data_y"):
        _named(command, flag, "_absynth_data", list(SETS))
    elif name in ("targets", "out", "cache", "images", "mask") or "Path" in str(kind):
        _path(command, flag)
    else:
        command.add_argument(flag)


def _run(command: argparse.ArgumentParser, name: str, nargs: str | None = None) -> None:
    """A run: a path, or the name of a pretrained model."""
    from absynth import released

    _named(command, name, "_absynth_runs", released.names(), nargs)


def _named(
    command: argparse.ArgumentParser, flag: str, function: str, names: Sequence[str], nargs: str | None = None
) -> None:
    """A path, or one of some names."""
    words = " ".join(names)
    command.add_argument(flag, nargs=nargs).complete = {  # type: ignore[attr-defined]
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        "preamble": {
            "bash": f'{function}() {{\n  compgen -W "{words}" -- "$1"\n  compgen -f -- "$1"\n}}',
            "zsh": f"{function}() {{\n  compadd -- {words}\n  _files\n}}",
            "fish": f"function {function}\n  printf '%s\\n' {words}\n  __fish_complete_path (commandline -ct)\nend",
        },
    }


def _path(command: argparse.ArgumentParser, name: str, nargs: str | None = None) -> None:
    import shtab

    command.add_argument(name, nargs=nargs).complete = shtab.FILE  # type: ignore[attr-defined]
