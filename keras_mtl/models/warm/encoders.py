"""What the rows of a network's layers stand for, by the encoder that made its inputs."""

from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers

_CLASSES = (keras.layers.Embedding, keras.layers.Normalization)


def checked_encoders(preprocessing: Any) -> Any:
    """Returns the encoders of the new network and of the trained one, or `(None, None)`."""
    if preprocessing is None:
        return None, None
    if not isinstance(preprocessing, tuple | list) or len(preprocessing) != 2:
        raise ValueError(
            "preprocessing must be a pair, the encoder of the new network and that of the trained "
            f"one: preprocessing=(table, old_table). Received: {preprocessing!r}"
        )
    for encoder in preprocessing:
        if not callable(getattr(encoder, "vocabularies", None)):
            raise ValueError(
                "preprocessing holds encoders whose vocabularies() says what each row of an "
                "Embedding stands for, such as keras_mtl.data.TableEncoder or SentenceEncoder. "
                f"Received: {encoder!r}"
            )
    return preprocessing


def encoded_rows(model: keras.Model, encoder: Any, whose: str) -> dict[int, Any]:
    """Returns what the rows of a network's layers stand for.

    `encoder.vocabularies()` is a dict, name of a layer -> list of values by index, of an
    `Embedding`, or of columns by index, of a `Normalization`. `None` is an index that stands for
    the same whatever was learned. What no layer is called has the embeddings, under whatever name,
    that have as many rows.

    Args:
        model: A network.
        encoder: What made its inputs.
        whose: What messages call the network, `"new"` or `"trained"`.

    Returns:
        Dict, id of a layer -> `(name, places of its variables)`.
    """
    known = {name: list(values) for name, values in encoder.vocabularies().items()}
    layers = [x for x in with_inner_layers(model) if isinstance(x, _CLASSES)]
    found = {id(layer): layer.name for layer in layers if layer.name in known}
    unnamed = {name: values for name, values in known.items() if name not in found.values()}
    for layer in layers:
        if id(layer) in found or not isinstance(layer, keras.layers.Embedding):
            continue
        fitting = [name for name, values in unnamed.items() if len(values) == layer.input_dim]
        if len(fitting) > 1:
            raise ValueError(
                f"Embedding {layer.name!r} of the {whose} network has {layer.input_dim} rows, and "
                f"so many values have {' and '.join(map(repr, fitting))} of its encoder: what its "
                f"rows stand for is not known. Call it by one of these names."
            )
        if fitting:
            found[id(layer)] = fitting[0]
    if not found:
        sizes = ", ".join(f"{name} {len(values)}" for name, values in known.items())
        raise ValueError(
            f"The {whose} network has no Embedding for the values of its encoder ({sizes}). Its "
            f"embeddings: {_described(layers)}. Give the encoder that made the network's inputs, "
            "or leave preprocessing out."
        )
    return {
        id(layer): (found[id(layer)], _places(layer, known[found[id(layer)]], whose))
        for layer in layers
        if id(layer) in found
    }


def _places(layer: Any, values: Any, whose: str) -> dict[str, Any]:
    """Returns the places of a layer's variables: a value, or the index where there is none."""
    embeds = isinstance(layer, keras.layers.Embedding)
    num_rows = layer.input_dim if embeds else layer.mean.shape[-1]
    if num_rows != len(values):
        raise ValueError(
            f"Layer {layer.name!r} of the {whose} network has {num_rows} rows, but its encoder "
            f"has {len(values)} values for it. Give the encoder that made the network's inputs, in "
            "the order (new, old)."
        )
    hashed = all(value is None for value in values)  # of how many, every row depends on
    rows = [
        ("row", index, num_rows if hashed else None) if value is None else ("value", value)
        for index, value in enumerate(values)
    ]
    variables = ("embeddings",) if embeds else ("mean", "variance")  # an entry for each value
    return {name: {0: rows} for name in variables}


def _described(layers: Any) -> str:
    embeddings = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    return ", ".join(f"{layer.name} {layer.input_dim}" for layer in embeddings) or "none"
