"""A plot of the relatedness of tasks over time."""

import itertools
from typing import Any

import numpy as np

from keras_mtl.plots.axes import given_or_new
from keras_mtl.plots.given import is_network, refuse

_NUM_COLORS = 10  # of matplotlib's cycle
_LINE_STYLES = ("-", "--", ":", "-.")


def plot_relatedness_over_time(relatedness: Any, tasks: Any, ax: Any = None) -> Any:
    """Draws the relatedness of each pair of tasks, step after step.

    Args:
        relatedness: What `keras_mtl.analysis.relatedness_over_time` returns, or another
            `(time, tasks, tasks)` array, such as the known one of
            `keras_mtl.data.synthetic_sequences`.
        tasks: The dict of tasks, or the model.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: An array of another shape, or a single task.

    Example:

    >>> import numpy as np
    >>> ax = plot_relatedness_over_time(np.ones((5, 3, 3)), {"a": 3, "b": "binary", "c": 4})
    >>> [line.get_label() for line in ax.lines]
    ['a, b', 'a, c', 'b, c']
    """
    if is_network(relatedness):
        made_by = "keras_mtl.analysis.relatedness_over_time(model, x)"
        refuse("plot_relatedness_over_time", relatedness, f"what {made_by} returns")
    names, relatedness = list(getattr(tasks, "tasks", tasks)), np.asarray(relatedness)
    if len(names) < 2:
        raise ValueError(
            f"Relatedness is between tasks, so there must be at least two. Tasks: {names}"
        )
    if relatedness.ndim != 3 or relatedness.shape[1:] != (len(names), len(names)):
        raise ValueError(
            f"relatedness must have shape (time, {len(names)}, {len(names)}), for the tasks "
            f"{', '.join(names)}. Received: {relatedness.shape}"
        )
    ax = given_or_new(ax, 6, 3.2)
    steps = range(1, len(relatedness) + 1)
    for number, (a, b) in enumerate(itertools.combinations(range(len(names)), 2)):
        style = _LINE_STYLES[number // _NUM_COLORS % len(_LINE_STYLES)]
        ax.plot(steps, relatedness[:, a, b], style, label=f"{names[a]}, {names[b]}")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.margins(x=0)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("step")
    ax.set_ylabel("relatedness")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return ax
