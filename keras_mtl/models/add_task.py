"""A new task on a trained network, which forgets nothing."""

import keras
import numpy as np

from keras_mtl.layers import (
    AllocationMatrix,
    AllocationPenalty,
    DSelectKGates,
    FixedAllocation,
    Modular,
    NoisyTopKGates,
    PickTask,
    RoutedModular,
    RoutingPolicy,
    SoftAllocation,
    SplitTasks,
    Stitch,
    StreamGates,
    SubNetworkRouting,
    TaskGates,
    TaskHead,
    TaskHeads,
    TaskMask,
    TaskRows,
)
from keras_mtl.models.add_recurrent_task import add_recurrent_task, is_recurrent_modular
from keras_mtl.models.making import copied_layer, layer_names
from keras_mtl.tasks import as_task, check_task_name
from keras_mtl.training import MultiTaskModel

_OF_THEIR_TASKS = (
    Stitch,
    PickTask,
    SoftAllocation,
    RoutingPolicy,
    DSelectKGates,
    NoisyTopKGates,
    StreamGates,
    SubNetworkRouting,
    TaskGates,
    TaskMask,
)


def add_task(model, name, task, *, init_probability=None, allocation=None):
    """Returns a copy of a trained network with one more task.

    Training it learns the new task's rows of the allocation and its head, nothing else:
    old weights stay bit for bit under any optimizer, and old outputs agree. The new rows
    cool down from the start of the temperature schedule. Tasks can be added again and again;
    only the newest trains.

    In a recurrent modular network the new task has an LSTM and a decoder of its own, which
    reads the trained encoder. An untrained network grown this way is the control that only
    has the wiring.

    Source of the recurrent form: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021,
    section "Transfer" (RMN_tr, RMN_un). The paper does not say whether frozen routers draw:
    here they decide as in inference.

    Args:
        model: A model made by a builder of this package.
        name: Name of the new task.
        task: Number of classes, `"binary"`, `"regression"` or a `keras_mtl.Task`.
        init_probability: Chance in (0, 1) that the new task starts with a component. `None`
            takes the model's own number. Defaults to `None`.
        allocation: For models with a given allocation: list with the new task's row for
            each routed layer. `None` takes the row that all tasks have. With shared data
            tasks that have one row stay on it. Defaults to `None`.

    Returns:
        An uncompiled model whose last task is the new one.

    Raises:
        ValueError: The name is taken or reserved; what the new task starts with does not
            follow from the model, or does not fit it.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"a": 3, "b": 4}, [[dense] * 4], task_data="separate")
    >>> grown = keras_mtl.add_task(model, "c", 6)
    >>> list(grown.tasks), [variable.path for variable in grown.trainable_variables]
    (['a', 'b', 'c'], ['allocation_1/logits_added_1', 'heads/kernel_added_1', 'heads/bias_added_1'])
    """
    tasks = getattr(model, "tasks", {})
    if not tasks:
        raise ValueError("add_task needs a model made by a keras_mtl builder, not a frozen one.")
    if name in tasks:
        raise ValueError(f"The model has a task {name!r} already. Tasks: {', '.join(tasks)}")
    check_task_name(name, taken=layer_names(model))
    task = as_task(task)
    _check_arguments(model, init_probability, allocation)
    if is_recurrent_modular(model):
        return add_recurrent_task(model, name, task)
    _check_network(model)
    grower = _Grower(model, name, task, init_probability, allocation)
    grown = grower.grown()
    grower.copy_weights()
    return grown


def _check_network(model):
    """Raises a `ValueError` when a new task would have nothing to start from."""
    for layer in model.layers:
        if isinstance(layer, _OF_THEIR_TASKS):
            raise ValueError(
                f"add_task knows networks whose tasks choose among components. Layer "
                f"{layer.name!r} of this one is made for its own tasks only: build a network with "
                "all tasks and copy the weights of the old layers."
            )
    if model.task_data == "shared" and not any(isinstance(x, SplitTasks) for x in model.layers):
        if len({id(model.get_layer(name).input) for name in model.tasks}) > 1:
            raise ValueError(
                "The tasks of this model are predicted from different layers, so add_task cannot "
                'know which the new one reads. Build it with task_data="separate", or anew.'
            )


def _check_arguments(model, init_probability, allocation):
    """Raises a `ValueError` for arguments that no layer of the model would read."""
    learned = [layer for layer in model.layers if isinstance(layer, AllocationMatrix)]
    given = [layer for layer in model.layers if isinstance(layer, FixedAllocation)]
    if init_probability is not None and not learned:
        raise ValueError("init_probability was given, but no layer learns an allocation.")
    if allocation is not None and len(allocation) != len(given):
        raise ValueError(
            f"allocation has {len(allocation)} rows, but {len(given)} layers have a given "
            "allocation. Give a row for each."
        )
    if learned and model.task_data == "shared" and len(model.tasks) == 1:
        raise ValueError(
            "A model of one task with shared data has no rows of its own for a second one. Build "
            'it with task_data="separate".'
        )


class _Grower:
    """Clones a model's graph with layers that know one more task."""

    def __init__(self, model, name, task, init_probability, allocation):
        self._model, self._name, self._task = model, name, task
        self._init_probability = init_probability
        self._rows = None if allocation is None else iter(allocation)
        self._pairs = []
        self._new_features = None

    def grown(self):
        model = self._model
        graph = keras.models.clone_model(
            keras.Model(model.input, model.output),
            clone_function=self._clone,
            call_function=self._call,
        )
        outputs = graph.output
        if model.task_data == "shared":
            head = TaskHead(self._task, len(model.tasks), name=self._name)
            outputs = {**outputs, self._name: head(self._new_features)}
        return MultiTaskModel(graph.input, outputs, name=model.name)

    def _clone(self, layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer
        if isinstance(layer, Modular):
            components = {"components": [copied_layer(component) for component in layer.components]}
            routed = isinstance(layer, RoutedModular)  # the new task may use several components
            config = layer.modular_config() if routed else layer.get_config()
            clone = Modular(**config | self._changes(layer) | components)
        else:
            clone = copied_layer(layer, self._changes(layer))
        clone.trainable = isinstance(layer, AllocationMatrix | TaskHeads)
        self._pairs.append((layer, clone))
        return clone

    def _changes(self, layer):
        """Returns what one more task changes in a layer's config."""
        if isinstance(layer, AllocationMatrix):
            return {
                "num_tasks": layer.num_tasks + 1,
                "num_added_tasks": layer.num_added_tasks + 1,
                "init_probability": self._extended_probability(layer),
            }
        if isinstance(layer, FixedAllocation):
            return {"allocation": [*layer.allocation.tolist(), self._given_row(layer)]}
        if isinstance(layer, TaskHeads):
            task = keras.saving.serialize_keras_object(self._task)
            return {
                "tasks": [*layer.get_config()["tasks"], (self._name, task)],
                "num_added_tasks": layer.num_added_tasks + 1,
            }
        if isinstance(layer, TaskRows | SplitTasks) and layer.num_tasks > 1:
            return {"num_tasks": layer.num_tasks + 1}
        if isinstance(layer, Modular | AllocationPenalty) and layer.num_repeats > 1:
            return {"num_repeats": layer.num_repeats + 1}
        return {}

    def _extended_probability(self, layer):
        old, new = layer.init_probability, self._init_probability
        if new is None and old.ndim == 0:
            return float(old)
        if new is None:
            raise ValueError(
                f"{layer.name!r} started from a matrix of probabilities, which has no entry for "
                f"task {self._name!r}. Give init_probability."
            )
        old = np.broadcast_to(old, (layer.num_tasks, layer.num_components))
        return np.vstack([old, np.full((1, layer.num_components), new)]).tolist()

    def _given_row(self, layer):
        row = layer.allocation[0] if self._rows is None else next(self._rows, ())
        if self._rows is None and not layer.same_for_all:
            raise ValueError(
                f"{layer.name!r} gives each task its own components. Say which task "
                f"{self._name!r} uses: allocation=[row for each routed layer]."
            )
        if len(row) != layer.num_components or not all(0 <= weight <= 1 for weight in row):
            raise ValueError(
                f"allocation must have a row of {layer.num_components} numbers in [0, 1] for "
                f"{layer.name!r}. Received: {list(row)}"
            )
        one_row = self._model.task_data == "shared" and layer.same_for_all
        if one_row and any(row != layer.allocation[0]):
            raise ValueError(
                f"With shared data {layer.name!r} computes one row for all tasks, "
                f"{layer.allocation[0].tolist()}, so task {self._name!r} cannot have another. "
                f"Received: {list(row)}. Leave allocation out, or build the model with "
                'task_data="separate".'
            )
        return [float(weight) for weight in row]

    def _call(self, layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if isinstance(layer, SplitTasks):
            self._new_features = outputs[-1]
        elif isinstance(layer, TaskHead) and self._new_features is None:
            self._new_features = args[0]
        return outputs

    def copy_weights(self):
        """Gives the clone the weights of the trained network."""
        for old, new in self._pairs:
            if isinstance(old, AllocationMatrix):
                pairs = zip(old.row_blocks, new.row_blocks, strict=False)
            elif isinstance(old, TaskHeads):
                blocks = zip(old.blocks, new.blocks, strict=False)
                pairs = [pair for block in blocks for pair in zip(*block, strict=True)]
            else:
                pairs = zip(old.weights, new.weights, strict=True)
            for source, target in pairs:
                target.assign(np.array(source.numpy()))  # a copy: JAX may give the buffer away
