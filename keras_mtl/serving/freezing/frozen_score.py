"""A frozen network, to be judged as the network that it was made of."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.task_paths import same_input
from keras_mtl.tasks import kinds_of, largest_size
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import Tensor


class Judged(MultiTaskModel):
    """Evaluates what another network answers, by the tasks of the one that it was made of."""

    original: MultiTaskModel

    @property
    def tasks(self) -> Any:
        return self.original.tasks

    @property
    def task_data(self) -> Any:
        return self.original.task_data

    @property
    def standard_units(self) -> Any:
        return self.original.standard_units


def judged(model: keras.Model, frozen: keras.Model) -> Any:
    """Returns a model whose `evaluate` takes the data of `model` and scores `frozen`.

    Args:
        model: A compiled model made by a builder of this package.
        frozen: The network that `keras_mtl.freeze` made of it, of all tasks.
    """
    inputs = keras.tree.map_structure(same_input, model.input)
    if model.task_data == "separate":
        outputs = _by_task_id(model.tasks, frozen(inputs["inputs"]), inputs["task_id"])
    else:
        outputs = frozen(inputs)
    network = Judged(inputs, outputs)
    network.original = model
    if model.uses_task_losses:
        network.compile("sgd")
    else:
        network.compile_from_config(model.get_compile_config())
    return network


def _by_task_id(tasks: Any, outputs: Any, task_id: Tensor) -> Any:
    """Returns outputs in the form of separate data: of each example's task, padded, by kind."""
    by_kind = {}
    for kind in kinds_of(tasks):
        widest, parts = largest_size(tasks, kind), []
        for index, (name, task) in enumerate(tasks.items()):
            if task.kind == kind:
                rank = len(outputs[name].shape)
                padding = [(0, 0)] * (rank - 1) + [(0, widest - task.size)]
                belongs = ops.reshape(ops.equal(task_id, index), (-1,) + (1,) * (rank - 1))
                padded = ops.pad(outputs[name], padding)
                parts.append(ops.where(belongs, padded, ops.zeros_like(padded)))
        by_kind[kind] = sum(parts)
    return by_kind if len(by_kind) > 1 else next(iter(by_kind.values()))
