"""A plot of what tasks gain by methods, with intervals over seeds."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl.analysis.scores.paired import mean_interval
from keras_mtl.plots.axes import given_or_new
from keras_mtl.plots.given import refuse

_WANTED = "a dict, name of a method -> dict, task -> gains, a number for each seed"


def plot_gains(gains: Any, ax: Any = None) -> Any:
    """Draws the mean gain of each task by each method, with its 95 % confidence interval.

    Args:
        gains: Dict, name of a method -> dict, task -> gains, a number for each seed. All methods
            have the same tasks.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib or scipy is not installed.
        ValueError: No method, or methods of different tasks.

    Example:

    >>> ax = plot_gains({"MMoE": {"a": [0.1, 0.3], "b": [0.0, 0.2]}})
    >>> ax.containers[0].lines[0].get_xdata().round(2).tolist()
    [0.2, 0.1]
    """
    if not isinstance(gains, Mapping) or not gains:
        refuse("plot_gains", gains, _WANTED)
    tasks = list(next(iter(gains.values())))
    if any(list(by_task) != tasks for by_task in gains.values()):
        raise ValueError("All methods must have gains of the same tasks, in one order.")
    ax = given_or_new(ax, 7.5, 0.6 + 0.22 * len(tasks) * len(gains))
    rows = np.arange(len(tasks), dtype=float)
    for number, (method, by_task) in enumerate(gains.items()):
        intervals = [mean_interval(by_task[task]) for task in tasks]
        means, halves = np.array(intervals).T
        shift = 0.8 * ((number + 0.5) / len(gains) - 0.5)
        ax.errorbar(means, rows + shift, xerr=np.nan_to_num(halves), fmt="o", label=method)
    ax.axvline(0, color="black", linewidth=1)
    ax.set_yticks(rows, tasks)
    ax.invert_yaxis()
    ax.set_xlabel("gain")
    for row in rows[1:]:
        ax.axhline(row - 0.5, color="0.9", linewidth=1)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax
