"""The private parts of Keras that this package uses, and that Keras does not promise to keep."""

from collections.abc import Callable
from typing import Any

import keras

from keras_mtl.types import Tensor


def graph_of(layer: keras.Layer) -> Any:
    """Returns the functional model that a nested model is, or `None` where there is no graph.

    A subclass that overrides `call` may do anything.
    """
    if isinstance(layer, keras.Sequential):
        return layer._functional  # as built: without one where its input is a structure
    calls_its_graph = isinstance(layer, keras.Model) and hasattr(layer, "operations")
    return layer if calls_its_graph and "call" not in _own_names(layer) else None


def _own_names(layer: keras.Layer) -> set[Any]:
    """Returns the names that classes outside Keras define for a layer."""
    own = [cls for cls in type(layer).__mro__ if not cls.__module__.startswith("keras.")]
    return {name for cls in own if cls is not object for name in vars(cls)}


def run_graph(graph: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Runs the graph of a functional model on any values.

    Args:
        graph: A functional `keras.Model`.
        inputs: Values in the structure of its input.
        call: Function `(operation, *args, **kwargs)` that answers for a layer or operation.

    Returns:
        Values in the structure of its output.
    """
    return graph._run_through_graph(inputs, call_fn=call)


def mask_of(tensor: Tensor) -> Any:
    """Returns the mask that a symbolic tensor carries, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Tensor, mask: Any) -> None:
    """Lets a tensor carry a mask, which Keras hands to the layers that read it."""
    tensor._keras_mask = mask


def origin(tensor: Tensor) -> tuple[Any, Any]:
    """Returns the operation that made a symbolic tensor, and a list of the tensors that it read.

    The second is empty, and the first `None`, of what is no symbolic tensor.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None, []
    return history.operation, list(
        history.operation._inbound_nodes[history.node_index].input_tensors
    )


def num_outputs(operation: Any) -> int:
    """Returns how many tensors each call of a layer or operation has answered."""
    return len(operation._inbound_nodes[0].outputs)


def call_inputs(operation: Any) -> list[Any]:
    """Returns a list of the tensors that all calls of a layer or operation have read."""
    return [tensor for node in operation._inbound_nodes for tensor in node.input_tensors]


def call_outputs(operation: Any) -> Any:
    """Returns a list of the tensors that the last call of a layer or operation has answered."""
    return list(operation._inbound_nodes[-1].output_tensors)


def places_read(operation: Any, tensor: Tensor) -> set[Any]:
    """Returns the indices among their inputs at which calls of a layer have read a tensor."""
    nodes = operation._inbound_nodes
    return {n for node in nodes for n, read in enumerate(node.input_tensors) if read is tensor}


def has_own_build(layer: keras.Layer) -> bool:
    """Returns whether a layer makes weights in a `build` of its own, and not in its calls."""
    return not (isinstance(layer, keras.Model) or hasattr(type(layer).build, "_is_default"))


def inner_layers(layer: keras.Layer) -> Any:
    """Returns a list of the layers that a layer holds itself."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def with_inner_layers(layer: keras.Layer) -> Any:
    """Returns a list of a layer and all layers in it, in the order in which they were made."""
    return list(layer._flatten_layers())


def own_variables(layer: keras.Layer) -> Any:
    """Returns a list of the variables of a layer that are in none of the layers in it.

    States of random generators are not among them.
    """
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def lambda_output_shape(layer: keras.Layer) -> Any:
    """Returns the `output_shape` that a `keras.layers.Lambda` was made with."""
    return layer._output_shape


def function_of(metric: Any) -> Any:
    """Returns the function whose mean a `keras.metrics.MeanMetricWrapper` takes."""
    return metric._fn


def trained_variables(optimizer: Any) -> Any:
    """Returns a list of the variables that an optimizer was built for."""
    return list(optimizer._trainable_variables)


def optimizer_of(optimizers: Any, variable: keras.Variable) -> Any:
    """Returns which of the optimizers of a `keras.optimizers.MultiOptimizer` trains a variable."""
    return optimizers._optimizer_map(variable)


def optimizer_state(optimizer: Any, variable: keras.Variable) -> Any:
    """Returns a list of the variables that an optimizer keeps for one that it trains.

    They stand in the same order for all variables: moments, averages, accumulated gradients. For
    what it does not train there are none.
    """
    inner = getattr(optimizer, "optimizers", None) or [getattr(optimizer, "inner_optimizer", None)]
    found = [state for one in inner if one is not None for state in optimizer_state(one, variable)]
    key, indices = optimizer._var_key(variable), optimizer._trainable_variables_indices
    if key not in indices:
        return found
    own = {id(state) for state in optimizer._variables}
    for name, kept in vars(optimizer).items():
        if isinstance(kept, list) and len(kept) == len(indices) and name != "_variables":
            state = kept[indices[key]]
            found += [state] if id(state) in own else []
    return found


def averages_of_adam(optimizer: Any, variable: Any) -> list[Any]:
    """Returns the moments that Adam keeps for a variable, the first, the second and any largest."""
    index = optimizer._get_variable_index(variable)
    kept = [optimizer._momentums, optimizer._velocities]
    if optimizer.amsgrad:
        kept.append(optimizer._velocity_hats)
    return [each[index] for each in kept]


def gradient_accumulator(optimizer: Any, variable: keras.Variable) -> Any:
    """Returns the variable in which an optimizer sums up gradients of another, or `None`."""
    if not optimizer.gradient_accumulation_steps:
        return None
    return optimizer._accumulated_gradients[optimizer._get_variable_index(variable)]


def untrack(model: keras.Model, tracked: Any) -> None:
    """Lets a model forget a metric, or what else has variables, that was its attribute."""
    model._tracker.untrack(tracked)


def begin_at_epoch(model: keras.Model, epoch: int | None) -> None:
    """Lets the `fit` that is about to begin count from an epoch; `None`: from where it is told."""
    model._initial_epoch = epoch


ModelPart: Any = object  # what a base before `keras.Model` derives from, for those who read types


class ModelHooks(ModelPart):
    """Private methods of `keras.Model` under names of this package; a base before it.

    `fit` reports what `epoch_logs` returns, `evaluate` and `train_on_batch` list what
    `logs_in_order` returns. On JAX, Keras takes the values out of the variables while it runs;
    those that it took are at hand for `jax_state_sync`, which puts them back.
    """

    def epoch_logs(self, logs: Any) -> Any:
        return super()._get_metrics_result_or_logs(logs)

    def logs_in_order(self, logs: Any) -> Any:
        return super()._flatten_metrics_in_order(logs)

    def _get_metrics_result_or_logs(self, logs: Any) -> Any:
        return self.epoch_logs(logs)

    def _flatten_metrics_in_order(self, logs: Any) -> Any:
        return self.logs_in_order(logs)

    def _get_jax_state(self, **chosen: Any) -> Any:
        state = super()._get_jax_state(**chosen)
        names = [name for name in _JAX_STATES if chosen.get(name)]
        self._jax_state = dict(zip(names, state, strict=True))
        return state


_JAX_STATES = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)
