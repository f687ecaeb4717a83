"""The allocation that a network learned: which task uses which components."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers import (
    Allocation,
    DSelectKGates,
    NoisyTopKGates,
    Stitch,
    StreamGates,
    TaskGates,
)


def allocation_layers(model: keras.Model) -> list[Any]:
    """Returns the layers of a model that allocate components, in order of depth."""
    return [layer for layer in model.layers if isinstance(layer, Allocation)]


def allocation(model: keras.Model) -> list[Any]:
    """Returns the most likely allocation of each modular layer.

    Layers with one component are not routed and not listed.

    Args:
        model: A model with `Allocation` layers, such as the builders make.

    Returns:
        List of `(num_tasks, num_components)` arrays of 0 and 1, tasks in the order of
        `tasks`.

    Raises:
        ValueError: The model allocates nothing.
    """
    return [layer.matrix() for layer in _required_layers(model)]


def allocation_probabilities(model: keras.Model) -> list[Any]:
    """Returns the probability that a task uses a component, for each modular layer.

    Args:
        model: As for `allocation`.

    Returns:
        List of `(num_tasks, num_components)` arrays of numbers in [0, 1].

    Raises:
        ValueError: The model allocates nothing.
    """
    return [ops.convert_to_numpy(layer.probabilities()) for layer in _required_layers(model)]


def task_embeddings(model: keras.Model) -> Any:
    """Returns each task's rows of the allocation, one after the other.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-C.

    Args:
        model: As for `allocation`.

    Returns:
        `(num_tasks, sum of num_components)` array of 0 and 1.

    Raises:
        ValueError: The model allocates nothing.
    """
    return np.concatenate(allocation(model), axis=1)


def task_similarity(model: keras.Model) -> Any:
    """Returns the cosine similarity of the tasks' embeddings.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-C. A task
    without any component, whose cosine is not defined, has 0 with others and 1 with itself.

    Args:
        model: As for `allocation`.

    Returns:
        `(num_tasks, num_tasks)` array of numbers in [0, 1].

    Raises:
        ValueError: The model allocates nothing.
    """
    embeddings = task_embeddings(model)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(lengths > 0, lengths, 1.0)
    similarity = np.clip(unit @ unit.T, 0.0, 1.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity


def task_distance(model: keras.Model) -> Any:
    """Returns how far apart the tasks' probabilities are, on average over components.

    The mean of `abs(p[task, c] - p[other, c])` over all components of all layers; over blocks,
    where tasks learn or are told which they execute.

    Args:
        model: As for `allocation`.

    Returns:
        `(num_tasks, num_tasks)` array of numbers in [0, 1].

    Raises:
        ValueError: The model allocates nothing.
    """
    probabilities = np.concatenate(allocation_probabilities(model), axis=1)
    return np.abs(probabilities[:, None] - probabilities).mean(axis=-1)


def allocation_entropy(model: keras.Model) -> Any:
    """Returns the bits of uncertainty left in each modular layer's allocation.

    Args:
        model: As for `allocation`.

    Returns:
        List of `(num_tasks, num_components)` arrays of bits in [0, 1]: 0 where the
        decision is certain, 1 at a probability of one half.

    Raises:
        ValueError: The model allocates nothing.
    """
    entropies = []
    for probability in allocation_probabilities(model):
        p = np.clip(probability.astype("float64"), 1e-12, 1 - 1e-12)
        entropies.append(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))
    return entropies


def _required_layers(model: keras.Model) -> Any:
    layers = allocation_layers(model)
    if not layers:
        raise ValueError(
            f"Model {model.name!r} allocates no components to tasks: none of its layers has "
            f"several. {_what_to_call(model)}"
        )
    return layers


def _what_to_call(model: keras.Model) -> str:
    """Returns what says of a model what allocations say of others."""
    gates = DSelectKGates | NoisyTopKGates | StreamGates | TaskGates
    if any(isinstance(layer, gates) for layer in model.layers):
        return (
            "Its experts are weighed anew for each example: keras_mtl.analysis.expert_usage(model, "
            "x) says how much tasks use them, and keras_mtl.plots.plot_expert_usage draws it."
        )
    if any(isinstance(layer, Stitch) for layer in model.layers):
        return (
            "Its towers read each other: keras_mtl.analysis.alphas(model) says how much, and "
            "keras_mtl.plots.plot_alpha draws it."
        )
    return (
        "Put a list of components into the builder's `layers`. What tasks use of towers, experts "
        "and sub-networks is in keras_mtl.sharing_report."
    )
