"""The stream of features on its way through stem and layers, and the rows of tasks in it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers import (
    FixedAllocation,
    Modular,
    RepeatRows,
    RoutedModular,
    SplitTasks,
    TaskRows,
)
from keras_mtl.models.construction import (
    check_different_starts,
    made_layers,
    seeded,
)
from keras_mtl.models.graph import Network
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


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
