"""Presets: the numbers of a method for one data set, a row each."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from absynth.errors import InputError

_VECTORS = ("toy", "table")  # a preset for one serves the other


class Preset:
    """Field values of a recipe for one data set, with what is known about the result.

    Args:
        minutes: Expected minutes of training on two CPU cores.
        recorded: Record in ``results/`` that this preset made: ``RECORD``, or ``RECORD.FIGURE`` of a record of several.
        source: Where the numbers come from, for example "Pang et al. 2020, Tables 5 and 6".
        published: The published figure, for example "FID 29.44".
        fields: Field values that differ from the recipe's defaults.
    """

    def __init__(
        self,
        *,
        minutes: int | float | None = None,
        recorded: str = "",
        source: str = "",
        published: str = "",
        **fields: Any,
    ) -> None:
        self.minutes, self.recorded, self.source, self.published = minutes, recorded, source, published
        self.fields = fields

    def __repr__(self) -> str:
        return f"Preset({', '.join(f'{k}={v!r}' for k, v in self.fields.items())})"


def choose(
    presets: Mapping[str, Preset], name: str, source: str, kind: str, shape: tuple[int, ...], method: str
) -> tuple[str, Preset, str]:
    """Find the preset for a data set.

    Args:
        presets: The method's presets, by ``SET`` or ``SET/VARIANT``.
        name: What the user gave, or "": a key, or the VARIANT of the data set's own presets.
        source: Name of the data set, or a path.
        kind: Kind of data.
        shape: Shape of one example.
        method: Name of the method, for messages.

    Returns:
        ``(key, preset, why)``; key is "" and the preset empty where the method has none for this kind of data. ``why``
        is a line for the user where the choice is not the obvious one, else "".

    Raises:
        InputError: There is no preset of that name, or it is for another kind of data; the message lists the others.
    """
    from absynth.data.sets import SETS

    if name:
        variants = [k for k in presets if k.partition("/")[2] == name]
        found = next((k for k in (name, f"{source}/{name}", *variants) if k in presets), "")
        if not found:
            near = difflib.get_close_matches(name, [*presets, *(k.partition("/")[2] for k in presets)], n=1, cutoff=0.4)
            hint = f" (nearest: {near[0]})" if near and near[0] else ""
            raise InputError(f"expected a preset of {method}, got {name!r}{hint}: presets are {', '.join(presets)}")
        base = SETS.get(found.partition("/")[0])
        if base is not None and base.kind != kind and not {base.kind, kind} <= set(_VECTORS):
            own = [k for k in presets if k.partition("/")[0] in SETS and SETS[k.partition("/")[0]].kind == kind]
            do = f"presets for {kind} data are {', '.join(own)}" if own else "leave --preset out"
            raise InputError(f"preset {found} of {method} is for {base.kind} data, got {kind} data: {do}")
        if base is not None and base.shape is not None and base.shape != tuple(shape):
            made, got = ("×".join(map(str, s)) for s in (base.shape, shape))
            why = f"preset {found} was made for {base.kind} data of shape {made}; this data has shape {got}"
            return found, presets[found], why
        return found, presets[found], ""
    if source in presets:
        return source, presets[source], ""

    def distances(kinds: tuple[str, ...]) -> list[tuple[float, str]]:
        fits = {k: SETS[k].shape or shape for k in presets if k in SETS and SETS[k].kind in kinds}
        return [
            (abs(math.log(math.prod(size) / max(math.prod(shape), 1))), k)
            for k, size in fits.items()
            if len(size) == len(shape)
        ]

    near_size = distances((kind,)) or distances(_VECTORS if kind in _VECTORS else ())
    if near_size:
        key = min(near_size, key=lambda pair: pair[0])[1]
        made = SETS[key].shape
        size = f" ({'×'.join(map(str, made))})" if made not in (None, tuple(shape)) else ""
        why = f"no preset of {method} for {source or 'this data'}: using that of {key}, nearest in size{size}"
        return key, presets[key], why
    return "", Preset(), ""
