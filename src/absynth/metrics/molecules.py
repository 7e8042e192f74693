"""How good generated molecules are: valid, unique, new, and distributed like real ones. Needs rdkit.

Validity is rdkit's verdict on the text as it was generated: nothing is repaired, and no text is drawn again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
    return quality_among(generated, canonical_forms(training))


def canonical_forms(smiles: Iterable[str]) -> frozenset[str]:
    """The different valid molecules, in canonical form; seconds for 50,000 of them."""
    return frozenset(form for form in map(canonical, smiles) if form)


def quality_among(generated: Sequence[str], known: Collection[str]) -> Quality:
    """The same as :func:`quality`, with training molecules in canonical form (:func:`canonical_forms`)."""
    if not generated:
        raise InputError("expected generated molecules, got none")
    found = [form for form in map(canonical, generated) if form]
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


def nearest_similarity(generated: Sequence[str], reference: Sequence[str]) -> float:
    """Mean Tanimoto similarity of each valid molecule to the nearest reference molecule (SNN of MOSES), in [0, 1].

    Morgan fingerprints of radius 2 and 1,024 bits.

    >>> nearest_similarity(["OCC", "C("], ["CCO", "CCCCC"])
    1.0
    """
    rdkit()
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    made, known = ([generator.GetFingerprint(m) for m in _read(part)] for part in (generated, reference))
    return float(np.mean([max(DataStructs.BulkTanimotoSimilarity(one, known)) for one in made]))


def fragments(smiles: Iterable[str]) -> Counter[str]:
    """How often each BRICS fragment occurs in the valid molecules (Frag of MOSES compares these counts)."""
    rdkit()
    from rdkit.Chem import BRICS

    found: Counter[str] = Counter()
    for molecule in _read(smiles):
        found.update(rdkit().MolToSmiles(BRICS.BreakBRICSBonds(molecule)).split("."))
    return found


def scaffolds(smiles: Iterable[str]) -> Counter[str]:
    """How often each Bemis-Murcko scaffold of two rings or more occurs in the valid molecules (Scaf of MOSES)."""
    rdkit()
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found: Counter[str] = Counter()
    for molecule in _read(smiles):
        scaffold = MurckoScaffold.GetScaffoldForMol(molecule)
        if scaffold.GetRingInfo().NumRings() > 1:
            found[rdkit().MolToSmiles(scaffold)] += 1
    return found


def cosine(a: Counter[str], b: Counter[str]) -> float:
    """Cosine of two vectors of counts, in [0, 1]; 0 where one is empty.

    >>> round(cosine(Counter("aab"), Counter("aab")), 6), cosine(Counter("a"), Counter("b"))
    (1.0, 0.0)
    """
    norms = [math.sqrt(sum(v * v for v in x.values())) for x in (a, b)]
    return sum(v * b[key] for key, v in a.items()) / math.prod(norms) if all(norms) else 0.0


def chemnet_features(smiles: Iterable[str]) -> Tensor:
    """ChemNet's activations ``[n, 512]`` of the valid molecules, whose Fréchet distance is FCD. Needs fcd.

    Raises:
        InputError: The package, which brings ChemNet's weights, is not installed.

    Reference: Preuer et al., J. Chem. Inf. Model. 2018.
    """
    try:
        import fcd
    except ImportError:
        raise InputError("the Fréchet ChemNet distance needs the fcd package: pip install fcd") from None
    forms = [form for form in map(canonical, smiles) if form]
    return torch.from_numpy(fcd.get_predictions(fcd.load_ref_model(), forms, n_jobs=0, device="cpu"))


def _read(smiles: Iterable[str]) -> list[Any]:
    """The valid molecules; an InputError if there are none."""
    found = [m for m in map(parsed, smiles) if m is not None]
    if not found:
        raise InputError("expected valid molecules, got none")
    return found


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
