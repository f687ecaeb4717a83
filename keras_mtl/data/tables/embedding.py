"""The network that makes one vector, or one for each column, of the columns of a table."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.data.tables.number_columns import NumberColumn


def embedding_network(columns: Any, widths: Any, by_column: bool = False) -> Any:
    """Returns a new network of stock layers that reads a dict of encoded columns.

    Args:
        columns: List of columns.
        widths: Dict, column -> width of its vectors, of those with embeddings; all others take
            the same where vectors are wanted `by_column`.
        by_column: Whether to return a list of vectors, one for each column, instead of one.
    """
    inputs = {column.name: column.input() for column in columns}
    tables: dict[str, Any] = {}
    vectors = []
    for column in columns:
        if column.embedded:
            table, num_rows = column.embedded
            if table not in tables:
                tables[table] = keras.layers.Embedding(
                    num_rows, widths[column.name], name=f"embedding_{table}"
                )
            vectors.append(column.vector(inputs[column.name], tables[table]))
    plain = [column for column in columns if not column.embedded]
    if plain:
        values, missing = _normalized(plain, [inputs[column.name] for column in plain])
        if by_column:
            vectors += [
                _scaled(column.name, values, missing, index, widths[column.name])
                for index, column in enumerate(plain)
            ]
        else:
            vectors += [values, missing]
    if by_column:
        return keras.Model(inputs, vectors)
    return keras.Model(inputs, ops.concatenate(vectors, axis=-1) if vectors[1:] else vectors[0])


def _normalized(columns: list[NumberColumn], inputs: Any) -> tuple[Any, Any]:
    """Returns numbers with mean 0 and deviation 1, 0 where one is missing, and where that is."""
    x = ops.stack(inputs, axis=-1)
    missing = ops.isnan(x)
    layer = keras.layers.Normalization(name="normalization")
    normalized = layer(x)
    means, variances = np.array([column.statistics for column in columns], "float32").T
    layer.set_weights([means, variances, np.ones((), "int64")])
    layer.finalize_state()
    return ops.where(missing, 0.0, normalized), ops.cast(missing, normalized.dtype)


def _scaled(column: str, values: Any, missing: Any, index: int, width: int) -> Any:
    pair = ops.stack([values[:, index], missing[:, index]], axis=-1)
    return keras.layers.Dense(width, use_bias=False, name=f"embedding_{column}")(pair)
