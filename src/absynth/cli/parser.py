"""Flags: a parser whose mistakes are one line, and help in groups."""

from __future__ import annotations

import argparse
import difflib
import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser, set_parsing_settings

from absynth.errors import InputError

set_parsing_settings(docstring_parse_attribute_docstrings=True)


_WRONG_TYPE = re.compile(r'key "(\w+)"(?: element \d+)?: Expected an? (.+?)\. Got value: ?(.*)$')
_NONE_FITS = re.compile(r'key "(\w+)": .*?Subtypes: \[(.+?)\] Errors:.*Given value: ?(.*)$')
_MISSING = re.compile(r"the following arguments are required: (.+)")
_PLAIN = (
    (re.compile(r"argument (--\w+)(?:/--\w+\+)?: expected one argument"), r"expected a value after \1, got none"),
    (re.compile(r"unrecognized arguments: (.+)"), r"expected flags and their values, got \1 besides"),
    (re.compile(r'Parser key "(\w+)": (.+)'), r"expected another value of --\1 (\2)"),
)
"""What argparse and jsonargparse say, in the words of this project."""


class Parser(ArgumentParser):
    """An argument parser whose mistakes are one line with the nearest name. Flags may be written with - or _."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
        self.explain: Callable[[str], str] = lambda name: ""
        """What an unknown flag belongs to, as the end of a message."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = " ".join(str(message).split())
        wrong = _WRONG_TYPE.search(text)
        if wrong:
            flag, kind, value = wrong.groups()
            text = f"expected --{flag.replace('_', '-')} to be {_in_words(kind)}, got {value or 'nothing'}"
            raise InputError(text)
        several = _NONE_FITS.search(text)
        if several:
            flag, kinds, value = several.groups()
            words = " or ".join(_in_words(kind) for kind in kinds.split(", ") if "NoneType" not in kind)
            value = re.sub(r"[\[\]'\"]", "", value)  # brackets that were added, quotes of Python
            raise InputError(f"expected --{flag.replace('_', '-')} to be {words}, got {value or 'nothing'}")
        missing = _MISSING.search(text)
        if missing:
            names = ", ".join(map(self._spelled, missing[1].split(", ")))
            raise InputError(f"expected {names}, got no value of it: {self.prog} --help explains the flags")
        for pattern, plain in _PLAIN:
            if pattern.search(text):
                text = f"{pattern.sub(plain, text)}: {self.prog} --help explains the flags"
                break
        raise InputError(text)

    def read(self, argv: Sequence[str], *, defaults: bool = True) -> dict:
        """Parse the flags.

        Args:
            argv: The words after the command.
            defaults: Whether flags that were not given are in the result with their defaults.
        """
        flags = {o for a in self._actions for o in a.option_strings}
        argv = [_underscored(word) for word in argv]
        for word in argv:
            name = word.split("=", 1)[0]
            if name.startswith("--") and name not in flags:
                near = difflib.get_close_matches(name, flags, n=1, cutoff=0.4)
                hint = f" (nearest: {_dashed(near[0])})" if near else ""
                why = self.explain(name.removeprefix("--")) or ": --help lists them"
                raise InputError(f"expected a flag of {self.prog}, got {_dashed(name)}{hint}{why}")
        for word, after in itertools.zip_longest(argv, argv[1:], fillvalue="-"):
            name, equals, value = word.partition("=")
            empty = not value if equals else not after
            if name in flags and empty and self._takes_value(name):
                raise InputError(f"expected a value after {_dashed(name)}, got an empty one: give one, or no flag")
        argv = self._with_brackets(self._with_true(argv))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.parse_args(argv, defaults=defaults).as_dict()
        except InputError:
            raise
        except Exception as error:  # argparse and jsonargparse raise several kinds; all of them are the user's words
            text = " ".join(str(error).split())
            raise InputError(f"{self.prog}: {text}: --help explains the flags") from None

    def _spelled(self, name: str) -> str:
        """A required argument as a user types it: out is --out."""
        flags = {option for action in self._actions for option in action.option_strings}
        return _dashed(f"--{name}") if f"--{name}" in flags else name

    def _takes_value(self, flag: str) -> bool:
        """Whether a flag must not be empty: its default is not."""
        action = next(a for a in self._actions if flag in a.option_strings)
        return action.default != "" and action.nargs != 0

    def _with_true(self, argv: Sequence[str]) -> list[str]:
        """The words, with "true" for a yes-or-no flag that stands without a value."""
        switched = [a for a in self._actions if isinstance(a.default, bool) and a.nargs is None]
        switches = {option for action in switched for option in action.option_strings}
        return [
            f"{word}=true" if word in switches and after.lower() not in ("true", "false", "yes", "no") else word
            for word, after in itertools.zip_longest(argv, argv[1:], fillvalue="")
        ]

    def _with_brackets(self, argv: Sequence[str]) -> list[str]:
        """The words, with brackets around the value of a flag that takes several: 4,4,8,8 is [4,4,8,8]."""
        lists = {o for a in self._actions if _takes_several(a) for o in a.option_strings}
        found: list[str] = []
        for before, word in itertools.pairwise(["", *argv]):
            flag, equals, value = word.partition("=")
            if before in lists and not word.startswith(("[", "--")):
                word = f"[{word}]"
            elif equals and flag in lists and value and not value.startswith("["):
                word = f"{flag}=[{value}]"
            found.append(word)
        return found


def print_json(value: Any) -> None:
    """Print a value as JSON, with null in place of NaN and infinity, which JSON does not have."""
    print(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _takes_several(action: argparse.Action) -> bool:
    """Whether a flag takes a list or a tuple."""
    kind = getattr(action, "_typehint", None)
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return any(get_origin(each) in (list, tuple) for each in kinds)


def _in_words(kind: str) -> str:
    """A type as jsonargparse prints it, in words."""
    plain = kind.removeprefix("<class '").removesuffix("'>")
    choices = re.search(r"Literal\[(.*)\]", plain)
    if choices:
        return "one of " + ", ".join(filter(None, choices[1].replace("'", "").split(", ")))
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
    several = "tuple" in plain or "list" in plain
    return words.get(plain, "values such as 1,2" if several else plain)


def _underscored(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _dashed(flag: str) -> str:
    return flag.replace("_", "-")
