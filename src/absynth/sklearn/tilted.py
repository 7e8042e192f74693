"""A table's normalized density: a mixture of Gaussians and categories, tilted by a network.

    p(x) = exp(f(x)) p_0(x) / Z,   log Z = log E_{p_0} exp f, from independent draws of p_0
    f minimizes  E_data softplus(−f) + E_{p_0} softplus(f)          (noise contrastive estimation against p_0)

p_0 is fitted first, missing entries marginalized out; f is trained on rows filled by draws from p_0 and kept only as
far as it raises the likelihood of held-out rows. So p is at least as good as p_0 there, and conditionals are exact:
proposals from the conditionals of p_0, accepted with probability min(1, exp(f(x') − f(x))).

Reference: Gutmann and Hyvärinen, JMLR 2012; the tilt of a reference, Pang et al., NeurIPS 2020.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import softplus

from absynth.algorithms.algorithm import Algorithm
from absynth.density import EBM
from absynth.networks.ensemble import Ensemble
from absynth.seeding import stream, uniform_like
from absynth.sklearn.base import TableEstimator
from absynth.sklearn.columns import Columns
from absynth.sklearn.fitting import train
from absynth.sklearn.mixture import Mixture, fit_mixture
from absynth.types import Batch, Rng

POOL = 65_536  # draws of p_0 that training contrasts with
DRAWS = 131_072  # of p_0 at most that log Z is estimated from
PRECISION = 2e-3  # standard error of log Z below which no more are drawn
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
PATIENCE = 3  # of the choice: numbers of components tried after the best
SELECT_INCOMPLETE = 1_500  # of rows with missing entries, whose rounds cost more
SELECT = 6_000  # rows that the number of components is chosen on
HELD_OUT = 0.15


class ReferenceContrast(Algorithm):
    """Noise contrastive estimation against the reference, each member of an ensemble by itself. Player: ``ebm``.

    Args:
        ebm: f is an :class:`Ensemble`.
        pool: Draws of the reference ``[n, d]``.
        contrasts: Draws for each example.
    """

    def __init__(self, ebm: EBM, pool: Tensor, contrasts: int = 2) -> None:
        super().__init__()
        self.ebm = ebm
        self.contrasts = contrasts
        self.register_buffer("pool", pool, persistent=False)

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        n = len(batch.x)
        u = uniform_like(batch.x.new_empty(n * self.contrasts), rng)
        noise = self.pool[(u * len(self.pool)).long().clamp(max=len(self.pool) - 1)]
        f = self.ebm.f.each(torch.cat([batch.x, noise]))  # type: ignore[operator]
        return {"ebm": (softplus(-f[:, :n]).mean(1) + softplus(f[:, n:]).mean(1)).sum()}

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        x = self.ebm.reference.sample(n, rng)
        return independence(self.ebm, x, torch.zeros_like(x, dtype=torch.bool), rng=rng)


def independence(
    ebm: EBM, x: Float[Tensor, "n d"], known: Bool[Tensor, "n d"], *, steps: int = 50, rng: Rng
) -> Float[Tensor, "n d"]:
    """Chains on p(missing | known) by proposals from p_0(missing | known); with nothing known, on p itself."""
    mixture: Mixture = ebm.reference  # type: ignore[assignment]
    given = mixture.condition(x, known)
    x = mixture.draw(given, x, known, rng=rng)
    f = ebm.f(x)
    for _ in range(steps):
        proposal = mixture.draw(given, x, known, rng=rng)
        f_proposal = ebm.f(proposal)
        accept = uniform_like(f, rng).log() < f_proposal - f
        x, f = torch.where(accept[:, None], proposal, x), torch.where(accept, f_proposal, f)
    return x


class TiltedTable(TableEstimator):
    """An estimator that learns p(x) ∝ exp(f(x)) p_0(x) of table rows."""

    _networks = ("ebm_",)
    _prior = False  # of the mixture's covariances
    _margin = 0.0  # standard errors by which more components must be better on held-out rows

    def _build(self) -> None:
        columns: Columns = self.columns_  # type: ignore[attr-defined]
        mixture = Mixture(columns.numbers, columns.sizes, self.n_components_)
        net = Ensemble(columns.width, self.width, self.members)  # type: ignore[attr-defined]
        self.ebm_ = EBM(net, mixture).double()

    def _learn(self, matrix: np.ndarray, weights: np.ndarray, seed: int) -> None:
        """Fit p_0, f and log Z to the encoded rows, which may have missing entries."""
        rng = np.random.default_rng(seed)
        x, w = torch.from_numpy(matrix), torch.from_numpy(weights)
        held = (
            torch.from_numpy(rng.random(len(x)) < HELD_OUT) if len(x) >= 20 else torch.zeros(len(x), dtype=torch.bool)
        )
        few = len(x) - int(held.sum())
        self.n_components_, mixture = self._choose_mixture(x, w, held, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()
        self.ebm_.reference = mixture
        draws = stream(seed, 0, 1)
        pool = mixture.sample(POOL, draws)
        filled = _filled(mixture, x, rng=draws)
        algorithm = ReferenceContrast(self.ebm_.float(), pool.float())
        mixture.double()
        valid, fresh = filled[held].float(), mixture.sample(POOL // 4, draws).float()

        def validate() -> float:
            with torch.no_grad():
                f = self.ebm_.f(valid).double()
                return float((w[held] * f).sum() / w[held].sum() - _log_mean_exp(self.ebm_.f(fresh).double()))

        self.n_steps_ = 0
        if held.any() and self.steps != 0:  # type: ignore[attr-defined]
            steps = self.steps or min(3000, max(few, min(500, 3 * few)))  # type: ignore[attr-defined]
            self.n_steps_ = train(
                algorithm, filled[~held].float(), weights[~held.numpy()], steps=steps, lr=2e-3, decay=1e-2,
                minutes=self.minutes, seed=seed, validate=validate,  # type: ignore[attr-defined]
            )  # fmt: skip
        self.ebm_.double()
        if held.any():
            self._calibrate(x[held], w[held], draws)
            share = torch.cat([mixture.condition(p, ~p.isnan()).log_share for p in x.split(4096)]).exp()
            refit, _ = fit_mixture(
                x,
                w,
                mixture.numbers,
                mixture.sizes,
                mixture.components,
                start=share,
                rounds=20,
                prior=self._needs_prior(x),
            )
            self.ebm_.reference = refit
        self._normalize(draws)

    def _choose_mixture(self, x: Tensor, w: Tensor, held: Tensor, seed: int) -> tuple[int, Mixture]:
        """The number of components by held-out rows, and the mixture fitted to the other rows."""
        columns: Columns = self.columns_  # type: ignore[attr-defined]
        rest = (~held).nonzero()[:, 0]
        limit = SELECT if not x.isnan().any() else SELECT_INCOMPLETE
        some = rest[torch.randperm(len(rest), generator=stream(seed, 0, 2))[:limit]].sort().values
        filled = columns.fill(x.numpy())

        def fit(rows: Tensor, k: int, tolerance: float, rounds: int) -> Mixture:
            share = _start(filled[rows.numpy()], w[rows].numpy(), k, seed)
            sizes = columns.numbers, columns.sizes, k
            return fit_mixture(
                x[rows], w[rows], *sizes, start=share, tolerance=tolerance, prior=self._needs_prior(x), rounds=rounds
            )[0]

        best, chosen, worse = torch.empty(0), 0, 0
        for k in COMPONENTS if held.any() else ():
            if k > 1 and len(some) < 3 * k:
                break
            each = self._held_out(fit(some, k, 1e-3, 40), x[held], seed)
            if not chosen or _mean_above(each - best, w[held]) > self._margin:
                best, chosen, worse = each, k, 0
            else:
                worse += 1
            if worse == PATIENCE:
                break
        chosen = max(chosen, 1)
        return chosen, fit(rest, chosen, 1e-4, 100)

    def _needs_prior(self, x: Tensor) -> bool:
        """Whether covariances have a prior: always with as few rows as numeric columns, where they are singular."""
        return self._prior or len(x) <= self.columns_.numbers  # type: ignore[attr-defined]

    def _held_out(self, mixture: Mixture, x: Tensor, seed: int) -> Float[Tensor, "n"]:
        """What the number of components is chosen by, for each held-out row: the log likelihood."""
        return torch.cat([mixture.condition(p, ~p.isnan()).log_marginal for p in x.split(4096)])

    def _calibrate(self, held: Tensor, weights: Tensor, rng: Rng) -> None:
        """Look at rows that nothing was fitted to, before the mixture is fitted again to all rows."""

    def _normalize(self, rng: Rng) -> None:
        """log Z with its standard error, from independent draws of p_0: as many as make the error small."""
        f = torch.empty(0, dtype=torch.float64)
        self.log_z_error_ = math.inf
        with torch.no_grad():
            while len(f) < DRAWS and self.log_z_error_ > PRECISION:
                f = torch.cat([f, self.ebm_.f(self.ebm_.reference.sample(16_384, rng))])
                self.log_z_ = _log_mean_exp(f)
                self.log_z_error_ = float((f - self.log_z_).exp().std() / math.sqrt(len(f)))


def _log_mean_exp(f: Tensor) -> float:
    return float(f.logsumexp(0)) - math.log(len(f))


def _filled(mixture: Mixture, x: Tensor, *, rng: Rng) -> Tensor:
    """Rows with missing entries drawn from p_0."""
    if not x.isnan().any():
        return x
    parts = []
    for part in x.split(4096):
        known = ~part.isnan()
        rows = torch.where(known, part, torch.zeros_like(part))
        parts.append(mixture.draw(mixture.condition(rows, known), rows, known, rng=rng))
    return torch.cat(parts)


def _mean_above(difference: Tensor, w: Tensor) -> float:
    """A weighted mean in units of its standard error."""
    mean = (w * difference).sum() / w.sum()
    error = ((w * (difference - mean) ** 2).sum() / w.sum() / len(w)).sqrt()
    return float(mean / error.clamp(min=1e-12))


def _start(filled: np.ndarray, weights: np.ndarray, k: int, seed: int) -> Tensor:
    """Shares of components to begin with, from k-means."""
    if k == 1:
        return torch.ones(len(filled), 1, dtype=torch.float64)
    labels = KMeans(k, n_init=1, random_state=seed % 2**31, max_iter=50).fit_predict(filled, sample_weight=weights)
    return 0.9 * torch.nn.functional.one_hot(torch.from_numpy(labels).long(), k).double() + 0.1 / k
