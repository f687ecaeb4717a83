"""A plot of learning curves by method, such as of how fast they fit noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl.plots.axes import given_or_new
from keras_mtl.plots.given import refuse

_WANTED = (
    "a dict, name of a curve -> what fit returned, a list of that for each seed, or (seeds, epochs)"
    " numbers; or what one fit returned"
)


def plot_learning_curves(curves: Any, ax: Any = None, log: Any = None) -> Any:
    """Draws a number that training logs, epoch after epoch: mean over seeds.

    A band shows one standard error of the mean on each side; a single seed has none. A method
    that fits random labels more slowly regularizes more.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, figure 3. The band is ours.

    Args:
        curves: Dict, name of a curve, such as a method -> what `fit` returned or its `history`
            dict, a list of these with one for each seed, or `(seeds, epochs)` numbers. What one
            `fit` returned may stand alone.
        ax: As for `plot_alpha`. Defaults to `None`.
        log: Name of the log to draw of histories, and what the axis is called. `None` draws
            `"loss"`, and calls numbers `value`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No curve, no such log, runs of different lengths, or numbers of another shape.

    Example:

    >>> ax = plot_learning_curves(
    ...     {"single task": [[0.5, 0.75], [0.25, 0.75]], "sluice": [[0, 1]]}, log="accuracy")
    >>> ax.lines[0].get_ydata().tolist(), ax.get_ylabel()
    ([0.375, 0.75], 'accuracy')
    """
    if hasattr(curves, "history"):
        curves = {log or "loss": curves}
    if not isinstance(curves, Mapping):
        refuse("plot_learning_curves", curves, _WANTED)
    if not curves:
        raise ValueError(f"curves is empty. Give {_WANTED}.")
    drawn = {
        name: logged(f"curves[{name!r}]", runs, log or "loss") for name, runs in curves.items()
    }
    if log is None:
        log = "loss" if all(map(_are_histories, curves.values())) else "value"
    ax = given_or_new(ax, 5, 3.2)
    for name, runs in drawn.items():
        num_seeds, num_epochs = runs.shape
        epochs, mean = np.arange(1, num_epochs + 1), runs.mean(axis=0)
        (line,) = ax.plot(epochs, mean, label=name)
        if num_seeds > 1:
            error = runs.std(axis=0, ddof=1) / np.sqrt(num_seeds)
            ax.fill_between(
                epochs, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0
            )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel(log)
    ax.legend()
    return ax


def logged(what: str, runs: Any, log: Any) -> Any:
    """Returns the numbers of runs, `(seeds, epochs)`, of a log where they are histories."""
    if _is_history(runs):
        runs = [runs]
    if _are_histories(runs):
        runs = [_numbers_of(what, getattr(run, "history", run), log) for run in runs]
        lengths = sorted({len(numbers) for numbers in runs})
        if len(lengths) > 1:
            raise ValueError(
                f"The runs of {what} must have as many epochs each, to have a mean. "
                f"Received: {', '.join(map(str, lengths))} epochs"
            )
    try:
        numbers = np.asarray(runs, float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim == 1:
        numbers = numbers[None]  # of one seed
    if numbers.ndim != 2 or not numbers.size:
        raise ValueError(
            f"{what} must be what fit returned, a list of that for each seed, or numbers with a "
            f"row for each seed and a column for each epoch. Received: {runs!r}"
        )
    return numbers


def _is_history(run: Any) -> bool:
    return hasattr(run, "history") or isinstance(run, Mapping)


def _are_histories(runs: Any) -> Any:
    several = isinstance(runs, list | tuple) and runs
    return _is_history(runs) or bool(several and all(map(_is_history, runs)))


def _numbers_of(what: str, logs: Any, log: Any) -> Any:
    if log not in logs:
        raise ValueError(f"{what} has no log {log!r}. Logs of its runs: {', '.join(logs)}")
    return logs[log]
