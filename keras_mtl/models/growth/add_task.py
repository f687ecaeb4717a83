"""A new task on a trained network, which forgets nothing."""

from typing import Any

import keras
import numpy as np

from keras_mtl.funnels import check_no_funnels, conditional_names
from keras_mtl.keras_internals import call_inputs, num_outputs, origin
from keras_mtl.layers import (
    FixedAllocation,
    JoinDirections,
    LastStep,
    RoutedLSTM,
    SplitTasks,
    TaskHeads,
    TaskRows,
)
from keras_mtl.layers.copying import copied_layer, copy_state
from keras_mtl.layers.growing import NewTask
from keras_mtl.layers.heads.funnel_head import HEADS
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation
from keras_mtl.models.construction import layer_names
from keras_mtl.models.graph import head_outputs, streams_before_heads
from keras_mtl.models.growth.add_recurrent_task import add_recurrent_task, is_recurrent_modular
from keras_mtl.models.growth.add_star_task import add_star_task, is_star
from keras_mtl.models.task_towers import is_in_tower, new_tower, tower_of
from keras_mtl.names import check_task_name
from keras_mtl.tasks import Task, as_tasks
from keras_mtl.training import MultiTaskModel


def add_task(
    model: keras.Model,
    name: str,
    task: Task,
    *,
    init_probability: Any = None,
    allocation: Any = None,
) -> Any:
    """Returns a copy of a trained network with one more task.

    Training it learns the new task's rows of the allocation, its head and, where tasks have
    towers before their heads, a tower like theirs, nothing else:
    old weights stay bit for bit under any optimizer, and old outputs agree. The new rows
    cool down from the start of the temperature schedule. Tasks can be added again and again;
    only the newest trains.

    In a recurrent modular network the new task has an LSTM and a decoder of its own, which
    reads the trained encoder. An untrained network grown this way is the control that only
    has the wiring. In a star of LSTMs (IC-MTL) it has an LSTM of its own, which listens to the
    trained shared one; in a recursive routing network routes of its own through the trained
    functions.

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
            follow from the model, or does not fit it; with separate data, a task that is given
            another.

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
    every = as_tasks({**tasks, name: task})
    task = every[name]
    if model.task_data == "separate":
        check_no_funnels(every)
    for conditional in conditional_names({name: task}).values():
        check_task_name(conditional, taken=layer_names(model))
    _check_arguments(model, init_probability, allocation)
    if is_recurrent_modular(model):
        return add_recurrent_task(model, name, task)
    if is_star(model):
        return add_star_task(model, name, task)
    _check_network(model)
    rows = None if allocation is None else iter(allocation)
    separate = model.task_data == "separate"
    return _Grower(model, NewTask(name, task, init_probability, rows, separate)).grown()


def _check_network(model: keras.Model) -> None:
    """Raises a `ValueError` when a new task would have nothing to start from."""
    towers, reads = zip(*map(tower_of, streams_before_heads(model)), strict=True)
    picks = any(towers) and len({id(tensor) for tensor in reads}) == 1  # one tower of several
    for layer in model.layers:
        if picks and layer.name == "pick_task":
            continue
        if not hasattr(layer, "grown") and _is_made_for_its_tasks(layer, model):
            raise ValueError(
                f"add_task knows networks whose tasks choose among components. Layer "
                f"{layer.name!r} of this one is made for its own tasks only: build a network with "
                "all tasks and copy the weights of the old layers. (A class of your own says in a "
                "method grown(new) how it grows.)"
            )
    if model.task_data == "shared" and not any(isinstance(x, SplitTasks) for x in model.layers):
        if len({id(tensor) for tensor in reads}) > 1:
            raise ValueError(
                "The tasks of this model are predicted from different layers, so add_task cannot "
                'know which the new one reads. Build it with task_data="separate", or anew.'
            )
    sizes = [[layer.units for layer in tower] for tower in towers]
    units = dict(zip(model.tasks, sizes, strict=True))
    if len(set(map(tuple, sizes))) > 1:
        raise ValueError(
            "The towers of this model are of different sizes, so add_task cannot know what the new "
            f"task has before its head. tower_units: {units}. Give all tasks one tuple."
        )


def _is_made_for_its_tasks(layer: keras.Layer, model: keras.Model) -> Any:
    """Returns whether a layer reads whose task an example is, or has a stream for each task."""
    if isinstance(layer, keras.layers.InputLayer):
        return False
    reads = [origin(tensor)[0] for tensor in call_inputs(layer)]
    told = any(isinstance(source, TaskRows) for source in reads)
    if model.task_data == "separate":
        told |= any(tensor is model.input["task_id"] for tensor in call_inputs(layer))
    return told or num_outputs(layer) > 1


def _check_arguments(model: keras.Model, init_probability: Any, allocation: Any) -> None:
    """Raises a `ValueError` for arguments that no layer of the model would read."""
    learned = [layer for layer in model.layers if isinstance(layer, LearnedAllocation)]
    given = [layer for layer in model.layers if isinstance(layer, FixedAllocation)]
    if init_probability is not None and not learned:
        raise ValueError("init_probability was given, but no layer learns an allocation.")
    if not isinstance(allocation, list | tuple | np.ndarray | None):
        raise ValueError(
            f"allocation must be a list of rows, one for each of {len(given)} layers with a given "
            f"allocation. Received: {allocation!r}"
        )
    if allocation is not None and len(allocation) != len(given):
        raise ValueError(
            f"allocation has {len(allocation)} rows, but {len(given)} layers have a given "
            "allocation. Give a row for each."
        )
    routed = [layer for layer in model.layers if isinstance(layer, RoutedLSTM)]
    if (learned or routed) and model.task_data == "shared" and len(model.tasks) == 1:
        raise ValueError(
            "A model of one task with shared data has no rows of its own for a second one. Build "
            'it with task_data="separate".'
        )


class _Grower:
    """Clones a model's graph with layers that know one more task."""

    def __init__(self, model: keras.Model, new: Any) -> None:
        self._model, self._new = model, new
        self._pairs: list[Any] = []
        self._new_features = None  # before its tower, if it has one
        self._answers = None  # of the heads of separate data, in the kinds that there are now

    def grown(self) -> Any:
        model = self._model
        graph = keras.models.clone_model(
            keras.Model(model.input, model.output),
            clone_function=self._clone,
            call_function=self._call,
        )
        outputs = self._answers
        if model.task_data == "shared":
            features = self._through_tower()
            if len(features.shape) == 3 and not self._new.task.per_step:
                features = LastStep(name=f"last_step_{len(model.tasks) + 1}")(features)
            tasks, name = {**model.tasks, self._new.name: self._new.task}, self._new.name
            new = head_outputs(tasks, name, len(model.tasks), features, graph.output)
            outputs = {**graph.output, **new}
        grown = MultiTaskModel(graph.input, outputs, name=model.name)
        for old, new in self._pairs:
            if hasattr(new, "take_over"):
                new.take_over(old)
            else:
                copy_state(old, new)
        return grown

    def _clone(self, layer: keras.Layer) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer
        if not hasattr(layer, "grown"):
            clone = copied_layer(layer)
        else:
            clone = layer.grown(self._new)
            self._pairs.append((layer, clone))
        clone.trainable = hasattr(layer, "take_over")
        return clone

    def _call(self, layer: keras.Layer, *args: Any, mask: Any = None, **kwargs: Any) -> Any:
        # that mask has rows of the old tasks alone: the inputs bring their own
        if layer.name == "pick_task":
            streams, task_id = args
            args = [*streams, self._through_tower()], task_id
        outputs = layer(*args, **kwargs)
        if isinstance(layer, SplitTasks):
            self._new_features = outputs[-1]
        elif (
            isinstance(layer, JoinDirections) and len(getattr(self._new_features, "shape", ())) == 4
        ):
            self._new_features = layer(self._new_features)
        elif self._new_features is None and (isinstance(layer, HEADS) or is_in_tower(layer)):
            self._new_features = args[0]
        elif isinstance(layer, TaskHeads):
            self._answers = outputs
        return outputs

    def _through_tower(self) -> Any:
        """Returns what the head of the new task reads."""
        tower, _ = tower_of(streams_before_heads(self._model)[0])
        features = self._new_features
        for layer in new_tower(tower, len(self._model.tasks) + 1):
            features = layer(features)
        return features
