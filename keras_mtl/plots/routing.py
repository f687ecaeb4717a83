"""Plots of routing over time, and of the use of sub-encoders."""

from typing import Any

import numpy as np

from keras_mtl.plots.axes import add_colorbar, given_or_new, separate_layers, show_matrix
from keras_mtl.plots.given import by_task

_ABSENT_COLOR = "0.8"


def plot_routing_over_time(routing: Any, ax: Any = None, num_steps: int = 6) -> Any:
    """Draws how often each task reads each sub-encoder, for the first time steps.

    Each task has a row of grids, one for each step: layers of the encoder across, their
    sub-encoders down. The darker, the more examples; grey where there is no sub-encoder, or no
    example that long.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 4 (left).

    Args:
        routing: What `keras_mtl.routing_over_time` returns.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.
        num_steps: Number of steps to draw. Defaults to 6.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No task.

    Example:

    >>> import numpy as np
    >>> routing = {"a": np.ones((8, 2, 3)), "b": np.zeros((8, 2, 3))}
    >>> ax = plot_routing_over_time(routing)  # save it with ax.figure.savefig("routing.png")
    >>> ax.images[0].get_array().shape  # 3 sub-encoders of 2 tasks, 2 layers at 6 steps
    (6, 12)
    """
    made_by = "keras_mtl.routing_over_time(model, x)"
    routing = by_task("plot_routing_over_time", routing, made_by)
    num_steps = min(num_steps, max(map(len, routing.values())))
    matrix = np.concatenate([_steps_across(shares, num_steps) for shares in routing.values()])
    _, num_layers, num_sub_encoders = next(iter(routing.values())).shape
    num_rows, num_columns = matrix.shape
    ax = given_or_new(ax, 2.5 + 0.3 * num_columns, 1.5 + 0.3 * num_rows)
    image = show_matrix(ax, matrix, [""] * num_rows)
    ax.set(facecolor=_ABSENT_COLOR, aspect="auto")  # else the layout cuts off labels
    steps = [f"step {step}" for step in range(1, num_steps + 1)]
    separate_layers(ax, steps, [num_layers] * num_steps)
    separate_layers(ax, list(routing), [num_sub_encoders] * len(routing), axis="y")
    ax.set_xlabel("layer")
    ax.set_ylabel("sub-encoder")
    add_colorbar(ax, image, "share of examples")
    return ax


def _steps_across(shares: Any, num_steps: Any) -> Any:
    """Returns `(sub_network, step and layer)` of `(time, layer, sub_network)`."""
    missing = max(num_steps - len(shares), 0)
    shares = np.pad(shares[:num_steps], ((0, missing), (0, 0), (0, 0)), constant_values=np.nan)
    return shares.reshape(-1, shares.shape[-1]).T


def plot_sub_encoder_usage(usage: Any, ax: Any = None) -> Any:
    """Draws how the connections to each sub-encoder divide among the tasks.

    There is a bar for each sub-encoder, layer after layer; none for one that no task reads.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 4 (right).

    Args:
        usage: What `keras_mtl.analysis.sub_encoder_usage` returns.
        ax: As for `plot_routing_over_time`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No task.

    Example:

    >>> import numpy as np
    >>> ax = plot_sub_encoder_usage({"a": np.array([[0.25, 1.0]]), "b": np.array([[0.75, 0.0]])})
    >>> [float(bar.get_height()) for bar in ax.patches]
    [0.25, 1.0, 0.75, 0.0]
    """
    made_by = "keras_mtl.analysis.sub_encoder_usage(model, x)"
    usage = by_task("plot_sub_encoder_usage", usage, made_by)
    there = ~np.isnan(next(iter(usage.values())))
    sizes = there.sum(axis=1).tolist()
    positions, bottom = range(sum(sizes)), np.zeros(sum(sizes))
    ax = given_or_new(ax, 3 + 0.4 * sum(sizes), 3)
    for task, shares in usage.items():
        ax.bar(positions, shares[there], bottom=bottom, width=0.8, label=task)
        bottom += shares[there]
    separate_layers(ax, [f"layer {index + 1}" for index in range(len(sizes))], sizes)
    ax.set_xlim(-0.5, sum(sizes) - 0.5)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_xlabel("sub-encoder")
    ax.set_ylabel("share of open connections")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)  # bars fill the axes
    return ax
