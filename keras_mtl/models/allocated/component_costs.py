"""What the components of a network cost, in the unit of a budget."""

from typing import Any

import keras
import numpy as np

from keras_mtl.layers.components.parallel_components import ParallelComponents
from keras_mtl.layers.flops import layer_flops
from keras_mtl.layers.timing import milliseconds
from keras_mtl.types import Tensor

UNITS = {
    "components": "each counts the same",
    "parameters": "numbers of weights",
    "flops": "FLOPs of an example",
    "milliseconds": "measured here and now",
}
_LAYERS = keras.layers
_NO_PRODUCTS = (  # a number or two for each feature, which nobody counts
    _LAYERS.BatchNormalization,
    _LAYERS.GroupNormalization,
    _LAYERS.LayerNormalization,
    _LAYERS.Normalization,
    _LAYERS.PReLU,
    _LAYERS.RMSNormalization,
)
_TIMED_EXAMPLES = 16


def component_costs(network: Any, features: Tensor, unit: str) -> list[list[float]] | None:
    """Returns the cost of each component of each routed layer; `None` where all are equal.

    Args:
        network: A `Network`, for its inputs.
        features: What its routed layers make of them.
        unit: A key of `UNITS`.

    Raises:
        ValueError: FLOPs that are not known, or components that all cost nothing.
    """
    if unit == "components":
        return None
    inputs = [network.inputs, network.task_id] if network.separate else network.inputs
    costs = [
        [float(_cost(component, layer.input[0], unit)) for component in layer.components]
        for layer in keras.Model(inputs, features).layers
        if isinstance(layer, ParallelComponents) and len(layer.components) > 1
    ]
    if not sum(map(sum, costs)):
        raise ValueError(
            f'budget_unit="{unit}" cannot share out a budget: all components cost nothing. Use '
            '"components".'
        )
    return costs


def _cost(component: keras.Layer, x: Tensor, unit: str) -> float:
    if unit == "parameters":
        return component.count_params()
    if unit == "flops":
        return _flops(component, x)
    return _milliseconds(component, x)


def _flops(component: keras.Layer, x: Tensor) -> float:
    output = component.compute_output_spec(x)
    found = list(layer_flops(component, [x], keras.tree.flatten(output)[0]))
    unknown = [
        type(layer).__name__
        for layer, flops in found
        if flops is None and not isinstance(layer, _NO_PRODUCTS)
    ]
    if unknown:
        raise ValueError(
            f'budget_unit="flops" needs the FLOPs of {component.name!r}, but those of '
            f'{", ".join(unknown)} are not known. Use "parameters" or "milliseconds".'
        )
    return sum(flops or 0 for _, flops in found)


def _milliseconds(component: keras.Layer, x: Tensor) -> float:
    """Returns the median time of a compiled call; axes of no fixed size count 16."""
    inputs = keras.Input(batch_shape=x.shape, dtype=x.dtype)
    network = keras.Model(inputs, component(inputs))
    shape = [_TIMED_EXAMPLES if size is None else size for size in x.shape]
    batch = np.zeros(shape, keras.backend.standardize_dtype(x.dtype))
    return milliseconds(network, batch)
