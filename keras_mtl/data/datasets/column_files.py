"""Tagged sentences out of column files, such as those of the CoNLL shared tasks."""

import gzip
import itertools
from pathlib import Path
from typing import Any


def read_columns(path: Any, columns: Any, separator: Any = None) -> Any:
    """Reads a file with a word and its tags on each line, and a blank line after a sentence.

    Lines of white space only are blank too. There are no comments: a line that starts with
    `#` is a word like any other.

    Args:
        path: The file, UTF-8, plain or `.gz`.
        columns: List of the names of all columns, in their order.
        separator: What stands between columns, such as a tab. `None`: any white space.
            Defaults to `None`.

    Returns:
        Dict, column -> list of sentences, each a list of strings. Sentences are in the order
        of the file and equally long in all columns.

    Raises:
        ValueError: A line has more or fewer columns than `columns`.

    Example:

    >>> _ = Path("train.txt").write_text("He PRP\\nsleeps VBZ\\n\\n# #\\n1 CD\\n")
    >>> read_columns("train.txt", ["word", "pos"])
    {'word': [['He', 'sleeps'], ['#', '1']], 'pos': [['PRP', 'VBZ'], ['#', 'CD']]}
    """
    path = Path(path)
    sentences: dict[str, list[Any]] = {column: [] for column in columns}
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as file:
        lines = enumerate(file, start=1)
        for blank, group in itertools.groupby(lines, key=lambda line: not line[1].strip()):
            if not blank:
                rows = [_row(path, number, line, sentences, separator) for number, line in group]
                for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                    sentences[column].append(list(values))
    return sentences


def _row(path: Any, number: Any, line: Any, columns: Any, separator: Any) -> Any:
    row = line.rstrip("\n").split(separator)
    if len(row) != len(columns):
        raise ValueError(
            f"{path}, line {number}, has {len(row)} columns where {len(columns)} are expected: "
            f"{', '.join(columns)}. Received: {line.rstrip()!r}. Name all columns of the file, "
            "and give separator='\\t' if words hold spaces."
        )
    return row
