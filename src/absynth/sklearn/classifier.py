"""Few labels: one network is classifier and density, so that rows without a label help."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from absynth.algorithms.algorithm import Algorithm
from absynth.algorithms.energy_discrepancy import energy_discrepancy
from absynth.algorithms.perturbations import MixedColumns
from absynth.density import EBM
from absynth.distributions import StandardNormal
from absynth.networks.ensemble import Ensemble
from absynth.seeding import noise_like
from absynth.sklearn.base import TableEstimator
from absynth.sklearn.columns import Columns
from absynth.sklearn.fitting import chunks, default_steps, train
from absynth.types import Batch, Rng

UNLABELLED = -1
RAMP = 0.3  # of training without the network's own labels
SURE = 0.95  # probability above which a row's class is taken for its label


class JointF(nn.Module):
    """Logits f(x)[y] of an ensemble, each a linear map plus a perceptron, and f(x) = log Σ_y exp f(x)[y].

    Args:
        dim: Columns of the matrix.
        classes: Number of classes.
        width: Units of the two hidden layers.
        members: Number of networks.
    """

    def __init__(self, dim: int, classes: int, width: int, members: int) -> None:
        super().__init__()
        self.net = Ensemble(dim, width, members, outputs=classes)
        self.linear = nn.Parameter(torch.zeros(members, dim, classes))

    def logits(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "members b classes"]:
        return self.net.each(x) + torch.einsum("bd,mdc->mbc", x, self.linear)

    def each(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "members b"]:
        return self.logits(x).logsumexp(-1)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b"]:
        return self.each(x).mean(0)


class JointDiscrepancy(Algorithm):
    """A joint energy-based model p(x, y) ∝ exp(f(x)[y]) p_0(x) from labelled and unlabelled rows. Player: ``ebm``.

    The sum of three losses: the cross entropy of labelled rows under noise; the energy discrepancy of p(x) on all
    rows; and, after a share of training, the cross entropy of perturbed rows with the class that the ensemble is
    sure of.

    Args:
        ebm: f is a :class:`JointF`.
        x: Labelled rows ``[n, d]``.
        y: Their classes.
        edges: Cumulated shares of their weights.
        perturb: Of the energy discrepancy.
        consistency: Weight of the third loss.
        noise: Standard deviation of the noise on labelled rows, and half that on the others.

    Reference: Grathwohl et al., ICLR 2020 (classifier and density in one network); Sohn et al., NeurIPS 2020 (labels of
    its own that a network is sure of).
    """

    def __init__(
        self,
        ebm: EBM,
        x: Tensor,
        y: Tensor,
        edges: Tensor,
        *,
        perturb: MixedColumns,
        density: float,
        consistency: float,
        noise: float,
    ) -> None:
        super().__init__()
        self.ebm, self.perturb = ebm, perturb
        self.x, self.y, self.edges = x, y, edges
        self.density, self.consistency, self.noise = density, consistency, noise
        self.progress = 0.0

    def set_progress(self, share: float) -> None:
        self.progress = share

    def losses(self, batch: Batch, *, rng: Rng) -> dict[str, Float[Tensor, ""]]:
        f: JointF = self.ebm.f  # type: ignore[assignment]
        place = torch.rand(64, generator=rng, dtype=torch.float64)  # type: ignore[arg-type]
        rows = torch.searchsorted(self.edges, place, right=True).clamp(max=len(self.x) - 1)
        loss = _cross_entropy(f.logits(self._noisy(self.x[rows], 1.0, rng)), self.y[rows]).mean(1).sum()
        reference = self.ebm.reference
        if self.density:
            each, _ = energy_discrepancy(
                lambda x: f.each(x) + reference.log_prob(x), batch.x[:128], perturb=self.perturb, contrasts=3, rng=rng
            )
            loss = loss + self.density * each.mean(1).sum()
        if self.consistency and self.progress >= RAMP:
            with torch.no_grad():
                sure, label = f.logits(batch.x).softmax(-1).mean(0).max(1)
            found = _cross_entropy(f.logits(self._noisy(batch.x, 2.0, rng)), label)
            loss = loss + self.consistency * (found * (sure > SURE)).mean(1).sum()
        return {"ebm": loss}

    def _noisy(self, x: Tensor, times: float, rng: Rng) -> Tensor:
        return x + times * self.noise * noise_like(x, rng)

    def classify(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b C"]:
        """log p(y|x), the members' mean."""
        return self.ebm.f.logits(x).softmax(-1).mean(0).log()  # type: ignore[operator]

    def sample(self, n: int, c: Tensor | None = None, *, rng: Rng) -> Tensor:
        self._unsupported("classifies and scores rows, it does not sample: use EBMSampler")


def _is_unlabelled(label: Any) -> bool:
    if isinstance(label, str):
        return label.strip() == str(UNLABELLED)
    return label is None or (isinstance(label, int | np.integer | float) and label == UNLABELLED)


def _cross_entropy(logits: Float[Tensor, "members b classes"], y: Tensor) -> Float[Tensor, "members b"]:
    return F.cross_entropy(logits.flatten(0, 1), y.repeat(len(logits)), reduction="none").view(len(logits), -1)


class JEMClassifier(ClassifierMixin, TableEstimator):
    """A classifier that also learns from rows without a label.

    One ensemble of networks gives p(y|x) by its logits and p(x) by their log-sum. Rows of class −1 have no label,
    as a number or as the text "-1", unless −1 and one other value are all that y holds: then −1 is a class.

    Args:
        density: Weight of the energy discrepancy of p(x), learned from all rows.
        consistency: Weight of the classes that the ensemble is sure of, on perturbed rows; 0 leaves them out.
        noise: Standard deviation of the noise on labelled rows, in standard deviations of the columns.
        width: Units of the two hidden layers.
        members: Number of networks, whose probabilities are averaged.
        steps: Number of updates; None follows from the number of rows.
        minutes: Time at most; fewer updates are made if they would take longer.
        random_state: Seed, RandomState or None.

    Attributes:
        classes_: The classes.
        ebm_: The energy-based model of the rows, on the matrix that ``columns_`` makes.

    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-2, 1, (50, 2)), rng.normal(2, 1, (50, 2))])
    >>> y = np.full(100, -1)
    >>> y[[0, 1]], y[[98, 99]] = 0, 1
    >>> JEMClassifier(steps=50, random_state=0).fit(X, y).predict([[-2.0, -2.0], [2.0, 2.0]])
    array([0, 1])
    """

    _networks = ("ebm_",)
    _parameter_constraints = {  # noqa: RUF012
        "density": [Interval(Real, 0, None, closed="left")],
        "consistency": [Interval(Real, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "members": [Interval(Integral, 1, None, closed="left")],
        "steps": [None, Interval(Integral, 1, None, closed="left")],
        "minutes": [None, Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    @no_type_check  # scikit-learn: parameters are checked in fit
    def __init__(
        self,
        *,
        density: float = 0.3,
        consistency: float = 1.0,
        noise: float = 0.3,
        width: int = 64,
        members: int = 3,
        steps: int | None = None,
        minutes: int | float | None = None,
        random_state: Any = None,
    ) -> None:
        self.density = density
        self.consistency = consistency
        self.noise = noise
        self.width = width
        self.members = members
        self.steps = steps
        self.minutes = minutes
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> JEMClassifier:
        """Learn from rows ``[n, p]`` and classes ``[n]``, −1 where a row has none."""
        self._validate_params()
        if y is None:
            raise ValueError("JEMClassifier requires y to be passed, but the target y is None")
        rows = self._rows(X, reset=True)
        y = column_or_1d(y, warn=True)
        check_consistent_length(rows, y)
        code = self._codes(y)
        rows, weights, code = self._merged(rows, sample_weight, code)
        code = code.astype(int)
        if len(np.unique(code[code >= 0])) < 2:
            raise ValueError(f"expected labelled rows of two classes or more, got 1 class: {self.classes_.tolist()}")
        self.columns_ = Columns.of(rows, self._categories, weights)
        x = torch.from_numpy(self.columns_.fill(self.columns_.encode(rows))).float()
        seed, columns = self._seed(), self.columns_
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build()
        labelled = code >= 0
        algorithm = JointDiscrepancy(
            self.ebm_.float(),
            x[labelled],
            torch.from_numpy(code[labelled]),
            torch.from_numpy(weights[labelled].cumsum() / weights[labelled].sum()),
            perturb=MixedColumns(columns.numbers, columns.sizes, 0.5, 0.3),
            density=self.density,
            consistency=self.consistency,
            noise=self.noise,
        )
        # A row of few columns needs as many updates to be classified as one of many.
        steps = self.steps or max(default_steps(x), min(600, len(x)))
        self.n_steps_ = train(algorithm, x, weights, steps=steps, decay=1e-2, minutes=self.minutes, seed=seed)
        self.ebm_.double()
        return self

    def _codes(self, y: np.ndarray) -> np.ndarray:
        """Position of each label in ``classes_``, −1 where there is none."""
        none = np.array([_is_unlabelled(v) for v in y.tolist()], dtype=bool)
        if any(isinstance(v, float) and v != v for v in y.tolist()):
            raise ValueError("Input y contains NaN: expected a class of each row, write −1 for rows without one")
        labelled = _check_y(y[~none], multi_output=False, y_numeric=False, estimator=self) if not none.all() else y[:0]
        if len(labelled):
            check_classification_targets(labelled)
        if none.any() and len(set(labelled.tolist())) == 1 and None not in y.tolist():
            none[:] = False
            labelled = y
        if not len(labelled):
            raise ValueError("expected some rows with a class, got none: −1 marks rows without one")
        self.classes_ = np.unique(labelled)
        code = np.full(len(y), UNLABELLED)
        code[~none] = np.searchsorted(self.classes_, labelled)
        return code

    def _build(self) -> None:
        width = self.columns_.width
        f = JointF(width, len(self.classes_), self.width, self.members)
        self.ebm_ = EBM(f, StandardNormal(width, std=3.0)).double()

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(y|x) of each class, ``[n, classes]``."""
        check_is_fitted(self)
        f: JointF = self.ebm_.f  # type: ignore[assignment]
        return chunks(lambda x: f.logits(x).softmax(-1).mean(0), self._matrix(X)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def score_samples(self, X: Any) -> np.ndarray:
        """log p(x) of each row up to a constant: how usual the row is."""
        check_is_fitted(self)
        return chunks(self.ebm_().log_density, self._matrix(X)).numpy()
