"""A plot of what training does to each task."""

from typing import Any

from keras_mtl.plots.axes import given_or_new
from keras_mtl.plots.given import refuse


def plot_task_monitor(monitor: Any, ax: Any = None) -> Any:
    """Draws what a `keras_mtl.TaskMonitor` watched: a curve for each task, a dot at its best epoch.

    A dashed line in the color of a task is what a network of its own reaches, where that is known:
    a dot on the wrong side of it has lost by sharing.

    Args:
        monitor: A `TaskMonitor` that was in `fit`.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No monitor, or one that has seen no epoch.

    Example:

    >>> import keras_mtl
    >>> monitor = keras_mtl.TaskMonitor("accuracy")
    >>> monitor.values, monitor.best_epochs = {"a": [0.5, 0.75, 0.7]}, {"a": 2}
    >>> ax = plot_task_monitor(monitor)
    >>> ax.lines[1].get_xydata().tolist()
    [[2.0, 0.75]]
    """
    if not hasattr(monitor, "best_epochs"):
        refuse("plot_task_monitor", monitor, "a keras_mtl.TaskMonitor after fit")
    if not any(monitor.values.values()):
        raise ValueError("The monitor has seen no epoch. Give it to fit(callbacks=[monitor]).")
    ax = given_or_new(ax, 5, 3.2)
    for task, values in monitor.values.items():
        (line,) = ax.plot(range(1, len(values) + 1), values, label=task)
        if task in monitor.best_epochs:
            best = monitor.best_epochs[task]
            ax.plot([best], [values[best - 1]], "o", color=line.get_color())
        if monitor.single_task is not None:
            ax.axhline(monitor.single_task[task], color=line.get_color(), linestyle="--")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel(f"validation {monitor.metric}")
    ax.legend()
    return ax
