"""`freeze`: a network that just has its components, from one that allocates them."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.analysis.allocated.allocation import allocation_layers
from keras_mtl.funnels import conditional_names
from keras_mtl.keras_internals import mask_of
from keras_mtl.layers.copying import copied_layer
from keras_mtl.layers.freezing import FrozenNetwork
from keras_mtl.layers.task_paths import new_inputs
from keras_mtl.serving.freezing.skip_closed import SkipClosed


def freeze(
    model: keras.Model,
    task: Any = None,
    *,
    weights: Any = None,
    cut_below: float = 0.0,
    skip_closed: bool = False,
) -> Any:
    """Returns the network that is left when every task keeps its most likely components.

    The result is an independent, plain `keras.Model` of stock layers and operations: no
    routers, no randomness, no unused components, no `task_id`. Its outputs are those of
    `model(..., training=False)`; it can be saved, loaded and served where keras_mtl is not
    installed. Layers that two tasks share are shared there too. Layers that act in
    training only, such as Dropout, are left out.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section III-C.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task, or `None` for all. Defaults to `None`.
        weights: Path of weights of this model that `save_weights` wrote, to freeze it with instead
            of its own, such as the best of a task (`keras_mtl.TaskMonitor(folder=...)`). The
            model stays as it is. Defaults to `None`.
        cut_below: For cross-stitch and sluice networks: where a task reads another with no
            weight above this, in absolute value, it no longer reads it. A tower that the frozen
            task does not need any more is gone. `cut_report` says how much that changes the
            outputs; 0 changes nothing. Defaults to 0.0.
        skip_closed: For networks with gates: whether a block runs on the examples whose gate is
            open only, instead of on all with a product that forgets the others. That needs
            TensorFlow and leaves a layer of this package in the network. Where gates decide at
            every step, a block runs on the examples whose gate is open at any. Sequences with a
            mask keep the product. Defaults to `False`.

    Returns:
        A `keras.Model` with the input `inputs`. For all tasks it returns a dict, name ->
        `(batch, size)`, of a task that is given another also `<task>_given_<parent>`; for one task
        a plain tensor.

    Raises:
        ValueError: The model has no tasks, `task` is not one of them, a negative `cut_below`,
            `skip_closed` on another backend than TensorFlow.

    Warns:
        UserWarning: A task has no component in some layer. Its path is zeros there.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"income": "binary", "age_group": 3}, [[dense] * 4])
    >>> frozen = keras_mtl.freeze(model, "age_group")
    >>> frozen.output.shape
    (None, 3)
    """
    tasks = list(getattr(model, "tasks", {}))
    if not tasks:
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} has no tasks to freeze. Give a model made by "
            "a keras_mtl builder. A frozen model is frozen already."
        )
    if task is not None and task not in tasks:
        raise ValueError(f"Unknown task {task!r}. Tasks of this model: {', '.join(tasks)}")
    if not cut_below >= 0:
        raise ValueError(f"cut_below must be a number of at least 0. Received: {cut_below}")
    if skip_closed and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "skip_closed=True needs the TensorFlow backend, where the number of examples may "
            f"depend on the data. This is {keras.backend.backend()}."
        )
    with _weights_of(model, weights):
        _warn_of_empty_rows(model, tasks if task is None else [task], tasks)
        return frozen_network(model, task, cut_below, skip_closed)


@contextlib.contextmanager
def _weights_of(model: keras.Model, path: Any) -> Iterator[None]:
    """Gives a model the weights of a file for a while."""
    if path is None:
        yield
        return
    own = [np.array(ops.convert_to_numpy(variable)) for variable in model.variables]
    try:
        model.load_weights(path)
        yield
    finally:
        for variable, value in zip(model.variables, own, strict=True):
            variable.assign(value)


def frozen_network(
    model: keras.Model, task: Any = None, cut_below: float = 0.0, skip_closed: bool = False
) -> Any:
    """Returns what `freeze` does, without a look at its arguments or a word about empty rows."""
    freezer = (_SkippingFreezer if skip_closed else _Freezer)(model, cut_below)
    if task is not None:
        return keras.Model(freezer.inputs, freezer.output(task), name=task)
    outputs = {name: freezer.output(name) for name in model.tasks}
    for name, conditional in conditional_names(model.tasks).items():
        outputs[conditional] = freezer.joint_and_conditional(name)[1]
    return keras.Model(freezer.inputs, outputs, name=model.name)


def _warn_of_empty_rows(model: keras.Model, frozen_tasks: Any, tasks: Any) -> None:
    for layer in allocation_layers(model):
        if layer.num_components == 1:
            continue  # a block that is skipped, not a layer without components
        for name in frozen_tasks:
            if not layer.matrix()[tasks.index(name)].any():
                warnings.warn(
                    f"Task {name!r} has no component in {layer.name!r}: what follows there sees "
                    "zeros, and the answer no longer depends on the input. Give these weights to a "
                    "network with min_components=1, or train with a higher init_probability, a "
                    "larger budget or a disconnect_weight.",
                    stacklevel=3,
                )


class _Freezer(FrozenNetwork):
    """Makes a frozen network of copies, one of each layer: what tasks share is stored once."""

    def __init__(self, model: keras.Model, cut_below: float) -> None:
        super().__init__(model, new_inputs(model), cut_below)
        self._copies: dict[Any, Any] = {}

    def stand_in(self, layer: keras.Layer, name: str) -> Any:
        if id(layer) not in self._copies:
            self._copies[id(layer)] = copied_layer(layer, {"name": name}, frozen=True)
        return self._copies[id(layer)]


class _SkippingFreezer(_Freezer):
    """Makes a frozen network whose blocks run on the examples with an open gate only."""

    def __init__(self, model: keras.Model, cut_below: float) -> None:
        super().__init__(model, cut_below)
        self._blocks: dict[Any, Any] = {}

    def where_open(self, layer: keras.Layer, gate: Any, answer: Any, x: Any, shortcut: Any) -> Any:
        if mask_of(x) is not None:
            return super().where_open(layer, gate, answer, x, shortcut)
        if id(layer) not in self._blocks:
            inputs = [keras.Input(part.shape[1:], dtype=part.dtype) for part in (x, shortcut)]
            self._blocks[id(layer)] = SkipClosed(
                keras.Model(inputs, answer(*inputs)), name=layer.name, dtype=layer.dtype_policy
            )
        return self._blocks[id(layer)](x, shortcut, gate)
