"""What a density of mixed tables is compared with: a Gaussian copula, and TabEBM's energies of a classifier."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp, ndtr, ndtri
from torch import nn

from absynth.networks.mlp import mlp
from absynth.sklearn.atoms import WIDTH, find_atoms

CLIP = 1e-6
"""Least distance of a distribution function from 0 and 1, so that its normal score is finite."""
ROOT = np.sqrt(2 * np.pi)
ROUNDS = 40
"""Rounds in which correlations are learned; the later half is averaged."""


class Copula:
    """A Gaussian copula: each column's own law, and the correlations of their normal scores.

    A column of few values has a probability for each, spread as :mod:`absynth.sklearn.atoms` spreads it; its scores lie
    anywhere in their value's step, and are drawn there given the other columns while correlations are learned (Hoff,
    Annals of Applied Statistics 2007). Another column has a kernel density estimate of Silverman's width.

    Args:
        rows: Training rows ``[n, p]``.
        seed: Seed of the draws within steps.
    """

    def __init__(self, rows: np.ndarray, seed: int) -> None:
        self.rows, self.std = rows, rows.std(0)
        self.atoms = find_atoms(rows, np.ones(len(rows)), [None] * rows.shape[1])
        self.width = 1.06 * self.std * len(rows) ** -0.2
        rng = np.random.default_rng(seed)
        low, high, _ = self._columns(rows)
        z, found = _scores(low, high, rng), []
        for _ in range(ROUNDS):
            found.append(np.corrcoef(z.T) + 1e-6 * np.eye(z.shape[1]))
            precision = np.linalg.inv(found[-1])
            for j in (j for j, values in enumerate(self.atoms) if values is not None):
                std = precision[j, j] ** -0.5
                mean = z[:, j] - z @ precision[j] * std**2
                ends = (ndtr((ndtri(level[:, j].clip(CLIP, 1 - CLIP)) - mean) / std) for level in (low, high))
                z[:, j] = mean + std * _scores(*ends, rng)
        self.cov = np.mean(found[ROUNDS // 2 :], 0)

    def _columns(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(lower and upper levels, log densities of the columns' own laws), each ``[n, p]``."""
        parts = [self._column(j, x[:, j]) for j in range(x.shape[1])]
        low, high, density = (np.stack(part, 1) for part in zip(*parts))
        return low, high, density

    def _column(self, j: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, rare = self.atoms[j], 1 / (len(self.rows) + 1)
        z = (x - self.rows[:, j].mean()) / self.std[j]
        wide = np.log(rare) - 0.5 * z * z - np.log(self.std[j] * ROOT)  # for what training rows did not hold
        if values is None:
            z = (x[:, None] - self.rows[:, j]) / self.width[j]
            level, density = ndtr(z).mean(1), logsumexp(-0.5 * z * z, 1) - np.log(len(self.rows) * self.width[j] * ROOT)
            return level, level, np.logaddexp(np.log1p(-rare) + density, wide)
        line = np.array(values)
        nearest = np.abs(x[:, None] - line).argmin(1)
        share = np.bincount(np.abs(self.rows[:, j, None] - line).argmin(1), minlength=len(line)) / len(self.rows)
        high = share.cumsum()[nearest]
        off = (x - line[nearest]) / (WIDTH * self.std[j])
        density = np.log(share[nearest]) - 0.5 * off * off - np.log(WIDTH * self.std[j] * ROOT)
        return high - share[nearest], high, np.logaddexp(np.log1p(-rare) + density, wide)

    def log_density(self, rows: np.ndarray, draws: int = 100) -> np.ndarray:
        """Log density of each row, normalized: the copula's density is averaged over the steps of values."""
        low, high, own = self._columns(rows)
        rng, excess = np.random.default_rng(0), np.linalg.inv(self.cov) - np.eye(len(self.cov))
        each = []
        for _ in range(draws if (high > low).any() else 1):
            z = _scores(low, high, rng)
            each.append(-0.5 * (z @ excess * z).sum(1))
        joint = logsumexp(each, 0) - np.log(len(each)) - 0.5 * np.linalg.slogdet(self.cov)[1]
        return joint + own.sum(1)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n rows: the columns' quantiles of correlated normal scores."""
        rng = np.random.default_rng(seed)
        level = ndtr(rng.multivariate_normal(np.zeros(len(self.cov)), self.cov, n))
        out = np.empty_like(level)
        for j, values in enumerate(self.atoms):
            column = np.sort(self.rows[:, j])
            at = (level[:, j] * len(column)).astype(int).clip(0, len(column) - 1)
            out[:, j] = column[at] + (0 if values is not None else self.width[j] * rng.normal(size=n))
        return out


def _scores(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores of levels drawn evenly between two ends."""
    return ndtri((low + (high - low) * rng.uniform(size=low.shape)).clip(CLIP, 1 - CLIP))


def classifier_energy_samples(
    rows: np.ndarray, n: int, seed: int, *, steps: int = 200, step_size: float = 0.01
) -> np.ndarray:
    """n rows in the manner of TabEBM (Margeloiu et al., NeurIPS 2024), with a small network as the classifier.

    A network of two hidden layers of 64 tells the rows from points at the corners of a cube of half side 5 (in standard
    deviations). Langevin steps of its log-sum-exp energy start at rows: steps of .01, a tenth of theirs, which lead
    away from the rows here, with noise of .01. Columns of few values are rounded to the nearest of them.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, std = rows.mean(0), rows.std(0)
    x = torch.tensor((rows - mean) / std, dtype=torch.float32)
    corners = 5.0 * (2.0 * torch.randint(0, 2, x.shape) - 1)
    net: nn.Module = mlp([x.shape[1], 64, 64, 2], "silu")
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    both, label = torch.cat([x, corners]), torch.arange(2).repeat_interleave(len(x))
    for _ in range(steps):
        pick = torch.randint(len(both), (256,))
        loss = nn.functional.cross_entropy(net(both[pick]), label[pick])
        adam.zero_grad()
        loss.backward()
        adam.step()
    y = x[torch.from_numpy(rng.integers(len(x), size=n))] + 0.01 * torch.randn(n, x.shape[1])
    for _ in range(steps):
        y.requires_grad_(True)
        (gradient,) = torch.autograd.grad(net(y).logsumexp(1).sum(), y)  # minus the energy
        y = (y + step_size * gradient + 0.01 * torch.randn_like(y)).detach()
    out = y.numpy() * std + mean
    for j, values in enumerate(find_atoms(rows, np.ones(len(rows)), [None] * rows.shape[1])):
        if values is not None:
            line = np.array(values)
            out[:, j] = line[np.abs(out[:, j, None] - line).argmin(1)]
    return out
