"""One reader per kind of data: ``reader(source, **options) -> Dataset``, the training split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from absynth.data import anomaly, folder, images, molecules, packaged, pairs, tables, text, tracks
from absynth.data.arrays import resize, with_channels
from absynth.data.clip_set import ClipSet, read_clip_set
from absynth.data.dataset import Dataset, Split
from absynth.data.decode import SizesDiffer, read_header, read_picture
from absynth.data.image_set import ImageSet
from absynth.data.molecules import Tokens
from absynth.data.order import validated
from absynth.data.pair_set import PairSet
from absynth.data.picture_set import CONTRAST, PictureSet, exemplar, photograph
from absynth.data.point_set import PointSet, read_point_set
from absynth.data.table_set import TableSet, table_of_file
from absynth.data.text import Text
from absynth.data.text_set import SmilesSet, TextSet, Unit
from absynth.data.toy_set import ToySet
from absynth.data.track_set import TrackSet
from absynth.data.voxel_set import VoxelSet, read_voxel_set
from absynth.errors import InputError

CLASSES: dict[str, type[Dataset]] = {
    cls.kind: cls for cls in (
        ToySet, ImageSet, PairSet, TextSet, SmilesSet, TrackSet, TableSet, PictureSet, ClipSet, VoxelSet, PointSet,
    )
}  # fmt: skip
"""The class of each kind, for :func:`absynth.data.sets.empty`."""

_CARRIED = ("digits", "mnist5k", "nci5k")
"""Sets that come with other packages: no folder of data sets is needed."""

_PART: dict[str, Any] = {"train": "train", "validation": "valid", "test": "test"}
_TRACK_PART: dict[str, Any] = {"train": "train", "validation": "val", "test": "test"}


def _held_out(read: Callable[[Split], images.Images], label: int) -> Callable[[Split], images.Images]:
    """The anomaly protocol: one label held out of training (:mod:`absynth.data.anomaly`)."""
    split = lru_cache(maxsize=1)(lambda: anomaly.held_out(read("train"), read("test"), label))

    def held_out(part: Split) -> images.Images:
        _no_validation("the data with --anomaly", part)
        return split()[part]

    return held_out


def _image_set(
    read: Callable[[Split], images.Images], source: str, limit: int, anomaly_label: int, validation: float
) -> ImageSet:
    read = lru_cache(maxsize=4)(read)
    if anomaly_label >= 0:
        read = _held_out(read, anomaly_label)
    return ImageSet(validated(read, validation, images.Images.take), source, limit=limit)


def _no_validation(name: str, part: Split) -> None:
    if part == "validation":
        raise InputError(f"{name} has no validation split: give --validation 0.1 to set a share of training aside")


def published_images(reader: Callable) -> Callable[..., ImageSet]:
    """A reader of a published set of images."""
    cached = lru_cache(maxsize=4)(reader)
    name = reader.__name__

    def open(
        *, size: int = 0, channels: int = 0, limit: int = 0, anomaly: int = -1, validation: float = 0.0
    ) -> ImageSet:
        def read(part: Split) -> images.Images:
            _no_validation(name, part)
            root = Path() if name in _CARRIED else images.find_root("", name)
            found = cached(root, part)
            x = with_channels(found.x, channels)
            return replace(found, x=resize(x, size) if size not in (0, x.shape[-1]) else x)

        return _image_set(read, name, limit, anomaly, validation)

    return open


def read_images(
    source: Any,
    *,
    size: int = 0,
    channels: int = 0,
    limit: int = 0,
    anomaly: int = -1,
    validation: float = 0.0,
    skip_broken: bool = False,
) -> ImageSet:
    """Images of a folder, an .npz or .npy file, or an array ``[n, H, W]``, ``[n, C, H, W]`` or ``[n, H, W, C]``."""
    if isinstance(source, Path):
        opened = folder.open_images(source, size=size, channels=channels, skip_broken=skip_broken)
    else:
        x, y = source if isinstance(source, tuple) else (source, None)
        opened = folder.open_array(
            np.asarray(x), labels=None if y is None else np.asarray(y), size=size, channels=channels
        )
    found = _image_set(opened.split, str(source) if isinstance(source, Path) else "", limit, anomaly, validation)
    channels_found, height, width = found.shape
    if height != width:
        side = min(height, width)
        raise SizesDiffer(
            f"expected square images, got {width}×{height}: --size {side} crops them",
            (channels_found, side, side),
            f"{width}×{height}",
        )
    return found


def published_pairs(name: str) -> Callable[..., PairSet]:
    """A reader of a published set of pairs."""
    reader = lru_cache(maxsize=4)({"facades": pairs.facades}[name])

    def open(*, size: int = 64, limit: int = 0, validation: float = 0.0) -> PairSet:
        def read(part: Split) -> pairs.Pairs:
            _no_validation(name, part)
            return reader(images.find_root("", name), part, size)

        return PairSet(validated(read, validation, pairs.Pairs.take), name, limit=limit)

    return open


def read_pairs(source: Any, *, size: int = 64, targets: str = "", limit: int = 0, validation: float = 0.0) -> PairSet:
    """Pairs side by side in one file each (source left), or in two folders under the same names (``targets``)."""
    if not isinstance(source, Path):
        raise InputError("pairs are read from a folder, got an array: save them as images side by side")

    def read(part: Split) -> pairs.Pairs:
        if targets:
            return pairs.two_folders(source, Path(targets).expanduser(), part, size)
        return pairs.side_by_side(source, part, size)

    return PairSet(validated(lru_cache(maxsize=4)(read), validation, pairs.Pairs.take), limit=limit)


def published_text(name: str) -> Callable[..., TextSet]:
    """A reader of a published set of sentences or molecules."""
    found: dict[str, Callable] = {
        "ptb": text.ptb, "yelp": text.yelp, "ag_news": text.ag_news, "dailydialog": text.dailydialog,
        "zinc": molecules.zinc, "moses": molecules.moses, "nci5k": packaged.nci5k,
    }  # fmt: skip
    reader = lru_cache(maxsize=4)(found[name])

    def read(part: Split) -> Text:
        root = Path() if name in _CARRIED else images.find_root("", name)
        if name == "yelp" and part == "train" and not text.has_yelp_training(root):
            part = "validation"  # the training file is large and not always at hand
        found = reader(root, _PART[part])
        lower = name == "dailydialog"
        return Text([line.lower() for line in found.lines], found.labels, found.name) if lower else found

    def sentences(
        *, unit: Unit = "word", vocabulary_size: int = 10_000, length: int = 41, limit: int = 0, validation: float = 0.0
    ) -> TextSet:
        reader = validated(read, validation, Text.take)
        return TextSet(reader, name, unit=unit, vocabulary_size=vocabulary_size, length=length, limit=limit)

    def smiles(*, tokens: Tokens = "atoms", length: int = 80, limit: int = 0, validation: float = 0.0) -> SmilesSet:
        return SmilesSet(validated(read, validation, Text.take), name, tokens=tokens, length=length, limit=limit)

    return smiles if name in ("zinc", "moses", "nci5k") else sentences


def read_text(
    source: Any,
    *,
    unit: Unit = "word",
    vocabulary_size: int = 10_000,
    length: int = 41,
    limit: int = 0,
    validation: float = 0.0,
) -> TextSet:
    """Sentences, one per line of a file, or a list of lines."""

    def read(part: Split) -> Text:
        if isinstance(source, Path):
            return text.text_file(source, _PART[part])
        return text.of_lines(text.lines_of(source), _PART[part])

    reader = validated(read, validation, Text.take)
    return TextSet(reader, unit=unit, vocabulary_size=vocabulary_size, length=length, limit=limit)


def read_smiles(
    source: Any,
    *,
    tokens: Tokens = "atoms",
    length: int = 80,
    limit: int = 0,
    column: str = "",
    skip_broken: bool = False,
    validation: float = 0.0,
) -> SmilesSet:
    """Molecules, one SMILES per line of a file, or a list of them."""

    def read(part: Split) -> Text:
        if isinstance(source, Path):
            return molecules.smiles_file(source, _PART[part], column=column, skip_broken=skip_broken)
        return text.of_lines(text.lines_of(source), _PART[part])

    return SmilesSet(validated(read, validation, Text.take), tokens=tokens, length=length, limit=limit)


def tracks_of(name: str) -> Callable[..., TrackSet]:
    """A reader of a published set of tracks."""

    def scenes(
        *, scene: tracks.Scene = "zara1", past: int = tracks.PAST, future: int = tracks.FUTURE, mirror: bool = True,
        limit: int = 0, validation: float = 0.0, pose: bool = False, agents: int = 1, neighbours: int = 0,
    ) -> TrackSet:  # fmt: skip
        def read(part: Split) -> list[tracks.Tracks]:
            return tracks.eth_ucy(images.find_root("", name), scene, _TRACK_PART[part])

        return TrackSet(
            read, name, past=past, future=future, mirror=mirror, limit=limit, validation=validation, pose=pose,
            agents=agents, neighbours=neighbours,
        )  # fmt: skip

    def videos(
        *, past: int = tracks.PAST, future: int = tracks.FUTURE, mirror: bool = True, limit: int = 0,
        validation: float = 0.0, pose: bool = False, agents: int = 1, neighbours: int = 0,
    ) -> TrackSet:  # fmt: skip
        def read(part: Split) -> list[tracks.Tracks]:
            _no_validation(name, part)
            videos_of = tracks.sdd_pixels if name == "sdd_pixels" else tracks.sdd
            return videos_of(images.find_root("", name), "train" if part == "train" else "test")

        return TrackSet(
            read, name, past=past, future=future, mirror=mirror, limit=limit, validation=validation, pose=pose,
            agents=agents, neighbours=neighbours,
        )  # fmt: skip

    return scenes if name == "eth_ucy" else videos


def tracks_in(name: str) -> Callable[..., TrackSet]:
    """A reader of a published set that is a folder of recordings; of one alone, the last fifth is held out."""

    def open(
        *, past: int = tracks.PAST, future: int = tracks.FUTURE, mirror: bool = True, limit: int = 0,
        validation: float = 0.0, pose: bool = False, agents: int = 1, neighbours: int = 0,
    ) -> TrackSet:  # fmt: skip
        folder = images.find_root("", name) / name
        return read_tracks(
            folder, past=past, future=future, mirror=mirror, limit=limit, validation=validation, pose=pose,
            agents=agents, neighbours=neighbours,
        )  # fmt: skip

    return open


def read_tracks(
    source: Any,
    *,
    past: int = tracks.PAST,
    future: int = tracks.FUTURE,
    mirror: bool = True,
    limit: int = 0,
    validation: float = 0.0,
    pose: bool = False,
    agents: int = 1,
    neighbours: int = 0,
) -> TrackSet:
    """Tracks of a file, or of every file of text in a folder; without splits every fifth recording is held out."""
    if not isinstance(source, Path):
        raise InputError("tracks are read from a file or a folder, got an array: save frame, agent, x, y as text")
    recordings = lru_cache(maxsize=1)(lambda: tracks.read_splits(source))

    def read(part: Split) -> list[tracks.Tracks]:
        found = recordings()
        if "train" not in found:
            _no_validation(str(source), part)
            return tracks.split_recordings(found[""], part == "train", past + future)
        if part == "test" and "test" not in found:
            part = "validation"
        if part not in found:
            _no_validation(str(source), part)
        return found[part]

    return TrackSet(
        read, source.name, past=past, future=future, mirror=mirror, limit=limit, validation=validation, pose=pose,
        agents=agents, neighbours=neighbours,
    )  # fmt: skip


def published_table(name: str) -> Callable[..., TableSet]:
    """A reader of a table that comes with scikit-learn."""
    carried = "digits" if name == "digits_table" else name

    def open(*, limit: int = 0, validation: float = 0.0) -> TableSet:
        return TableSet(tables.carried(carried), limit=limit, validation=validation)

    return open


def read_table(
    source: Any, *, target: str = "", limit: int = 0, validation: float = 0.0, missing_value: str = ""
) -> TableSet:
    """A table: .csv, .tsv or .parquet, an .npz of X and y, an array ``[rows, columns]``, ``(X, y)``, or a DataFrame."""
    if isinstance(source, Path):
        table = table_of_file(source, target, missing=missing_value)
    else:
        table = tables.from_memory(source, target, missing=missing_value)
    return TableSet(table, limit=limit, validation=validation)


def published_picture(file: str) -> Callable[..., PictureSet]:
    """A reader of one image of the folder of textures."""

    def open(*, side: int = 256, piece: int = 128, whole: bool = False) -> PictureSet:
        path = images.find_root("", "textures") / "textures" / file
        return read_picture_set(path, side=side, piece=piece, whole=whole)

    return open


def carried_picture(file: str, left: int, top: int, width: int) -> Callable[..., PictureSet]:
    """A reader of a square of a photo that scikit-learn ships, or of the whole photo."""

    def open(*, side: int = 256, piece: int = 128, whole: bool = False) -> PictureSet:
        from sklearn.datasets import load_sample_image

        if whole:
            x = photograph(load_sample_image(file).transpose(2, 0, 1), side)
            return PictureSet(x, Path(file).stem, piece=0)
        x = torch.from_numpy(load_sample_image(file)[top : top + width, left : left + width].copy()).float().mean(2)
        x = nn.functional.interpolate(x[None, None], size=(side, side), mode="bilinear", antialias=True)[0]
        return PictureSet((x - x.mean()) / x.std() * CONTRAST, Path(file).stem, piece=piece)

    return open


def read_picture_set(source: Any, *, side: int = 256, piece: int = 128, whole: bool = False) -> PictureSet:
    """One image: made grey, its central square resized to ``side`` pixels; pieces of ``piece`` pixels are the data.

    With ``whole`` the image itself is the one example: in its colours, uncropped, its longer side ``side`` pixels.
    """
    if not isinstance(source, Path):
        raise InputError("one image is read from a file, got an array: save it as an image")
    if source.is_file() and source.suffix.lower() != ".gif" and read_header(source).pages > 1:
        raise InputError(f"{source}: expected one image, got several pages or frames: save one of them as a file")
    if whole:
        return PictureSet(photograph(read_picture(source), side), source.stem, piece=0)
    return PictureSet(exemplar(source, side), source.stem, piece=piece)


READERS: dict[str, Callable[..., Dataset]] = {
    "image": read_images, "pairs": read_pairs, "text": read_text, "smiles": read_smiles, "tracks": read_tracks,
    "table": read_table, "picture": read_picture_set,
    "video": read_clip_set, "voxels": read_voxel_set, "points": read_point_set,
}  # fmt: skip
"""The reader of each kind of data of your own."""
