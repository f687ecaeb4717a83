"""The area under the ROC curve within groups, such as the users of a feed."""

from typing import Any

import numpy as np


def grouped_auc(y: Any, p: Any, groups: Any) -> float:
    """Returns the mean area under the ROC curve of groups, each weighted by its examples.

    A feed orders what one user sees: that the clicks of one user are above what another one left
    does not help. Groups with labels of one kind only have no area and are left out. Equal
    predictions share the mean of their ranks.

    Source: Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017,
    https://arxiv.org/abs/1703.02091: the group AUC, weighted there by impressions or clicks, here
    by labelled examples.

    Args:
        y: Labels 0 and 1, `(n,)` or `(n, 1)`; NaN is not labelled and does not count.
        p: Predictions, in whose order examples would be shown, `(n,)` or `(n, 1)`.
        groups: The group of each example, integers or strings, `(n,)`.

    Returns:
        A number in [0, 1]; one half of predictions that know nothing.

    Raises:
        ValueError: Different lengths, other labels, NaN predictions, no group with labels of both
            kinds.

    Example:

    >>> y = [1, 0, 1, 0, 1]
    >>> p = [0.9, 0.8, 0.2, 0.4, 0.7]
    >>> round(grouped_auc(y, p, ["ann", "ann", "bob", "bob", "bob"]), 3)  # (2 * 1 + 3 * 1/2) / 5
    0.7
    """
    y, p = (_column(name, values).astype("float64") for name, values in (("y", y), ("p", p)))
    groups = _column("groups", groups)
    if not len(y) == len(p) == len(groups):
        raise ValueError(
            "y, p and groups must have one entry for each example. "
            f"Received: {len(y)}, {len(p)} and {len(groups)}"
        )
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    if not np.all((y == 0) | (y == 1)):
        raise ValueError(f"y must be labels 0 and 1. Received: {y[(y != 0) & (y != 1)][0]:g}")
    if np.any(np.isnan(p)):
        raise ValueError("p holds NaN where y has a label. The network has diverged.")
    _, group = np.unique(groups[known], return_inverse=True)
    num = np.bincount(group)
    ones = np.bincount(group, y)
    pairs = ones * (num - ones)  # of a 1 and a 0
    if not np.any(pairs):
        raise ValueError("No group has labels of both kinds, so that none has an area.")
    above = np.bincount(group, y * _ranks(group, p)) - ones * (ones + 1) / 2
    areas = above[pairs > 0] / pairs[pairs > 0]
    return float(np.average(areas, weights=num[pairs > 0]))


def _column(name: str, values: Any) -> Any:
    array = np.asarray(values)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim != 1:
        raise ValueError(f"{name} must be one entry for each example. Received: {array.shape}")
    return array


def _ranks(group: Any, p: Any) -> Any:
    """Returns the rank of each example in its group, from 1; equal ones share their mean."""
    order = np.lexsort((p, group))
    group, p = group[order], p[order]
    begins_group = np.concatenate([[True], group[1:] != group[:-1]])
    begins_tie = begins_group | np.concatenate([[True], p[1:] != p[:-1]])
    first = np.flatnonzero(begins_tie)
    last = np.concatenate([first[1:], [len(p)]]) - 1
    start = np.flatnonzero(begins_group)[group[first]]
    ranks = np.empty(len(p))
    ranks[order] = ((first + last) / 2 - start + 1)[np.cumsum(begins_tie) - 1]
    return ranks
