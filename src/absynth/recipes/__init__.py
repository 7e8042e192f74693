"""Training methods: one file each, or a folder with one file per kind of data.

:func:`build` makes the recipe of a method for some data, with the preset that fits; ``absynth train METHOD`` calls it.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from absynth.errors import InputError, Unsupported
from absynth.recipes.presets import Preset, choose
from absynth.recipes.recipe import EMPTY, OPTIONS, Recipe, absolute

__all__ = ["OPTIONS", "Preset", "Recipe", "build", "classes", "find", "methods", "presets", "resolves_to"]

_SHARED = ("recipe", "presets", "bounds")


def methods() -> list[str]:
    """Names of the methods."""
    names = (m.name for m in pkgutil.iter_modules(__path__))
    return sorted(m for m in names if m not in _SHARED and not m.startswith("_"))


def _modules(method: str) -> list[ModuleType]:
    if method not in methods():
        near = difflib.get_close_matches(method, methods(), n=1, cutoff=0.3)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a method, got {method!r}{hint}: methods are {', '.join(methods())}")
    module = importlib.import_module(f"{__name__}.{method}")
    if not hasattr(module, "__path__"):
        return [module]
    names = [m.name for m in pkgutil.iter_modules(module.__path__) if not m.name.startswith("_")]
    return [importlib.import_module(f"{module.__name__}.{name}") for name in names]


def _own(module: ModuleType) -> list[type[Recipe]]:
    found = (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__)
    return [c for c in found if issubclass(c, Recipe) and c.kinds]


def classes(method: str) -> dict[str, type[Recipe]]:
    """The recipe class for each kind of data that a method takes; ``module:Class`` is a recipe of your own."""
    if ":" in method:
        cls = find(method)
        return dict.fromkeys(cls.kinds, cls)
    return {kind: cls for module in _modules(method) for cls in _own(module) for kind in cls.kinds}


def presets(cls: type[Recipe]) -> Mapping[str, Preset]:
    """The presets beside a recipe class."""
    return getattr(importlib.import_module(cls.__module__), "PRESETS", {})


def find(name: str, kind: str = "", folder: str = "") -> type[Recipe]:
    """The recipe class of a method for a kind of data, or ``module:Class``.

    Args:
        name: Name of the method.
        kind: Kind of data. Defaults to the first that the method takes.
        folder: Folder to import a recipe of your own from, if its module is not on the path.
    """
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        if folder and folder not in sys.path and Path(folder).is_dir():
            sys.path.append(folder)
        try:
            cls = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise InputError(f"expected an importable recipe module:Class, got {name!r} ({error})") from None
        if not (inspect.isclass(cls) and issubclass(cls, Recipe)):
            raise InputError(f"{name} must be a subclass of absynth.Recipe, got {cls!r}")
        return cls
    by_kind = classes(name)
    if kind and kind not in by_kind:
        raise InputError(f"{name} takes {', '.join(by_kind)} data, got {kind} data: give others, or another method")
    return by_kind[kind] if kind else next(iter(by_kind.values()))


def build(
    method: str,
    data: Any,
    *,
    preset: str = "",
    tiny: bool = False,
    say: Callable[[str], object] | None = None,
    **fields: Any,
) -> Recipe:
    """Make the recipe of a method for a data set: defaults, then the preset, then ``fields``.

    Args:
        method: Name of a method, or ``module:Class``.
        data: What :func:`absynth.data.open` takes: a name, a path, an array, a DataFrame.
        preset: Name of a preset. Defaults to the data set's own, else that of the nearest size.
        tiny: Train for a few updates with small networks, to see that everything works.
        say: Called with one line about the data and one about the preset.
        fields: Field values; ``kind`` and the reader's options (``size``, ``target`` ...) are among them.

    Returns:
        The resolved recipe, with the data set opened.

    Raises:
        InputError: There is no such method, preset, field or data set.
        Unsupported: The method does not take this kind of data.
    """
    from absynth.data import sets

    by_kind = classes(method)
    kind = fields.pop("kind", "")
    source = data if isinstance(data, str) else ""
    # The kind decides the class and the class the presets, whose options the reader needs: look before reading.
    found = kind or sets.kind_before_reading(data)
    cls = by_kind.get(found)
    if cls is None:
        takes = ", ".join(sorted(by_kind))
        raise Unsupported(f"{method} takes {takes} data, got {found} data ({source or 'in memory'})")
    known = {f.name for f in dataclasses.fields(cls)}
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f" (nearest: {near[0]})" if near else ""
            raise InputError(f"expected a field of {method} for {found} data, got {name!r}{hint}")
    table = presets(cls)
    own = table.get(source) if not preset else table.get(preset) or table.get(f"{source}/{preset}")
    options = {k: v for k, v in (own.fields if own else {}).items() if k in OPTIONS}
    takes = sets.options_of(data, kind or found)
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name in takes and f.default not in EMPTY}
    options = (
        defaults | options | ({k: v for k, v in cls.tiny_fields(options=True).items() if k in takes} if tiny else {})
    )
    options |= {k: v for k, v in fields.items() if k in OPTIONS}
    opened = sets.open(data, kind=kind, **{k: v for k, v in options.items() if v is not None})
    key, chosen, why = choose(table, preset, source, opened.kind, opened.shape, method)
    if say is not None:
        say(opened.summary())
        if why:
            say(why)
    # A preset's reader options are those of its own data set.
    numbers = {k: v for k, v in chosen.fields.items() if k not in OPTIONS}
    numbers |= cls.tiny_fields(options=False) if tiny else {}
    numbers |= options | {k: v for k, v in fields.items() if k not in OPTIONS}
    where = absolute(str(data)) if isinstance(data, str | Path) else ""
    return cls(data=where, kind=kind, preset=key, dataset=opened, **numbers).resolve()


def resolves_to(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded recipe still resolves to the numbers that were recorded with it.

    Numbers that are found from the data are not compared, so that no data are needed.

    Args:
        entry: ``method``, ``data``, ``preset``, the values ``given`` and the resolved ``fields``.
    """
    fields = entry["fields"]
    try:
        by_kind = classes(entry["method"])
        kind = fields.get("kind") or sets_kind(entry["data"]) or next(iter(by_kind))
        cls = by_kind[kind]
        table = presets(cls)
        key = fields.get("preset", "")
        numbers = {f.name: f.default for f in dataclasses.fields(cls)}
        numbers |= (table[key].fields if key else {}) | entry["given"]
    except (InputError, KeyError):
        return False
    skipped = {"data", "kind", "preset", "dataset", "seed"}
    return all(
        _plain(fields.get(k)) == _plain(v) or (k not in entry["given"] and not v)
        for k, v in numbers.items()
        if k not in skipped
    ) and set(fields) <= set(numbers)


def sets_kind(name: str) -> str:
    """Kind of a published data set; empty for any other name."""
    from absynth.data.sets import SETS

    return SETS[name].kind if name in SETS else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
