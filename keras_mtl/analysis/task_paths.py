"""What a task runs: every layer call that is left when the model is frozen for it."""

import keras


class LayerCall(keras.Operation):
    """One call of a layer in a symbolic graph: shapes only, the layer stays as it is.

    Calling the layer itself would add a node to it, a copy would hold weights.
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)


def task_graph(model, task, copy, inputs=None):
    """Returns the network that is left of a model for one task, whose row is known.

    Layers with a `frozen_call` say themselves what is left of them, so this holds for every
    method that can be frozen.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task.
        copy: Function that returns what stands for a layer, something to call.
        inputs: Tensors in the structure of the model's input, or `None` for new ones.
            Defaults to `None`.
    """
    task_id = list(model.tasks).index(task)

    def call(layer, *args, **kwargs):
        if hasattr(layer, "frozen_call"):
            return layer.frozen_call(*args, task_id=task_id, copy=copy)
        kwargs.pop("training", None)
        return copy(layer)(*args, **kwargs)

    outputs = model.output if model.task_data == "separate" else model.output[task]
    return _traced(keras.Model(model.input, outputs), call, inputs)


def task_calls(model, task):
    """Returns the calls that `keras_mtl.freeze(model, task)` makes.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task.

    Returns:
        List of `(layer, inputs, output)`: a layer of the model, or the stock layer that one
        of them becomes; its input tensors; its first output tensor.
    """
    return _calls(task_graph(model, task, LayerCall))


def inner_calls(model, inputs):
    """Returns the calls that a functional model makes on `inputs`, as `task_calls` does."""
    tensors = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=own.name)
        for x, own in zip(inputs, model.inputs, strict=True)
    ]
    tensors = keras.tree.pack_sequence_as(model.input, tensors)
    return _calls(_traced(model, lambda layer, *args, **kw: LayerCall(layer)(*args, **kw), tensors))


def _traced(model, call, inputs=None):
    return keras.models.clone_model(
        model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
    )


def _calls(graph):
    return [
        (
            operation.layer if isinstance(operation, LayerCall) else operation,
            keras.tree.flatten(operation.input),
            keras.tree.flatten(operation.output)[0],
        )
        for operation in graph.operations
        if not isinstance(operation, keras.layers.InputLayer)
    ]
