"""Tasks that are left without a component in some layer: who they are, and a word during `fit`."""

import warnings
from typing import Any

import keras

from keras_mtl.layers import Allocation, AllocationMatrix


def empty_rows(model: keras.Model) -> list[Any]:
    """Returns who has no component that is at least as likely as not, and where.

    `min_components` is not asked: with 1 the most likely component is kept nevertheless. A layer of
    one component is a block that may be skipped, and has no empty rows.

    Args:
        model: A model made by a builder of this package.

    Returns:
        List of pairs: the name of a task and the `Allocation` layer in which its row is empty.
    """
    routed = [x for x in model.layers if isinstance(x, Allocation) and x.num_components > 1]
    return [
        (task, layer)
        for layer in routed
        for task, empty in zip(model.tasks, layer.empty_rows(), strict=True)
        if empty
    ]


class EmptyRowsWarning(keras.callbacks.Callback):
    """Warns of tasks that have no component in inference, at the end of an epoch, once for each.

    Where `min_components` keeps some there is nothing to warn of: the task reads its most likely
    components. A row of zeros that was given is meant.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: set[Any] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not any(map(_may_be_empty, self.model.layers)):
            return
        layers_by_task: dict[Any, Any] = {}
        for task, layer in empty_rows(self.model):
            if _may_be_empty(layer) and (task, layer.name) not in self._told:
                self._told.add((task, layer.name))
                layers_by_task.setdefault(task, []).append(layer.name)
        for task, names in layers_by_task.items():
            warnings.warn(
                f"Task {task!r} has no component in {', '.join(map(repr, names))}: each is less "
                "likely than not, so in inference what follows there sees zeros, and the answer "
                "does not depend on the input. Build the network with min_components=1, or train "
                "with a higher init_probability, a larger budget or a disconnect_weight.",
                stacklevel=2,
            )


def _may_be_empty(layer: keras.Layer) -> bool:
    return isinstance(layer, AllocationMatrix) and not layer.min_components
