"""How fast methods learn, such as how fast they fit noise."""

import numpy as np

from keras_mtl.plots.axes import given_or_new


def plot_learning_curves(curves, ax=None):
    """Draws the training accuracy of methods, epoch after epoch: mean over seeds.

    A band shows one standard error of the mean on each side; a single seed has none. A method
    that fits random labels more slowly regularizes more.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, figure 3. The band is ours.

    Args:
        curves: Dict, name of a method -> `(seeds, epochs)` numbers, such as
            `history.history["chunk_accuracy"]` of a `fit` for each seed.
        ax: As for `plot_alpha`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No method, or numbers of another shape.

    Example:

    >>> ax = plot_learning_curves({"single task": [[0.5, 0.75], [0.25, 0.75]], "sluice": [[0, 1]]})
    >>> ax.lines[0].get_ydata().tolist()
    [0.375, 0.75]
    """
    curves = {name: np.asarray(runs, float) for name, runs in curves.items()}
    if not curves:
        raise ValueError("curves is empty. Give a dict, name of a method -> (seeds, epochs) array.")
    for name, runs in curves.items():
        if runs.ndim != 2 or not runs.size:
            raise ValueError(
                f"curves[{name!r}] must have a row for each seed and a column for each epoch, "
                f"shape (seeds, epochs). Received: {runs.shape}"
            )
    ax = given_or_new(ax, 5, 3.2)
    for name, runs in curves.items():
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
    ax.set_ylabel("training accuracy")
    ax.legend()
    return ax
