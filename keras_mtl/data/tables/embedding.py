"""The network that makes one vector, or one for each column, of the columns of a table."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.data.tables.number_columns import NumberColumn
from keras_mtl.row_embedding import RowEmbedding


def embedding_network(columns: Any, widths: Any, by_column: bool = False) -> Any:
    """Returns a new network that reads a dict of encoded columns.

    Args:
        columns: List of columns.
        widths: Dict, column -> width of its vector, or `None` for one by the number of ids.
        by_column: Whether to return a list of vectors, one for each column, instead of one.
    """
    inputs = {column.name: column.input() for column in columns}
    widths = _by_number(columns, widths)
    tables: dict[str, Any] = {}
    vectors = []
    for column in columns:
        if column.embedded:
            table, num_rows = column.embedded
            if table not in tables:
                tables[table] = RowEmbedding(
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


def _by_number(columns: Any, widths: Any) -> dict[str, int]:
    """Returns how wide the vector of each column is, of those that share a table alike."""
    by_table: dict[str, int] = {}
    found = {}
    for column in columns:
        table, num_ids = column.embedded or (column.name, 1)
        width = widths[column.name] or min(64, round(1.6 * num_ids**0.56))
        if by_table.setdefault(table, width) != width:
            raise ValueError(
                f"Columns that share {table!r} have one table of embeddings, so they need one "
                f"embedding_dim. Received {width} for {column.name!r}, and {by_table[table]}."
            )
        found[column.name] = width
    return found


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
