"""A plot of beta: the weights by which heads read layers."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import betas
from keras_mtl.plots.axes import given_or_new
from keras_mtl.plots.given import is_network, number_arrays, task_names

_PALEST, _DARKEST = 0.35, 0.9  # of the colormap


def plot_beta(model: keras.Model, ax: Any = None) -> Any:
    """Draws how much each task's head reads of the layers of its tower, a bar per layer.

    Deeper layers are darker.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, analysis of beta.

    Args:
        model: A model whose heads read mixtures of layers, as for `keras_mtl.analysis.betas`, or
            what that returns.
        ax: As for `plot_alpha`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model mixes no layers, or is neither a model nor such numbers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_sluice(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2] * 3)
    >>> ax = plot_beta(model)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['layer 1', 'layer 2', 'layer 3']
    """
    weights = betas(model) if is_network(model) else _rows(model)
    num_tasks, num_layers = weights.shape
    ax = given_or_new(ax, 1.5 + num_tasks * (0.3 + 0.25 * num_layers), 3)
    from matplotlib import colormaps

    colors = colormaps["Blues"](np.linspace(_PALEST, _DARKEST, num_layers))
    width = 0.8 / num_layers
    for index, (by_task, color) in enumerate(zip(weights.T, colors, strict=True)):
        positions = np.arange(num_tasks) + (index - (num_layers - 1) / 2) * width
        ax.bar(positions, by_task, width, color=color, label=f"layer {index + 1}")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(num_tasks), task_names(model, num_tasks))
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("weight")
    ax.legend()
    ax.set_title("What heads read (beta)")
    return ax


def _rows(given: Any) -> Any:
    wanted = "a network whose heads mix layers, or what keras_mtl.analysis.betas returns"
    return np.array(number_arrays("plot_beta", given, wanted, ndim=1))
