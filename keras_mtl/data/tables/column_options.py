"""What is said of the columns of a table, one by one or of all at once."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_mtl import checks

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED = ("inputs", "task_id")


def names_of(kind: str, names: Any) -> list[str]:
    """Returns names of columns as a list."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{kind} must be a list of names of columns. Received: {names!r}")
    return list(names)


def check_names(names: list[str]) -> None:
    """Raises a `ValueError` for names that no input can have."""
    if not names:
        raise ValueError("A table needs at least one column: categorical, numeric or sequences.")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Column {name!r} is given twice. A column is of one kind.")
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"Column {name!r} cannot name an input: a name starts with a letter and holds "
                "letters, digits and underscores only. Rename it, such as by "
                "frame.rename(columns={...})."
            )
        if name in _RESERVED:
            raise ValueError(f"Column {name!r} has a reserved name. Rename it.")


def by_column(
    option: str,
    value: Any,
    columns: list[str],
    check: Callable[[str, Any], Any],
    default: Any = None,
) -> dict[str, Any]:
    """Returns the value of an option for each column that has it, from one for all or a dict."""
    if not isinstance(value, Mapping):
        if value is not None:
            check(option, value)
        return dict.fromkeys(columns, default if value is None else value)
    for name, one in value.items():
        if name not in columns:
            raise ValueError(
                f"{option} names {name!r}, which is no column of that kind. Columns that have it: "
                f"{', '.join(map(repr, columns)) or 'none'}"
            )
        if one is not None:
            check(f"{option}[{name!r}]", one)
    return {name: default if value.get(name) is None else value[name] for name in columns}


def tables_of(shared: Any, columns: list[str], others: list[str]) -> dict[str, str]:
    """Returns the name of the vocabulary of each column; `others` have none."""
    found = dict(zip(columns, columns, strict=True))
    for table, names in checks.mapping("shared", shared or {}, "name -> columns").items():
        for name in names_of(f"shared[{table!r}]", names):
            if name not in columns or found[name] != name:
                raise ValueError(
                    f"shared[{table!r}] names {name!r}, which must be one of categorical or "
                    "sequences, and in one list only."
                )
            found[name] = table
        if table in others or found.get(table, table) != table:
            raise ValueError(f"shared names {table!r}, as another column is. Name it otherwise.")
    return found
