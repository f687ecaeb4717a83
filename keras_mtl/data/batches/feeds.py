"""Feeds of batches: by row number out of a table, or one after the other from streams."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_mtl.data.batches.examples import concatenate, take
from keras_mtl.data.batches.order import passes
from keras_mtl.data.batches.stacks import batches_per_stack

STREAM_STACK_BATCHES = 16


class Table:
    """Batches out of arrays: any batch of the epoch, in any sequence, any number of times.

    The examples of all tasks are copied once into one table; a batch is a list of
    its rows.

    Args:
        sources: Dict, name -> `ArraySource`.
        layout: An `ExampleLayout`.
        order: A `TrainingOrder` or `SequentialOrder`.
    """

    def __init__(self, sources: Any, layout: Any, order: Any) -> None:
        self._order = order
        self._examples = concatenate(
            [layout.pack(name, *source.examples) for name, source in sources.items()]
        )
        self._batches_per_stack = batches_per_stack(self._examples, order.batch_size)
        self._rows_of: tuple[Any, Any] = (None, None)

    def batch(self, epoch: int, index: int) -> Any:
        return take(self._examples, self._rows(epoch)[index])

    def stacks(self, epoch: int) -> Iterator[Any]:
        """Yields stacks of batches of one size, about 8 MB each."""
        for _, rows in itertools.groupby(self._rows(epoch), key=len):
            while stack := list(itertools.islice(rows, self._batches_per_stack)):
                yield take(self._examples, np.stack(stack))

    def _rows(self, epoch: int) -> Any:
        known_epoch, rows = self._rows_of
        if known_epoch != epoch:
            rows = self._draw_rows(epoch)
            self._rows_of = (epoch, rows)
        return rows

    def _draw_rows(self, epoch: int) -> Any:
        slots = self._order.slots(epoch)
        indices = np.concatenate(slots)
        rows = np.empty(len(indices), "int64")
        first_row = 0
        for index, length in self._order.lengths.items():
            chosen = indices == index
            rng = self._order.rng(epoch, index)
            rows[chosen] = first_row + passes(rng, length, np.count_nonzero(chosen))
            first_row += length
        return np.split(rows, np.cumsum([len(batch) for batch in slots])[:-1])


class Streams:
    """Batches out of streams: they come in sequence, and batch 0 begins the epoch.

    Args:
        sources: Dict, name -> source of any kind.
        layout: An `ExampleLayout`.
        order: A `TrainingOrder` or `SequentialOrder`.
    """

    def __init__(self, sources: Any, layout: Any, order: Any) -> None:
        self._sources = sources
        self._layout = layout
        self._order = order
        self._running = iter(())
        self._next_index = 0

    def batch(self, epoch: int, index: int) -> Any:
        if index == 0:
            self._running = self._batches(epoch)
        elif index != self._next_index:
            raise ValueError(
                f"Streamed data give their batches in sequence: batch {index} was asked for, "
                f"batch {self._next_index} is next. Use fit(shuffle=False), or arrays."
            )
        self._next_index = index + 1
        return next(self._running)

    def stacks(self, epoch: int) -> Iterator[Any]:
        """Yields stacks of a few batches of one size, from an iteration of their own."""
        for _, batches in itertools.groupby(self._batches(epoch), key=_num_examples):
            while parts := list(itertools.islice(batches, STREAM_STACK_BATCHES)):
                yield keras.tree.map_structure(lambda *arrays: np.stack(arrays), *parts)

    def _batches(self, epoch: int) -> Iterator[Any]:
        slots = self._order.slots(epoch)
        indices = np.concatenate(slots)
        readers = {
            self._layout.indices[name]: self._reader(name, epoch, indices) for name in self._sources
        }
        for batch_tasks in slots:
            present, counts = np.unique(batch_tasks, return_counts=True)
            parts = [
                readers[index].take(count)
                for index, count in zip(present.tolist(), counts.tolist(), strict=True)
            ]
            seats = np.argsort(np.argsort(batch_tasks, kind="stable"))
            yield take(concatenate(parts), seats)

    def _reader(self, name: str, epoch: int, indices: Any) -> Any:
        index = self._layout.indices[name]
        count = np.count_nonzero(indices == index)
        blocks = self._sources[name].blocks(
            count, self._order.start(epoch), self._order.rng(epoch, index), self._order.batch_size
        )
        return _Reader(name, (self._layout.pack(name, *block) for block in blocks))


class _Reader:
    """Takes any number of examples at a time from blocks of any size."""

    def __init__(self, name: str, blocks: Any) -> None:
        self._name = name
        self._blocks = blocks
        self._block, self._used, self._size = None, 0, 0

    def take(self, count: Any) -> Any:
        parts = []
        while count > 0:
            if self._used == self._size:
                self._open_next_block()
            end = min(self._used + count, self._size)
            parts.append(take(self._block, slice(self._used, end)))
            count -= end - self._used
            self._used = end
        return concatenate(parts)

    def _open_next_block(self) -> None:
        self._block = next(self._blocks, None)
        if self._block is None:
            raise ValueError(
                f'The data of task "{self._name}" ended before the number of examples that it '
                "gave as its length."
            )
        self._used, self._size = 0, _num_examples(self._block)


def _num_examples(examples: Any) -> int:
    return len(examples[0]["task_id"])
