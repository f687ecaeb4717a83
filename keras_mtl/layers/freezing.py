"""Freezing of layers: each says which stock layers are left of it, one task's way at a time.

A layer that a frozen network must not hold has a method `frozen(call, *inputs)`. It does with stock
layers and operations what its `call` does in inference, for one task, and calls the layers inside
it through `call(layer, *inputs)`. What depends on the task alone is known by then: the task id is
an integer, a row of an allocation an array. Its answer has the mask of `compute_mask`, or of
`frozen_mask(call, *inputs)` where there is one.
"""

from typing import Any

import keras
import numpy as np

from keras_mtl.keras_internals import graph_of, mask_of, run_graph, set_mask
from keras_mtl.layers.masks import explicit_masks
from keras_mtl.tasks import Task
from keras_mtl.types import Tensor

_IN_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def passes_through(layer: keras.Layer, call: "FrozenCall", features: Tensor, *unused: Any) -> Any:
    """Returns the first input: the `frozen` of layers that act in training only."""
    return features


class FrozenCall:
    """Calls what stands for the layers of a network on the way of one task.

    Attributes:
        task_id: Index of the task. An answer that is no number must not depend on it otherwise
            than through its inputs, because it is kept for all tasks whose inputs are the same.
        mask: The mask of the first input, in its structure, or `None`.
        cut_below: As in `keras_mtl.freeze`.
    """

    def __init__(self, network: Any, task_id: Tensor, mask: Any = None, prefix: str = "") -> None:
        self._network = network
        self.task_id = task_id
        self.mask = mask
        self._prefix = prefix

    @property
    def cut_below(self) -> Any:
        return self._network.cut_below

    def __call__(
        self, layer: keras.Layer, *args: Any, name: str | None = None, **kwargs: Any
    ) -> Any:
        """Returns what stands for a layer answers.

        Args:
            layer: A layer, or an operation.
            *args: Its inputs.
            name: Name of what stands for it. `None` takes its own. Defaults to `None`.
            **kwargs: More call arguments of the layer.
        """
        return self._network.called(self, layer, args, kwargs, self._prefix + (name or layer.name))

    def copy(self, layer: keras.Layer, *args: Any) -> Any:
        """Returns what a copy of a layer answers that stays in the frozen network as it is."""
        stand_in = self._network.stand_in(layer, self._prefix + layer.name)
        return stand_in(*args, **explicit_masks(layer, args, {}))

    def inside(self, layer: keras.Layer) -> Any:
        """Returns the same for the layers in a layer, which get its name before theirs."""
        prefix = f"{self._prefix}{layer.name}_"
        return FrozenCall(self._network, self.task_id, self.mask, prefix)

    def at(self, mask: Any) -> Any:
        """Returns the same for a layer whose first input has this mask."""
        return FrozenCall(self._network, self.task_id, mask, self._prefix)

    def answer(self, task: Task) -> Any:
        """Returns the output of another task, on its own way through the network."""
        return self._network.output(task)

    def where_open(
        self, layer: keras.Layer, gate: Any, answer: Any, x: Tensor, shortcut: Any
    ) -> Any:
        """Returns a block's answer where its gate is open, else what goes on without it.

        Args:
            layer: The block's layer.
            gate: `(batch, 1)` or `(batch, steps, 1)`, 1 or 0.
            answer: Function of `x` and `shortcut` that returns what the block answers.
            x: What the block reads.
            shortcut: What goes on without the block.
        """
        return self._network.where_open(layer, gate, answer, x, shortcut)


class FrozenNetwork:
    """Runs a model's graph for one known task at a time, on what stands for its layers.

    Equal calls are made once, so that what tasks share is computed once.

    Args:
        model: A model made by a builder of this package.
        inputs: Tensors in the structure of the model's input, without the task id.
        cut_below: As in `keras_mtl.freeze`. Defaults to 0.0.
    """

    def __init__(self, model: keras.Model, inputs: Any, cut_below: float = 0.0) -> None:
        self.model = model
        self.inputs = inputs
        self.cut_below = cut_below
        self._answers: dict[Any, Any] = {}

    def stand_in(self, layer: keras.Layer, name: str) -> Any:
        """Returns a function that calls what stands for a stock layer."""
        raise NotImplementedError

    def where_open(
        self, layer: keras.Layer, gate: Any, answer: Any, x: Tensor, shortcut: Any
    ) -> Any:
        """See `FrozenCall.where_open`: all is computed, and the gate says what counts."""
        return layer.interpolated(gate, answer(x, shortcut), shortcut)

    def output(self, task: Task) -> Any:
        """Returns the symbolic output of one task."""
        if self.model.tasks[task].given:
            return self.joint_and_conditional(task)[0]
        model = self.model
        output = model.output if model.task_data == "separate" else model.output[task]
        answer = self._run(task, output)
        return answer[model.tasks[task].kind] if isinstance(answer, dict) else answer

    def joint_and_conditional(self, task: Any) -> Any:
        """Returns both symbolic outputs of a task that is given another."""
        parent = self.output(self.model.tasks[task].given)
        head = self.model.get_layer(task)
        features = self._run(task, head.input[0])
        call = FrozenCall(self, list(self.model.tasks).index(task))
        return call(head, features, parent)

    def _run(self, task: Task, output: Any) -> Any:
        """Returns what stands for a part of the model's graph on the way of one task."""
        model, values = self.model, self.inputs
        task_id = list(model.tasks).index(task)
        if model.task_data == "separate":
            values = {"inputs": self.inputs, "task_id": task_id}
        call, graph = FrozenCall(self, task_id), keras.Model(model.input, output)

        def call_with_own_masks(layer, *args, mask=None, **kwargs):
            return call(layer, *args, **kwargs)  # that mask may have rows of all tasks

        return run_graph(graph, keras.tree.flatten(values), call_with_own_masks)

    def called(
        self, call: "FrozenCall", layer: keras.Layer, args: Any, kwargs: Any, name: str
    ) -> Any:
        """Returns what stands for a layer answers, once for equal inputs."""
        if kwargs.get("training") is not True:  # random in inference too, if its user said so
            kwargs.pop("training", None)
        key = (id(layer), *map(_identity, keras.tree.flatten((args, sorted(kwargs.items())))))
        if key not in self._answers:
            answer = self._answer(call, layer, args, kwargs, name)
            if all(map(_is_number, keras.tree.flatten(answer))):
                return answer
            self._answers[key] = (answer, args, kwargs)  # inputs too, whose ids must stay theirs
        return self._answers[key][0]

    def _answer(
        self, call: "FrozenCall", layer: keras.Layer, args: Any, kwargs: Any, name: str
    ) -> Any:
        if isinstance(layer, _IN_TRAINING_ONLY) and "training" not in kwargs:
            return args[0]
        graph = graph_of(layer)
        if hasattr(layer, "frozen"):
            return self._own_answer(call, layer, args, kwargs)
        if graph is not None and _fits(graph, args):
            return run_graph(graph, _as_inputs(graph, args[0]), call.inside(layer))
        if not isinstance(layer, keras.layers.Layer):
            return layer(*args, **kwargs)
        return self.stand_in(layer, name)(*args, **explicit_masks(layer, args, kwargs))

    def _own_answer(self, call: "FrozenCall", layer: keras.Layer, args: Any, kwargs: Any) -> Any:
        mask = kwargs.pop("mask", None)
        if mask is None:
            mask = keras.tree.map_structure(mask_of, args[0])
        call, args = call.at(mask), _autocast(layer, args)
        outputs = layer.frozen(call, *args, **kwargs)
        if hasattr(layer, "frozen_mask"):
            masks = layer.frozen_mask(call, *args)
        else:
            masks = layer.compute_mask(args[0], mask) if layer.supports_masking else None
        pairs = zip(keras.tree.flatten(outputs), keras.tree.flatten(masks), strict=False)
        for tensor, its_mask in pairs:
            if keras.backend.is_keras_tensor(tensor) and its_mask is not None:
                set_mask(tensor, its_mask)
        return outputs


def _autocast(layer: keras.Layer, args: Any) -> Any:
    """Returns inputs in the type that the layer computes in, as Keras hands them over."""

    def cast(value):
        is_float = keras.backend.is_keras_tensor(value) and "float" in value.dtype
        return _cast(value, layer.compute_dtype) if is_float and layer.autocast else value

    return keras.tree.map_structure(cast, args)


def _cast(tensor: Tensor, dtype: str) -> Any:
    """Returns a tensor in another type, with its mask."""
    if tensor.dtype == dtype:
        return tensor
    answer = keras.ops.cast(tensor, dtype)
    set_mask(answer, mask_of(tensor))
    return answer


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, np.ndarray | str | bytes | bool | int | float)


def _identity(value: Any) -> Any:
    """Returns what tells an input from others: a tensor is itself, an array its numbers."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return (type(value), value) if _is_number(value) else id(value)


def _fits(graph: keras.Model, args: Any) -> Any:
    """Returns whether a nested model takes inputs as they are: else it may add an axis."""
    given = keras.tree.flatten(args[0])
    return len(args) == 1 and [len(x.shape) for x in given] == [len(x.shape) for x in graph.inputs]


def _as_inputs(graph: keras.Model, x: Tensor) -> list[Any]:
    """Returns inputs of a nested model in the types that it declares."""
    pairs = zip(keras.tree.flatten(x), graph.inputs, strict=True)
    return [_cast(tensor, own.dtype) for tensor, own in pairs]
