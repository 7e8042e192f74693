"""The files of a folder: which split and which class each belongs to, and what is left out."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from absynth.errors import InputError

SPLITS = {
    "train": "train", "training": "train", "trn": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "validate": "validation", "dev": "validation", "development": "validation",
    "test": "test", "testing": "test", "tst": "test", "eval": "test", "evaluation": "test", "holdout": "test",
    "heldout": "test",
}  # fmt: skip
"""Names of sub-folders that are splits, in lower case, without the words around them (:func:`split_of`)."""

_AROUND = frozenset({"set", "split", "data", "images", "imgs", "img", "folder", "part"})
"""Words that stand beside the name of a split: ``train_set``, ``images_val``."""

_SYSTEM = frozenset({
    "__macosx", "@eadir", "$recycle.bin", "#recycle", "lost+found", "system volume information", "__pycache__",
})  # fmt: skip
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_UNLABELLED = frozenset({"unlabelled", "unlabeled"})


def split_of(folder: str) -> str:
    """The split that the name of a folder says; empty where it says none.

    >>> [split_of(name) for name in ("Train", "test_set", "val2017", "images-valid", "hold-out", "trainers")]
    ['train', 'test', 'validation', 'validation', 'test', '']
    """
    words = [word for word in re.split(r"[\W_]+", folder.strip().lower()) if word and word not in _AROUND]
    bare = re.sub(r"\d+$", "", "".join(words)) or "".join(words)
    return SPLITS.get(bare, "")


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        base: The folder that names begin at.
        files: Its files, in the order of their names.
        others: How many files of each other suffix were left out.
        runs: Run directories in it, which are left out.
    """

    base: Path
    files: list = field(default_factory=list)  # of paths, or of members of tars
    others: Counter[str] = field(default_factory=Counter)
    runs: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """The name of each file from :attr:`base` on."""
        return [file.relative_to(self.base).as_posix() for file in self.files]

    def notes(self) -> list[str]:
        """What was left out, one phrase each."""
        found = []
        if self.others:
            kinds = ", ".join(f"{suffix} {n}" for suffix, n in self.others.most_common(5))
            found.append(f"{sum(self.others.values())} files of other kinds left out ({kinds})")
        if self.runs:
            found.append(f"a run inside the data left out ({', '.join(self.runs[:3])})")
        return found


def walk(path: Path, suffixes: Sequence[str], *, skip: Callable[[str], None] | None = None) -> Listing:
    """The files with these suffixes in a folder and its sub-folders.

    Links are followed, loops aside. Hidden and system files and folders are left out, and so is a run directory.

    Args:
        path: The folder.
        suffixes: In lower case, with the dot.
        skip: Called with a reason for each folder that cannot be read; None raises.

    Raises:
        InputError: A folder cannot be read.
    """
    found = Listing(path)
    _walk(path, path, tuple(suffixes), found, (), skip)
    found.files.sort(key=lambda file: file.relative_to(path).as_posix())
    return found


def _walk(
    path: Path, base: Path, suffixes: tuple[str, ...], found: Listing, above: tuple, skip: Callable | None
) -> None:
    try:
        status = path.stat()
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        reason = f"{path}: expected a folder that can be read, got {error.strerror}"
        if skip is None:
            raise InputError(f"{reason}: change its permissions, or give --skip-broken") from error
        return skip(reason)
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that holds it
        return None
    for entry in entries:
        low = entry.name.lower()
        if low.startswith(".") or low in _SYSTEM or low in _SYSTEM_FILES:
            continue
        if _is_folder(entry):
            if _is_run(Path(entry.path)):
                found.runs.append(Path(entry.path).relative_to(base).as_posix())
            else:
                _walk(Path(entry.path), base, suffixes, found, (*above, here), skip)
        elif low.endswith(suffixes):
            found.files.append(Path(entry.path))
        else:
            suffix = Path(low).suffix
            suffix = f".tar{suffix}" if low.endswith(f".tar{suffix}") and suffix != ".tar" else suffix
            found.others[suffix or "no suffix"] += 1
    return None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_run(path: Path) -> bool:
    """Whether a folder is a run directory, or a task's result."""
    return any((path / name).exists() for name in ("recipe.json", "metrics.jsonl", "result.json"))


@dataclass
class Splits:
    """Files of a folder by split and class.

    Attributes:
        base: The folder that names begin at, for every file.
        files: All files, in the order of their names.
        names: Their names from ``base`` on.
        part: Split of each file: train, validation, test; empty where the folder does not say.
        classes: Class of each file; empty where it has none.
        notes: What was left out, one phrase each.
    """

    base: Path
    files: list  # of paths, or of members of tars
    names: list[str]
    part: list[str]
    classes: list[str]
    notes: list[str]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes over all splits, in the order of their names; empty where there are none."""
        return tuple(sorted({c for c in self.classes if c and c.lower() not in _UNLABELLED}))

    def labels(self) -> np.ndarray | None:
        """Number of each file's class, −1 where it has none."""
        number = {name: i for i, name in enumerate(self.class_names)}
        return np.array([number.get(c, -1) for c in self.classes]) if len(number) > 1 else None

    def rows(self, split: str) -> np.ndarray:
        """Which files a split holds; "test" is the validation split where there is no other held-out one.

        Raises:
            InputError: There is no such split.
        """
        if split == "all":
            return np.arange(len(self.files))
        if not any(self.part) and split != "validation":
            return split_by_name(self.names, split)
        if split == "test" and "test" not in self.part:
            split = "validation"
        if split == "validation" and split not in self.part:
            raise InputError(f"{self.base} has no validation split: give --validation 0.1, or a folder val in it")
        return np.flatnonzero(np.array(self.part) == split)


def split_and_class(listing: Listing) -> Splits:
    """Find the splits and classes of a listing from the names of its folders.

    Sub-folders named as :data:`SPLITS`, in any case, are splits, above the classes or below them. The folders at the
    other level are the classes, the same in every split. A single folder around everything is looked into.

    Raises:
        InputError: There is a held-out split but no training split, or a training split beside a folder whose name says
            nothing; a class is written in two ways.
    """
    base, names = listing.base, listing.names()
    notes = listing.notes()
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    while len(tops) == 1 and "" not in tops:  # a folder around everything
        base = base / tops.pop()
        names = [name.partition("/")[2] for name in names]
        tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    folders = [name.split("/")[:-1] for name in names]
    level = _split_level(folders)
    files = listing.files
    if level is None:
        _require_no_split(base, folders)
        part = [""] * len(names)
    else:
        part = [split_of(f[level]) if len(f) > level else "" for f in folders]
        if "train" not in part:
            got = ", ".join(sorted({f[level] for f in folders if len(f) > level})[:5])
            raise InputError(f"{base}: expected a folder train beside the held-out one, got {got}: rename one")
        outside = part.count("")
        if outside:
            notes.append(f"{outside} files outside of the splits left out")
            keep = [i for i, p in enumerate(part) if p]
            files, names = [files[i] for i in keep], [names[i] for i in keep]
            part, folders = [part[i] for i in keep], [folders[i] for i in keep]
        folders = [f[:level] + f[level + 1 :] for f in folders]
        while len({f[0] if f else "" for f in folders}) == 1 and min(map(len, folders)) > 1:  # train/images/cat
            folders = [f[1:] for f in folders]
    classes = [f[0] if f else "" for f in folders]
    loose = classes.count("")
    if loose and level is None:
        if loose < len(classes):
            notes.append(f"no labels, for {loose} of {len(classes)} files lie outside of the sub-folders")
        classes = [""] * len(classes)
    elif loose and len(set(classes)) > 2:
        notes.append(f"{loose} of {len(classes)} files lie in no class: unlabelled")
    notes += _classes_of_one_split(base, part, classes)
    return Splits(base, files, names, part, classes, notes)


def _require_no_split(base: Path, folders: Sequence[Sequence[str]]) -> None:
    """Refuse folders that are splits by some of their names, for their classes would be taken from those names."""
    tops = sorted({f[0] for f in folders if f})
    train = [top for top in tops if split_of(top) == "train"]
    inside = any(len(f) > 1 and f[0] in train for f in folders)
    likely = train and len(tops) > 1 and (inside or len(tops) == 2)  # among more flat folders, train is a class
    begins = {top.lower()[:4] for top in tops} & {"trai", "test", "vali"}
    if likely or ("trai" in begins and len(begins) > 1):
        raise InputError(
            f"{base}: expected folders train, val and test, or one folder per class, got {', '.join(tops[:5])}: name "
            "the held-out one val or test, move others out, or rename train if it is a class"
        )


def _classes_of_one_split(base: Path, part: Sequence[str], classes: Sequence[str]) -> list[str]:
    """A note of the classes that have no training file; an InputError if one is a training class in other letters."""
    known = {c for c, p in zip(classes, part) if p == "train"} - {""}
    rest = sorted({c for c, p in zip(classes, part) if p and p != "train" and c} - known)
    if not known or not rest:
        return []
    plain = {re.sub(r"[\W_]+", "", name.lower()): name for name in known}
    for name in rest:
        same = plain.get(re.sub(r"[\W_]+", "", name.lower()))
        if same is not None:
            raise InputError(
                f"{base}: expected the same classes in every split, got {same!r} for training and {name!r} held out: "
                "rename one"
            )
    return [f"no training files of {', '.join(rest[:5])}"]


def _split_level(folders: Sequence[Sequence[str]]) -> int | None:
    """Depth of the folders that name splits: 0 above the classes, 1 below them, None where there are no splits."""
    for level in (0, 1):
        found = Counter(split_of(f[level]) if len(f) > level else "" for f in folders)
        parts = set(found) - {""}
        below = level == 1 and found[""] > 0  # below the classes, every file must lie in a split
        if len(parts) > 1 and not below:
            return level
    return None


def split_by_name(names: Sequence[str | int], split: str) -> np.ndarray:
    """Rows of a split: a name whose hash is divisible by ten is for testing; neither split is ever empty.

    Args:
        names: A name for each example; a range where they have numbers.
        split: "train", "test" or "all".

    Raises:
        InputError: There are fewer than two names, or the split is neither "train" nor "test".
    """
    if split == "all":
        return np.arange(len(names))
    if split == "validation":
        raise InputError("the data have no validation split: give --validation 0.1 to set a share of training aside")
    if len(names) < 2:
        raise InputError(f"expected at least 2 images, one to train and one to test, got {len(names)}")
    # One number at a time: texts and integers of ten million rows would take more than a gigabyte.
    encoded = (str(name).encode("utf-8", "surrogateescape") for name in names)
    numbers = (int.from_bytes(hashlib.sha256(text).digest()[:8], "big") for text in encoded)
    hashes = np.fromiter(numbers, np.uint64, len(names))
    test = hashes % 10 == 0
    if test.all() or not test.any():  # possible among few images only
        test[:] = False
        test[hashes.argmin()] = True
    return np.flatnonzero(test if split == "test" else ~test)
