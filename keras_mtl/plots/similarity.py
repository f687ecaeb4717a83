"""How alike the tasks' sets of components are."""

from keras_mtl.analysis import task_similarity
from keras_mtl.plots.axes import given_or_new, show_matrix, write_values


def plot_task_similarity(model, ax=None):
    """Draws the cosine similarity of the tasks' allocations, with its numbers.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-C.

    Args:
        model: As for `plot_allocation`.
        ax: As for `plot_allocation`. Defaults to `None`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The model allocates nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_no_sharing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2])
    >>> [text.get_text() for text in plot_task_similarity(model).texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    similarity, names = task_similarity(model), list(model.tasks)
    side = 0.4 * len(names)
    ax = given_or_new(ax, 2 + side, 1.5 + side)
    show_matrix(ax, similarity, names)
    ax.set_xticks(range(len(names)), names, rotation=90)
    write_values(ax, similarity)
    ax.set_title("Cosine similarity of allocations")
    return ax
