"""What this package uses of Keras that Keras does not promise to keep."""

import keras


def graph_of(layer):
    """Returns the functional model that a nested model is, or `None` where there is no graph.

    A subclass that overrides `call` may do anything.
    """
    if isinstance(layer, keras.Sequential):
        return layer._functional  # as built: without one where its input is a structure
    calls_its_graph = isinstance(layer, keras.Model) and hasattr(layer, "operations")
    return layer if calls_its_graph and "call" not in _own_names(layer) else None


def _own_names(layer):
    """Returns the names that classes outside Keras define for a layer."""
    own = [cls for cls in type(layer).__mro__ if not cls.__module__.startswith("keras.")]
    return {name for cls in own if cls is not object for name in vars(cls)}


def run_graph(graph, inputs, call):
    """Runs the graph of a functional model on any values.

    Args:
        graph: A functional `keras.Model`.
        inputs: Values in the structure of its input.
        call: Function `(operation, *args, **kwargs)` that answers for a layer or operation.

    Returns:
        Values in the structure of its output.
    """
    return graph._run_through_graph(inputs, call_fn=call)


def mask_of(tensor):
    """Returns the mask that a symbolic tensor carries, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def origin(tensor):
    """Returns the operation that made a symbolic tensor, and a list of the tensors that it read.

    The second is empty, and the first `None`, of what is no symbolic tensor.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None, []
    return history.operation, list(
        history.operation._inbound_nodes[history.node_index].input_tensors
    )


def num_outputs(operation):
    """Returns how many tensors each call of a layer or operation has answered."""
    return len(operation._inbound_nodes[0].outputs)


def call_inputs(operation):
    """Returns a list of the tensors that all calls of a layer or operation have read."""
    return [tensor for node in operation._inbound_nodes for tensor in node.input_tensors]


def has_own_build(layer):
    """Returns whether a layer makes weights in a `build` of its own, and not in its calls."""
    return not (isinstance(layer, keras.Model) or hasattr(type(layer).build, "_is_default"))


def inner_layers(layer):
    """Returns a list of the layers that a layer holds itself."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def with_inner_layers(layer):
    """Returns a list of a layer and all layers in it, in the order in which they were made."""
    return list(layer._flatten_layers())


def optimizer_state(optimizer, variable):
    """Returns a list of the variables that an optimizer keeps for one that it trains.

    They stand in the same order for all variables: moments, averages, accumulated gradients. For
    what it does not train there are none.
    """
    inner = getattr(optimizer, "optimizers", None) or [getattr(optimizer, "inner_optimizer", None)]
    found = [state for one in inner if one is not None for state in optimizer_state(one, variable)]
    key, places = optimizer._var_key(variable), optimizer._trainable_variables_indices
    if key not in places:
        return found
    own = {id(state) for state in optimizer._variables}
    for name, kept in vars(optimizer).items():
        if isinstance(kept, list) and len(kept) == len(places) and name != "_variables":
            state = kept[places[key]]
            found += [state] if id(state) in own else []
    return found


def gradient_accumulator(optimizer, variable):
    """Returns the variable in which an optimizer sums up gradients of another, or `None`."""
    if not optimizer.gradient_accumulation_steps:
        return None
    return optimizer._accumulated_gradients[optimizer._get_variable_index(variable)]
