"""The estimators beyond scikit-learn's checks: closed forms, categories and missing entries, files, bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from laws import mean_is, normal_law
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from absynth.errors import InputError
from absynth.seeding import stream
from absynth.sklearn import EBMDensity, EBMDetector, EBMImputer, EBMSampler, JEMClassifier, LatentEBMDetector
from absynth.sklearn.columns import Columns
from absynth.sklearn.mixture import Mixture, fit_mixture
from absynth.sklearn.tilted import independence


@pytest.fixture
def numbers() -> np.ndarray:
    """200 rows of a correlated Gaussian in three columns."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)) @ np.array([[1.0, 0.8, 0], [0, 0.6, 0], [0, 0, 2.0]])


@pytest.fixture
def frame(numbers) -> pd.DataFrame:
    """The same with a column of categories that depends on the first, and with missing entries."""
    table = pd.DataFrame(numbers, columns=["a", "b", "c"])
    table["kind"] = np.where(table.a > 0, "high", "low")
    table.loc[[3, 4], "b"] = np.nan
    table.loc[[5], "kind"] = None
    return table


# The mixture: closed forms --------------------------------------------------------------------------------------------


def gaussian(mean, covariance) -> Mixture:
    mixture = Mixture(len(mean), (), 1)
    mixture.mean, mixture.covariance = torch.tensor([mean]).double(), torch.tensor([covariance]).double()
    return mixture


def test_a_gaussian_s_conditional_is_exact():
    mixture = gaussian([1.0, -1.0, 0.0], [[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])
    x = torch.tensor([[0.7, 0.0, 0.2]], dtype=torch.float64)
    given = mixture.condition(x, torch.tensor([[True, False, True]]))
    s = mixture.covariance[0]
    gain = s[1, [0, 2]] @ torch.linalg.inv(s[[0, 2]][:, [0, 2]])
    torch.testing.assert_close(given.mean[0, 0, 1], -1 + gain @ (x[0, [0, 2]] - mixture.mean[0, [0, 2]]))
    torch.testing.assert_close(given.covariance[0, 0, 1, 1], s[1, 1] - gain @ s[[0, 2], 1])
    law = torch.distributions.MultivariateNormal(mixture.mean[0, [0, 2]], s[[0, 2]][:, [0, 2]])
    torch.testing.assert_close(given.log_marginal[0], law.log_prob(x[0, [0, 2]]))


def test_log_prob_is_the_marginal_of_everything_and_draws_follow_it(rng):
    mixture = Mixture(2, (3,), 2)
    mixture.mean = torch.tensor([[0.0, 0.0], [3.0, -1.0]]).double()
    mixture.log_category = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).double().log()
    x = mixture.sample(20_000, rng)
    given = mixture.condition(x, torch.ones_like(x, dtype=torch.bool))
    torch.testing.assert_close(given.log_marginal, mixture.log_prob(x))
    mean_is(x, torch.tensor([1.5, -0.5, 0.3, 0.2, 0.5]).double())


def test_draws_of_many_columns_follow_their_components(rng):
    """Each component its own mean and covariance; 30,000 roots of 100 columns would need 2.4 GB."""
    mixture = Mixture(100, (), 2)
    mixture.mean = torch.stack([torch.full((100,), -9.0), torch.full((100,), 9.0)]).double()
    tied = torch.eye(100).double()
    tied[0, 1] = tied[1, 0] = 0.9
    mixture.covariance = torch.stack([tied, torch.eye(100).double() * 4])
    x = mixture.sample(30_000, rng)
    first, second = x[x[:, 5] < 0], x[x[:, 5] > 0]
    assert abs(len(first) / 30_000 - 0.5) < 0.02
    torch.testing.assert_close(first.T.cov()[:2, :2], tied[:2, :2], atol=0.05, rtol=0)
    torch.testing.assert_close(second.T.cov()[:2, :2], 4 * torch.eye(2).double(), atol=0.2, rtol=0)
    torch.testing.assert_close(second.mean(0), torch.full((100,), 9.0).double(), atol=0.1, rtol=0)


def test_expectation_maximization_reaches_what_scikit_learn_reaches():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(-3, 1, (150, 2)), rng.normal(3, 0.5, (50, 2))])
    start = torch.nn.functional.one_hot(torch.from_numpy((x[:, 0] > 0).astype(int)), 2).double()
    _, value = fit_mixture(torch.from_numpy(x), torch.ones(200).double(), 2, (), 2, start=start, tolerance=1e-10)
    theirs = GaussianMixture(2, tol=1e-10, max_iter=500, random_state=0).fit(x).score(x)
    assert abs(value - theirs) < 1e-6


def test_missing_entries_are_marginalized_out():
    """The mean of a column that is missing for large values of another is that of all rows, not of those observed."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 2)) @ np.array([[1.0, 0.9], [0, 0.4]])
    holes = x.copy()
    holes[x[:, 0] > 0.5, 1] = np.nan
    one = torch.ones(4000, 1).double()
    mixture, _ = fit_mixture(torch.from_numpy(holes), one[:, 0], 2, (), 1, start=one, rounds=300, tolerance=1e-9)
    assert abs(float(mixture.mean[0, 1]) - x[:, 1].mean()) < 0.05
    assert np.nanmean(holes[:, 1]) < x[:, 1].mean() - 0.3  # control


# Density --------------------------------------------------------------------------------------------------------------


def two_rings(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.choice([1.0, 3.0], n) + 0.1 * rng.normal(size=n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


@pytest.fixture(scope="module")
def rings() -> EBMDensity:
    return EBMDensity(random_state=0, steps=400).fit(two_rings(1500, 0))


@pytest.mark.slow
def test_a_density_integrates_to_one_and_annealing_agrees(rings):
    axis = np.linspace(-4.5, 4.5, 400)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    total = np.exp(rings.score_samples(points)).sum() * (axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 0.02
    found = rings.check_normalization(temperatures=60)
    assert found.lower.value - 0.1 < rings.log_z_ < found.upper.value + 0.1


@pytest.mark.slow
def test_a_tilt_raises_the_likelihood_of_rows_never_seen(rings):
    new = two_rings(1500, 1)
    alone = EBMDensity(random_state=0, steps=0).fit(two_rings(1500, 0))
    assert rings.score_samples(new).mean() > GaussianMixture(1).fit(new).score(new) + 0.5
    assert rings.score_samples(new).mean() > alone.score_samples(new).mean() - 0.02


def test_draws_have_the_law_of_the_density():
    """p_0 = N(0, 1) tilted by f(x) = x: N(1, 1) exactly; without the test of acceptance the chains stay at p_0."""
    density = EBMDensity(steps=0, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 1)))
    density.ebm_.reference = gaussian([0.0], [[1.0]])
    tilt = torch.nn.Module()
    tilt.forward = lambda x: x[:, 0]
    density.ebm_.f = tilt
    blank = torch.zeros(20_000, 1, dtype=torch.float64)
    x = independence(density.ebm_, blank, torch.zeros_like(blank, dtype=torch.bool), rng=stream(1))
    normal_law(x[:, 0], 1.0, 1.0)
    with pytest.raises(AssertionError):
        normal_law(density.ebm_.reference.sample(20_000, stream(1))[:, 0], 1.0, 1.0)


def test_a_density_of_categories_and_missing_entries(frame):
    density = EBMDensity(random_state=0, steps=50).fit(frame)
    drawn = density.sample(500)
    assert list(drawn.columns) == list(frame.columns)
    assert set(drawn.kind) <= {"high", "low"}
    agrees = ((drawn.a > 0) == (drawn.kind == "high")).mean()
    assert agrees > 0.8
    both = [frame.iloc[[0]].assign(kind=k) for k in ("high", "low")]
    whole = np.logaddexp(*(density.score_samples(b)[0] for b in both))
    without = density.score_samples(frame.iloc[[0]].assign(kind=None))[0]
    assert abs(whole - without) < 0.05  # the sum over a category is the score without it


# Detectors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", [EBMDetector(random_state=0), LatentEBMDetector(random_state=0, steps=100)])
def test_far_rows_are_outliers(detector, numbers):
    far = numbers[:40] + np.eye(3)[np.arange(40) % 3] * 10 * numbers.std(0)
    detector = clone(detector).fit(numbers)
    assert detector.score_samples(far).max() < np.quantile(detector.score_samples(numbers), 0.05)
    assert (detector.predict(numbers) == -1).sum() == 20
    view = detector.pyod().fit(numbers)
    np.testing.assert_allclose(view.decision_scores_, -detector.score_samples(numbers))
    assert view.labels_.sum() == 20
    assert (view.predict(far) == 1).all()
    assert view.predict_proba(far)[:, 1].min() > 0.99


def test_contributions_add_up_and_name_the_column(numbers):
    detector = EBMDetector(random_state=0).fit(numbers)
    row = numbers.mean(0, keepdims=True) + np.array([[0, 0, 12.0]])
    parts = detector.contributions(row)
    start = detector.columns_.decode(detector.columns_.fills[None])
    whole = detector.score_samples(start) - detector.score_samples(row)
    np.testing.assert_allclose(parts.sum(1), whole, rtol=0.02)
    assert parts[0].argmax() == 2


def test_a_detector_of_categories_and_missing_entries(frame):
    frame = frame.assign(kind=np.where(np.arange(200) % 40 == 0, "rare", "usual"))
    detector = EBMDetector(random_state=0, trim=0.1).fit(frame)
    assert list(detector.feature_names_in_) == list(frame.columns)
    assert detector.contributions(frame).shape == (200, 4)
    typical = frame.iloc[[10]]
    assert detector.score_samples(typical.assign(kind="rare"))[0] < detector.score_samples(typical)[0]
    with pytest.raises(ValueError, match=r"unknown categories \['new'\] in column 'kind'"):
        detector.predict(typical.assign(kind="new"))
    with pytest.raises(ValueError, match="got an array"):
        detector.predict(np.zeros((1, 4)))


def test_a_view_without_training_scores_gives_no_probabilities(numbers):
    view = EBMDetector(steps=2, random_state=0).fit(numbers).pyod()
    assert set(view.predict(numbers)) == {0, 1}
    with pytest.raises(NotFittedError, match="call its fit"):
        view.predict_proba(numbers)
    assert view.fit(numbers).predict_proba(numbers).shape == (200, 2)


def test_partial_fit_continues(numbers):
    detector = EBMDetector(random_state=0, steps=100)
    for part in np.split(numbers, 2):
        detector.partial_fit(part)
    assert detector.n_steps_ == 125
    assert detector.predict([[0, 0, 40.0]]) == [-1]


def test_in_pipelines_and_searches(numbers):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), EBMDensity(steps=5, random_state=0)), {"ebmdensity__width": [4, 8]}, cv=2
    )
    assert search.fit(numbers).best_params_["ebmdensity__width"] in (4, 8)


def test_minutes_are_a_budget(numbers):
    detector = EBMDetector(random_state=0, steps=100_000, minutes=0.01).fit(numbers)
    assert 10 <= detector.n_steps_ < 5_000


# Missing entries and rare classes ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_imputer_gives_the_conditional_law():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 2)) @ np.array([[1.0, 0.8], [0, 0.6]])
    holes = x.copy()
    holes[::4, 1] = np.nan
    imputer = EBMImputer(random_state=0).fit(holes)
    hidden = np.isnan(holes[:, 1])
    error = imputer.transform(holes)[hidden, 1] - 0.8 * x[hidden, 0]
    assert np.abs(error).mean() < 0.06
    low, high = imputer.interval(holes)
    cover = ((x >= low) & (x <= high))[hidden, 1].mean()
    assert 0.86 < cover < 0.94
    draws = np.array(imputer.draws(holes, 20))
    assert (draws[:, ~hidden] == x[~hidden]).all()
    assert abs(draws[:, hidden, 1].std(0).mean() - 0.6) < 0.06
    with pytest.raises(InputError, match="at most proposals=200 draws"):
        imputer.draws(holes, 201)


def test_an_imputer_fills_categories(frame):
    imputer = EBMImputer(random_state=0, steps=0).fit(frame)
    filled = imputer.transform(frame)
    assert filled.isna().sum().sum() == 0
    assert filled.kind[5] == ("high" if frame.a[5] > 0 else "low")
    pd.testing.assert_frame_equal(filled.drop([3, 4, 5]), frame.drop([3, 4, 5]), check_dtype=False)


def test_a_sampler_balances_and_keeps_classes_apart():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal([4, -4], 0.5, (30, 2))])
    y = np.repeat(["common", "rare"], [300, 30])
    sampler = EBMSampler(random_state=0, steps=100)
    x2, y2 = sampler.fit_resample(x, y)
    assert (x2[:330] == x).all()
    assert (y2 == "rare").sum() == 300
    new = x2[330:]
    assert np.abs(new.mean(0) - [4, -4]).max() < 0.4
    assert (new[:, 0] > 2).mean() > 0.98
    table, _ = EBMSampler(random_state=0, steps=0, sampling_strategy={"rare": 40}).fit_resample(
        pd.DataFrame(x, columns=["u", "v"]), y
    )
    assert list(table.columns) == ["u", "v"]
    assert len(table) == 340
    with pytest.raises(InputError, match="class of common, rare"):
        sampler.sample(3, "none")


# Few labels ----------------------------------------------------------------------------------------------------------


def test_rows_without_labels_help():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, np.pi, 400)
    side = np.arange(400) % 2
    x = np.stack([np.cos(angle) * (1 - 2 * side) + side, np.sin(angle) * (1 - 2 * side) + 0.5 * side], 1)
    x += 0.08 * rng.normal(size=x.shape)
    y = np.full(400, -1)
    known = [*np.flatnonzero(side == 0)[:4], *np.flatnonzero(side == 1)[:4]]
    y[known] = side[known]
    with_rest = JEMClassifier(random_state=0).fit(x, y).score(x, side)
    alone = JEMClassifier(random_state=0).fit(x[known], y[known]).score(x, side)
    assert with_rest > alone
    assert with_rest > 0.9


def test_minus_one_is_a_class_only_beside_one_other(numbers):
    sign = np.where(numbers[:, 0] > 0, 1, -1)
    assert JEMClassifier(steps=5).fit(numbers, sign).classes_.tolist() == [-1, 1]
    words = np.array(["a", "b", None], dtype=object)[np.arange(200) % 3]
    assert JEMClassifier(steps=5).fit(numbers, words).classes_.tolist() == ["a", "b"]


# Files and bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        EBMDetector(steps=20, random_state=0),
        LatentEBMDetector(steps=10, random_state=0),
        EBMDensity(steps=20, random_state=0),
        EBMImputer(steps=20, random_state=0),
    ],
)
def test_what_is_saved_loads_the_same(estimator, frame, tmp_path):
    estimator.fit(frame)
    estimator.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["estimator.json", "model.safetensors"]
    again = type(estimator).load(tmp_path / "model")
    assert again.get_params() == estimator.get_params()
    method = "transform" if isinstance(estimator, EBMImputer) else "score_samples"
    pd.testing.assert_frame_equal(
        pd.DataFrame(getattr(again, method)(frame)), pd.DataFrame(getattr(estimator, method)(frame))
    )


def test_classifiers_and_samplers_are_saved_too(numbers, tmp_path):
    y = np.array(["x", "y"])[(numbers[:, 0] > 0).astype(int)]
    JEMClassifier(steps=20, random_state=0).fit(numbers, y).save(tmp_path / "c")
    assert set(JEMClassifier.load(tmp_path / "c").predict(numbers)) == {"x", "y"}
    sampler = EBMSampler(steps=0, random_state=0).fit(numbers, y)
    sampler.save(tmp_path / "s")
    np.testing.assert_array_equal(EBMSampler.load(tmp_path / "s").sample(5, "x"), sampler.sample(5, "x"))


def test_damaged_files_are_refused_in_a_line(numbers, tmp_path):
    EBMDetector(steps=5, random_state=0).fit(numbers).save(tmp_path)
    with pytest.raises(InputError, match=r"got a saved EBMDetector: use EBMDetector\.load"):
        EBMDensity.load(tmp_path)
    entry = json.loads((tmp_path / "estimator.json").read_text())
    (tmp_path / "estimator.json").write_text(json.dumps(entry | {"module": "os"}))
    with pytest.raises(InputError, match="no saved estimator"):
        EBMDetector.load(tmp_path)
    with pytest.raises(InputError, match="integer seed"):
        EBMDetector(steps=5, random_state=np.random.RandomState(0)).fit(numbers).save(tmp_path / "b")
    with pytest.raises(NotFittedError, match="EBMDetector instance is not fitted"):
        EBMDetector().save(tmp_path / "c")
    with pytest.raises(InputError, match=r"that EBMDetector\.save wrote"):
        EBMDetector.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "infinity"),
        (np.array([[1.0, np.nan], [2.0, np.nan]]), "column 1 has no value"),
        (np.array([[1.0, 2.0]]), "1 sample"),
        (pd.DataFrame({"a": [1.0, 2.0], "t": pd.to_datetime(["2020-01-01", "2021-01-01"])}), "dates"),
        (pd.DataFrame({"t": [f"text {i}" for i in range(30)]}), "30 different values that are not numbers"),
        (pd.DataFrame({"a": [1.0, np.inf], "k": ["u", "v"]}), "infinity.*Column 'a' has 1"),
        (pd.DataFrame({"when": pd.period_range("2020-01", periods=4, freq="D")}), "days since a date"),
        (np.array([["u", "v"], ["v", "u"]]), "'u'.*: expected numbers, give a pandas DataFrame for columns of words"),
        (pd.DataFrame({"l": [[1, 2], [3]]}), "column 'l'.*got list: write it as numbers or words"),
        (pd.DataFrame({"age": ["31", "?", "45.5", "?"]}), "column 'age' has 2 of 4 values.*expected NaN"),
    ],
)
def test_bad_tables_are_refused_in_a_line(table, message):
    with pytest.raises((ValueError, TypeError), match=message):
        EBMDetector(steps=5).fit(table)


def test_words_of_numbers_and_marks_among_words_stay_categories():
    codes = pd.DataFrame({"zip": ["10", "20", "30", "10"], "work": ["?", "state", "private", "?"]})
    detector = EBMDetector(steps=2).fit(codes)
    assert detector.columns_.categories == [["10", "20", "30"], ["?", "private", "state"]]


def test_a_column_without_values_in_the_weighted_rows_is_named(frame):
    frame["b"] = np.where(np.arange(200) == 0, 1.0, np.nan)
    with pytest.raises(ValueError, match="column b has no value in the rows of positive weight"):
        EBMDetector(steps=2).fit(frame, sample_weight=np.r_[0.0, np.ones(199)])


@pytest.mark.parametrize("scale", [1e-300, 1e200])
def test_scores_do_not_depend_on_the_units(scale, numbers):
    """A power of two, so that standardized rows are the same bits."""
    power = 2.0 ** round(math.log2(scale))
    scores = [EBMDetector(steps=20, random_state=0).fit(numbers * k).score_samples(numbers * k) for k in (1.0, power)]
    np.testing.assert_array_equal(*scores)


def test_the_farthest_rows_have_finite_scores(frame):
    detector = EBMDetector(steps=20, random_state=0).fit(frame)
    far = detector.decision_function(frame.head(2).assign(a=[1e300, -1e300]))
    assert np.isfinite(far).all()
    assert (far < -1e6).all()


# Dtypes -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def typed() -> pd.DataFrame:
    """Bools, whole numbers, categories and strings, with and without missing entries, under an index of words."""
    rng, n = np.random.default_rng(0), 120
    yes = rng.random(n) < 0.7
    table = pd.DataFrame({"size": np.where(yes, 5.0, -5.0) + rng.normal(size=n), "yes": yes})
    table["maybe"] = pd.array(yes, dtype="boolean")
    table["object"] = pd.Series(yes, dtype=object)
    table["count"] = rng.integers(0, 1000, n)
    table["nullable"] = table["count"].astype("Int64")
    table["grade"] = pd.Categorical(np.where(yes, "high", "low"), categories=["low", "high"], ordered=True)
    table.index = pd.Index([f"row {i}" for i in range(n)])
    for column in ("size", "maybe", "object", "nullable", "grade"):
        table.loc[table.index[rng.choice(n, 9, replace=False)], column] = None
    return table


def test_an_imputer_keeps_index_dtypes_and_known_entries(typed):
    imputer = EBMImputer(steps=0, random_state=0).fit(typed)
    for filled in (imputer.transform(typed), imputer.draws(typed, 1)[0]):
        assert filled.index.equals(typed.index)
        assert filled.dtypes.to_dict() == typed.dtypes.to_dict()
        assert filled.notna().all().all()
        for name in typed:
            known = typed[name].notna()
            assert (filled[name][known] == typed[name][known]).all()
    filled = imputer.transform(typed)
    assert set(filled["object"]) == {True, False}
    assert (filled["maybe"].astype(bool) == typed["yes"]).mean() > 0.98  # the most probable value, not a mean


def test_new_rows_have_the_dtypes_of_the_fit(typed, tmp_path):
    density = EBMDensity(steps=0, random_state=0).fit(typed)
    density.save(tmp_path)
    drawn = EBMDensity.load(tmp_path).sample(200)
    assert drawn["yes"].dtype.kind == "b"
    assert drawn.dtypes["count"] == typed.dtypes["count"]
    assert set(drawn["grade"].cat.categories) == {"low", "high"}
    assert abs(drawn["yes"].mean() - typed["yes"].mean()) < 0.15


def test_synthetic_whole_numbers_are_rounded_and_labels_stay_a_series():
    """Cutting the fraction off would lower the mean by a half."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"k": rng.normal(50, 4, 460).round().astype(int)})
    y = pd.Series(np.repeat(["usual", "rare"], [400, 60]), name="kind")
    X2, y2 = EBMSampler(steps=0, random_state=0).fit_resample(X, y)
    assert X2["k"].dtype == X["k"].dtype
    assert y2.name == "kind"
    assert y2.value_counts().to_dict() == {"usual": 400, "rare": 400}
    new = X2["k"][460:]
    assert abs(new.mean() - X["k"][400:].mean()) < 4 * 4 / np.sqrt(len(new))


def test_what_cannot_be_balanced_is_refused(numbers):
    y = np.repeat([0, 1], [150, 50])
    with pytest.raises(InputError, match=r"at least as many rows as the class has.*got \{1: 10\}"):
        EBMSampler(sampling_strategy={1: 10}, steps=0, random_state=0).fit_resample(numbers, y)
    with pytest.raises(ValueError, match="two classes or more to balance, got 1 class"):
        EBMSampler(steps=0, random_state=0).fit_resample(numbers, np.zeros(200))


def test_the_number_of_draws_is_checked(numbers):
    numbers[0, 0] = np.nan
    imputer = EBMImputer(steps=0, proposals=20, random_state=0).fit(numbers)
    with pytest.raises(InputError, match=r"positive number of draws, got 0$"):
        imputer.draws(numbers, 0)
    with pytest.raises(InputError, match="at most proposals=20 draws, got 21"):
        imputer.draws(numbers, 21)


def test_rows_without_a_class_may_be_marked_in_text(numbers):
    kind = np.where(numbers[:, 0] > 0, "up", "down").astype("U4")
    kind[50:] = "-1"
    classifier = JEMClassifier(steps=5, random_state=0).fit(numbers, kind)
    assert classifier.classes_.tolist() == ["down", "up"]
    with pytest.raises(ValueError, match=r"Input y contains NaN.*write −1"):
        JEMClassifier(steps=5).fit(numbers, np.where(np.arange(200) < 9, np.nan, 1.0))


def test_odd_tables_work(numbers):
    constant = np.column_stack([numbers, np.full(200, 7.0)])
    detector = EBMDetector(steps=100, random_state=0).fit(constant)
    assert detector.score_samples([[0, 0, 0, 9.0]])[0] < detector.score_samples([[0, 0, 0, 7.0]])[0]
    wide = np.random.default_rng(0).normal(size=(6, 30))
    for estimator in (EBMDetector(steps=5), EBMDensity(steps=5)):
        assert np.isfinite(estimator.fit(wide).score_samples(wide)).all()
    assert math.isfinite(EBMDensity(steps=5).fit(constant).score(constant))


def test_as_few_rows_as_columns_leave_a_density_wide():
    """Without a prior a singular covariance gives rows that were not trained on −10⁶ nats and less."""
    rng = np.random.default_rng(0)
    density = EBMDensity(steps=0, random_state=0).fit(rng.normal(size=(40, 40)))
    assert density.score_samples(rng.normal(size=(50, 40))).mean() > -5000


def test_columns_go_there_and_back():
    rows = np.array([[1.5, 2, 0], [np.nan, 0, 1], [3.0, 1, np.nan]])
    columns = Columns.of(rows, [None, ["x", "y", "z"], ["no", "yes"]], np.ones(3))
    back = columns.decode(columns.encode(rows))
    known = ~np.isnan(rows)
    np.testing.assert_allclose(back[known], rows[known])
    assert columns.owner.tolist() == [0, 1, 1, 1, 2, 2]
