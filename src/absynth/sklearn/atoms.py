"""Numeric columns of few values, such as counts and settings: a density gives each value a probability of its own.

A Gaussian that narrows on one value raises a likelihood without limit. So each value is a category, and a number near
it has the density of a Gaussian of fixed width, the narrowest that a component of the mixture may have too; whatever is
near none of the values is one further category, of a wide Gaussian. Both are normalized, whatever a network makes of
the categories.
"""

from __future__ import annotations

import numpy as np

from absynth.sklearn.columns import Rows

WIDTH = 1e-3  # standard deviations of the column: √ of what GaussianMixture adds to each variance
REACH = 6 * WIDTH
MOST = 32  # values of a column
REPEATS = 10  # rows a value, in the mean
COVERED = 0.9  # share of the rows whose value occurs twice or more

Atoms = list[list[float] | None]
"""For each column its values, or None for categories and for numbers that are not of few values."""


def find_atoms(rows: Rows, weights: np.ndarray, categories: list[list | None]) -> Atoms:
    """The values of each numeric column that has few of them and repeats them."""
    found: Atoms = []
    for column, names in zip(rows.T, categories, strict=True):
        known = ~np.isnan(column)
        values, at = np.unique(column[known], return_inverse=True)
        counts, total = np.bincount(at, weights[known], len(values)), weights[known].sum()
        repeated = counts >= 2
        few = len(values) <= min(MOST, total / REPEATS) and counts[repeated].sum() >= COVERED * total
        found.append(values[repeated].tolist() if names is None and few else None)
    return found


def encode_atoms(rows: Rows, atoms: Atoms, std: np.ndarray) -> Rows:
    """Rows with the position of the nearest value, the number of values if none is near, and NaN where missing."""
    out = rows.copy()
    for j, values in enumerate(atoms):
        if values is not None:
            nearest, off = _nearest(rows[:, j], values)
            out[:, j] = np.where(off <= REACH * std[j], nearest, len(values))
            out[np.isnan(rows[:, j]), j] = np.nan
    return out


def log_density_within(rows: Rows, codes: Rows, atoms: Atoms, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """log density of the numbers in columns of few values given their codes, ``[n]``; 0 for what is missing."""
    out = np.zeros(len(rows))
    for j, values in enumerate(atoms):
        if values is not None:
            off = _nearest(rows[:, j], values)[1]
            near = codes[:, j] < len(values)
            scale = np.where(near, WIDTH, 1.0) * std[j]
            z = np.where(near, off, rows[:, j] - mean[j]) / scale
            out += np.nan_to_num(-0.5 * z * z - np.log(scale) - 0.5 * np.log(2 * np.pi), nan=0.0)
    return out


def decode_atoms(codes: Rows, atoms: Atoms, mean: np.ndarray, std: np.ndarray, rng: np.random.Generator) -> Rows:
    """Numbers drawn given their codes: at a value exactly, or from the wide Gaussian."""
    out = codes.copy()
    for j, values in enumerate(atoms):
        if values is not None:
            near = codes[:, j] < len(values)
            wide = rng.normal(mean[j], std[j], len(codes))
            out[:, j] = np.where(near, np.append(values, 0.0)[codes[:, j].astype(int)], wide)
    return out


def _nearest(column: np.ndarray, values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """(position of the nearest value, distance to it) of each number."""
    line = np.array(values)
    right = np.searchsorted(line, column).clip(1, len(line) - 1) if len(line) > 1 else np.zeros(len(column), int)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(column - line[left]) <= np.abs(column - line[right]), left, right)
    return nearest, np.abs(column - line[nearest])
