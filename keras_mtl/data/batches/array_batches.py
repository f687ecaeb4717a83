"""Batches of arrays, in another order each epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.data.batches.examples import take
from keras_mtl.data.batches.stacks import as_tf_dataset, batches_per_stack


class ArrayBatches:
    """Batches of arrays.

    Those of an epoch are a pure function of the seed and `epoch`. Floats come in Keras's
    default precision, as `fit` makes them of arrays.

    Args:
        arrays: Structure of arrays with an entry for each example.
        batch_size: Number of examples in a batch; the last one may hold fewer.
        seed: Integers of at least 0, the seed of the orders, or `None` for the arrays' own.

    Raises:
        ValueError: `batch_size` is no integer of at least 1.
    """

    def __init__(self, arrays: Any, batch_size: Any, seed: Sequence[int] | None = None) -> None:
        checks.count("batch_size", batch_size)
        self.arrays, self.batch_size, self._seed = arrays, batch_size, seed
        self._num_examples = len(keras.tree.flatten(arrays)[0])
        self._order_of: tuple[Any, Any] = (None, None)
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self._num_examples // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        start = index * self.batch_size
        return self._take(self._order()[start : start + self.batch_size])

    def as_tf_dataset(self) -> Any:
        """Returns the batches as a fast `tf.data.Dataset` of the epoch that `epoch` names."""
        rest = self._num_examples % self.batch_size
        size = None if rest else self.batch_size
        return as_tf_dataset(self._stacks, self._take(slice(1)), size, len(self))

    def _stacks(self) -> Iterator[Any]:
        full, rest = divmod(self._num_examples, self.batch_size)
        end = full * self.batch_size
        order = self._order()
        step = self.batch_size * batches_per_stack(self.arrays, self.batch_size)
        for start in range(0, end, step):
            yield self._take(order[start : min(start + step, end)].reshape(-1, self.batch_size))
        if rest:
            yield self._take(order[None, end:])

    def _order(self) -> Any:
        known_epoch, order = self._order_of
        if known_epoch != self.epoch:
            order = np.arange(self._num_examples)
            if self._seed is not None:
                order = np.random.default_rng([*self._seed, self.epoch]).permutation(order)
            self._order_of = (self.epoch, order)
        return order

    def _take(self, rows: Any) -> Any:
        return keras.tree.map_structure(_in_default_precision, take(self.arrays, rows))


def _in_default_precision(array: Any) -> Any:
    return array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array
