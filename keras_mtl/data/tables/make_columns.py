"""Makes the columns of a table, with the vocabularies that some of them share."""

from functools import partial
from typing import Any

from keras_mtl import checks
from keras_mtl.data.tables.category_columns import CategoryColumn, ListColumn
from keras_mtl.data.tables.column_options import by_column, tables_of
from keras_mtl.data.tables.number_columns import BinnedColumn, NumberColumn
from keras_mtl.data.tables.vocabulary import Vocabulary

_POOLINGS = ("mean", "sum", "max")


def make_columns(
    categorical: list[str], numeric: list[str], sequences: list[str], options: Any, learned: Any
) -> tuple[list[Any], list[Any]]:
    """Returns the columns of a table in order, and what learns of them, each once.

    Args:
        categorical, numeric, sequences: Names of columns.
        options: Dict, option of `TableEncoder` -> its value.
        learned: Dict, name of a vocabulary or a column of numbers -> what was learned, or empty.

    Raises:
        ValueError: An option out of its range or of a column that has it not, columns that share a
            vocabulary and want it otherwise.
    """
    looked_up, at_least_2 = [*categorical, *sequences], partial(checks.count, least=2)

    def option(name, columns, check, default=None):
        return by_column(name, options[name], columns, check, default)

    pooling = partial(checks.word, allowed=_POOLINGS)
    tables = tables_of(options["shared"], looked_up, numeric)
    bins = option("num_bins", numeric, at_least_2)
    poolings = option("pooling", sequences, pooling, "mean")
    lengths = option("sequence_length", sequences, checks.count)
    counts = option("min_count", looked_up, checks.count, 1)
    buckets = option("num_buckets", looked_up, at_least_2)
    vocabularies: dict[str, Vocabulary] = {}

    def vocabulary(name):
        table, wanted = tables[name], (counts[name], buckets[name])
        found = vocabularies.setdefault(table, Vocabulary(table, *wanted, **learned.get(table, {})))
        if (found.min_count, found.num_buckets) != wanted:
            raise ValueError(
                f"Columns that share {table!r} have one vocabulary, so they need one min_count and "
                f"one num_buckets. Received another one for {name!r}."
            )
        return found

    def number(name):
        known = learned.get(name, {})
        return (
            BinnedColumn(name, bins[name], **known) if bins[name] else NumberColumn(name, **known)
        )

    numbers = [number(name) for name in numeric]
    columns = [
        *(CategoryColumn(name, vocabulary(name)) for name in categorical),
        *numbers,
        *(ListColumn(name, vocabulary(name), poolings[name], lengths[name]) for name in sequences),
    ]
    return columns, [*vocabularies.values(), *numbers]
