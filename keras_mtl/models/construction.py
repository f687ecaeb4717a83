"""Makes the layers of a network from what its user gives: callables, inputs, a seed."""

import contextlib
import random
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.keras_internals import origin
from keras_mtl.layers import ExpertStreams
from keras_mtl.layers.components.parallel_components import ParallelComponents
from keras_mtl.types import NewLayer, Tensor

_GIVEN_LAYERS: weakref.WeakSet = weakref.WeakSet()  # so that no layer is built in twice


def layer_names(model: keras.Model) -> set[Any]:
    """Returns the names of a model's layers and of the components in them."""
    hold = ParallelComponents | ExpertStreams
    holders = [layer for layer in model.layers if isinstance(layer, hold)]
    components = [component for layer in holders for component in layer.components]
    return {layer.name for layer in [*model.layers, *components]}


def new_input(inputs: Any) -> Any:
    """Returns inputs like the given ones, a `keras.Input` or a dict of them."""
    if isinstance(inputs, dict) and inputs:
        return {key: _input_like(tensor, key) for key, tensor in inputs.items()}
    return _input_like(inputs, "inputs")


def _input_like(tensor: Tensor, name: str) -> Any:
    if not keras.backend.is_keras_tensor(tensor):
        raise ValueError(
            "inputs must be a keras.Input, such as keras.Input((28, 28, 1)), or a dict of them. "
            f"Received: {tensor!r}"
        )
    made_by, _ = origin(tensor)
    if not isinstance(made_by, keras.layers.InputLayer | None):
        raise ValueError(
            "inputs must be a keras.Input, of which the network makes its own, or a dict of them. "
            f"Received the output of layer {made_by.name!r}, which would be cut off "
            "there: give the keras.Input that the layer reads, and the layer as a callable in stem."
        )
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def new_layer(make: Any, name: str, where: Any) -> Any:
    """Returns the layer that a callable makes, named `name`."""
    if isinstance(make, keras.layers.Layer):
        raise ValueError(
            f"{where} is the layer {make.name!r}, but a callable that returns a new layer is "
            "expected, so that no two models share weights. Give functools.partial"
            f"(keras.layers.{type(make).__name__}, ...) or a lambda."
        )
    if not callable(make):
        raise ValueError(
            f"{where} must be a callable that returns a Keras layer. Received: {make!r}"
        )
    layer = make()
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"{where} must return a Keras layer. It returned: {layer!r}")
    if layer in _GIVEN_LAYERS or (layer.built and getattr(layer, "_inbound_nodes", None)):
        raise ValueError(
            f"{where} returned the layer {layer.name!r}, which is in use already. It must return "
            "a new layer at every call."
        )
    _GIVEN_LAYERS.add(layer)
    layer.name = name
    return layer


def made_layers(stem: Sequence[NewLayer], layers: Sequence[Any]) -> Iterator[Any]:
    """Makes stem and layers, one entry at a time, in order.

    Yields:
        Pairs `(None, [layer])` for the stem and bare layers, and `(number, components)` for
        lists, which are numbered from 1.
    """
    check_lists(stem=stem, layers=layers)
    for index, make in enumerate(stem):
        yield None, [new_layer(make, f"stem_{index + 1}", f"stem[{index}]")]
    number = 0
    for index, entry in enumerate(layers):
        where = f"layers[{index}]"
        if not isinstance(entry, list | tuple):
            yield None, [new_layer(entry, f"layer_{index + 1}", where)]
            continue
        if not entry:
            raise ValueError(f"{where} is an empty list: a modular layer needs a component.")
        number += 1
        components = [
            new_layer(make, f"component_{number}_{part + 1}", f"{where}[{part}]")
            for part, make in enumerate(entry)
        ]
        yield number, components


def check_lists(**lists: Any) -> None:
    """Raises a `ValueError` when `stem` or `layers` is not a list."""
    for name, value in lists.items():
        if not isinstance(value, list | tuple):
            raise ValueError(
                f"{name} must be a list of callables that return a Keras layer, or of lists of "
                f"these. Received: {value!r}"
            )


def check_has_list(
    layers: Sequence[Any], holds: Any, purpose: Any, example: str = "[[dense] * 4]"
) -> None:
    """Raises a `ValueError` for layers without any list, where a bracket was forgotten.

    Args:
        layers: What a builder was given, for a method that is nothing without lists.
        holds: What the method calls the entries of a list.
        purpose: What it does with them.
        example: Such layers. Defaults to `"[[dense] * 4]"`.
    """
    check_lists(layers=layers)
    if not any(isinstance(entry, list | tuple) for entry in layers):
        raise ValueError(
            f"layers has no list of {holds}, so there is nothing to {purpose}: a bare callable is "
            "a layer that every task passes. Put a list of callables into `layers`, such as "
            f"layers={example}."
        )


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[Any]:
    """Makes everything that is drawn inside reproducible; `None` changes nothing.

    Keras takes the seeds of initializers and dropout from Python's generator, whose state
    is put back afterwards.
    """
    seed = checks.seed("seed", seed)
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def check_different_starts(components: Sequence[keras.Layer]) -> None:
    """Raises a `ValueError` for equal components, which is never what somebody meant."""
    seen: dict[Any, Any] = {}
    for component in components:
        weights = component.get_weights()
        if not any(weight.ndim > 1 for weight in weights):
            continue
        key = tuple((weight.shape, weight.tobytes()) for weight in weights)
        if key in seen:
            raise ValueError(
                f"Components {seen[key]!r} and {component.name!r} start with equal weights and "
                "would learn the same. An initializer given as an object or with a seed draws the "
                "same numbers for every component: give its name instead, such as "
                'kernel_initializer="he_normal".'
            )
        seen[key] = component.name
