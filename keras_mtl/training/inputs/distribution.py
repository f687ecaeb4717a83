"""Training under a distribution strategy: where variables are made, and what it cannot do."""

import contextlib
from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import InstanceGate


def scope_of(model: keras.Model) -> Any:
    """Returns the context in which what belongs to a model is made on all of its replicas."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    return model.distribute_strategy.scope()


def num_replicas_of(model: keras.Model) -> Any:
    """Returns how many replicas a model trains on."""
    if keras.backend.backend() != "tensorflow":
        return 1
    return model.distribute_strategy.num_replicas_in_sync


def check_first_batch(model: keras.Model, x: Any, batch_size: Any) -> None:
    """Raises a `ValueError` for a first batch that replicas cannot share in equal parts.

    Keras builds a model from the mean of the parts. Later batches may be odd.

    Args:
        model: A `MultiTaskModel`.
        x: What `fit` and `evaluate` take as such; looked at if it is arrays or `TaskBatches`.
        batch_size: What they take as such.
    """
    replicas = num_replicas_of(model)
    if replicas == 1:
        return
    size = getattr(x, "batch_size", None)
    if isinstance(x, dict) or hasattr(x, "shape"):
        size = min(batch_size or 32, len(keras.tree.flatten(x)[0]))
    if size is not None and size % replicas:
        raise ValueError(
            f"A first batch of {size} examples cannot be shared by {replicas} replicas in equal "
            f"parts, where Keras fails. Use a batch_size that is a multiple of {replicas}, and at "
            "least as many examples."
        )


def check_replicas(model: keras.Model, balancing: Any, steps_per_execution: Any) -> None:
    """Raises a `ValueError` for what several replicas cannot do as one would."""
    if num_replicas_of(model) == 1:
        return
    strategy = model.distribute_strategy
    name = f"{type(strategy).__name__} with {strategy.num_replicas_in_sync} replicas"
    if (steps_per_execution or 1) != 1:
        raise ValueError(
            f"Under {name} Keras itself cannot take several steps in one execution. Leave "
            f"steps_per_execution out. Received: steps_per_execution={steps_per_execution}"
        )
    if balancing is not None and balancing.splits_batches:
        raise ValueError(
            f"{type(balancing).__name__} splits a batch by the order of its examples, and under "
            f"{name} no replica sees them all. Train on one device, or use another method."
        )
    for layer in with_inner_layers(model):
        if isinstance(layer, InstanceGate):
            raise ValueError(
                f"{layer.name!r} decides by what is usual in a batch, and under {name} no replica "
                "sees the whole batch. Train networks with such gates on one device."
            )
        if getattr(layer, "collaboration", 0):
            raise ValueError(
                f"{layer.name!r} pays for what it chose lately, and under {name} no replica sees "
                "all decisions in their order. Train on one device, or leave collaboration out."
            )
