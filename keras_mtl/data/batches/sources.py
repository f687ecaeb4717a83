"""Sources of a task's examples: arrays, a `tf.data.Dataset`, a `PyDataset`.

A source has `length`, the number of examples (`None`: unknown), `first`, some
first examples, and `blocks(count, start, rng, batch_size)`, an iterator over at
least `count` examples in pieces of any size, reshuffled with `rng` or as they lie
(`rng=None`). `start` is how many examples earlier epochs took: endless streams read on
from there. Examples are `(x, labels)` or `(x, labels, weights)`, checked.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl.data.arrays import as_array, as_sample_weight
from keras_mtl.data.batches.examples import take
from keras_mtl.data.batches.order import passes
from keras_mtl.data.labels import check_labels

SHUFFLE_WINDOW = 4096


def as_source(name: str, task: Any, data: Any) -> Any:
    """Returns the source that fits a task's data, after a look at its first examples."""
    if isinstance(data, keras.utils.PyDataset):
        return PyDatasetSource(name, task, data)
    if "tensorflow" in sys.modules and isinstance(data, sys.modules["tensorflow"].data.Dataset):
        return DatasetSource(name, task, data)
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        return ArraySource(name, task, data)
    raise ValueError(
        f'The data of task "{name}" must be (x, y) or (x, y, sample_weight) arrays, a '
        f"tf.data.Dataset of single examples or a keras.utils.PyDataset. Received: {type(data)}"
    )


class ArraySource:
    """Examples in memory, checked once."""

    def __init__(self, name: str, task: Any, data: Any) -> None:
        self.examples = check_examples(name, task, data)
        self.first = take(self.examples, slice(0, 1))
        self.length = len(self.examples[1])
        if self.length == 0:
            raise _no_examples(name)

    def blocks(
        self, count: Any, start: Any, rng: np.random.Generator, batch_size: int
    ) -> Iterator[Any]:
        rows = passes(rng, self.length, count)
        for begin in range(0, count, batch_size):
            yield take(self.examples, rows[begin : begin + batch_size])


class DatasetSource:
    """Single examples of a `tf.data.Dataset`, shuffled in windows of a few thousand.

    An epoch reads the examples `[start, start + count)` of the repeated dataset.
    NumPy shuffles them, since the order of `Dataset.shuffle` depends on the global
    seed of TensorFlow too.
    """

    def __init__(self, name: str, task: Any, dataset: Any) -> None:
        self._name, self._task, self._dataset = name, task, dataset
        cardinality = int(dataset.cardinality())
        self.length = cardinality if cardinality >= 0 else None
        self.first = next(self._checked(dataset.take(1), 1), None)
        if self.first is None:
            raise _no_examples(name)

    def blocks(
        self, count: Any, start: Any, rng: np.random.Generator, batch_size: int
    ) -> Iterator[Any]:
        if rng is None:
            yield from self._checked(self._dataset, batch_size)
            return
        skipped = start % self.length if self.length else start
        dataset = self._dataset.repeat().skip(skipped).take(count)
        for examples in self._checked(dataset, min(count, SHUFFLE_WINDOW)):
            yield take(examples, rng.permutation(len(examples[1])))

    def _checked(self, dataset: Any, batch_size: int) -> Iterator[Any]:
        for examples in dataset.batch(batch_size).prefetch(1).as_numpy_iterator():
            yield check_examples(self._name, self._task, examples)


class PyDatasetSource:
    """Batches of a `keras.utils.PyDataset`, in a random order when their number is known.

    All batches hold as many examples as the first; the last may hold fewer.
    """

    def __init__(self, name: str, task: Any, dataset: Any) -> None:
        self._name, self._task, self._dataset = name, task, dataset
        self._num_batches = dataset.num_batches
        if self._num_batches == 0:
            raise _no_examples(name)
        self.first = check_examples(name, task, dataset[0])
        self._size = len(self.first[1])
        if self._size == 0:
            raise _no_examples(name)
        self.length = None
        if self._num_batches is not None:
            last = check_examples(name, task, dataset[self._num_batches - 1])
            self.length = (self._num_batches - 1) * self._size + len(last[1])

    def blocks(
        self, count: Any, start: Any, rng: np.random.Generator, batch_size: int
    ) -> Iterator[Any]:
        if self._num_batches is None:
            index, skipped = divmod(start, self._size)
            yield take(self._batch(index), slice(skipped, None))
            indices: Iterator[int] = itertools.count(index + 1)
        elif rng is None:
            indices = iter(range(self._num_batches))
        else:
            indices = self._reshuffled(rng)
        for index in indices:
            yield self._batch(index)

    def _reshuffled(self, rng: np.random.Generator) -> Iterator[Any]:
        while True:
            yield from rng.permutation(self._num_batches).tolist()

    def _batch(self, index: int) -> Any:
        examples = check_examples(self._name, self._task, self._dataset[index])
        is_last = self._num_batches is not None and index == self._num_batches - 1
        if len(examples[1]) != self._size and not is_last:
            raise ValueError(
                f'All batches of task "{self._name}" but the last must hold {self._size} examples, '
                f"as the first does. Batch {index} holds {len(examples[1])}."
            )
        return examples


def check_examples(name: str, task: Any, data: Any) -> Any:
    """Returns `(x, labels)` or `(x, labels, weights)` of one task as arrays.

    float64 inputs become float32, other dtypes stay.

    Raises:
        ValueError: Not 2 or 3 elements, lengths that differ, or wrong labels.
    """
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            f'The data of task "{name}" must give (x, y) or (x, y, sample_weight). '
            f"Received: {type(data)}"
        )
    x, labels, *weights = data
    if isinstance(x, Mapping):
        x = {key: _as_input(name, array) for key, array in x.items()}
    else:
        x = _as_input(name, x)
    labels = check_labels(name, task, labels)
    owner = f'The sample weights of task "{name}"'
    weights = [as_sample_weight(owner, weight).astype("float32").reshape(-1) for weight in weights]
    examples = (x, labels, *weights)
    if len({array.shape[:1] for array in keras.tree.flatten(examples)}) > 1:
        shapes = ", ".join(
            f"{part} {keras.tree.map_structure(np.shape, arrays)}"
            for part, arrays in zip(("x", "y", "sample_weight"), examples, strict=False)
        )
        raise ValueError(
            f'The arrays of task "{name}" must hold the same number of examples. '
            f"Received shapes: {shapes}"
        )
    return examples


def _as_input(name: str, array: Any) -> Any:
    array = as_array(f'The inputs of task "{name}"', array)
    return array.astype("float32") if array.dtype == "float64" else array


def _no_examples(name: str) -> Any:
    return ValueError(
        f'Task "{name}" has no examples. Leave it out of the data, or give it at least one.'
    )
