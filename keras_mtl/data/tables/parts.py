"""Tables as their columns: dicts, DataFrames, files and datasets."""

import os
from collections.abc import Iterator, Mapping
from typing import Any


def columns_of(data: Any, names: list[str]) -> dict[str, Any]:
    """Returns the columns of a dict or a DataFrame that have one of some names.

    Raises:
        ValueError: What is neither, a column that is not there, columns of different lengths.
    """
    has_columns = hasattr(data, "columns") and hasattr(data, "__getitem__")
    if not isinstance(data, Mapping) and not has_columns:
        raise ValueError(
            "A table is a dict of columns or a DataFrame of pandas or polars. Received: "
            f"{type(data).__name__}"
        )
    there = list(data) if isinstance(data, Mapping) else list(data.columns)
    if missing := [name for name in names if name not in there]:
        raise ValueError(
            f"The table has no column {', '.join(map(repr, missing))}. Its columns: "
            f"{', '.join(map(repr, there))}"
        )
    columns = {name: data[name] for name in names}
    lengths = {name: _length(name, column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns must be of the same rows. Received lengths: {lengths}")
    return columns


def parts_of(data: Any, names: list[str]) -> Iterator[dict[str, Any]]:
    """Yields the columns of some names, part by part, of whatever holds a table.

    Raises:
        ValueError: As of `columns_of`, no rows.
        ImportError: A Parquet file without pyarrow.
    """
    has_rows = False
    for part in _parts(data, names):
        columns = columns_of(part, names)
        has_rows = has_rows or any(_length(*each) for each in columns.items())
        yield columns
    if not has_rows:
        raise ValueError("The table has no rows, so nothing can be learned of its columns.")


def _parts(data: Any, names: list[str]) -> Iterator[Any]:
    if isinstance(data, str | os.PathLike):
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(data)
        there = [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(columns=there):
            yield {name: batch.column(name).to_pylist() for name in there}
    elif hasattr(data, "element_spec"):
        for part in data:
            yield {name: _of_tensor(name, tensor) for name, tensor in part.items()}
    else:
        yield data


def _of_tensor(name: str, tensor: Any) -> Any:
    if len(tensor.shape) == 0:
        raise ValueError(
            f"A part of the dataset has one value of {name!r}. Give a dataset of batches: "
            "dataset.batch(1024)."
        )
    return tensor.to_list() if hasattr(tensor, "to_list") else tensor.numpy()


def _length(name: str, column: Any) -> int:
    if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
        raise ValueError(
            f"Column {name!r} must be a list of values, one for each row. Received: {column!r}"
        )
    return len(column)
