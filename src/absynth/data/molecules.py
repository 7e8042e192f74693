"""Molecules as SMILES, one per line: ZINC, MOSES and your own file. ``reader(root, split) -> Text``.

A token is an atom as it is written: a letter, ``Cl`` or ``Br``, or all that stands between brackets; every bond, branch
and ring number is one too. With ``characters`` only the two-letter atoms are kept whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from absynth.data.lines import read_lines
from absynth.data.smiles import read_smiles
from absynth.data.text import HELD_OUT, Part, Text
from absynth.errors import InputError

ATOMS = r"\[[^\]]+\]|Cl|Br|(?s:.)"
"""Pattern of tokens: bracketed atoms whole."""
CHARACTERS = r"Cl|Br|(?s:.)"
"""Pattern of tokens: characters, but for the two atoms of two letters."""
Tokens = Literal["atoms", "characters"]
PATTERNS: dict[Tokens, str] = {"atoms": ATOMS, "characters": CHARACTERS}


def zinc(root: Path, split: Part) -> Text:
    """ZINC250k in the split of Jin et al. 2018, as much of it as is there.

    The whole training file if it is there; else its first 10,000 molecules *and* the 24,445 of the validation file, to
    have something to learn from. ``valid`` and ``test`` are the test file's 5,000.
    """
    folder = next((f for f in (root / "zinc", root) if any(f.glob("zinc250k_jtnn_*.smi*"))), None)
    if folder is None:
        raise InputError(f"zinc not found: expected zinc250k_jtnn_*.smi (or .gz) in {root / 'zinc'} or {root}")
    if split != "train":
        return Text(_read(_either(folder / "zinc250k_jtnn_test.smi")), None, "zinc test")
    whole = folder / "zinc250k_jtnn_train.smi"
    if _either(whole).exists():
        return Text(_read(_either(whole)), None, "zinc train")
    parts = [_read(_either(folder / f"zinc250k_jtnn_{name}.smi")) for name in ("train_first10k", "valid")]
    return Text([*parts[0], *parts[1]], None, "zinc, 10k of train and the validation file")


def moses(root: Path, split: Part) -> Text:
    """MOSES (Polykovskiy et al. 2020): 1.58 million lead-like molecules; ``valid`` and ``test`` are its test file."""
    folder = next((f for f in (root / "moses", root) if any(f.glob("t*.csv*"))), None)
    if folder is None:
        raise InputError(f"moses not found: expected train.csv and test.csv (or .gz) in {root / 'moses'} or {root}")
    name = "train" if split == "train" else "test"
    path = _either(folder / f"{name}.csv")
    header, *lines = read_lines(path, "SMILES as text")
    if header.split(",")[0] != "SMILES":
        raise InputError(f"{path}, line 1: expected SMILES as the first column, got {header[:40]!r}: use MOSES' files")
    return Text([line.split(",", 1)[0] for line in lines], None, f"moses {name}")  # all are SMILES: none is checked


def smiles_file(path: Path | str, split: Part, *, column: str = "", skip_broken: bool = False) -> Text:
    """Molecules of your own, one per line (:func:`absynth.data.smiles.read_smiles`); every tenth is held out.

    Raises:
        InputError: There is no such file, too many lines are no SMILES, or there are fewer than ten molecules.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected a file of SMILES, one per line, found none at {path}: give --data FILE")
    found, notes = read_smiles(path, column=column, skip_broken=skip_broken)
    if len(found) < HELD_OUT:
        raise InputError(f"{path}: expected at least {HELD_OUT} molecules, got {len(found)}: give more")
    chosen = [s for i, s in enumerate(found, 1) if (i % HELD_OUT == 0) == (split != "train")]
    return Text(chosen, None, path.name, notes)


def _read(path: Path) -> list[str]:
    return read_smiles(path)[0]


def _either(path: Path) -> Path:
    """The file, plain or gzipped."""
    return path if path.exists() else path.with_name(path.name + ".gz")
