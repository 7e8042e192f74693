"""scikit-learn's own checks of every estimator, all of them and none expected to fail, with networks of few updates."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from absynth.sklearn import EBMDensity, EBMDetector, EBMImputer, EBMSampler, JEMClassifier, LatentEBMDetector

SMALL = {"width": 8, "members": 1}
ESTIMATORS = [
    EBMDetector(steps=60, **SMALL),
    EBMDensity(steps=4, **SMALL),
    EBMImputer(steps=4, proposals=10, **SMALL),
    JEMClassifier(steps=50, width=16, members=1),
]
MORE = [LatentEBMDetector(steps=10, width=8), EBMSampler(steps=4, **SMALL)]


@parametrize_with_checks(ESTIMATORS)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(MORE)
@pytest.mark.filterwarnings("ignore")
def test_more_scikit_learn_checks(estimator, check):
    check(estimator)
