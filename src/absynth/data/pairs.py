"""Pictures in pairs, a source and its target: side by side in one file, or in two folders under the same names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from absynth.data import folder
from absynth.data.decode import read_pictures
from absynth.data.images import Images, Split
from absynth.errors import InputError

Side = Literal["left", "right"]


@dataclass(frozen=True, eq=False, repr=False)
class Pairs:
    """Row i of ``source`` and row i of ``target`` belong together."""

    source: Images
    target: Images

    def __len__(self) -> int:
        return len(self.target)

    def __repr__(self) -> str:
        return f"Pairs({self.source!r} -> {self.target!r})"

    def take(self, rows: Int64[Tensor, "m"]) -> Pairs:
        """Some of the pairs, in this order."""
        return Pairs(self.source.take(rows), self.target.take(rows))

    def batch(self, index: Int64[Tensor, "b"]) -> tuple[Float32[Tensor, "b m s s"], Float32[Tensor, "b n s s"]]:
        """``(sources, targets)`` at ``index``, float32 in [-1, 1]."""
        return self.source.batch(index), self.target.batch(index)


def facades(root: Path, split: Split, size: int = 64) -> Pairs:
    """Facades (Tyleček and Šára 2013) as pix2pix packs them: 400 + 106 pairs, photo left, labels right."""
    place = next((p for p in (root / "facades", root) if (p / "train").is_dir() and (p / "test").is_dir()), None)
    if place is None:
        raise InputError(
            f"facades not found: expected {root}/facades/train and test with pictures photo|labels; point ABSYNTH_DATA "
            "or --data at the folder that holds them"
        )
    return side_by_side(place, split, size, source="right")


def side_by_side(path: Path, split: folder.Part, size: int, *, source: Side = "left") -> Pairs:
    """Pairs in one file each, twice as wide as high; the split as in :func:`absynth.data.folder.images`.

    Args:
        path: the folder.
        split: "train", "test" or "all".
        size: side in pixels that both halves are resized to, with antialiasing.
        source: the half that is given; the other one is to be made of it.

    Raises:
        InputError: no pictures, or a picture that is not two squares side by side.
    """
    files = folder.files(path, split)
    both = read_pictures(files)
    _require_bytes(path, both)
    height, width = both.shape[2:]
    if width != 2 * height:
        raise InputError(
            f"{path}: expected pictures of two squares side by side, got {width}×{height}: of sources and "
            "targets in two folders, --data takes the one and --targets the other"
        )
    left, right = (nn.functional.interpolate(h.float(), size=(size, size), mode="bilinear", antialias=True)
                   .round().to(torch.uint8) for h in both.chunk(2, 3))  # fmt: skip
    first, second = (left, right) if source == "left" else (right, left)
    name = path.name
    return Pairs(Images(first, None, name), Images(second, None, name))


def two_folders(sources: Path, targets: Path, split: folder.Part, size: int) -> Pairs:
    """Pairs in two folders under the same names, whatever the suffix; the split follows the sources' names.

    Raises:
        InputError: a picture without a partner.
    """
    found = [
        {p.relative_to(f).with_suffix("").as_posix(): p for p in folder.files(f, "all")} for f in (sources, targets)
    ]
    alone = sorted(found[0].keys() ^ found[1].keys())
    if alone:
        raise InputError(
            f"expected every picture of {sources} under the same name in {targets}, got {len(alone)} without a "
            f"partner, the first {alone[0]}: remove it or add the other one"
        )
    chosen = [p.relative_to(sources).with_suffix("").as_posix() for p in folder.files(sources, split)]
    first, second = (read_pictures([by_name[name] for name in chosen], size=size) for by_name in found)
    _require_bytes(sources, first)
    _require_bytes(targets, second)
    return Pairs(Images(first, None, sources.name), Images(second, None, targets.name))


def _require_bytes(path: Path, x: Tensor) -> None:
    if x.dtype != torch.uint8:
        raise InputError(f"{path}: expected images of 8 bits in pairs, got more: convert them")


def mirrored(pairs: Pairs) -> Pairs:
    """The pairs and their mirror images: twice as many."""
    both = (
        replace(i, x=torch.cat([i.tensor(), i.tensor().flip(3)]), labels=None) for i in (pairs.source, pairs.target)
    )
    return Pairs(*both)
