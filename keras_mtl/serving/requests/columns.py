"""Columns of a request, in the form in which the signatures of an export take them."""

from typing import Any

from keras_mtl.data.tables.parts import columns_of
from keras_mtl.data.tables.raw_values import raw_values


def as_columns(x: Any, forms: Any, specs: Any) -> dict[str, Any]:
    """Returns the columns of a request as arrays; lists as rectangles.

    Args:
        x: Dict of columns, or a DataFrame.
        forms: Dict, column -> what its values are.
        specs: Dict, column -> `tf.TensorSpec`.

    Raises:
        ValueError: Columns that are missing, unknown, of other values or of different lengths.
    """
    columns = columns_of(x, list(forms))
    if unknown := [name for name in x if name not in forms]:
        raise ValueError(
            f"x has columns that the export does not read: {', '.join(map(repr, unknown))}. It "
            f"reads: {', '.join(map(repr, forms))}"
        )
    return {
        name: raw_values(name, column, forms[name], *specs[name].shape[1:])
        for name, column in columns.items()
    }
