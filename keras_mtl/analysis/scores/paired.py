"""Tests of methods that ran with the same seeds, and corrections for many tests."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mtl.analysis.scores.welch import checked_numbers, scipy_stats


class PairedTest(NamedTuple):
    """A two-sided test of paired runs: their mean difference, the statistic, the p-value."""

    difference: float
    t: float
    p: float


def paired_test(results: Any, baseline: Any) -> Any:
    """Tests whether results differ from a baseline's, run by run.

    Student's t-test of the differences between runs of the same seed, which have the data and
    whatever else the seed decides in common. `t` has the sign of the mean difference.

    Source: Student's paired t-test, as in Demšar, "Statistical Comparisons of Classifiers over
    Multiple Data Sets", JMLR 2006, section 3.1.1, here over seeds.

    Args:
        results: At least two numbers, one per run.
        baseline: The same runs of what they are compared with.

    Returns:
        `PairedTest(difference, t, p)`. Where all differences are equal there is nothing to judge
        them by: `t` and `p` are NaN, or 0 and 1 where nothing differs.

    Raises:
        ImportError: scipy is not installed.
        ValueError: Fewer than two numbers, numbers that are not finite, other runs.

    Example:

    >>> test = paired_test([0.9, 0.8, 0.85], [0.8, 0.75, 0.8])
    >>> round(test.difference, 4), round(test.t, 3), round(test.p, 3)
    (0.0667, 4.0, 0.057)
    """
    results = checked_numbers("results", results)
    baseline = checked_numbers("baseline", baseline)
    if len(results) != len(baseline):
        raise ValueError(
            "results and baseline must be of the same runs. Received: "
            f"{len(results)} and {len(baseline)} numbers"
        )
    differences = results - baseline
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return PairedTest(mean, np.nan if mean else 0.0, np.nan if mean else 1.0)
    found = scipy_stats("A paired t-test").ttest_rel(results, baseline)
    return PairedTest(mean, float(found.statistic), float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values of several tests, corrected by Holm's method.

    Below 0.05 are then so many that the chance that any of them is so by luck alone is below
    0.05. NaN stays NaN and is not counted.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
    of Statistics 1979.

    Args:
        p_values: Numbers in [0, 1], or NaN where there was no test.

    Returns:
        A list of as many numbers.

    Example:

    >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03, float("nan")])]
    [0.03, 0.06, 0.06, nan]
    """
    given = np.asarray(p_values, "float64")
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected = np.full(len(given), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return corrected.tolist()


def mean_interval(results: Any, level: float = 0.95) -> tuple[float, float]:
    """Returns the mean of runs and half the width of its confidence interval.

    By Student's distribution; of a single run the half is NaN.

    Args:
        results: Numbers, one per run.
        level: Chance that the interval holds the mean of all runs there could be, in (0, 1).
            Defaults to 0.95.

    Raises:
        ImportError: scipy is not installed.

    Example:

    >>> mean, half = mean_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    results = np.asarray(results, "float64")
    if len(results) < 2:
        return float(results.mean()), np.nan
    quantile = scipy_stats("An interval").t.ppf((1 + level) / 2, len(results) - 1)
    return float(results.mean()), float(quantile * results.std(ddof=1) / np.sqrt(len(results)))
