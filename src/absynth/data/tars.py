"""Images in tars as WebDataset lays them out: ``000001.jpg`` beside ``000001.cls``, read by the place of each member.

A tar is read once for the names, places and labels of its members. Images are read when a minibatch asks for them, so
memory does not grow with the images, and every process reads the same ones in the same order.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from absynth.data import labels, listing
from absynth.data.decode import SUFFIXES
from absynth.data.members import Member
from absynth.errors import InputError

LABELS = ("cls", "json", "txt")
"""Suffixes of members that may hold a label, the first one that does is taken."""
FIELDS = ("label", "class", "cls")
"""Fields of a .json that may hold a label."""

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Names of tars; those of compressed ones are found, so that they are refused by name."""
_ARCHIVES = (*TARS, ".zip")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}
_LARGEST_LABEL = 1 << 20  # bytes
_BLOCK = 512


@dataclass
class Splits(listing.Splits):
    """Images of tars by split and class.

    Attributes:
        labelled: Whether members hold the labels; else folders inside the tars are the classes.
    """

    labelled: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        if not self.labelled:
            return super().class_names
        return labels.number(self.classes, len(self.classes), "image").names

    def labels(self) -> np.ndarray | None:
        if not self.labelled:
            return super().labels()
        found = labels.number(self.classes, len(self.classes), "image")
        return found.y.numpy() if len(found.names) > 1 else None


@dataclass
class _Named(listing.Listing):
    """Members under names that say split and class."""

    given: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return self.given


def is_tar(path: Path) -> bool:
    """Whether a path is named as a tar file."""
    return path.name.lower().endswith(TARS) and path.is_file()


def listed(path: Path, skip: Callable[[str], None] | None = None) -> Splits:
    """The images of a tar, or of every tar in a folder and its sub-folders.

    Splits are named by folders (``train``, ``val``, ``test``), around the tars or inside them, or by a word in the
    name of a tar (``train-0000.tar``). Labels are those of members .cls, of a field of members .json, or of members
    .txt, the first of these that there is; without them, folders inside the tars are the classes.

    Args:
        path: A tar file or a folder.
        skip: Called with a reason for each folder that cannot be read; None raises.

    Raises:
        InputError: A tar is damaged, compressed or holds another one; a name occurs twice; an image has no label
            where others have one, or a label has no image.
    """
    found = listing.walk(path, TARS, skip=skip) if path.is_dir() else listing.Listing(path.parent, [path])
    read = _Read()
    for tar in found.files:
        read.add(tar)
    if not read.images:
        got = ", ".join(f"{n} {suffix}" for suffix, n in read.others.most_common(5)) or "no members"
        raise InputError(f"{path}: expected images ({', '.join(SUFFIXES[:3])} ...) in it, got {got}: unpack other data")
    classes, notes = read.labels()
    notes += read.repeated()
    said = {tar: _split_in_name(tar) for tar in found.files}
    names = []
    for member in read.images:
        folders = _folders(member, found.base, said[member.tar], classes is not None)
        names.append("/".join([*folders, f"{member.tar.name}:{PurePosixPath(member.name).name}"]))
    named = _Named(path, list(read.images), found.others + read.others, found.runs, names)
    splits = listing.split_and_class(named)
    if classes is None:
        splits.notes += notes
        return Splits(**vars(splits))
    of = dict(zip(read.images, classes))  # images outside of the splits were left out
    splits.classes = [of[member] for member in splits.files]
    unlabelled = labels.number(splits.classes, len(splits.classes), "image").notes
    splits.notes += [*notes, *unlabelled]
    return Splits(**vars(splits), labelled=True)


def _split_in_name(tar: Path) -> str:
    """The split that a word in the name of a tar says; empty where none does."""
    said = sorted({listing.split_of(word) for word in re.split(r"[\W_]+", tar.stem)} - {""})
    if len(said) > 1:
        raise InputError(f"{tar}: expected one split in the name of a tar, got {' and '.join(said)}: rename it")
    return said[0] if said else ""


def _folders(member: Member, base: Path, said: str, labelled: bool) -> list[str]:
    """The folders that say split and class of a member: those around the tar, then those inside it.

    Args:
        member: An image.
        base: The folder that the tars lie in.
        said: The split that the name of the tar says.
        labelled: Whether members hold the labels: then folders say splits alone.
    """
    inside = [part for part in PurePosixPath(member.name).parts[:-1] if part != "/"]
    folders = [*member.tar.relative_to(base).parts[:-1], *inside]
    if labelled:
        folders = [folder for folder in folders if listing.split_of(folder)]
    return [said, *(folder for folder in folders if listing.split_of(folder) != said)] if said else folders


class _Read:
    """What tars hold: images, and the members that may hold their labels."""

    def __init__(self) -> None:
        self.images: list[Member] = []
        self.beside: dict[str, dict[tuple[Path, str], Member]] = {suffix: {} for suffix in LABELS}
        self.others: Counter[str] = Counter()

    def add(self, tar: Path) -> None:
        """Note the members of a tar."""
        seen = set()
        for member in members(tar):
            path = PurePosixPath(member.name)
            low = path.name.lower()
            if low.startswith(".") or "__macosx" in member.name.lower().split("/"):
                continue
            if member.name in seen:
                raise InputError(f"{member}: expected each name once in a tar, got it twice: write the tar again")
            seen.add(member.name)
            if low.endswith(_ARCHIVES):
                raise InputError(f"{member}: expected images, got an archive inside a tar: unpack the outer one")
            suffix = path.suffix.lower()
            if suffix in SUFFIXES:
                self.images.append(member)
            elif suffix[1:] in LABELS:
                self.beside[suffix[1:]][key_of(member)] = member
            else:
                self.others[suffix or "no suffix"] += 1

    def labels(self) -> tuple[list[str] | None, list[str]]:
        """The label of each image as text, or None if there are none; and what was left out, one phrase each."""
        notes = []
        for suffix, files in self.beside.items():
            read = {key: _label(member, suffix) for key, member in files.items()}
            given = {key: label for key, label in read.items() if label is not None}
            if suffix == "txt" and not _name_classes(list(given.values())):
                notes += [f"{len(given)} captions left out (.txt)"] if given else []
            elif given:
                said = f"classes from members .{suffix}"
                if len(names := set(given.values())) == 1:
                    said = f"no classes, for all members .{suffix} say {names.pop()}"
                return self._matched(given, files, suffix), [*notes, said]
            elif files:
                notes.append(f"{len(files)} members .{suffix} without a label left out")
        return None, notes

    def repeated(self) -> list[str]:
        """That names occur in several tars, one phrase: numbered anew in each, or the same images twice."""
        counts = Counter(member.name for member in self.images)
        often = [name for name, n in counts.items() if n > 1]
        first = [member.tar.name for member in self.images if often and member.name == often[0]]
        return [f"{len(often)} names in several tars ({often[0]} in {', '.join(first[:3])})"] if often else []

    def _matched(self, given: dict, files: dict[tuple[Path, str], Member], suffix: str) -> list[str]:
        """The label of each image, each used once.

        Raises:
            InputError: An image has none, a label has no image, or two images share a key.
        """
        first: dict[tuple[Path, str], Member] = {}
        for member in self.images:
            key = key_of(member)
            if key not in given:
                stem = member.name.rpartition("/")[2].partition(".")[0]
                where = f"{stem}.{suffix}" if key not in files else f"a field {', '.join(FIELDS)} in {stem}.{suffix}"
                do = "add it, or remove the image"
                if elsewhere := [tar for tar, name in given if name == key[1]]:
                    do = f"{elsewhere[0]} holds one of this name, put both into one tar"
                raise InputError(f"{member}: expected a label, {where}, as other images have: {do}")
            if key in first:
                other = first[key].name
                raise InputError(
                    f"{member}: expected one image for a label, got {other} under the same key: rename one"
                )
            first[key] = member
        for key in given:
            if key not in first:
                raise InputError(f"{files[key]}: expected an image of the same key, got a label alone: remove it")
        return [given[key_of(member)] for member in self.images]


def key_of(member: Member) -> tuple[Path, str]:
    """What an image and its label share: the tar, and the name up to the first dot."""
    folder, slash, name = member.name.rpartition("/")
    return member.tar, folder + slash + name.partition(".")[0]


def _label(member: Member, suffix: str) -> str | None:
    """The label in a member; None if it is a .json without one.

    Raises:
        InputError: It cannot be read, or is empty.
    """
    if member.size > _LARGEST_LABEL:
        raise InputError(f"{member}: expected a label, got {member.size} bytes: remove it")
    try:
        text = member.read().decode().strip()
        if suffix == "json":
            contents = json.loads(text)
            found = [contents[name] for name in FIELDS if name in contents] if isinstance(contents, dict) else []
            if not found:
                return None
            if not isinstance(found[0], str | int | None):
                raise ValueError(f"{found[0]!r} in the place of a label"[:80])
            text = "" if found[0] is None else str(found[0]).strip()
            return text or "unlabelled"
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{member}: expected a label as text (UTF-8), got one that cannot be read ({reason})"
        ) from None
    if not text:
        raise InputError(f"{member}: expected a label, got an empty file: write -1 for an unlabelled image")
    return text


def _name_classes(texts: list[str]) -> bool:
    """Whether texts name classes; captions hardly ever occur twice."""
    try:
        labels.number(texts, len(texts), "image")
    except InputError:
        return False
    return bool(texts)


def members(tar: Path) -> Iterator[Member]:
    """The files in a tar, in their order.

    Raises:
        InputError: It is compressed, cut off, damaged, several tars in a row, or holds links or sparse files.
    """
    with tar.open("rb") as file:
        magic = file.read(4)
    kind = next((kind for begin, kind in _COMPRESSED.items() if magic.startswith(begin)), "")
    if kind:
        raise InputError(f"{tar}: expected an uncompressed tar, whose members are read in place, got {kind}: unpack it")
    try:
        with tarfile.open(tar, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    what = "a link" if member.islnk() or member.issym() else "a sparse file or a device"
                    raise InputError(
                        f"{tar}/{member.name}: expected a file, got {what}: write the files themselves (tar -h)"
                    )
                yield Member(tar, member.name, member.offset_data, member.size)
            end = archive.offset
        _require_end(tar, end)
    except InputError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{tar}: expected a whole tar, got one that cannot be read ({reason}): copy it again"
        ) from None


def _require_end(tar: Path, end: int) -> None:
    """Raise an InputError unless zeros alone follow the last member, at least one block of them."""
    with tar.open("rb") as file:
        file.seek(end)
        rest = file.read(_BLOCK)
        if len(rest) < _BLOCK:
            raise InputError(f"{tar}: expected a whole tar, got one without its closing block: copy or write it again")
        while rest:
            if rest.strip(b"\0"):
                raise InputError(
                    f"{tar}: expected one whole tar, got more data after byte {end}: if it is several tars in a row, "
                    "give them as files of a folder; else it is damaged"
                )
            rest = file.read(1 << 20)
