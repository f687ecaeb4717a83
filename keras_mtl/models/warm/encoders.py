"""What the encoders of two networks know alike: values of columns, and statistics of numbers."""

from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers


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


def embedded_columns(model: keras.Model, encoder: Any, whose: str) -> dict[int, Any]:
    """Returns whose values the rows of a network's embeddings stand for.

    The embedding of column `c` is called `embedding_c`. A column without one has the embeddings,
    under whatever name, that have as many rows as it has values.

    Args:
        model: A network.
        encoder: What made its inputs.
        whose: What messages call the network, `"new"` or `"trained"`.

    Returns:
        Dict, id of an `Embedding` -> `(column, labels of its rows)`.
    """
    known = {column: list(values) for column, values in encoder.vocabularies().items()}
    layers = [x for x in with_inner_layers(model) if isinstance(x, keras.layers.Embedding)]
    by_name = {f"embedding_{column}": column for column in known}
    found = {id(layer): by_name[layer.name] for layer in layers if layer.name in by_name}
    unnamed = {c: values for c, values in known.items() if c not in found.values()}
    for layer in layers:
        if id(layer) in found:
            continue
        fitting = [c for c, values in unnamed.items() if len(values) == layer.input_dim]
        if len(fitting) > 1:
            raise ValueError(
                f"Embedding {layer.name!r} of the {whose} network has {layer.input_dim} rows, and "
                f"so many values have {' and '.join(map(repr, fitting))} of its encoder: what its "
                f"rows stand for is not known. Call it embedding_{fitting[0]} or "
                f"embedding_{fitting[1]}."
            )
        if fitting:
            found[id(layer)] = fitting[0]
    if not found:
        sizes = ", ".join(f"{column} {len(values)}" for column, values in known.items())
        raise ValueError(
            f"The {whose} network has no Embedding for the values of its encoder ({sizes}). Its "
            f"embeddings: {_described(layers)}. Give the encoder that made the network's inputs, "
            "or leave preprocessing out."
        )
    return {
        id(layer): (found[id(layer)], _rows(layer, known[found[id(layer)]], found, whose))
        for layer in layers
        if id(layer) in found
    }


def _rows(layer: Any, values: Any, found: Any, whose: str) -> list[Any]:
    """Returns a label for each row of an embedding: its value, or its index where it has none."""
    if layer.input_dim != len(values):
        raise ValueError(
            f"Embedding {layer.name!r} of the {whose} network has {layer.input_dim} rows, but "
            f"column {found[id(layer)]!r} of its encoder has {len(values)} values. Give the "
            "encoder that made the network's inputs, in the order (new, old)."
        )
    return [
        ("row", index) if value is None else ("value", value) for index, value in enumerate(values)
    ]


def _described(layers: Any) -> str:
    return ", ".join(f"{layer.name} {layer.input_dim}" for layer in layers) or "none"


def copy_statistics(encoder: Any, old_encoder: Any) -> list[str]:
    """Gives the numeric columns of an encoder the mean and variance that an older one knows.

    Encoders that normalize numbers have a method `normalizations()`, which returns a dict,
    column -> `keras.layers.Normalization`.

    Returns:
        The columns that both have.
    """
    new, old = (
        each.normalizations() if hasattr(each, "normalizations") else {}
        for each in (encoder, old_encoder)
    )
    columns = [column for column in new if column in old]
    for column in columns:
        new[column].set_weights(old[column].get_weights())
        new[column].finalize_state()
    return columns
