"""Copies of networks whose heads answer otherwise."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_mtl.layers.copying import copied_layer
from keras_mtl.training import MultiTaskModel


def check_has_heads(who: str, model: Any) -> None:
    """Raises a `ValueError` for a model without tasks, such as a frozen one."""
    if not getattr(model, "tasks", {}):
        raise ValueError(
            f"{who} changes the heads of a model made by a keras_mtl builder. Model "
            f"{getattr(model, 'name', model)!r} has none. A frozen model has plain layers instead: "
            f"call {who} before freeze and export, which keep what it did."
        )


def head_of(model: keras.Model, task: str) -> Any:
    """Returns the layer that predicts a task."""
    return model.get_layer("heads" if model.task_data == "separate" else task)


def rescaled_copy(model: keras.Model, changes: Mapping[str, Any]) -> MultiTaskModel:
    """Returns an uncompiled copy of a model, with weights of its own.

    Args:
        model: A model made by a builder of this package.
        changes: Dict, task -> `(factor, shift)` of its logits: numbers, or one for each column.
    """
    graph = copied_layer(keras.Model(model.input, model.output))
    copy = MultiTaskModel(graph.input, graph.output, name=model.name)
    for task, (factor, shift) in changes.items():
        head_of(copy, task).rescale(task, factor, shift)
    return copy
