"""A plot of allocation probabilities over training."""

from typing import Any

import numpy as np

from keras_mtl.plots.axes import (
    PROBABILITY_COLORS,
    add_colorbar,
    given_or_new,
    separate_layers,
)
from keras_mtl.plots.given import refuse


def plot_allocation_history(recorder: Any, tasks: Any, task: Any, ax: Any = None) -> Any:
    """Draws how likely one task was to use each component, epoch after epoch.

    Epochs go from left to right, components from top to bottom. Pale cells are
    undecided; at one half or more (blue) evaluation and freezing use the component.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, figure 8, drawn there
    as lines.

    Args:
        recorder: A `keras_mtl.AllocationRecorder` that was a callback of `fit`.
        tasks: The dict of tasks, or the model.
        task: Name of the task to draw.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: An unknown task, or a recorder that has recorded nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> tasks = {"a": "regression", "b": "binary"}
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), tasks, [[partial(keras.layers.Dense, 8)] * 4])
    >>> model.compile("adam")
    >>> zeros = keras.ops.zeros
    >>> recorder = keras_mtl.AllocationRecorder()
    >>> history = model.fit(zeros((6, 5)), {"a": zeros((6,)), "b": zeros((6,))},
    ...     epochs=2, verbose=0, callbacks=[recorder])
    >>> plot_allocation_history(recorder, tasks, "a").get_title()
    'Allocation of task a'
    """
    if not hasattr(recorder, "probabilities"):
        refuse("plot_allocation_history", recorder, "a keras_mtl.AllocationRecorder after fit")
    names = list(getattr(tasks, "tasks", tasks))
    if task not in names:
        raise ValueError(f"Unknown task {task!r}. Tasks: {', '.join(names)}")
    if not any(recorder.probabilities):
        raise ValueError(
            "The recorder holds no probabilities. Give it to fit(callbacks=[recorder]) of a model "
            "that learns an allocation, such as keras_mtl.build_gumbel_matrix makes."
        )
    row = names.index(task)
    history = np.array([np.concatenate(p, axis=1)[row] for p in recorder.probabilities]).T
    sizes = [layer.shape[1] for layer in recorder.probabilities[0]]
    ax = given_or_new(ax, 6.5, 1.2 + 0.2 * len(history))
    image = ax.imshow(
        history, cmap=PROBABILITY_COLORS, vmin=0, vmax=1, aspect="auto", interpolation="none"
    )
    separate_layers(ax, [f"layer {index + 1}" for index in range(len(sizes))], sizes, axis="y")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.xaxis.set_major_formatter(lambda tick, _: _epoch_at(recorder.epochs, tick))
    ax.set_xlabel("epoch")
    add_colorbar(ax, image, "probability of use")
    ax.set_title(f"Allocation of task {task}")
    return ax


def _epoch_at(epochs: Any, tick: Any) -> Any:
    return str(epochs[int(tick)]) if 0 <= tick < len(epochs) else ""
