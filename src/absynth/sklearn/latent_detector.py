"""Outlier detection by a latent energy-based model: a generator and an energy-based prior on few variables."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.energy_discrepancy import energy_discrepancy, kept
from absynth.algorithms.perturbations import GaussianNoise
from absynth.density import EBM, observe
from absynth.distributions import GaussianGenerator, GaussianInference, StandardNormal
from absynth.networks.mlp import mlp, mlp_f
from absynth.samplers import Langevin
from absynth.sklearn.columns import Columns
from absynth.sklearn.detector import ScoredDetector
from absynth.sklearn.fitting import chunks, default_steps, train
from absynth.types import Batch, Rng, Sampler

STD = 0.3  # of p(x|z), in standard deviations of the columns
ASCENT = 30  # gradient steps on z from the inference model's mean when a row is scored


class LatentDiscrepancy(Algorithm):
    """A latent energy-based prior learned by energy discrepancy, trimmed. Players: prior, generator, inference.

    Posterior chains start at draws of the inference model, which learns from where they end; the prior needs no chain.

    Args:
        prior: p_α(z).
        generator: p_β(x|z).
        inference: q_φ(z|x).
        posterior_sampler: K steps on p(z|x).
        trim: Share of each batch, the least probable by log p(x, z), that is not learned from.
    """

    def __init__(
        self,
        prior: EBM,
        generator: GaussianGenerator,
        inference: GaussianInference,
        *,
        posterior_sampler: Sampler,
        trim: float,
    ) -> None:
        super().__init__()
        self.prior, self.generator, self.inference = prior, generator, inference
        self.posterior_sampler = posterior_sampler
        self.trim = trim

    def samplers(self) -> dict[str, Sampler]:
        return {"posterior_sampler": self.posterior_sampler}

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        x, q = batch.x, self.inference(batch.x)
        joint = observe(self.prior().log_density, lambda z: self.generator(z).log_prob(x))
        z = self.run_chain("posterior", self.posterior_sampler, joint, q.sample(rng).detach(), rng=rng)
        with torch.no_grad():
            weights = kept(joint(z), self.trim)
        each, _ = energy_discrepancy(self.prior().log_density, z, perturb=GaussianNoise(0.25), contrasts=8, rng=rng)
        return {
            "prior": (weights * each).sum(),
            "generator": -(weights * self.generator(z).log_prob(x)).sum(),
            "inference": -(weights * q.log_prob(z)).sum(),
        }

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        z = self.prior.reference.sample(n, rng)
        z = Langevin(200, 0.2)(self.prior().log_density, z, rng=rng)
        return self.generator(z).sample(rng)

    def log_joint(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        """max_z log p(x, z), by gradient ascent from the mean of q: no randomness."""
        z = self.inference(x).mode
        joint = observe(self.prior().log_density, lambda z: self.generator(z).log_prob(x))
        z = Langevin(ASCENT, 0.2, noise_scale=0.0)(joint, z, rng=torch.Generator())
        return joint(z)


class LatentEBMDetector(ScoredDetector):
    """Outlier detection by how well few latent variables explain a row.

    The score is max_z log p(z) + log p(x|z), with an energy-based prior p(z) and a generator p(x|z) = N(g(z), .3² I)
    of the standardized columns. Prefer it to :class:`EBMDetector` for many columns that depend on few causes.

    Args:
        contamination: Share of outliers that sets ``offset_``; "auto" is 0.1. It changes no score.
        latent: Number of latent variables; None is a third of the columns, 2 to 16.
        trim: Share of each batch that is left out. Choose it above the share of outliers.
        width: Units of the hidden layers.
        steps: Number of updates; None follows from the number of rows.
        minutes: Time at most; fewer updates are made if they would take longer.
        random_state: Seed, RandomState or None.

    Attributes:
        offset_: ``decision_function`` is ``score_samples`` minus this.
        algorithm_: The prior, the generator and the inference model.

    Reference: Pang et al., NeurIPS 2020 (latent energy-based prior).
    """

    _networks = ("algorithm_",)
    _parameter_constraints = {  # noqa: RUF012
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "latent": [None, Interval(Integral, 1, None, closed="left")],
        "trim": [Interval(Real, 0, 1, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "steps": [None, Interval(Integral, 1, None, closed="left")],
        "minutes": [None, Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    @no_type_check  # scikit-learn: parameters are checked in fit
    def __init__(
        self,
        *,
        contamination: int | float | str = "auto",
        latent: int | None = None,
        trim: float = 0.25,
        width: int = 64,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.contamination = contamination
        self.latent = latent
        self.trim = trim
        self.width = width
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> LatentEBMDetector:
        """Learn from rows ``[n, p]``, some of which may be outliers; y is ignored."""
        self._validate_params()
        rows, weights, _ = self._merged(self._rows(X, reset=True), sample_weight)
        self.columns_ = Columns.of(rows, self._categories, weights)
        x = torch.from_numpy(self.columns_.fill(self.columns_.encode(rows)))
        seed = self._seed()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()
        self.algorithm_.float()
        self.n_steps_ = train(
            self.algorithm_, x.float(), weights, steps=self.steps or default_steps(x), batch=128, lr=3e-3,
            minutes=self.minutes, seed=seed, players=("prior", "generator", "inference"),
        )  # fmt: skip
        self.algorithm_.double()
        self.algorithm_.chains.clear()
        self._set_offset(chunks(self.algorithm_.log_joint, x).numpy(), weights)
        return self

    def _build(self) -> None:
        d = self.columns_.width
        latent = self.latent or int(np.clip(d // 3, 2, 16))
        prior = EBM(mlp_f(latent, self.width, "silu"), StandardNormal(latent))
        generator = GaussianGenerator(nn.Sequential(*mlp([latent, self.width, self.width, d], "silu")), STD)
        inference = GaussianInference(mlp([d, self.width, self.width, 2 * latent], "silu"))
        sampler = Langevin(8, 0.1)
        self.algorithm_ = LatentDiscrepancy(
            prior, generator, inference, posterior_sampler=sampler, trim=self.trim
        ).double()

    def score_samples(self, X: Any) -> np.ndarray:
        """max_z log p(x, z) of each row; the lower, the more abnormal."""
        check_is_fitted(self)
        return chunks(self.algorithm_.log_joint, self._matrix(X)).numpy()
