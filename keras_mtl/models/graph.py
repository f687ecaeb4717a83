"""The graph that all builders share: inputs, stem, layers in order, heads."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.funnels import check_no_funnels, conditional_names
from keras_mtl.layers import (
    FunnelHead,
    JoinDirections,
    LastStep,
    PickTask,
    TaskHead,
    TaskHeads,
)
from keras_mtl.layers.heads.funnel_head import features_of
from keras_mtl.models.construction import (
    layer_names,
    new_input,
)
from keras_mtl.models.task_towers import through_towers, units_by_task
from keras_mtl.names import check_task_name
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import Tasks, Tensor, TowerUnits

_FORMS_OF_DATA = {
    "shared": "one input, a label per task",
    "separate": "each example belongs to one task",
}


class Network:
    """The beginning and the end of every network: its inputs, and heads for its tasks."""

    def __init__(self, inputs: Any, tasks: Tasks, task_data: str) -> None:
        checks.word("task_data", task_data, _FORMS_OF_DATA)
        self.tasks = as_tasks(tasks)
        self.separate = task_data == "separate"
        if self.separate:
            check_no_funnels(self.tasks)
        self.inputs = new_input(inputs)
        self.task_id = keras.Input((), dtype="int32", name="task_id") if self.separate else None
        self.num_added_tasks = 0

    @classmethod
    def on(cls, inputs: Any, tasks: Tasks, task_data: str) -> Any:
        """Returns the beginning of a network on the inputs that a graph has already."""
        separate = task_data == "separate"
        network = cls(inputs["inputs"] if separate else inputs, tasks, task_data)
        if separate:
            network.inputs, network.task_id = inputs["inputs"], inputs["task_id"]
        else:
            network.inputs = inputs
        return network

    def finish(
        self,
        streams: Sequence[Tensor],
        name: str | None,
        seed: int | None = None,
        tower_units: TowerUnits = (),
        sequences: bool = False,
    ) -> Any:
        """Adds the heads to each task's features and returns the model.

        Args:
            streams: List of the features of each task.
            tower_units: Sizes of dense layers that a task has before its head, for all tasks or
                by task.
            sequences: Whether the features are sequences. Tasks without a label at every step
                then read the last one.
        """
        per_step = any(task.per_step for task in self.tasks.values())
        if per_step:
            join = JoinDirections(name="join_directions")  # steps need one vector each
            streams = each_once(lambda x: join(x) if len(x.shape) == 4 else x, streams)
        streams = through_towers(streams, units_by_task(tower_units, list(self.tasks)))
        ends = self._separate_heads if self.separate else self._shared_heads
        return MultiTaskModel(*ends(streams, seed, per_step or sequences), name=name)

    def _separate_heads(
        self, streams: Sequence[Tensor], seed: int | None, sequences: Any
    ) -> tuple[Any, Any]:
        features = streams[0]
        if any(stream is not features for stream in streams):
            features = PickTask(name="pick_task")(streams, self.task_id)
        if sequences and not any(task.per_step for task in self.tasks.values()):
            features = LastStep(name="last_step")(features)
        inputs = {"inputs": self.inputs, "task_id": self.task_id}
        self._check_task_names(inputs, features)
        heads = TaskHeads(self.tasks, self.num_added_tasks, seed, name="heads")
        return inputs, heads(features, self.task_id)

    def _shared_heads(
        self, streams: Sequence[Tensor], seed: int | None, sequences: Any
    ) -> tuple[Any, Any]:
        if sequences:
            last = LastStep(name="last_step")
            at_the_end = each_once(lambda x: last(x) if len(x.shape) == 3 else x, streams)
            streams = [
                stream if task.per_step else end
                for task, stream, end in zip(self.tasks.values(), streams, at_the_end, strict=True)
            ]
        self._check_task_names(self.inputs, streams)
        outputs: dict[str, Any] = {}
        for index, (task_name, stream) in enumerate(zip(self.tasks, streams, strict=True)):
            outputs |= head_outputs(self.tasks, task_name, index, stream, outputs)
        return self.inputs, outputs

    def _check_task_names(self, inputs: Any, features: Tensor) -> None:
        taken = layer_names(keras.Model(inputs, features))
        for name in [*self.tasks, *conditional_names(self.tasks).values()]:
            check_task_name(name, taken)


def head_outputs(
    tasks: Tasks, name: str, index: int, features: Tensor, outputs: dict[str, Any]
) -> dict[str, Any]:
    """Returns what a new head of shared data answers, by name.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`.
        name: The task that the head is for.
        index: Its index.
        features: What the head reads.
        outputs: What the heads of the tasks before it answer, by name.
    """
    task = tasks[name]
    if task.given is None:
        return {name: TaskHead(task, index, name=name)(features)}
    joint, conditional = FunnelHead(task, index, name=name)(features, outputs[task.given])
    return {name: joint, conditional_names(tasks)[name]: conditional}


def streams_before_heads(model: keras.Model) -> Any:
    """Returns what the heads of a model read: the features of each task, in order."""
    if model.task_data == "shared":
        return [features_of(model.get_layer(name)) for name in model.tasks]
    features = model.get_layer("heads").input[0]
    if "pick_task" in {layer.name for layer in model.layers}:
        return model.get_layer("pick_task").input[:-1]
    return [features] * len(model.tasks)


def each_once(call: Callable[..., Any], streams: Sequence[Tensor]) -> list[Any]:
    """Returns what `call` makes of each stream; streams that are the same are called once."""
    outputs = {}
    for stream in streams:
        if id(stream) not in outputs:
            outputs[id(stream)] = call(stream)
    return [outputs[id(stream)] for stream in streams]
