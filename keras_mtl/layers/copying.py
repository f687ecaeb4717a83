"""Copies of layers: their settings, their weights, and what they know beside their weights."""

import tempfile
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_mtl.keras_internals import (
    graph_of,
    has_own_build,
    inner_layers,
    lambda_output_shape,
    with_inner_layers,
)


def copied_layer(layer: keras.Layer, changes: Any = (), frozen: bool = False) -> Any:
    """Returns a layer of its own that answers as `layer` does.

    What is beside the weights comes along: statistics that a `Normalization` was adapted to,
    vocabularies of lookups, scales of quantized kernels, states of random generators.

    Args:
        layer: A built layer or nested model.
        changes: What is different in its config. Defaults to `()`, nothing.
        frozen: Whether it is for a frozen network: without regularizers, which act in training
            only, and of its `frozen_class`, where the layer names one with the same config and
            weights. Defaults to `False`.

    Raises:
        ValueError: The layer cannot be made anew from its config.
    """
    copy = new_layer_like(layer, changes, frozen)
    _build_like(layer, copy)
    copy_state(layer, copy)
    return copy


def new_layer_like(layer: keras.Layer, changes: Any = (), frozen: bool = False) -> Any:
    """Returns a layer as `copied_layer` does, but with new weights and nothing else."""
    changes = dict(changes)
    if type(layer) is keras.layers.Lambda:  # its config would hold code, which Keras refuses
        return _new_lambda(layer, changes.get("name", layer.name))
    own_classes = {type(inner).__name__: type(inner) for inner in with_inner_layers(layer)}
    try:
        with keras.saving.custom_object_scope(own_classes):
            if graph_of(layer) is not None:
                like = partial(_new_node_like, frozen=frozen)
                copy = keras.models.clone_model(layer, clone_function=like)
                copy.name = changes.get("name", copy.name)
                return copy
            cls, config = type(layer), layer.get_config()
            if frozen:
                cls = getattr(layer, "frozen_class", cls)
                config = without_regularizers(config)
            return cls.from_config(config | changes)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be copied, because Keras cannot "
            "make it anew from its config. Give the class a get_config that returns the arguments "
            f"of its constructor. Keras says: {error}"
        ) from error


def _new_node_like(node: Any, frozen: bool) -> Any:
    """Returns what stands in a graph anew: a layer, or an operation, which has no state."""
    if isinstance(node, keras.layers.Layer):
        return new_layer_like(node, frozen=frozen)
    return type(node).from_config(node.get_config())


def without_regularizers(config: dict[str, Any]) -> Any:
    """Returns a config, of whatever depth, in which no weight has a regularizer."""
    if isinstance(config, list):
        return [without_regularizers(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: None if key.endswith("_regularizer") else without_regularizers(value)
        for key, value in config.items()
    }


def _new_lambda(layer: keras.Layer, name: str) -> Any:
    return keras.layers.Lambda(
        layer.function,
        lambda_output_shape(layer),
        layer.mask,
        layer.arguments,
        dtype=layer.dtype_policy,
        name=name,
    )


def _build_like(old: Any, new: Any) -> None:
    """Makes the weights of a layer and of those in it, in the shapes of another's."""
    if old.built and not new.built and has_own_build(new):
        new.build_from_config(old.get_build_config())
    for old_inner, new_inner in zip(inner_layers(old), inner_layers(new), strict=True):
        _build_like(old_inner, new_inner)


def copy_state(source: Any, target: Any) -> None:
    """Gives a layer the state of another one with the same config.

    It goes the way that saving goes, layer by layer, so what a file keeps is kept.
    """
    pairs = zip(with_inner_layers(source), with_inner_layers(target), strict=True)
    for old, new in pairs:
        store: dict[Any, Any] = {}
        old.save_own_variables(store)
        if store:  # arrays of their own: JAX may give a buffer away
            new.load_own_variables({key: np.array(value) for key, value in store.items()})
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)
