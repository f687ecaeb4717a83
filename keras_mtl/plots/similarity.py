"""A plot of the similarity of tasks."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import task_similarity
from keras_mtl.plots.axes import add_colorbar, given_or_new, show_matrix, write_values
from keras_mtl.plots.given import is_network, refuse, task_names

_WANTED = "a network that allocates components, or a (tasks, tasks) matrix of similarities"
_LEAST_SPAN = 0.05  # of the colors: smaller differences are drawn as such
_ITSELF_COLOR = "0.85"


def plot_task_similarity(model: keras.Model, ax: Any = None) -> Any:
    """Draws the cosine similarity of the tasks' allocations, with its numbers.

    Colors span what is found between different tasks, the darker the more alike. A task with
    itself, always 1, is grey.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-C.

    Args:
        model: As for `plot_allocation`, or what `keras_mtl.task_similarity` returns.
        ax: As for `plot_allocation`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model allocates nothing, or is neither a model nor such numbers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_no_sharing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2])
    >>> [text.get_text() for text in plot_task_similarity(model).texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    similarity = task_similarity(model) if is_network(model) else _checked(model)
    itself = np.eye(len(similarity), dtype=bool)
    names, side = task_names(model, len(similarity)), 0.4 * len(similarity)
    ax = given_or_new(ax, 2.6 + side, 1.5 + side)
    limits = _limits(similarity[~itself])
    image = show_matrix(ax, np.ma.array(similarity, mask=itself), names, limits=limits)
    image.set_cmap(image.cmap.with_extremes(bad=_ITSELF_COLOR))
    ax.set_xticks(range(len(names)), names, rotation=90)
    write_values(ax, image)
    add_colorbar(ax, image, "similarity of tasks")
    ax.set_title("Cosine similarity of allocations")
    return ax


def _limits(values: Any) -> tuple[Any, Any]:
    """Returns the ends of the colors: those of the values, and not too near to each other."""
    if not len(values):
        return 0, 1
    low, high = float(values.min()), float(values.max())
    return min(low, high - _LEAST_SPAN), high


def _checked(given: Any) -> Any:
    try:
        similarity = np.asarray(given, float)
    except (TypeError, ValueError):
        similarity = np.empty(0)
    if similarity.ndim != 2 or len(set(similarity.shape)) != 1 or not similarity.size:
        refuse("plot_task_similarity", given, _WANTED)
    return similarity
