"""Labels as people have them: gaps, words, one-hot rows, marks of unlabelled examples."""

from __future__ import annotations

import numpy as np
import pytest

from absynth.data import labels
from absynth.errors import InputError


@pytest.mark.parametrize(
    ("given", "y", "names"),
    [
        ([0, 5000, 10000, 0], [0, 1, 2, 0], ("0", "5000", "10000")),
        ([0, 10**9, 0, 10**9], [0, 1, 0, 1], ("0", "1000000000")),
        (np.array([3.0, np.nan, 5.0, 3.0]), [0, -1, 1, 0], ("3", "5")),
        (["cat", "ant", None, "cat"], [1, 0, -1, 1], ("ant", "cat")),
        (["01", "02", "", "01"], [0, 1, -1, 0], ("01", "02")),
        (np.array([[0, 1], [1, 0], [0, 1], [1, 0]]), [1, 0, 1, 0], ("0", "1")),
        (np.array([[2], [0], [-1], [2]]), [1, 0, -1, 1], ("0", "2")),
        (np.array([True, False, True, False]), [1, 0, 1, 0], ("0", "1")),
        (np.array([2**63, 1, 1, 2**63], dtype=np.uint64), [1, 0, 0, 1], ("1", str(2**63))),
        (np.array(["a", 1, None, 1], dtype=object), [1, 0, -1, 0], ("1", "a")),
        ([-1, -1, -1, -1], [-1, -1, -1, -1], ()),
        ([-1, 1, -1, 1], [0, 1, 0, 1], ("-1", "1")),
        (["yes", "-1.0", "no", "yes"], [1, -1, 0, 1], ("no", "yes")),
    ],
)
def test_labels_are_numbered(given, y, names):
    found = labels.number(given, 4)
    assert found.y.tolist() == y
    assert found.names == names


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.arange(50), "50 different ones for 50"),
        (np.linspace(0, 1, 50), "integers or"),
        (np.zeros((50, 2)), "got shape"),
        (np.arange(49), r"got shape \[49\]: give as many"),
        (np.array(3), r"got shape \[\]"),
        (np.array([1.0, 1e300] * 25), "got 1e\\+300"),
        (np.zeros(50, complex), "integers or words"),
        ([object()] * 50, "integers or words"),
    ],
)
def test_labels_that_are_none(given, said):
    with pytest.raises(InputError, match=said):
        labels.number(given, 50)
