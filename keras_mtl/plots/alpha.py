"""A plot of alpha: the weights by which towers read each other."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import alphas
from keras_mtl.analysis.stitches import stitch_layers
from keras_mtl.plots.axes import (
    SIGNED_COLORS,
    add_colorbar,
    given_or_new,
    layer_labels,
    separate_layers,
    show_matrix,
    write_values,
)
from keras_mtl.plots.given import is_network, number_arrays, task_names

_WANTED = "a network of stitched towers, or what keras_mtl.analysis.alphas returns"
_MOST_NUMBERS = 200  # cells; with more of them, numbers in cells are too small to read


def plot_alpha(model: keras.Model, ax: Any = None) -> Any:
    """Draws how much towers read of each other: targets down, sources across, layer by layer.

    Colors are pale at 0, blue above and red below. Per-channel weights are drawn as their
    mean over channels.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, analysis of alpha.

    Args:
        model: A model of stitched towers, such as `keras_mtl.build_cross_stitch` and
            `keras_mtl.build_sluice` make, or what `keras_mtl.analysis.alphas` returns, whose rows
            then have numbers.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model stitches nothing, or is neither a model nor such numbers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_sluice(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2])
    >>> ax = plot_alpha(model)  # save it with ax.figure.savefig("alpha.png")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['a 1', 'a 2', 'b 1', 'b 2']
    """
    if is_network(model):
        found, labels = alphas(model), layer_labels(stitch_layers(model))
    else:
        found = number_arrays("plot_alpha", model, _WANTED, (2, 3))
        labels = [f"layer {index + 1}" for index in range(len(found))]
    matrices = [alpha if alpha.ndim == 2 else alpha.mean(axis=-1) for alpha in found]
    matrix, sizes = np.concatenate(matrices, axis=1), [len(alpha) for alpha in matrices]
    names = _subspace_names(task_names(model, len(matrix)), num_rows=len(matrix))
    largest = np.abs(matrix).max() or 1.0
    ax = given_or_new(ax, 2.5 + 0.4 * sum(sizes), 1.8 + 0.4 * len(matrix))
    image = show_matrix(ax, matrix, names, SIGNED_COLORS, limits=(-largest, largest))
    if matrix.size <= _MOST_NUMBERS:
        write_values(ax, image)
    separate_layers(ax, labels, sizes)
    ax.set_xticks(range(sum(sizes)), names * len(sizes), rotation=90)
    ax.set_xlabel("source")
    ax.set_ylabel("target")
    add_colorbar(ax, image, "weight")
    ax.set_title("What towers read (alpha)")
    return ax


def _subspace_names(tasks: Any, num_rows: Any) -> Any:
    """Returns the names of rows in the order of alpha: by task, then subspace."""
    num_subspaces = num_rows // len(tasks)
    if num_subspaces == 1:
        return tasks
    return [f"{task} {number}" for task in tasks for number in range(1, num_subspaces + 1)]
