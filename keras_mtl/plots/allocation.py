"""Plots of an allocation: components by task, and usage by depth."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import allocation, allocation_probabilities, usage_by_depth
from keras_mtl.analysis.allocated.allocation import allocation_layers
from keras_mtl.plots.axes import (
    BAR_COLOR,
    PROBABILITY_COLORS,
    add_colorbar,
    given_or_new,
    layer_labels,
    separate_layers,
    show_matrix,
)
from keras_mtl.plots.given import is_network, number_arrays, task_names

_WANTED = "a network that allocates components, or a (tasks, components) matrix for each layer"


def plot_allocation(model: keras.Model, ax: Any = None, probabilities: bool = False) -> Any:
    """Draws which components each task uses: tasks down, components across.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V.

    Args:
        model: A model that allocates components, such as `keras_mtl.build_gumbel_matrix`
            makes, or what `keras_mtl.allocation` or `keras_mtl.allocation_probabilities` returns,
            whose tasks then have numbers.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.
        probabilities: Whether to draw probabilities instead of the most likely
            allocation. Defaults to `False`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model allocates nothing, or is neither a model nor such numbers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4])
    >>> ax = plot_allocation(model)  # save it with ax.figure.savefig("allocation.png")
    >>> ax.get_title()
    'Components in use'
    """
    if is_network(model):
        matrices = allocation_probabilities(model) if probabilities else allocation(model)
    else:
        matrices = number_arrays("plot_allocation", model, _WANTED)
    matrix, sizes = np.concatenate(matrices, axis=1), [m.shape[1] for m in matrices]
    num_tasks, num_components = matrix.shape
    ax = given_or_new(ax, 2 + 0.3 * num_components, 1.2 + 0.3 * num_tasks)
    colors = PROBABILITY_COLORS if probabilities else None
    image = show_matrix(ax, matrix, task_names(model, num_tasks), colors)
    separate_layers(ax, _labels(model, sizes), sizes)
    if probabilities:
        add_colorbar(ax, image, "probability of use")
    ax.set_title("Allocation probabilities" if probabilities else "Components in use")
    return ax


def plot_usage_by_depth(model: keras.Model, ax: Any = None) -> Any:
    """Draws the share of tasks that use each component, layer after layer.

    A dotted line marks the mean of each layer.

    Args:
        model: As for `plot_allocation`, or what `keras_mtl.analysis.usage_by_depth` returns.
        ax: As for `plot_allocation`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model allocates nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_shared_bottom(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4])
    >>> [float(bar.get_height()) for bar in plot_usage_by_depth(model).patches]
    [1.0, 1.0, 1.0, 1.0]
    """
    usage = usage_by_depth(model) if is_network(model) else _usage(model)
    sizes = [len(fractions) for fractions in usage]
    ax = given_or_new(ax, max(4.5, 1.5 + 0.25 * sum(sizes)), 3)
    ax.bar(range(sum(sizes)), np.concatenate(usage), width=0.8, color=BAR_COLOR)
    start = -0.5
    for fractions in usage:
        end = start + len(fractions)
        ax.hlines(fractions.mean(), start, end, color="black", linestyle=":")
        start = end
    separate_layers(ax, _labels(model, sizes), sizes)
    ax.set_xlim(-0.5, sum(sizes) - 0.5)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_ylabel(f"share of {len(model.tasks)} tasks" if is_network(model) else "share of tasks")
    ax.set_title("Use of components (dotted: layer mean)")
    return ax


def _usage(given: Any) -> Any:
    wanted = (
        "a network that allocates components, or what keras_mtl.analysis.usage_by_depth returns"
    )
    return number_arrays("plot_usage_by_depth", given, wanted, ndim=1)


def _labels(given: Any, sizes: Any) -> Any:
    if is_network(given):
        return layer_labels(allocation_layers(given))
    return [f"layer {index + 1}" for index in range(len(sizes))]
