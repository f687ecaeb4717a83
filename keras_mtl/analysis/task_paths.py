"""What a task runs: every layer call that is left when the model is frozen for it."""

from functools import partial

import keras

from keras_mtl.layers import Stitch


class LayerCall(keras.Operation):
    """One call of a layer in a symbolic graph: shapes only, the layer stays as it is.

    Calling the layer itself would add a node to it, a copy would hold weights.
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)


def layer_call(layer, name=None, *, cut_below=0.0):
    """Returns what stands for a layer in a graph of calls: its stock form, where it has one."""
    if not hasattr(layer, "stock_call"):
        return LayerCall(layer)
    cut = {"cut_below": cut_below} if isinstance(layer, Stitch) else {}
    return partial(layer.stock_call, copy=layer_call, **cut)


def task_graph(model, task, copy, inputs=None):
    """Returns the network that is left of a model for one task, whose row is known.

    Layers with a `frozen_call` say themselves what is left of them, so this holds for every
    method that can be frozen. `copy` deals with those that are the same for all tasks.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task.
        copy: Function of a layer, and maybe a name, that returns what stands for it,
            something to call: for a layer with a `stock_call`, what that returns.
        inputs: Tensors in the structure of the model's input, or `None` for new ones.
            Defaults to `None`.
    """
    task_id = list(model.tasks).index(task)

    def call(layer, *args, **kwargs):
        if hasattr(layer, "frozen_call"):
            return layer.frozen_call(*args, task_id=task_id, copy=copy)
        kwargs.pop("training", None)
        if getattr(keras.tree.flatten(args)[0], "_keras_mask", None) is not None:
            kwargs.pop("mask", None)  # that of the whole network may have rows of all tasks
        return copy(layer)(*args, **kwargs)

    outputs = model.output if model.task_data == "separate" else model.output[task]
    return _traced(keras.Model(model.input, outputs), call, inputs)


def task_calls(model, task, cut_below=0.0):
    """Returns the calls that `keras_mtl.freeze(model, task, cut_below=cut_below)` makes.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task.
        cut_below: As in `keras_mtl.freeze`. Defaults to 0.0.

    Returns:
        List of `(layer, inputs, output)`: a layer of the model, or the stock layer that one
        of them becomes; its input tensors; its first output tensor.
    """
    return graph_calls(task_graph(model, task, partial(layer_call, cut_below=cut_below)))


def inner_calls(model, inputs):
    """Returns the calls that a functional model makes on `inputs`, as `task_calls` does."""
    tensors = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=own.name)
        for x, own in zip(inputs, model.inputs, strict=True)
    ]
    tensors = keras.tree.pack_sequence_as(model.input, tensors)

    def call(layer, *args, **kwargs):
        return layer_call(layer)(*args, **kwargs)

    return graph_calls(_traced(model, call, tensors))


def _traced(model, call, inputs=None):
    return keras.models.clone_model(
        model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
    )


def graph_calls(graph):
    """Returns the calls of a graph whose layers `layer_call` stands for, as `task_calls` does."""
    return [
        (
            operation.layer if isinstance(operation, LayerCall) else operation,
            keras.tree.flatten(operation.input),
            keras.tree.flatten(operation.output)[0],
        )
        for operation in graph.operations
        if not isinstance(operation, keras.layers.InputLayer)
    ]
