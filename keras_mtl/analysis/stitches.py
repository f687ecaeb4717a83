"""Weights of stitched towers: of what towers read of each other, and heads of layers."""

from typing import Any

import keras
import numpy as np

from keras_mtl.layers import LayerMixture, Stitch


def stitch_layers(model: keras.Model) -> list[Any]:
    """Returns the layers of a model that mix its towers, in order of depth."""
    return [layer for layer in model.layers if isinstance(layer, Stitch)]


def alphas(model: keras.Model) -> list[Any]:
    """Returns how much towers read of each other after each list of components.

    Args:
        model: A model of stitched towers, such as `keras_mtl.build_cross_stitch` and
            `keras_mtl.build_sluice` make.

    Returns:
        List of `(T * S, T * S)` arrays for T tasks with S subspaces, row = target, column =
        source, ordered by task, then subspace. Per-channel cross-stitch: `(T, T, width)`.

    Raises:
        ValueError: The model stitches nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_sluice(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2] * 3)
    >>> [alpha.shape for alpha in alphas(model)]
    [(4, 4), (4, 4), (4, 4)]
    """
    return [layer.alpha for layer in required_stitches(model)]


def cross_task_mass(model: keras.Model) -> Any:
    """Returns which share of what a task reads comes from other tasks' towers.

    Weights count by their absolute value, summed over subspaces or channels.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, whose analysis of alpha this puts into one number per
    task and layer.

    Args:
        model: As for `alphas`.

    Returns:
        `(num_layers, num_tasks)` array of numbers in [0, 1]: 0 = the task reads its own tower
        only. NaN for a task that reads nothing.

    Raises:
        ValueError: The model stitches nothing.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_cross_stitch(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2],
    ...     alpha=[[0.75, -0.25], [0.0, 2.0]])
    >>> cross_task_mass(model).tolist()
    [[0.25, 0.0]]
    """
    return np.array([_cross_task_shares(layer) for layer in required_stitches(model)])


def _cross_task_shares(layer: keras.Layer) -> Any:
    alpha, num_subspaces = np.abs(layer.alpha), layer.num_subspaces
    num_tasks = len(alpha) // num_subspaces
    blocks = alpha.reshape(num_tasks, num_subspaces, num_tasks, num_subspaces, -1)
    mass = blocks.sum(axis=(1, 3, 4))
    total = mass.sum(axis=1)
    others = np.where(np.eye(num_tasks, dtype=bool), 0, mass).sum(axis=1)
    return np.divide(others, total, out=np.full(num_tasks, np.nan), where=total > 0)


def betas(model: keras.Model) -> Any:
    """Returns how much each task's head reads of the layers of its tower.

    Args:
        model: A model whose heads read mixtures of layers: made by `keras_mtl.build_sluice`
            with connections `"mixture"` or `"skip"`.

    Returns:
        `(num_tasks, num_layers)` array, tasks in the order of `tasks`.

    Raises:
        ValueError: The model mixes no layers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_sluice(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2] * 3,
    ...     beta=[0.0, 0.25, 0.75])
    >>> betas(model).tolist()
    [[0.0, 0.25, 0.75], [0.0, 0.25, 0.75]]
    """
    mixtures = {layer.name: layer for layer in model.layers if isinstance(layer, LayerMixture)}
    if not mixtures:
        raise ValueError(
            f"Model {model.name!r} mixes no layers: none of its heads reads a LayerMixture. Build "
            'it with keras_mtl.build_sluice(..., connections="mixture").'
        )
    numbers = range(1, len(mixtures) + 1)  # the order of layers is not that of tasks
    return np.stack([mixtures[f"mixture_{number}"].beta for number in numbers])


def required_stitches(model: keras.Model) -> Any:
    """Returns `stitch_layers` of a model that must have some."""
    layers = stitch_layers(model)
    if not layers:
        raise ValueError(
            f"Model {model.name!r} stitches no towers together: none of its layers mixes the "
            "features of tasks. Give a model made by keras_mtl.build_cross_stitch or "
            "keras_mtl.build_sluice, before it is frozen."
        )
    return layers
