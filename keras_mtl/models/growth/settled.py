"""What is trained stays: copies of layers that learn no more, and the heads of old tasks."""

from typing import Any

import keras

from keras_mtl.layers import ConnectionPenalty
from keras_mtl.layers.copying import copied_layer


def settled(layer: keras.Layer) -> Any:
    """Returns a copy of a layer that learns no more, or an operation as it is."""
    if not isinstance(layer, keras.layers.Layer):
        return layer
    one_more = {"num_tasks": layer.num_tasks + 1} if isinstance(layer, ConnectionPenalty) else ()
    copy = copied_layer(layer, one_more)
    copy.trainable = False
    return copy


def with_one_more_head(model: keras.Model, network: Any, streams: Any) -> Any:
    """Ends a network that has one task more than a model, whose heads it takes over.

    Args:
        model: The trained model.
        network: The `Network` that is being built, on inputs of its own.
        streams: What each task's head reads.
    """
    if network.separate:
        network.num_added_tasks = model.get_layer("heads").num_added_tasks + 1
    grown = network.finish(streams, model.name, sequences=True)
    _copy_heads(model, grown)
    return grown


def _copy_heads(model: keras.Model, grown: Any) -> None:
    """Gives the old tasks their heads, which train no more."""
    if model.task_data == "separate":
        grown.get_layer("heads").take_over(model.get_layer("heads"))
        return
    for name in model.tasks:
        grown.get_layer(name).set_weights(model.get_layer(name).get_weights())
        grown.get_layer(name).trainable = False
