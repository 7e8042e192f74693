"""Tables that experiments share, and their protocol: shuffled by the seed, standardized by the training half."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import skew
from sklearn import datasets

from absynth.data.images import find_root
from absynth.errors import InputError

DETECTION = (
    "18_Ionosphere", "23_mammography", "28_pendigits", "29_Pima", "2_annthyroid", "31_satimage-2", "32_shuttle",
    "38_thyroid", "40_vowels", "42_WBC", "4_breastw", "6_cardio",
)  # fmt: skip
"""Tables of ADBench (Han et al., NeurIPS 2022): rows and which are outliers."""
REGRESSION = (
    "bostonHousing", "concrete", "energy", "kin8nm", "power-plant", "protein-tertiary-structure", "wine-quality-red",
    "yacht",
)  # fmt: skip
"""Tables of the UCI repository in the selection of Hernández-Lobato and Adams, ICML 2015, the target as a column."""
LARGEST = 10_000


def detection_table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and 1 for outliers of a table of :data:`DETECTION`, or of ``breast_cancer``."""
    if name == "breast_cancer":
        read = datasets.load_breast_cancer()
        return read.data, (read.target == 0).astype(int)
    arrays = np.load(_found(Path("tabular") / "adbench" / f"{name}.npz"), allow_pickle=False)
    return arrays["X"].astype(float), arrays["y"].astype(int)


def regression_table(name: str) -> np.ndarray:
    """Rows of a table of :data:`REGRESSION`, or of ``wine``."""
    if name == "wine":
        return datasets.load_wine().data
    with gzip.open(_found(Path("tabular") / "uci_regression" / f"{name}.txt.gz")) as file:
        return np.loadtxt(file)


def halves(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(training rows, test rows, 1 for outliers among the latter) of a detection table, standardized."""
    x, y = detection_table(name)
    order = np.random.default_rng(seed).permutation(len(x))[:LARGEST]
    x, y, half = x[order], y[order], len(order) // 2
    mean, std = x[:half].mean(0), x[:half].std(0)
    x = (x - mean) / np.where(std > 0, std, 1.0)
    return x[:half], x[half:], y[half:]


def single_moves(x: np.ndarray, seed: int, n: int = 300) -> np.ndarray:
    """n training rows, each with one column moved by ten standard deviations."""
    rng = np.random.default_rng(seed + 77)
    moved = x[rng.integers(len(x), size=n)].copy()
    std = x.std(0)
    column = rng.choice(np.flatnonzero(std > 0), size=n)
    moved[np.arange(n), column] += 10 * std[column] * rng.choice([-1, 1], size=n)
    return moved


def ecod(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Outlier scores by empirical tails of each column (Li et al., TKDE 2022), which ranks all rows together."""
    rows = np.vstack([train, x])

    def tail(values: np.ndarray) -> np.ndarray:
        ranked = np.sort(values)
        return -np.log(np.searchsorted(ranked, values, side="right") / len(values))

    left = np.stack([tail(c) for c in rows.T], 1)
    right = np.stack([tail(-c) for c in rows.T], 1)
    side = np.sign(np.nan_to_num(skew(rows, axis=0)))
    skewed = -left * np.sign(side - 1) + right * np.sign(side + 1)
    return np.maximum(np.maximum(left, right), skewed).sum(1)[-len(x) :]


def splits(names: tuple[str, ...], seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, training rows, a tenth as test rows) of regression tables, standardized by the training rows."""
    for name in names:
        x = regression_table(name)
        x = x[np.random.default_rng(seed).permutation(len(x))]
        test = len(x) // 10
        mean, std = x[test:].mean(0), x[test:].std(0)
        yield name, (x[test:] - mean) / std, (x[:test] - mean) / std


def _found(path: Path) -> Path:
    where = find_root("", "tabular") / path
    if not where.exists():
        raise InputError(
            f"expected the table {where}, found none: point ABSYNTH_DATA at the folder that holds tabular/"
        )
    return where
