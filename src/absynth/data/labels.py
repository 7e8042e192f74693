"""Class labels as people write them: numbers with gaps, words, one-hot rows, marks for "unlabelled"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from absynth.errors import InputError
from absynth.seeding import stream

UNKNOWN = -1
MARKS = frozenset({"", "?", "-", "nan", "na", "n/a", "#n/a", "<na>", "null", "unlabelled", "unlabeled"})
"""Words that mark an unlabelled example, in lower case."""

CHOICE = int.from_bytes(b"label", "big")
"""Separates the choice of the labels that are used from all other noise of a seed."""

_MOST = 10_000  # classes
_LARGEST = 2**53  # beyond it floats are no longer one by one
_FEW = 20  # below so many examples, each may have a class of its own


class Labels(NamedTuple):
    """Labels as numbers, with the names they had."""

    y: Int64[Tensor, "n"]
    """Number of each example's class, −1 where it has none."""
    names: tuple[str, ...]
    """Name of each class."""
    notes: tuple[str, ...] = ()


def number(values: object, n: int, what: str = "example") -> Labels:
    """Number the labels that occur, in the order of their values; so numbers 0 to k − 1 stay as they are.

    NaN, −1 and the words of :data:`MARKS` mark an unlabelled example; −1 is a class where the only other one is 1.

    Args:
        values: One label per example: numbers, words, or one-hot rows ``[n, k]``.
        n: Number of examples.
        what: What an example is called.

    Raises:
        InputError: There is not one label per example, they are no integers or words, or nearly all differ.

    >>> number([0, 5000, 10000, 5000], 4).y
    tensor([0, 1, 2, 1])
    >>> number(["cat", "", "ant"], 3)
    Labels(y=tensor([ 1, -1,  0]), names=('ant', 'cat'), notes=('1 unlabelled (marked "")',))
    """
    y = np.asarray(values)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.shape[0] == n and y.dtype.kind in "buif" and _one_hot(y):
        y = y.argmax(1)
    if y.shape != (n,):
        raise misfit(y, n, what)
    if y.dtype.kind == "O":
        y = _plain(y)
    if y.dtype.kind in "US":
        found = _words(y.astype(str))
    elif y.dtype.kind in "buif":
        found = _numbers(y)
    else:
        raise InputError(f"expected labels that are integers or words, got type {y.dtype}")
    classes, known = len(found.names), int((found.y >= 0).sum())
    if classes > _MOST or (known >= _FEW and classes > known / 2):
        raise InputError(
            f"expected labels that name classes, got {classes} different ones for {known} {what}s, such as "
            f"{found.names[0]!r}: leave the labels out"
        )
    return found


def misfit(y: np.ndarray, n: int, what: str) -> InputError:
    """The error of labels whose number or shape is another than that of the examples."""
    way = "give one column of them, or leave them out" if y.ndim > 1 else "give as many, or leave them out"
    return InputError(f"expected one label per {what}, shape [{n}], got shape {list(y.shape)}: {way}")


def _one_hot(y: np.ndarray) -> bool:
    return y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _plain(y: np.ndarray) -> np.ndarray:
    """An array of Python objects as numbers, or as words where one of them is a word."""
    missing = np.array([v is None or v != v for v in y])
    if any(isinstance(v, str | bytes) for v in y):
        return np.array(["" if m else v.decode() if isinstance(v, bytes) else str(v) for v, m in zip(y, missing)])
    try:
        return np.array([np.nan if m else float(v) for v, m in zip(y, missing)])
    except (TypeError, ValueError):
        raise InputError(f"expected labels that are integers or words, got {type(y[0]).__name__}") from None


def _numbers(y: np.ndarray) -> Labels:
    missing = np.isnan(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)
    if y.dtype.kind == "f":
        given = y[~missing]
        if not np.isfinite(given).all() or (given != np.floor(given)).any():
            bad = given[~np.isfinite(given) | (given != np.floor(given))][0]
            raise InputError(
                f"expected labels that are integers or text, got type {y.dtype}, value {bad}: write classes as words, "
                "or leave out labels that are quantities"
            )
        if len(given) and np.abs(given).max() > _LARGEST:
            raise InputError(f"expected labels that are integers or text, got {np.abs(given).max():g}: give text")
    kinds = np.unique(y[~missing])
    minus = kinds.dtype.kind in "if" and -1 in kinds and set(kinds.tolist()) != {-1, 1}
    unlabelled = missing | (y == -1) if minus else missing
    kinds = kinds[kinds != -1] if minus else kinds
    numbers = np.where(unlabelled, UNKNOWN, np.searchsorted(kinds, np.where(unlabelled, kinds[:1].sum(), y)))
    notes = _note(unlabelled, "-1" if minus else "NaN")
    return Labels(torch.from_numpy(numbers.astype(np.int64)), tuple(str(int(k)) for k in kinds), notes)


def _words(y: np.ndarray) -> Labels:
    y = np.char.strip(y)
    given = [v for v in np.unique(y).tolist() if v.lower() not in MARKS]
    if given and all(_integer(v) for v in given):  # numbers that came as text keep their spelling
        found = _numbers(np.array([np.nan if v.lower() in MARKS else float(v) for v in y]))
        spelled = {int(float(v)): v for v in given}
        unique = len(spelled) == len(given)
        return found._replace(names=tuple(spelled[int(n)] for n in found.names) if unique else found.names)
    unlabelled = np.isin(np.char.lower(y), sorted(MARKS)) | np.isin(y, ("-1", "-1.0"))
    kinds, numbers = np.unique(y[~unlabelled], return_inverse=True)
    out = np.full(len(y), UNKNOWN, dtype=np.int64)
    out[~unlabelled] = numbers
    marks = ", ".join(f'"{m}"' for m in np.unique(y[unlabelled])[:3])
    return Labels(torch.from_numpy(out), tuple(map(str, kinds)), _note(unlabelled, marks))


def _integer(text: str) -> bool:
    try:
        return float(text) == int(float(text))
    except (ValueError, OverflowError):
        return False


def _note(unlabelled: np.ndarray, mark: str) -> tuple[str, ...]:
    count = int(unlabelled.sum())
    return (f"{count} unlabelled (marked {mark})",) if count else ()


def choose_labelled(y: Int64[Tensor, "n"], labels: int, classes: int, seed: int) -> Int64[Tensor, "labels"]:
    """Rows whose label may be used: equally many of each class, those at random; 0 is every label there is.

    Raises:
        InputError: ``labels`` cannot be shared equally, or a class has too few examples.
    """
    if not labels:
        return (y != UNKNOWN).nonzero()[:, 0]
    each, rest = divmod(labels, classes)
    if rest or not each:
        raise InputError(f"labels must be a multiple of the {classes} classes, got {labels}: every class has its share")
    order = torch.randperm(len(y), generator=stream(seed, 0, 0, CHOICE))
    rows = [order[y[order] == k][:each] for k in range(classes)]
    short = min(map(len, rows))
    if short < each:
        raise InputError(f"expected at least {each} labelled examples of each class, got {short}: give fewer --labels")
    return torch.cat(rows)
