"""How good generated molecules are: valid, unique, new, and distributed like real ones. Needs rdkit.

Validity is rdkit's verdict on the text as it was generated: nothing is repaired, and no text is drawn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from absynth.errors import InputError
from absynth.files import write_atomic

PROPERTIES = ("length", "rings", "logP", "QED")
"""Characters of the SMILES; rings (the smallest set); Crippen's logP; the quantitative estimate of drug-likeness."""


@lru_cache(maxsize=1)
def rdkit() -> Any:
    """The package's Chem module, its warnings silenced: an invalid molecule is a figure, not an event."""
    try:
        from rdkit import Chem, RDLogger
    except ImportError:
        raise InputError("molecules need the rdkit package: pip install 'absynth[molecules]'") from None
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    return Chem


def parsed(smiles: str) -> Any:
    """The molecule, or None where rdkit cannot read it; no text is no molecule."""
    return rdkit().MolFromSmiles(smiles) if smiles else None


@dataclass(frozen=True)
class Quality:
    """Counts of what was generated; each fraction states its denominator."""

    generated: int
    valid: int
    """That rdkit reads, as generated."""
    unique: int
    """Different molecules among the valid ones."""
    new: int
    """Valid ones that are not among the training molecules, with repetitions."""

    @property
    def validity(self) -> float:
        """Valid, of all generated."""
        return self.valid / self.generated

    @property
    def uniqueness(self) -> float:
        """Different, of the valid."""
        return self.unique / self.valid if self.valid else 0.0

    @property
    def novelty(self) -> float:
        """Not among the training molecules, of the valid."""
        return self.new / self.valid if self.valid else 0.0


def quality(generated: Sequence[str], training: Iterable[str]) -> Quality:
    """Validity, uniqueness and novelty. Molecules are compared in rdkit's canonical form.

    Args:
        generated: SMILES as generated, with repetitions.
        training: SMILES that were trained on.

    >>> quality(["CC", "C-C", "CCO", "C(", ""], ["OCC"])
    Quality(generated=5, valid=3, unique=2, new=2)
    """
    if not generated:
        raise InputError("expected generated molecules, got none")
    found = [form for form in map(canonical, generated) if form]
    known = {canonical(s) for s in training} if found else set()
    return Quality(len(generated), len(found), len(set(found)), sum(form not in known for form in found))


@lru_cache(maxsize=100_000)
def canonical(smiles: str) -> str | None:
    """One SMILES for every way to write a molecule; None where it is invalid."""
    molecule = parsed(smiles)
    return None if molecule is None else rdkit().MolToSmiles(molecule)


def measured(smiles: Iterable[str], name: str) -> np.ndarray:
    """One of :data:`PROPERTIES` of every valid molecule; invalid ones are left out."""
    rdkit()
    from rdkit.Chem import QED, Crippen

    if name not in PROPERTIES:
        raise InputError(f"expected a property, one of {', '.join(PROPERTIES)}, got {name!r}")
    values = []
    for text in smiles:
        molecule = parsed(text)
        if molecule is None:
            continue
        if name == "length":
            values.append(float(len(text)))
        elif name == "rings":
            values.append(float(molecule.GetRingInfo().NumRings()))
        else:
            values.append(float(Crippen.MolLogP(molecule) if name == "logP" else QED.qed(molecule)))  # type: ignore[attr-defined]
    return np.array(values)


def wasserstein1(a: np.ndarray, b: np.ndarray) -> float:
    """∫ |F_a − F_b|, the least mean distance by which one set of numbers is carried into the other.

    >>> wasserstein1(np.array([0.0, 1.0]), np.array([3.0]))
    2.5
    """
    if not len(a) or not len(b):
        raise InputError("expected two sets of numbers, got an empty one")
    at = np.sort(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(x), at[:-1], side="right") / len(x) for x in (a, b)]
    return float((np.abs(below[0] - below[1]) * np.diff(at)).sum())


def draw(smiles: Sequence[str], file: Path, *, columns: int = 6, rows: int = 5) -> int:
    """A sheet of the first valid molecules; returns how many are on it, and leaves no file where there are none.

    Args:
        smiles: valid and invalid ones.
        file: where it goes, .png.
        columns: molecules in a row.
        rows: rows of the sheet, at most.
    """
    rdkit()
    from rdkit.Chem import Draw

    found = [m for m in map(parsed, smiles) if m is not None][: columns * rows]
    if found:
        sheet = Draw.MolsToGridImage(found, molsPerRow=columns, subImgSize=(220, 180), returnPNG=True)
        write_atomic(file, sheet if isinstance(sheet, bytes) else bytes(sheet.data))
    return len(found)
