"""A plot of the use of experts by task."""

from typing import Any

import numpy as np

from keras_mtl.plots.axes import (
    add_colorbar,
    given_or_new,
    separate_layers,
    show_matrix,
    write_values,
)
from keras_mtl.plots.given import by_task, number_arrays

_MADE_BY = "keras_mtl.analysis.expert_usage(model, x)"


def plot_expert_usage(usage: Any, ax: Any = None) -> Any:
    """Draws how much each task weighs each expert on average: tasks down, experts across.

    Lists of experts stand side by side; the darkest cell is the largest weight of all. An expert
    whose column is pale is dead.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, figure 6, drawn there as bars.

    Args:
        usage: What `keras_mtl.analysis.expert_usage` returns.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A network, which has no usage without examples; no task, or no weights.

    Example:

    >>> import numpy as np
    >>> ax = plot_expert_usage({"a": [np.array([0.75, 0.25])], "b": [np.array([0.5, 0.5])]})
    >>> [text.get_text() for text in ax.texts]
    ['0.75', '0.25', '0.50', '0.50']
    """
    usage = by_task("plot_expert_usage", usage, _MADE_BY)
    wanted = f"what {_MADE_BY} returns, a list of weights for each task"
    rows = [number_arrays("plot_expert_usage", lists, wanted, ndim=1) for lists in usage.values()]
    sizes = [len(weights) for weights in rows[0]]
    if any([len(weights) for weights in lists] != sizes for lists in rows):
        raise ValueError("plot_expert_usage draws as many experts for each task, list by list.")
    matrix = np.array([np.concatenate(lists) for lists in rows])
    ax = given_or_new(ax, 2.5 + 0.45 * matrix.shape[1], 1.6 + 0.35 * len(matrix))
    image = show_matrix(ax, matrix, list(usage), limits=(0, matrix.max() or 1.0))
    separate_layers(ax, [f"list {index + 1}" for index in range(len(sizes))], sizes)
    write_values(ax, image)
    ax.set_xlabel("expert")
    add_colorbar(ax, image, "mean weight")
    ax.set_title("Use of experts")
    return ax
