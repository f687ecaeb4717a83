"""Values of columns as they stand in tables, in one form for training and for serving.

Strings are `str`, `""` where one is missing; integers are int64, the smallest where one is
missing; numbers are float32, NaN where one is missing. A list is a row of a rectangle, filled up
with what is missing.
"""

import contextlib
import math
from typing import Any

import numpy as np

MISSING = {"string": "", "integer": -(2**63)}
FORMS = ("string", "integer", "number", "list of string", "list of integer")
_TYPES: dict[str, Any] = {"string": object, "integer": np.int64}


def raw_values(column: str, values: Any, form: str, length: Any = None) -> Any:
    """Returns the values of a column in one of `FORMS`.

    Args:
        column: Name of the column.
        values: As of `categories`, `numbers` or `lists`.
        form: One of `FORMS`.
        length: As of `rectangle`. Defaults to `None`.
    """
    if form == "number":
        return numbers(column, values).astype("float32")
    kind = form.removeprefix("list of ")
    if kind == form:
        return categories(column, values, kind)
    return rectangle(column, values, kind, length)


def distinct(column: str, values: Any) -> tuple[Any, Any]:
    """Returns the values of a column, each once, and the index of each row, -1 where it is missing.

    So far as the column itself finds them, as a Series of pandas does fast; else all values, and
    `None`.
    """
    if hasattr(values, "factorize"):
        with contextlib.suppress(TypeError):  # lists, of which `as_array` says what they are
            indices, found = values.factorize()
            return as_array(column, found), indices
    return as_array(column, values), None


def kind_of(column: str, values: Any) -> Any:
    """Returns whether the categories of a column are strings or integers; `None` if all miss.

    Args:
        column: Name of the column.
        values: As of `categories`.

    Raises:
        ValueError: Fractions, strings beside numbers, or neither.
    """
    values = as_array(column, values)
    if values.dtype.kind in "biuU":
        return "string" if values.dtype.kind == "U" else "integer"
    values = values.tolist()
    if set(map(type, values)) <= {str, bytes}:
        return "string" if values else None
    present = [value for value in values if not _is_missing(value)]
    are_strings = {isinstance(value, str | bytes): value for value in reversed(present)}
    if len(are_strings) > 1:
        raise ValueError(
            f"Column {column!r} has strings beside other values: {are_strings[True]!r} and "
            f"{are_strings[False]!r}. Make it one of them, such as by column.astype(str)."
        )
    if present and False in are_strings:
        _integers(column, np.array(present, object))
    return None if not present else "string" if True in are_strings else "integer"


def categories(column: str, values: Any, kind: Any) -> Any:
    """Returns the categories of a column in the form of its kind, `(rows,)`.

    Args:
        column: Name of the column.
        values: A column: an array, a list, a Series of pandas or polars. Missing are `None`, NaN
            and what pandas calls so; of strings the empty one, too.
        kind: `"string"` or `"integer"`.

    Raises:
        ValueError: Values of another kind, a column that is no such column.
    """
    values = as_array(column, values)
    if kind == "integer":
        return _integers(column, values)
    if values.dtype.kind == "U":
        return values.astype(object)
    texts = values.tolist()
    if set(map(type, texts)) == {str}:
        return values
    found = np.empty(len(texts), object)
    found[:] = [text if type(text) is str else _text(column, text) for text in texts]
    return found


def numbers(column: str, values: Any) -> Any:
    """Returns the numbers of a column as float64, `(rows,)`, NaN where one is missing.

    Raises:
        ValueError: Strings and other things that are no numbers, infinite numbers.
    """
    values = as_array(column, values)
    if values.dtype.kind not in "biuf":
        values = np.array([_number(column, value) for value in values.tolist()], "float64")
    if np.any(np.isinf(values)):
        raise ValueError(f"Column {column!r} has an infinite number. Cut it, or leave it missing.")
    return values.astype("float64")


def lists(column: str, values: Any) -> tuple[Any, Any]:
    """Returns what the lists of a column hold, one after the other, and how many each holds.

    Args:
        column: Name of the column.
        values: A column of lists, `None` where one is missing; an array with a row for each.

    Raises:
        ValueError: A value that is no list.
    """
    if hasattr(values, "to_list") and not hasattr(values, "to_numpy"):
        values = values.to_list()  # a ragged tensor
    rows = []
    for row in values:
        if _is_missing(row):
            row = ()
        if isinstance(row, str | bytes) or not hasattr(row, "__len__"):
            raise ValueError(
                f"Column {column!r} is a sequence, so each of its values must be a list. Received: "
                f"{row!r}. A string of several is split first, such as by column.str.split('|')."
            )
        rows.append(row.tolist() if hasattr(row, "tolist") else list(row))
    return [value for row in rows for value in row], np.array([len(row) for row in rows], int)


def rectangle(column: str, values: Any, kind: Any, length: Any) -> Any:
    """Returns lists as a rectangle, `(rows, length)`, of categories in the form of their kind.

    What is missing in a list is left out.

    Args:
        column: Name of the column.
        values: As of `lists`.
        kind: `"string"` or `"integer"`.
        length: How many values a row holds: of longer lists the first. `None`: as many as the
            longest list, at least 1.
    """
    flat, sizes = lists(column, values)
    flat = categories(column, flat, kind)
    present = flat != MISSING[kind]
    owners = np.repeat(np.arange(len(sizes)), sizes)[present]
    sizes = np.bincount(owners, minlength=len(sizes))
    places = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    if length is None:
        length = max(1, int(sizes.max(initial=0)))
    filled = np.full((len(sizes), length), MISSING[kind], _TYPES[kind])
    inside = places < length
    filled[owners[inside], places[inside]] = flat[present][inside]
    return filled


def as_array(column: str, values: Any) -> Any:
    """Returns a column as an array of one axis; objects stay what they are."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if not isinstance(values, np.ndarray):
        if hasattr(values, "numpy"):
            values = values.numpy()
        else:
            found = np.empty(len(values), object)
            found[:] = list(values)
            values = found
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or (values.dtype == object and any(map(_is_list, values[:1]))):
        raise ValueError(
            f"Column {column!r} must have one value in each row. Received shape {values.shape}. "
            "Columns of lists are given as sequences=[...]."
        )
    return values


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _is_missing(value: Any) -> bool:
    if value is None or isinstance(value, str | bytes | list | tuple | np.ndarray):
        return value is None or (isinstance(value, str | bytes) and not value)
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _text(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if _is_missing(value):
        return ""
    raise ValueError(f"Column {column!r} is of strings. Received: {value!r}")


def _integers(column: str, values: Any) -> Any:
    if values.dtype.kind in "biu":
        return values.astype("int64")
    missing = np.array([_is_missing(value) for value in values.tolist()], bool)
    found = np.full(len(values), MISSING["integer"], "int64")
    for index in np.flatnonzero(~missing) if values.dtype == object else ():
        if not isinstance(values[index], int | float | np.number | bool):
            raise ValueError(f"Column {column!r} is of integers. Received: {values[index]!r}")
    present = values[~missing].astype("float64") if len(values) else values
    wrong = np.flatnonzero(present != np.floor(present))
    if len(wrong):
        raise ValueError(
            f"Column {column!r} has fractions, which are no categories: {present[wrong[0]]}. Give "
            "it as one of numeric, with num_bins for bins that have embeddings."
        )
    found[~missing] = [int(value) for value in values[~missing].tolist()]
    return found


def _number(column: str, value: Any) -> float:
    if _is_missing(value) and not isinstance(value, str | bytes):
        return math.nan
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        raise ValueError(f"Column {column!r} is of numbers. Received: {value!r}")
    return float(value)
