"""A plot of the losses of groups of tasks, such as related and unrelated ones."""

from collections.abc import Mapping
from typing import Any

from keras_mtl.plots.given import refuse
from keras_mtl.plots.scores.learning_curves import logged, plot_learning_curves

_WANTED = "a dict, name of a group -> what fit returned, or a list of that for each seed"


def plot_loss_by_group(histories: Any, ax: Any = None, log: str = "loss") -> Any:
    """Draws the loss of groups of tasks that were trained together: mean over seeds.

    A band shows one standard error of the mean on each side; a single seed has none.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 3. The band is
    ours.

    Args:
        histories: Dict, name of a group, such as `"related"` -> what `fit` returned for its
            tasks, or its `history` dict; a list of these, one for each seed; or numbers, as for
            `plot_learning_curves`.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.
        log: Name of the log to draw. Defaults to `"loss"`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No group, no history, no such log, or runs of different lengths.

    Example:

    >>> runs = {"related": [{"loss": [1.0, 0.5]}, {"loss": [0.5, 0.25]}],
    ...     "unrelated": [{"loss": [1.0, 0.75]}]}
    >>> ax = plot_loss_by_group(runs)
    >>> ax.lines[0].get_ydata().tolist()
    [0.75, 0.375]
    """
    if not isinstance(histories, Mapping):
        refuse("plot_loss_by_group", histories, _WANTED)
    if not histories:
        raise ValueError(f"histories is empty. Give {_WANTED}.")
    curves = {
        group: logged(f"histories[{group!r}]", runs, log) for group, runs in histories.items()
    }
    return plot_learning_curves(curves, ax, log)
