"""Whether related tasks learn faster together than unrelated ones."""

from keras_mtl.plots.learning_curves import plot_learning_curves


def plot_loss_by_group(histories, ax=None, log="loss"):
    """Draws the loss of groups of tasks that were trained together: mean over seeds.

    A band shows one standard error of the mean on each side; a single seed has none.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 3. The band is
    ours.

    Args:
        histories: Dict, name of a group, such as `"related"` -> list of what `fit` returned for
            its tasks, one for each seed; or of their `history` dicts.
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
    if not histories:
        raise ValueError("histories is empty. Give a dict, name of a group -> list of histories.")
    curves = {group: _curves(group, runs, log) for group, runs in histories.items()}
    ax = plot_learning_curves(curves, ax)
    ax.set_ylabel(log)
    return ax


def _curves(group, runs, log):
    """Returns the numbers of a log, a list for each run."""
    logs = [getattr(run, "history", run) for run in runs]
    if not logs:
        raise ValueError(f"histories[{group!r}] is empty. Give one history for each seed.")
    for run in logs:
        if log not in run:
            raise ValueError(
                f"histories[{group!r}] has no log {log!r}. Logs of its runs: {', '.join(run)}"
            )
    lengths = sorted({len(run[log]) for run in logs})
    if len(lengths) > 1:
        raise ValueError(
            f"The runs of histories[{group!r}] must have as many epochs each, to have a mean. "
            f"Received: {', '.join(map(str, lengths))} epochs"
        )
    return [run[log] for run in logs]
