"""Batches of a table that are encoded when they are asked for."""

from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.data.arrays import as_array


class TableBatches(keras.utils.PyDataset):
    """Batches of a table; those of an epoch are a pure function of the seed and `epoch`.

    `keras_mtl.data.TableEncoder.batches` makes these.

    Args:
        encoder: The encoder.
        columns: Dict of raw columns.
        labels: Dict, task -> array, an array, or `None`.
        batch_size: Number of rows in a batch; the last one may hold fewer.
        seed: Integer seed of the orders, or `None` for that of the table.

    Raises:
        ValueError: Labels of another number of rows, a batch size below 1.
    """

    def __init__(
        self, encoder: Any, columns: Any, labels: Any, batch_size: int, seed: int | None
    ) -> None:
        super().__init__()
        self._encoder, self.batch_size = encoder, checks.count("batch_size", batch_size)
        self._seed, self.epoch = checks.seed("seed", seed), 0
        self._columns = {name: _indexable(column) for name, column in columns.items()}
        self._num_rows = len(next(iter(self._columns.values())))
        self._order = self._order_of_epoch()
        self._labels = labels
        if labels is not None:
            self._labels = keras.tree.map_structure(lambda y: as_array("Labels", y), labels)
        for label in [] if labels is None else keras.tree.flatten(self._labels):
            if len(label) != self._num_rows:
                raise ValueError(
                    f"Labels must be of the {self._num_rows} rows of the table. Received: "
                    f"{len(label)}"
                )

    def __len__(self) -> int:
        return -(-self._num_rows // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        start = index * self.batch_size
        rows = self._order[start : start + self.batch_size]
        x = self._encoder.encode({name: column[rows] for name, column in self._columns.items()})
        if self._labels is None:
            return (x,)
        return x, keras.tree.map_structure(lambda label: label[rows], self._labels)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._order = self._order_of_epoch()

    def _order_of_epoch(self) -> Any:
        rows = np.arange(self._num_rows)
        if self._seed is None:
            return rows
        return np.random.default_rng([self._seed, self.epoch]).permutation(rows)


def _indexable(column: Any) -> Any:
    """Returns a column as an array, lists as an array of lists."""
    if hasattr(column, "to_numpy"):
        return column.to_numpy()
    if isinstance(column, np.ndarray):
        return column
    found = np.empty(len(column), object)
    found[:] = list(column)
    return found
