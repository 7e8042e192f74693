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

from absynth.data.decode import SizesDiffer
from absynth.data.order import TooFewExamples
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
    if not isinstance(method, str):
        raise InputError(f"expected the name of a method, got {method!r}: methods are {', '.join(methods())}")
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

    Images that are not squares of one size take that of the preset, if its data have one and no ``size`` is given: the
    central square of each is resized. Where no ``batch`` is given, it is at most the number of examples.

    Returns:
        The resolved recipe, with the data set opened.

    Raises:
        InputError: There is no such method, preset, field or data set.
        Unsupported: The method does not take this kind of data.
    """
    from absynth.data import sets

    by_kind = classes(method)
    kind = fields.pop("kind", "")
    sets.check_kind(kind)
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
            raise InputError(_not_a_field(name, method, found, by_kind))
    table = presets(cls)
    _require_own_preset(preset, method, found, by_kind)
    own = table.get(source) if not preset else table.get(preset) or table.get(f"{source}/{preset}")
    options = {k: v for k, v in (own.fields if own else {}).items() if k in OPTIONS}
    takes = sets.options_of(data, kind or found)
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name in takes and f.default not in EMPTY}
    options = (
        defaults | options | ({k: v for k, v in cls.tiny_fields(options=True).items() if k in takes} if tiny else {})
    )
    options |= {k: v for k, v in fields.items() if k in OPTIONS}
    options = {k: v for k, v in options.items() if v is not None}
    try:
        opened, sized = sets.open(data, kind=kind, **options), ""
    except SizesDiffer as error:
        sized, size = _size_for(error, table, preset, source, found, method)
        options["size"] = size
        opened = sets.open(data, kind=kind, **options)
        crop = f"the central square of each resized to {size}×{size}, the size of {sized} (--size N gives another)"
        opened.notes = (*opened.notes, f"found {error.found} pixels: {crop}")
    key, chosen, why = choose(table, preset or sized, source, opened.kind, opened.shape, method)
    if sized and not preset:
        why = f"no preset of {method} for {source or 'this data'}: using that of {sized}, nearest in size"
    say = say or (lambda text: None)
    say(opened.summary())
    if why:
        say(why)
    # A preset's reader options are those of its own data set, and so are some numbers.
    bound = OPTIONS if key.partition("/")[0] == source else OPTIONS | cls.of_its_set
    numbers = {k: v for k, v in chosen.fields.items() if k not in bound}
    numbers |= cls.tiny_fields(options=False) if tiny else {}
    numbers |= options | {k: v for k, v in fields.items() if k not in OPTIONS}
    where = absolute(str(data)) if isinstance(data, str | Path) else ""
    made = cls(data=where, kind=kind, preset=key, dataset=opened, **numbers).resolve()
    return made if "batch" in fields else _lower_batch(made, say)


def _size_for(
    error: SizesDiffer, table: Mapping[str, Preset], preset: str, source: str, kind: str, method: str
) -> tuple[str, int]:
    """The preset whose data have one size, for images that have not, and that size.

    Raises:
        SizesDiffer: There is none.
    """
    from absynth.data.sets import SETS

    key, _, _ = choose(table, preset, source, kind, error.shape, method)
    named = SETS.get(key.partition("/")[0])
    if named is None or named.shape is None or not error.shape[-1]:
        raise error
    return key, named.shape[-1]


def _lower_batch(recipe: Recipe, say: Callable[[str], object]) -> Recipe:
    """The recipe with a batch that its examples can fill."""
    batch = recipe.batch
    while batch > 0:
        try:
            next(iter(recipe.batches()))
            break
        except TooFewExamples as error:
            # Some methods fill a part of a batch from elsewhere.
            batch = (batch - error.batch + error.n) // recipe.shards * recipe.shards if error.n else 0
            if batch < 1:
                raise
            recipe = dataclasses.replace(recipe, batch=batch)
            say(f"batch lowered to {batch}, for there are {error.n} examples; --batch N takes fewer")
    return recipe


def _not_a_field(name: str, method: str, kind: str, by_kind: Mapping[str, type[Recipe]]) -> str:
    """What to tell of a field that the method does not have for a kind of data."""
    flag = f"--{name.replace('_', '-')}"
    kinds = [k for k, c in by_kind.items() if name in {f.name for f in dataclasses.fields(c)}]
    if kinds:
        return f"{flag} of {method} is for {' or '.join(kinds)} data, got it with {kind} data: leave it out"
    known = sorted(f.name for f in dataclasses.fields(by_kind[kind]))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" (nearest: --{near[0].replace('_', '-')})" if near else ""
    return f"expected an option of {method} for {kind} data, got {flag}{hint}{other_kinds(name)}"


def other_kinds(option: str) -> str:
    """Which kinds of data an option of a reader belongs to, as the end of a message; "" for any other name."""
    from absynth.data import sets

    kinds = sets.kinds_with(option)
    return f": it is an option of {', '.join(kinds)} data" if kinds else ""


def _require_own_preset(preset: str, method: str, kind: str, by_kind: Mapping[str, type[Recipe]]) -> None:
    """Raise an InputError if a preset is one of the method's for another kind of data."""

    def names(cls: type[Recipe]) -> set[str]:
        return {name for key in presets(cls) for name in (key, key.partition("/")[2]) if name}

    if not preset or preset in names(by_kind[kind]):
        return
    others = [k for k, c in by_kind.items() if preset in names(c)]
    if others:
        own = f"presets for {kind} data are {', '.join(presets(by_kind[kind]))}" if presets(by_kind[kind]) else ""
        raise InputError(
            f"preset {preset} of {method} is for {' or '.join(others)} data, got {kind} data: "
            f"{own or f'there is none for {kind} data, leave --preset out'}"
        )


def resolves_to(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded recipe still resolves to the numbers that were recorded with it.

    Numbers that are found from the data are not compared, so that no data are needed.

    Args:
        entry: ``method``, ``data``, ``preset``, the values ``given`` and the resolved ``fields``.
    """
    kind = entry["fields"].get("kind") or sets_kind(entry["data"])
    try:
        by_kind = classes(entry["method"])
        # Data in memory do not say of which kind they were: then one of the kinds must give those numbers.
        return any(_gives(cls, entry) for cls in ([by_kind[kind]] if kind else by_kind.values()))
    except (InputError, KeyError):
        return False


def _gives(cls: type[Recipe], entry: Mapping[str, Any]) -> bool:
    """Whether a class with its recorded preset and the values given has the recorded numbers."""
    fields, table = entry["fields"], presets(cls)
    key = fields.get("preset", "")
    if key and key not in table:
        return False
    numbers = {f.name: f.default for f in dataclasses.fields(cls)}
    numbers |= (table[key].fields if key else {}) | entry["given"]
    skipped = {"data", "kind", "preset", "dataset", "seed"}
    if not sets_kind(entry["data"]):  # data in memory came with options of its own
        skipped |= OPTIONS - set(entry["given"])
    return all(
        _plain(fields.get(k)) == _plain(v) or (k not in entry["given"] and (not v or (k in OPTIONS and v in EMPTY)))
        for k, v in numbers.items()
        if k not in skipped
    ) and set(fields) <= set(numbers)


def sets_kind(name: str) -> str:
    """Kind of a published data set; empty for any other name."""
    from absynth.data.sets import SETS

    return SETS[name].kind if name in SETS else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
