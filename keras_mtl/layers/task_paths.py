"""The path of a task: every layer call that is left when the model is frozen for it."""

from typing import Any

import keras

from keras_mtl.keras_internals import run_graph
from keras_mtl.layers.freezing import FrozenCall, FrozenNetwork
from keras_mtl.types import Tensor


class LayerCall(keras.Operation):
    """One call of a layer in a symbolic graph: shapes only, the layer stays as it is.

    Calling the layer itself would add a node to it, a copy would hold weights.
    """

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__()
        self.layer = layer

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **kwargs)


class _Shapes(FrozenNetwork):
    """A frozen network of calls that know shapes and nothing else."""

    def stand_in(self, layer: keras.Layer, name: str) -> Any:
        return LayerCall(layer)


def task_calls(model: keras.Model, task: Any, cut_below: float = 0.0) -> Any:
    """Returns the calls that `keras_mtl.freeze(model, task, cut_below=cut_below)` makes.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task.
        cut_below: As in `keras_mtl.freeze`. Defaults to 0.0.

    Returns:
        List of `(layer, inputs, output)`: a layer of the model, or the stock layer that one
        of them becomes; its input tensors; its first output tensor.
    """
    inputs = new_inputs(model)
    output = _Shapes(model, inputs, cut_below).output(task)
    return _graph_calls(keras.Model(inputs, output))


def new_inputs(model: keras.Model) -> Any:
    """Returns inputs like those of a model, without the task id."""
    inputs = model.input["inputs"] if model.task_data == "separate" else model.input
    return keras.tree.map_structure(same_input, inputs)


def inner_calls(run: Any, inputs: Any) -> Any:
    """Returns the calls that a function makes, as `task_calls` does.

    Args:
        run: Function `(call, *inputs)` that makes calls on symbolic tensors.
        inputs: List of tensors whose shapes and types the calls see.
    """
    inputs = [same_input(tensor) for tensor in inputs]
    return _graph_calls(keras.Model(inputs, run(FrozenCall(_Shapes(None, None), 0), *inputs)))


def calls_in(graph: keras.Model, inputs: Any) -> Any:
    """Returns the calls that the graph of a nested model makes on a list of inputs."""
    return inner_calls(lambda call, *tensors: run_graph(graph, tensors, call), inputs)


def same_input(tensor: Tensor) -> Any:
    """Returns a new input like a symbolic tensor, of its name."""
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def _graph_calls(graph: keras.Model) -> list[Any]:
    return [
        (
            operation.layer if isinstance(operation, LayerCall) else operation,
            keras.tree.flatten(operation.input),
            keras.tree.flatten(operation.output)[0],
        )
        for operation in graph.operations
        if not isinstance(operation, keras.layers.InputLayer)
    ]
