"""One image as a data set: random pieces of it, for models of a texture, or the image itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from absynth import pictures
from absynth.data.dataset import Dataset, Split, check_part, mirror_description
from absynth.data.decode import read_picture
from absynth.errors import InputError
from absynth.networks.canvas import resized
from absynth.report import Picture, ResultTable
from absynth.seeding import stream, uniform_like
from absynth.types import Batch, Rng

CONTRAST = 1 / 3
"""Standard deviation of the image: three of them fill the range [−1, 1] that images are shown in."""
_PIECES = 11  # separates the choice of pieces from a step's own noise


class PictureSet(Dataset):
    """Square pieces cut anywhere from one image, grey, of mean 0 and standard deviation 1/3.

    Args:
        image: The image ``[1, side, side]`` as :func:`exemplar` makes it.
        name: Name of the image.
        piece: Side of the pieces in pixels; 0: the image itself is the one example, at ``shape``.
    """

    kind = "picture"
    unit = "pieces"

    def __init__(self, image: Float[Tensor, "c h w"], name: str, *, piece: int = 128) -> None:
        if image.numel() and not 0 <= piece <= min(image.shape[1:]):
            raise InputError(
                f"expected pieces of at most the image's {min(image.shape[1:])} pixels, got --piece {piece}: give a "
                "smaller one, or a larger --side"
            )
        self.image, self.name, self.piece = image, name, piece
        self.shape = (image.shape[0], piece, piece) if piece else tuple(image.shape)

    def __len__(self) -> int:
        return 0

    def batch(self, index: Tensor) -> Batch:
        if not self.piece:
            return Batch(self.image.expand(len(index), *self.shape))
        rows = [pieces(self.image, self.piece, 1, rng=stream(0, 0, int(i), _PIECES)) for i in index.tolist()]
        return Batch(torch.cat(rows) if rows else torch.zeros(0, *self.shape))

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        step = start
        while True:
            if self.piece:
                yield Batch(pieces(self.image, self.piece, size, rng=stream(seed, 0, step, _PIECES)))
            else:
                yield self.batch(torch.zeros(size))
            step += 1

    def split(self, part: Split) -> PictureSet:
        check_part(part)
        return self

    def all(self) -> Tensor:
        return self.head(100)

    def head(self, n: int) -> Tensor:
        return next(self.batches(n, seed=0, start=1_000_000)).x

    def contents(self) -> Iterator[Tensor]:
        yield self.image

    def details(self) -> dict[str, Any]:
        return {"side": self.image.shape[-1], "piece": self.piece}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> PictureSet:
        channels, piece, _ = description["shape"]
        found = cls(torch.zeros(channels, 0, 0), description["name"], piece=description["details"].get("piece", piece))
        mirror_description(found, description)
        return found

    def parse(self, path: Path) -> Tensor:
        if self.piece:
            return super().parse(path)
        x = photograph(read_picture(path), max(self.shape[1:]))[None]
        return x.mean(1, keepdim=True) if self.shape[0] == 1 else x.expand(1, self.shape[0], *x.shape[2:])

    def summary(self) -> str:
        side = self.image.shape[-1]
        if not self.piece:
            colours = "grey" if len(self.image) == 1 else "in colour"
            return f"{self.name}: one image, {colours}, {side} pixels wide and {self.image.shape[-2]} high"
        return f"{self.name}: one image, grey, {side}×{side}; training on pieces of {self.piece}×{self.piece}"

    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        pictures.grid(x[:16], file, columns=min(columns, 4))
        return [{"file": file.name, "caption": f"{min(len(x), 16)} images"}]

    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        pictures.rows_with_labels(rows, file)
        return [{"file": file.name, "caption": f"From the top: {', '.join(rows)}"}]


def pieces(image: Float[Tensor, "c h w"], side: int, n: int, *, rng: Rng) -> Float[Tensor, "n c side side"]:
    """n squares cut from an image, anywhere."""
    corners = uniform_like(image.new_empty(n, 2), rng)
    room = torch.tensor(image.shape[1:]) - side + 1
    tops = (corners * room).long().minimum(room - 1)
    return torch.stack([image[:, top : top + side, left : left + side] for top, left in tops.tolist()])


def exemplar(path: Path, side: int) -> Float[Tensor, "1 h w"]:
    """The image at ``path``: its central square resized to ``side``, grey, of mean 0 and standard deviation 1/3."""
    if not path.is_file():
        raise InputError(f"expected an image, got {path}, which is none: give --data IMAGE")
    x = torch.tensor(read_picture(path, size=side)).float().mean(0, keepdim=True)
    if float(x.std()) == 0:
        raise InputError(f"{path}: expected an image that varies, got one value everywhere: give another one")
    return (x - x.mean()) / x.std() * CONTRAST


def photograph(
    pixels: UInt8[np.ndarray, "c h w"] | Float32[np.ndarray, "1 h w"], side: int
) -> Float[Tensor, "channels h2 w2"]:
    """A whole image in [−1, 1] whose longer side is ``side`` pixels, in one channel where it is grey."""
    x = torch.tensor(pixels).float()
    if not torch.isfinite(x).all() or float(x.std()) == 0:
        raise InputError("expected an image that varies, got one value everywhere: give another one")
    x = x / 127.5 - 1 if pixels.dtype == np.uint8 else 2 * (x - x.min()) / (x.max() - x.min()) - 1
    if len(x) == 3 and bool((x == x[:1]).all()):
        x = x[:1]
    scale = side / max(x.shape[1:])
    return resized(x[None], [max(1, round(s * scale)) for s in x.shape[1:]])[0].clamp(-1, 1)
