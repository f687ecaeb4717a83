"""Welch's test: is a method better than another over runs with different seeds?"""

from typing import Any, NamedTuple

import numpy as np


class WelchTest(NamedTuple):
    """A one-sided test of two means: the statistic, of their difference, and its p-value."""

    t: float
    p: float


def welch_test(results: Any, baseline: Any, equal_variances: bool = False) -> Any:
    """Tests whether results are larger than a baseline's, whose variance may be another.

    `t` has the sign of `mean(results) - mean(baseline)`; `p` is the chance of a t as large if
    the means were equal. Give a number per run, not rounded: of a table's rounded means and
    deviations another t may come out.

    Source: Welch's t-test; with `equal_variances=True` Student's, as in "Re-examining Routing
    Networks for Multi-task Learning", ICLR 2020 submission, A.2, whose 8 degrees of freedom are
    his. Differs from the source: its statistics are printed with the other sign.

    Args:
        results: At least two numbers, one per run; larger is better.
        baseline: The same of what they are compared with.
        equal_variances: Whether to take both variances as one (Student's test). Defaults to
            `False`.

    Returns:
        `WelchTest(t, p)`.

    Raises:
        ImportError: scipy is not installed.
        ValueError: Fewer than two numbers, numbers that are not finite, runs that are all equal.

    Example:

    >>> test = welch_test([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    >>> round(test.t, 3), round(test.p, 3)
    (2.449, 0.035)
    """
    results, baseline = checked_numbers("results", results), checked_numbers("baseline", baseline)
    if np.ptp(results) == 0 and np.ptp(baseline) == 0:
        raise ValueError(
            "The runs of both sides are all equal, so there is no variance to compare the means "
            "with. Give runs with different seeds."
        )
    found = scipy_stats("Welch's test").ttest_ind(
        results, baseline, equal_var=equal_variances, alternative="greater"
    )
    return WelchTest(float(found.statistic), float(found.pvalue))


def checked_numbers(name: str, values: Any) -> Any:
    """Returns at least two finite numbers as an array."""
    values = np.asarray(values, "float64")
    if values.ndim != 1 or len(values) < 2 or not np.all(np.isfinite(values)):
        raise ValueError(
            f"{name} must be at least two finite numbers, one per run. Received: {values.tolist()}"
        )
    return values


def scipy_stats(what: str) -> Any:
    """Returns `scipy.stats`, or says what needs it."""
    try:
        from scipy import stats
    except ImportError as error:
        raise ImportError(
            f'{what} needs scipy. Install it with: pip install "keras_mtl[compare]"'
        ) from error
    return stats
