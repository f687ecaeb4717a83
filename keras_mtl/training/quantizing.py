"""Layers that can be quantized: those that a file of the network knows."""

import re
from typing import Any

import keras

from keras_mtl.keras_internals import inner_layers, with_inner_layers


def with_place_in_config(layer: keras.Layer) -> Any:
    """Returns a layer and the layers in it that stand in the config of what holds them.

    A layer that another one makes in its constructor does not: a file cannot say that it is
    quantized, and would not load.
    """
    found = [layer]
    for inner in _in_config(layer):
        found += with_place_in_config(inner)
    return found


def _in_config(layer: keras.Layer) -> Any:
    if isinstance(layer, keras.Model):
        return layer.layers
    inner = inner_layers(layer)
    known = _named(layer.get_config()) if inner else ()
    return [each for each in inner if (type(each).__name__, each.name) in known]


def _named(config: dict[str, Any]) -> Any:
    """Returns class and name of every layer in a config."""
    if isinstance(config, dict):
        found = set().union(*map(_named, config.values()))
        if isinstance(config.get("config"), dict):
            found.add((config.get("class_name"), config["config"].get("name")))
        return found
    return set().union(*map(_named, config)) if isinstance(config, list | tuple) else set()


def quantizable(model: keras.Model, filters: Any) -> tuple[Any, Any]:
    """Returns a filter for `keras.Model.quantize`, and the names of the layers it has to leave.

    Args:
        filters: As of `keras.Model.quantize`.
    """
    known = {id(layer) for layer in with_place_in_config(model)}

    def wanted(layer):
        if filters is None or callable(filters):
            return filters is None or filters(layer)
        patterns = [filters] if isinstance(filters, str) else filters
        return any(re.search(pattern, layer.name) for pattern in patterns)

    left = [
        layer.path
        for layer in with_inner_layers(model)
        if id(layer) not in known and isinstance(layer, _QUANTIZED) and wanted(layer)
    ]
    return lambda layer: id(layer) in known and wanted(layer), left


_QUANTIZED = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)
