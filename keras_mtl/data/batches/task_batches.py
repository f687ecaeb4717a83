"""Batches in which every example belongs to one task."""

import secrets
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.data.batches.checks import (
    check_names,
    check_sequential,
    check_training,
)
from keras_mtl.data.batches.examples import ExampleLayout
from keras_mtl.data.batches.feeds import Streams, Table
from keras_mtl.data.batches.order import (
    ORDERS,
    SAMPLINGS,
    SequentialOrder,
    TrainingOrder,
    sampling_shares,
    uniform_steps,
)
from keras_mtl.data.batches.sources import ArraySource, as_source
from keras_mtl.data.batches.stacks import as_tf_dataset
from keras_mtl.data.labels import check_one_array_per_kind
from keras_mtl.tasks import as_tasks


def task_batches(
    tasks: Any,
    data: Any,
    batch_size: int,
    *,
    seed: int | None = None,
    order: str = "shuffled",
    sampling: str = "uniform",
    sampling_temperature: float = 2.0,
    steps_per_epoch: Any = None,
) -> Any:
    """Batches for tasks that have examples of their own.

    Every batch is `({"inputs": x, "task_id": ids}, y)`, with the same structure and
    dtypes always: `ids` are int32, the index of the task in `tasks`; `y` is one
    array when all tasks are of one kind and `{kind: array}` when kinds differ,
    int32 for classes and tagging, float32 for the rest, as wide as the largest task
    of the kind, with an axis of steps for tasks per step. Labels that an example does
    not have are -1 (classes, tagging) or NaN. When the data of any task has sample
    weights, they are a third element.

    Args:
        tasks: Dict, name -> what is predicted.
        data: Dict, name -> examples of that task: `(x, y)` or `(x, y,
            sample_weight)` arrays, `x` an array or a dict of arrays; a
            `tf.data.Dataset` of single examples; or a `keras.utils.PyDataset` of
            batches, all of one size but the last. Lengths may differ and tasks may
            be left out. Arrays of several tasks are copied into one; a
            `tf.data.Dataset` is shuffled in windows of 4096 examples.
        batch_size: Number of examples in a batch.
        seed: Integer, at least 0: the same seed gives the same batches. `None`
            draws one. Defaults to `None`.
        order: `"shuffled"`: each batch holds one task. `"mixed"`: the same examples,
            permuted over the batches of the epoch. `"sequential"`: every example
            once, task after task, for evaluation; `seed` and `sampling` do not
            apply and the last batch of a task may be smaller. Defaults to
            `"shuffled"`.
        sampling: `"uniform"`: rounds of one batch of each task in a fresh random
            order, as many as the longest task needs; shorter tasks repeat.
            `"proportional"` and `"temperature"` draw the task of each batch with a
            probability proportional to `n` and `n ** (1 / sampling_temperature)`,
            `n` its number of examples. Defaults to `"uniform"`.
        sampling_temperature: Above 0; 1 is proportional, large values are near
            uniform. Defaults to 2.0.
        steps_per_epoch: Number of batches in an epoch. Needed when the length of a
            dataset is not known. `None` takes as many as `"uniform"` needs.
            Defaults to `None`.

    Returns:
        A `TaskBatches`, which `fit` and `evaluate` take as their `x`.

    Raises:
        ValueError: Unknown task names, data that do not fit their task or each
            other, tasks of one kind of which only some are per step, an unknown order or
            sampling, an unknown length.

    Example:

    >>> import numpy as np
    >>> tasks = {"digit": 10, "letter": 26}
    >>> data = {
    ...     "digit": (np.zeros((5, 3)), np.arange(5)),
    ...     "letter": (np.ones((2, 3)), np.array([25, 0])),
    ... }
    >>> batches = task_batches(tasks, data, batch_size=2, seed=0)
    >>> len(batches)  # 3 rounds of 2 tasks
    6
    >>> inputs, y = task_batches(tasks, data, batch_size=4, order="sequential")[1]
    >>> inputs["task_id"], y  # the last of the digits
    (array([0], dtype=int32), array([4], dtype=int32))
    """
    tasks = as_tasks(tasks)
    check_one_array_per_kind(tasks)
    checks.word("order", order, ORDERS)
    checks.word("sampling", sampling, SAMPLINGS)
    checks.count("batch_size", batch_size)
    seed = checks.seed("seed", seed)
    seed = secrets.randbits(32) if seed is None else seed
    checks.number("sampling_temperature", sampling_temperature, above=0)
    check_names(tasks, data)
    sources = {name: as_source(name, tasks[name], data[name]) for name in tasks if name in data}
    layout = ExampleLayout(tasks, {name: source.first for name, source in sources.items()})
    lengths = {layout.indices[name]: source.length for name, source in sources.items()}
    unknown = ", ".join(f'"{name}"' for name, source in sources.items() if source.length is None)
    if order == "sequential":
        check_sequential(unknown, steps_per_epoch)
        epoch_order: Any = SequentialOrder(lengths, batch_size)
    else:
        check_training(unknown, sampling, steps_per_epoch)
        epoch_order = TrainingOrder(
            lengths,
            batch_size,
            steps_per_epoch or uniform_steps(lengths, batch_size),
            seed=seed,
            mixed=order == "mixed",
            shares=sampling_shares(lengths, sampling, sampling_temperature),
        )
    return TaskBatches(sources, layout, epoch_order)


class TaskBatches(keras.utils.PyDataset):
    """The batches that `task_batches` makes.

    The batches of an epoch are a pure function of the seed and `epoch`, on every
    backend. Array data are random access: any index, in any sequence. Streamed
    data give batch 0 first and then each next one.

    `epoch` is 0 at the start and may be set. The models of this package set it in
    `fit`, so that a resumed run goes on exactly. Under any other `fit` it moves on by
    one when an epoch begins after all batches of the one before were given, so that
    Keras's own first look at a batch or two, before training, does not count.

    Args:
        sources: Dict, name -> source of that task's examples.
        layout: An `ExampleLayout`.
        order: A `TrainingOrder` or `SequentialOrder`.
    """

    def __init__(self, sources: Any, layout: Any, order: Any) -> None:
        super().__init__()
        all_arrays = all(isinstance(source, ArraySource) for source in sources.values())
        self._feed = (Table if all_arrays else Streams)(sources, layout, order)
        self._sources, self._layout = sources, layout
        self._sample = layout.sample
        self._order = order
        self._begun = False
        self.epoch = 0

    @property
    def epoch(self) -> Any:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._num_given = 0

    @property
    def mixed(self) -> Any:
        """Whether a batch may hold examples of several tasks."""
        return self._order.mixed

    @property
    def batch_size(self) -> Any:
        """Number of examples in a batch; the last ones may hold fewer."""
        return self._order.batch_size

    @property
    def task_names(self) -> list[str]:
        """Names of the tasks that have examples."""
        return list(self._sources)

    def labels(self, name: str) -> Any:
        """Returns the labels of a task, `None` where they are in no array, none if it has none."""
        source = self._sources.get(name)
        if source is None:
            return np.zeros((0, self._layout.tasks[name].size))
        return source.examples[1] if isinstance(source, ArraySource) else None

    def of_task(self, name: str) -> "TaskBatches":
        """Returns batches of one task alone, for a network of that task: as many as it has here."""
        source = self._sources[name]
        layout = ExampleLayout({name: self._layout.tasks[name]}, {name: source.first})
        order = self._order.alone(self._layout.indices[name])
        return TaskBatches({name: source}, layout, order)

    def __len__(self) -> int:
        return self._order.num_batches

    def __getitem__(self, index: int) -> Any:
        if self._begun:
            self._num_given += 1
        return self._feed.batch(self.epoch, index)

    def on_epoch_begin(self) -> None:
        if self._num_given >= len(self):
            self.epoch += 1
        self._begun = True

    def as_tf_dataset(self) -> Any:
        """Returns the batches as a fast `tf.data.Dataset` of known cardinality.

        Each iteration gives the epoch that `epoch` names when it starts. Python
        cuts arrays into large stacks of batches, TensorFlow takes them apart.
        """
        batch_size = self._order.batch_size if self._order.same_sizes else None
        return as_tf_dataset(
            lambda: self._feed.stacks(self.epoch), self._sample, batch_size, len(self)
        )
