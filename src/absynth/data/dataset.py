"""The protocol of data sets: examples as scaled tensors, their splits, and how a person looks at them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from absynth.data.order import minibatches
from absynth.errors import InputError, Unsupported, with_fields
from absynth.report import Picture, ResultTable
from absynth.types import Batch

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
KINDS = ("toy", "image", "pairs", "text", "smiles", "tracks", "table", "video", "voxels", "points", "picture")
"""Kinds of data: what ``--kind`` accepts. ``picture`` is one image that a model is trained on patch by patch."""

HASHED_BYTES = 1 << 28
"""Tensors of up to so many bytes enter a fingerprint whole."""


class Dataset(ABC):
    """One split of a data set.

    :func:`absynth.data.open` returns the training split; :meth:`split` returns the others. A subclass implements one
    kind of data. Its constructor is its own; :meth:`from_description` builds an *empty* data set of the same shape,
    classes and scaling from what a run recorded, so that a trained model can be rebuilt and its samples shown where the
    data are not at hand.

    Attributes:
        kind: One of :data:`KINDS`.
        unit: What examples are called: "images", "sentences", "rows".
        name: Name of a published set, or of the file or folder.
        source: What :func:`absynth.data.open` was given, as text; empty for data in memory.
        part: The split that this object holds.
        shape: Shape of one example ``x``.
        examples: Number of training examples, whatever split this object holds; 0 if unlimited.
        labels: Class labels, int64 ``[n]`` with −1 for unlabelled examples, or None.
        class_names: Name of each class; empty without labels.
        notes: What was left out and why, one phrase each.
    """

    kind: ClassVar[str]
    unit: ClassVar[str] = "examples"
    name: str
    source: str = ""
    part: Split = "train"
    shape: tuple[int, ...]
    examples: int = 0
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples of this split."""

    @abstractmethod
    def batch(self, index: Tensor) -> Batch:
        """The examples at ``index``, int64 ``[b]``: x scaled, float32 (tokens int64), and y, c, mask if any."""

    @abstractmethod
    def split(self, part: Split) -> Dataset:
        """Another split of the same data set.

        Raises:
            InputError: There is no such split.
        """

    @classmethod
    @abstractmethod
    def from_description(cls, description: Mapping[str, Any]) -> Dataset:
        """An empty data set that looks like the one :meth:`description` was taken from."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """What :meth:`from_description` needs besides name, shape and classes, as JSON values."""

    @abstractmethod
    def show(self, x: Tensor, file: Path, *, columns: int = 10) -> list[Picture | ResultTable]:
        """Write examples as a person would look at them.

        Args:
            x: Examples as a model returns them, ``[n, *shape]``.
            file: Where an image goes, with suffix .png; files of other kinds go to the same folder.
            columns: Examples per row of a sheet.

        Returns:
            What a task's result holds: image files with captions, and tables.
        """

    @abstractmethod
    def compare(self, rows: Mapping[str, Tensor], file: Path) -> list[Picture | ResultTable]:
        """Write the same examples in several forms, one below the other.

        Args:
            rows: Title -> examples ``[n, *shape]``, with the same n.
            file: As in :meth:`show`.
        """

    def contents(self) -> Iterator[Tensor]:
        """The stored tensors that :attr:`fingerprint` is computed from; all examples by default."""
        if self.labels is not None:
            yield self.labels
        yield self.batch(torch.arange(len(self))).x

    def parse(self, path: Path) -> Tensor:
        """Read further examples in the form the model takes them, ``[n, *shape]``.

        Args:
            path: A file or folder of the same kind as the data.

        Raises:
            Unsupported: This kind of data has no such reader.
        """
        raise Unsupported(f"{self.kind} data cannot be read from {path}: leave the option out")

    def parse_names(self, path: Path, n: int) -> list[str]:
        """A name for each of the n examples that :meth:`parse` returned: file names of a folder, else row numbers."""
        return [str(i) for i in range(n)]

    def names(self, index: Tensor) -> list[str]:
        """A name for each example at ``index``, int64 ``[b]``: file names of a folder, else row numbers."""
        return [str(i) for i in index.tolist()]

    # What follows is the same for every kind. --------------------------------------------------------------------

    def all(self) -> Tensor:
        """x of every example, ``[n, *shape]``."""
        return self.batch(torch.arange(len(self))).x

    def head(self, n: int) -> Tensor:
        """x of the first n examples, or of all if there are fewer."""
        return self.batch(torch.arange(min(n, len(self)))).x

    def batches(self, size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """Endless minibatches in an order that follows from (seed, epoch), from minibatch number ``start`` on."""
        return (
            self.batch(index)._replace(index=index) for index in minibatches(len(self), size, seed=seed, start=start)
        )

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the training examples and their labels: equal for equal data wherever the files lie.

        It sees any changed value, class name and column name of a tensor of up to :data:`HASHED_BYTES`. Of a larger one
        it sees type and shape, the first and the last eighth of so many bytes, and evenly spaced rows between; of files
        that are decoded when they are used, names, sizes in bytes, and some images.
        """
        digest = hashlib.blake2b(f"{self.kind} {len(self)} {self.shape} {self.class_names}".encode(), digest_size=16)
        for tensor in self.contents():
            digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
            for part in _sampled(tensor):
                digest.update(memoryview(part.detach().cpu().contiguous().view(torch.uint8).numpy()).cast("B"))
        return digest.hexdigest()

    def description(self) -> dict[str, Any]:
        """What a run records of its data: enough to rebuild its networks and to recognize the data again."""
        return {
            "kind": self.kind,
            "name": self.name,
            "source": self.source,
            "shape": list(self.shape),
            "examples": self.examples,
            "class_names": list(self.class_names),
            "fingerprint": self.fingerprint,
            "details": self.details(),
        }

    def split_sizes(self) -> dict[str, int]:
        """Number of examples of the other splits, of those that are cheap to count."""
        return {}

    def count_splits(self, *parts: Split) -> dict[str, int]:
        """Number of examples of these splits, as far as there are any."""
        found = {}
        for part in parts:
            try:
                found[part] = len(self.split(part))
            except InputError:
                continue
        return found

    def summary(self) -> str:
        """One line for the user: what was read, how it is split, and what was left out."""
        size = "×".join(map(str, self.shape))
        parts = [f"{self.name}: {self.kind} data, {len(self) or 'unlimited'} {self.unit} of shape {size}"]
        if self.class_names:
            names = ", ".join(self.class_names[:6])
            more = ", ..." if len(self.class_names) > 6 else ""
            parts.append(f"{len(self.class_names)} classes ({names}{more})")
        if self.labels is not None and bool((self.labels < 0).any()):
            parts.append(f"{int((self.labels < 0).sum())} of them unlabelled")
        sizes = self.split_sizes() if self.part == "train" else {}
        parts += [f"{n} for {part}" for part, n in sizes.items()]
        return with_fields("; ".join([", ".join(parts), *self.notes]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary()})"


def _sampled(tensor: Tensor) -> list[Tensor]:
    """The parts of a tensor that a fingerprint sees."""
    size, rows = tensor.numel() * tensor.element_size(), len(tensor)
    if not size:
        return []
    if size <= HASHED_BYTES:
        return [tensor]
    ends = max(1, rows * HASHED_BYTES // (8 * size))
    return [tensor[:ends], tensor[:: -(-size // HASHED_BYTES)], tensor[-ends:]]


def encoded(words: Iterable[str]) -> Tensor:
    """Words as bytes, uint8, for a fingerprint."""
    return torch.frombuffer(bytearray("\n".join(words).encode() or b"\n"), dtype=torch.uint8)


def mirror_description(target: Dataset, description: Mapping[str, Any]) -> None:
    """Set name, source, shape, classes and the number of training examples from a description."""
    target.name, target.source = description["name"], description["source"]
    target.shape, target.examples = tuple(description["shape"]), description["examples"]
    target.class_names = tuple(description["class_names"])


def check_part(part: str) -> None:
    """Raise an InputError unless ``part`` names a split."""
    if part not in SPLITS:
        raise InputError(f"expected a split of {', '.join(SPLITS)}, got {part!r}")
