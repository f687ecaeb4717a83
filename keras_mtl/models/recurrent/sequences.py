"""The sequence that a recurrent network reads: what the stem makes of the input."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.models.construction import made_layers
from keras_mtl.types import NewLayer


def sequence_after(stem: Sequence[NewLayer], inputs: Any) -> Any:
    """Sends the inputs of a network through its stem and returns the sequence that comes out."""
    features = inputs
    for _, [layer] in made_layers(stem, []):
        features = layer(features)
    shapes = [tensor.shape for tensor in keras.tree.flatten(features)]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ValueError(
            "A recurrent network reads one sequence, (batch, steps, features), after the stem. "
            f"Received: {', '.join(map(str, shapes))}. End the stem with a layer that makes one, "
            "such as keras.layers.Embedding for tokens."
        )
    return features
