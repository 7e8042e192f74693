"""Posteriors with known means and standard deviations, for torch and for JAX alike.

Three are of posteriordb (Magnusson et al. 2024), restated from their models on unconstrained coordinates; their data
and the moments of its 10,000 published reference draws are in ``posteriordb.json``. Gaussians have their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "posteriordb.json").read_text())


@dataclass(frozen=True)
class Posterior:
    """A log density ``q [..., d] -> [...]`` written with ``xp``, which is torch or jax.numpy.

    Args:
        name: what tables call it.
        dim: d.
        density: ``(xp, data, q)``, up to a constant.
        data: NumPy arrays that the density reads.
        constrain: ``(xp, q)``, to the quantities whose moments are known.
        mean: their means.
        sd: their standard deviations.
        se: standard errors of these means; 0 where they are exact.
    """

    name: str
    dim: int
    density: Callable[[Any, dict[str, Any], Any], Any]
    data: dict[str, np.ndarray]
    constrain: Callable[[Any, Any], Any]
    mean: np.ndarray
    sd: np.ndarray
    se: np.ndarray

    def in_torch(self, dtype: torch.dtype = torch.float64) -> Callable[[Tensor], Tensor]:
        """The log density ``[b, d] -> [b]``."""
        data = {name: torch.as_tensor(a).to(dtype) for name, a in self.data.items()}
        return lambda q: self.density(torch, data, q)

    def in_jax(self, jnp: ModuleType) -> Callable[[Any], Any]:
        """The log density of one chain, ``[d] -> []``."""
        data = {name: jnp.asarray(a) for name, a in self.data.items()}
        return lambda q: self.density(jnp, data, q)


def _normal(xp: Any, x: Any, mean: Any, sd: Any) -> Any:
    return -0.5 * ((x - mean) / sd) ** 2 - (math.log(sd) if isinstance(sd, float) else xp.log(sd))


def _eight_schools(xp: Any, data: dict[str, Any], q: Any) -> Any:
    """y_j ~ N(θ_j, σ_j), θ_j = μ + τ e_j, e_j ~ N(0, 1), μ ~ N(0, 5), τ ~ Cauchy⁺(0, 5); q = (e, μ, log τ)."""
    e, mu, log_tau = q[..., :8], q[..., 8:9], q[..., 9:]
    tau = xp.exp(log_tau)
    likelihood = _normal(xp, data["y"], mu + tau * e, data["sigma"]) + _normal(xp, e, 0.0, 1.0)
    prior = _normal(xp, mu, 0.0, 5.0) - xp.log1p((tau / 5) ** 2) + log_tau
    return likelihood.sum(-1) + prior[..., 0]


def _schools(xp: Any, q: Any) -> Any:
    mu, tau = q[..., 8:9], xp.exp(q[..., 9:])
    return xp.concatenate([mu + tau * q[..., :8], mu, tau], -1)


def _autoregression(xp: Any, data: dict[str, Any], q: Any) -> Any:
    """y_t ~ N(α + Σ_k β_k y_{t−k}, σ), α, β ~ N(0, 10), σ ~ Cauchy⁺(0, 2.5); q = (α, β, log σ)."""
    a, b, log_sigma = q[..., :1], q[..., 1:6], q[..., 6:]
    sigma = xp.exp(log_sigma)
    fit = _normal(xp, data["y"], a + b @ data["lags"], sigma).sum(-1)
    prior = _normal(xp, q[..., :6], 0.0, 10.0).sum(-1) + (log_sigma - xp.log1p((sigma / 2.5) ** 2))[..., 0]
    return fit + prior


def _process(xp: Any, data: dict[str, Any], q: Any) -> Any:
    """y ~ N(0, K + σI), K_ij = α² exp(−(x_i − x_j)² / 2ρ²), ρ ~ Gamma(25, 4), α ~ N⁺(0, 2), σ ~ N⁺(0, 1); q = logs."""
    rho, alpha, sigma = (xp.exp(q[..., i])[..., None, None] for i in range(3))
    kernel = alpha**2 * xp.exp(-0.5 * data["gap"] ** 2 / rho**2) + sigma * data["eye"]
    if xp is torch:
        factor, failed = torch.linalg.cholesky_ex(kernel)
        factor = torch.where(failed.bool()[..., None, None], math.nan, factor)
    else:
        factor = xp.linalg.cholesky(kernel)
    half = xp.linalg.solve(factor, data["y"][:, None] + 0 * kernel[..., :1])[..., 0]
    fit = -0.5 * (half**2).sum(-1) - xp.log(xp.diagonal(factor, 0, -2, -1)).sum(-1)
    prior = 24 * xp.log(rho) - 4 * rho - 0.5 * (alpha / 2) ** 2 - 0.5 * sigma**2
    return fit + prior[..., 0, 0] + q.sum(-1)


def _quadratic(xp: Any, data: dict[str, Any], q: Any) -> Any:
    return -0.5 * ((q @ data["precision"]) * q).sum(-1)


def _published(name: str) -> dict[str, np.ndarray]:
    found = PUBLISHED[name]
    return {"mean": np.array(found["mean"]), "sd": np.array(found["sd"]), "se": np.array(found["se_mean"])}


def gaussian(dim: int, condition: float = 1e4, seed: int = 0) -> Posterior:
    """N(0, Σ) in a random basis, eigenvalues from 1 down to 1 / condition, evenly in their logarithms."""
    basis = np.linalg.qr(np.random.default_rng([seed, dim]).standard_normal((dim, dim)))[0]
    values = np.logspace(0, -math.log10(condition), dim)
    precision = basis / values @ basis.T
    sd = np.sqrt((basis * values @ basis.T).diagonal())
    data = {"precision": 0.5 * (precision + precision.T)}
    return Posterior(f"Gaussian, d = {dim}", dim, _quadratic, data, lambda xp, q: q, np.zeros(dim), sd, np.zeros(dim))


def posteriors() -> list[Posterior]:
    """All seven."""
    schools, series, process = (PUBLISHED[name]["data"] for name in ("eight_schools", "ark", "gp"))
    y, x = np.array(series["y"]), np.array(process["x"])
    lags = np.stack([y[5 - k : len(y) - k] for k in range(1, 6)])
    return [
        Posterior(
            "eight schools", 10, _eight_schools, {k: np.array(v) for k, v in schools.items()}, _schools,
            **_published("eight_schools"),
        ),
        Posterior(
            "AR(5)", 7, _autoregression, {"y": y[5:], "lags": lags},
            lambda xp, q: xp.concatenate([q[..., :6], xp.exp(q[..., 6:])], -1), **_published("ark"),
        ),
        Posterior(
            "Gaussian process", 3, _process,
            {"gap": x[:, None] - x, "y": np.array(process["y"]), "eye": np.eye(len(x))},
            lambda xp, q: xp.exp(q), **_published("gp"),
        ),
        *(gaussian(dim) for dim in (10, 30, 60, 100)),
    ]  # fmt: skip
