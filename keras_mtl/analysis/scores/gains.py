"""Gains of tasks by sharing, and properties of tasks that go with a gain."""

from typing import Any, NamedTuple

import numpy as np


class GainCorrelation(NamedTuple):
    """Correlations of a property of tasks with their gains, in [-1, 1], and their p-values."""

    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float


def error_reduction(new: Any, base: Any) -> Any:
    """Returns which fraction of the baseline's errors is gone.

    `(new - base) / (1 - base)`: 1 when no error is left, 0 when nothing changed, negative
    when there are more. In percentages, as in the paper: `(new - base) / (100 - base)`.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, results.

    Args:
        new: Accuracy, a fraction in [0, 1], as in the logs.
        base: Accuracy of the baseline, in [0, 1).

    Returns:
        A number of at most 1.

    Raises:
        ValueError: Accuracies out of range, percentages among them; a perfect baseline.

    Example:

    >>> round(error_reduction(0.9348, 0.9252), 3)  # chunking: sluice, single task
    0.128
    """
    if not (0 <= new <= 1 and 0 <= base <= 1):
        raise ValueError(
            "Accuracies must be fractions in [0, 1]; divide percentages by 100. "
            f"Received: new={new}, base={base}"
        )
    if base == 1:
        raise ValueError("A baseline of accuracy 1 makes no errors that could be reduced.")
    return float((new - base) / (1 - base))


def label_entropy(labels: Any) -> Any:
    """Returns the entropy of a task's labels in bits: how varied they are.

    Args:
        labels: Class indices of any shape; -1 and NaN = not labelled, skipped.

    Returns:
        A number from 0 (one label only) to log2 of the number of different labels.

    Raises:
        ValueError: Nothing is labelled.

    Example:

    >>> label_entropy([0, 1, 2, 2, -1])
    1.5
    """
    labels = np.asarray(labels)
    known = labels[(labels != -1) & ~np.isnan(labels)]
    if not known.size:
        raise ValueError("Nothing is labelled: all labels are -1 or NaN. Give at least one label.")
    frequencies = np.unique(known, return_counts=True)[1] / known.size
    return float(np.sum(frequencies * np.log2(1 / frequencies)))


def gain_correlations(gains: Any, properties: Any) -> Any:
    """Correlates what tasks gain with what is known about them.

    Pearson's p-value assumes normal data. Spearman's is that of a permutation test: exact up
    to 7 tasks, from 9999 seeded permutations above. With 3 tasks it cannot be below 1/3. Many
    properties and few tasks find a correlation somewhere by chance.

    Source: Ruder et al. 2017, https://arxiv.org/abs/1705.08142, analysis of task properties,
    after Bingel and Søgaard 2017. They do not say which correlation they use.

    Args:
        gains: Dict, task (or domain) -> gain, such as an `error_reduction`.
        properties: Dict, name -> dict with the same tasks -> number, such as a
            `label_entropy` or a number of training sentences.

    Returns:
        Dict, name of a property -> `GainCorrelation(pearson, pearson_p, spearman,
        spearman_p)`, p-values two-sided.

    Raises:
        ImportError: scipy is not installed.
        ValueError: Fewer than 3 tasks, a property of other tasks, numbers that are not finite
            or all the same.

    Example:

    >>> gains = {"pos": 0.0, "chunk": 0.1, "ner": 0.2, "srl": 0.3}
    >>> sizes = {"pos": 400, "chunk": 200, "ner": 100, "srl": 50}
    >>> found = gain_correlations(gains, {"training size": sizes})["training size"]
    >>> round(found.pearson, 3), round(found.spearman, 3), round(found.spearman_p, 3)
    (-0.959, -1.0, 0.083)
    """
    stats = _scipy_stats()
    if len(gains) < 3:
        raise ValueError(
            f"A correlation needs gains of at least 3 tasks. Received {len(gains)}: "
            f"{', '.join(gains) or 'none'}"
        )
    gain = _numbers("gains", gains, gains)
    found = {}
    for name, values in properties.items():
        value = _numbers(f"Property {name!r}", values, gains)
        pearson = stats.pearsonr(gain, value)
        permutations = stats.PermutationMethod(rng=np.random.default_rng(0))
        ranks = stats.rankdata(gain), stats.rankdata(value)
        spearman = stats.pearsonr(*ranks, method=permutations)
        found[name] = GainCorrelation(
            float(pearson.statistic),
            float(pearson.pvalue),
            float(spearman.statistic),
            float(spearman.pvalue),
        )
    return found


def _scipy_stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise ImportError(
            'Correlations need scipy. Install it with: pip install "keras_mtl[tagging]"'
        ) from error
    return stats


def _numbers(what: str, values: Any, tasks: Any) -> Any:
    """Returns the numbers of a dict by task in the order of `tasks`, after a check."""
    if set(values) != set(tasks):
        raise ValueError(
            f"{what} must have a number for each of the tasks {', '.join(tasks)}, and no other. "
            f"Received: {', '.join(values) or 'none'}"
        )
    numbers = np.array([values[task] for task in tasks], float)
    if not np.isfinite(numbers).all() or np.ptp(numbers) == 0:
        raise ValueError(
            f"{what} must be finite numbers that are not all the same; others have no "
            f"correlation. Received: {dict(values)}"
        )
    return numbers
