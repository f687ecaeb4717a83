"""Paired tests, corrections and intervals, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from keras_mtl.analysis import holm, mean_interval, paired_test


def test_paired_test_is_that_of_scipy():
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    found, expected = paired_test(a, b), stats.ttest_rel(a, b)
    assert found == pytest.approx((np.mean(a - b), expected.statistic, expected.pvalue))


def test_paired_test_by_hand():
    found = paired_test([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])  # differences 1, 2, 3
    assert found.difference == 2.0
    assert found.t == pytest.approx(2 / (1 / np.sqrt(3)))


def test_equal_differences_cannot_be_judged():
    assert paired_test([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 1.0)
    difference, t, p = paired_test([2.0, 3.0], [1.0, 2.0])
    assert difference == 1.0 and np.isnan(t) and np.isnan(p)


def test_runs_must_be_pairs():
    with pytest.raises(ValueError, match="of the same runs. Received: 3 and 2 numbers"):
        paired_test([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="results must be at least two finite numbers"):
        paired_test([1.0], [1.0])


def test_holm_by_hand():
    # .01, .02, .03, .04 times 4, 3, 2, 1 are .04, .06, .06, .04; each at least the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested():
    first, missing, second = holm([0.01, np.nan, 0.5])
    assert (first, second) == (0.02, 0.5) and np.isnan(missing)


def test_interval_is_students():
    values = [1.0, 2.0, 4.0]
    low, high = stats.t.interval(0.9, 2, np.mean(values), stats.sem(values))
    mean, half = mean_interval(values, level=0.9)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    mean, half = mean_interval([3.0])
    assert mean == 3.0 and np.isnan(half)
