"""The graph that all builders share: inputs, stem, layers in order, heads."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers import (
    FixedAllocation,
    JoinDirections,
    LastStep,
    Modular,
    PickTask,
    RepeatRows,
    RoutedModular,
    SplitTasks,
    TaskHead,
    TaskHeads,
    TaskRows,
)
from keras_mtl.models.construction import (
    check_different_starts,
    layer_names,
    made_layers,
    new_input,
    seeded,
)
from keras_mtl.models.task_towers import through_towers, units_by_task
from keras_mtl.tasks import as_tasks, check_task_name
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, Tensor, TowerUnits

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
        outputs = {
            task_name: TaskHead(task, index, name=task_name)(stream)
            for index, ((task_name, task), stream) in enumerate(
                zip(self.tasks.items(), streams, strict=True)
            )
        }
        return self.inputs, outputs

    def _check_task_names(self, inputs: Any, features: Tensor) -> None:
        taken = layer_names(keras.Model(inputs, features))
        for name in self.tasks:
            check_task_name(name, taken)


def streams_before_heads(model: keras.Model) -> Any:
    """Returns what the heads of a model read: the features of each task, in order."""
    if model.task_data == "shared":
        return [model.get_layer(name).input for name in model.tasks]
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


class TaskStream:
    """Features on their way through the network, and whose task each row is.

    With separate data the rows are examples and the model's input says their tasks.
    With shared data all tasks read the same rows, until a layer treats them differently:
    from there on there is a block of rows per task.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.features = network.inputs
        self.task_id = network.task_id

    @property
    def num_rows(self) -> Any:
        """The number of rows of an example: one, or one per task."""
        return 1 if self.network.separate or self.task_id is None else len(self.network.tasks)

    def apply(self, layer: keras.Layer) -> None:
        """Sends every row through one layer."""
        self.features = layer(self.features)

    def route(
        self, components: Sequence[keras.Layer], allocation: Any, combine: str, name: str
    ) -> Any:
        """Sends every row through the components that its task is given.

        Returns what `allocation` says beside the weights, such as probabilities.
        """
        num_repeats, task_id = 1, self.task_id
        if task_id is None:
            num_repeats = 1 if allocation.same_for_all else len(self.network.tasks)
            task_id = TaskRows(num_repeats, name=f"{name}_rows")(self.network.inputs)
            self.task_id = None if allocation.same_for_all else task_id
        answer = allocation(task_id)
        weights, *rest = answer if isinstance(answer, list | tuple) else [answer]
        if allocation.chooses_one:
            modular = self._routed(components, allocation, combine, num_repeats, name)
        else:
            modular = Modular(components, combine, num_repeats, name=name)
        self.features = modular(self.features, weights)
        check_different_starts(components)
        return rest

    def _routed(
        self,
        components: Sequence[keras.Layer],
        allocation: Any,
        combine: str,
        num_repeats: int,
        name: str,
    ) -> Any:
        """Returns the layer that runs what is chosen; with shared data rows come in blocks."""
        num_blocks = routes = None
        if not self.network.separate:
            num_blocks = 1 if self.task_id is None else len(self.network.tasks)
            if isinstance(allocation, FixedAllocation):
                routes = allocation.matrix().argmax(axis=1)[:num_blocks].tolist()
        draws = getattr(allocation, "draws", "task")
        return RoutedModular(components, combine, num_repeats, num_blocks, routes, draws, name=name)

    def separate_rows(self) -> None:
        """Gives every task rows of its own, before a layer that treats them differently."""
        if self.task_id is None:
            num_tasks = len(self.network.tasks)
            self.task_id = TaskRows(num_tasks, name="task_rows")(self.network.inputs)
            if num_tasks > 1:
                self.features = RepeatRows(num_tasks, name="repeat_rows")(self.features)

    def by_task(self) -> Any:
        """Returns the features of each task."""
        num_tasks = len(self.network.tasks)
        if self.num_rows > 1:
            return SplitTasks(num_tasks, name="split_tasks")(self.features)
        return [self.features] * num_tasks


def build_allocated(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    allocate: Callable[[int, int], Any],
    *,
    task_data: str,
    stem: Sequence[NewLayer],
    combine: str,
    tower_units: TowerUnits,
    seed: int | None,
    name: str | None,
) -> MultiTaskModel:
    """Builds a network whose components are weighted by task.

    Args:
        allocate: Function of a modular layer's index (from 1) and its number of components
            that returns an `Allocation` layer. Layers with one component are not asked.

    The other arguments are those of every builder.
    """
    checks.word("combine", combine, ("mean", "sum"))
    with seeded(seed):
        stream = TaskStream(Network(inputs, tasks, task_data))
        send_through(stream, stem, layers, allocate, combine)
        return stream.network.finish(stream.by_task(), name, seed, tower_units)


def send_through(
    stream: Any, stem: Sequence[NewLayer], layers: Sequence[Any], allocate: Any, combine: str
) -> Any:
    """Sends a stream through stem and layers; returns what allocations answer beside weights."""
    rest = []
    for index, made in made_layers(stem, layers):
        if len(made) == 1:
            stream.apply(made[0])
        else:
            allocation = allocate(index, len(made))
            rest += stream.route(made, allocation, combine, f"modular_{index}")
    return rest
