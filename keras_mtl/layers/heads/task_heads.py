"""Heads of separate data: the prediction of the task that each example belongs to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.kinds import KINDS
from keras_mtl.layers.growing import take_over_each
from keras_mtl.layers.heads.columns import Columns, assign_columns, glorot_columns, initial, joined
from keras_mtl.layers.heads.standard_units import (
    add_units,
    folded,
    start_of_units,
    with_its_units,
)
from keras_mtl.layers.heads.task_head import check_features, rescaled, stock_head
from keras_mtl.layers.places import head_columns, in_blocks
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_task, kinds_of, largest_size
from keras_mtl.types import Shape, Tasks, Tensor

_CLOSED = -1e9  # logit of a class that the example's task does not have
_WIDEST = 1e9  # gap before such a class


@keras.saving.register_keras_serializable("keras_mtl")
class TaskHeads(keras.layers.Layer):
    """Predicts for each example the task it belongs to.

    The heads of all tasks are one dense layer, whose columns each example's task picks,
    so one compiled program serves batches of one task and of many. Computed in float32
    under any dtype policy.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`; its order is the task index.
        num_added_tasks: How many of the last tasks were added after training. Each has
            variables of its own; only the newest trains. Defaults to 0.
        seed: Integer seed of the initial weights, or `None`. Defaults to `None`.

    Call arguments:
        features: `(batch, features)`; of tasks per step `(batch, steps, features)`.
        task_id: Integers in `[0, len(tasks))`, shape `(batch,)`. Outside: NaN.

    Output shape:
        `(batch, largest size)`, per step `(batch, steps, largest size)`, zeros beyond a
        task's own size; when kinds differ a dict by kind, with zeros for examples of
        tasks of another kind.

    Weights:
        kernel: `(features, sum of sizes)`, the tasks side by side; an ordinal task has one column.
        bias: `(sum of sizes,)`, as many.
        gaps: `(sum of (size - 2),)`, of ordinal tasks, as in `TaskHead`.
        location, scale: `(sum of sizes,)`, where a task is standardized, not trainable, as in
            `TaskHead`; 0 and 1 of other tasks.
        kernel_added_1, ..., bias_added_1, ..., gaps_added_1, ...: the same of each added task. The
            newest alone train.
        location_added_1, ..., scale_added_1, ...: likewise, not trainable.

    Raises:
        ValueError: Features of another rank than the tasks need, tasks of which only
            some are per step.
    """

    def __init__(
        self, tasks: Tasks, num_added_tasks: int = 0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if not isinstance(tasks, Mapping) or not tasks:
            raise ValueError(f"tasks must be a dict, name -> task. Received: {tasks!r}")
        self.tasks = {name: as_task(task) for name, task in tasks.items()}
        most = len(self.tasks) - 1
        self.num_added_tasks = checks.count("num_added_tasks", num_added_tasks, 0, most)
        self.seed = checks.seed("seed", seed)
        self._starts = [KINDS[task.kind].start(task.size) for task in self.tasks.values()]
        self._columns, self._gaps = (
            Columns(self.tasks, map(len, values)) for values in zip(*self._starts, strict=True)
        )
        self._answers = Columns(self.tasks, [task.size for task in self.tasks.values()])
        self._units: list[Any] = []
        self._kinds = kinds_of(self.tasks)
        self.supports_masking = any(task.per_step for task in self.tasks.values())

    def build(self, features_shape: Shape, task_id_shape: Shape) -> None:
        check_features(self.tasks, features_shape)
        num_first = len(self.tasks) - self.num_added_tasks
        added = range(num_first, len(self.tasks))
        self.blocks = []
        for index, place in enumerate([slice(num_first), *(slice(n, n + 1) for n in added)]):
            suffix = f"_added_{index}" if index else ""
            biases, gaps = zip(*self._starts[place], strict=True)
            widths, own = list(map(len, biases)), list(self.tasks.values())[place]
            kernel = self.add_weight(
                shape=(features_shape[-1], sum(widths)),
                initializer=glorot_columns(widths, seed_of(self.seed, index)),
                name="kernel" + suffix,
            )
            self.blocks.append([kernel, self._given("bias" + suffix, biases)])
            if any(map(len, gaps)):
                self.blocks[-1].append(self._given("gaps" + suffix, gaps))
            if any(task.standardize for task in self.tasks.values()):
                units = np.concatenate(list(map(start_of_units, own, widths)), axis=1)
                self._units.append(add_units(self, suffix, units))
        for block in self.blocks[:-1]:
            for variable in block:
                variable.trainable = False

    def _given(self, name: str, values: Any) -> Any:
        values = np.concatenate(values)
        return self.add_weight(shape=values.shape, initializer=initial(values), name=name)

    def _side_by_side(self) -> list[Any]:
        """Returns kernel and bias, in the units of labels, and any gaps there are, of all tasks."""
        kernels, biases, *_ = zip(*self.blocks, strict=False)
        gaps = [variable for block in self.blocks for variable in block[2:]]
        kernel, bias, *gaps = joined(part for part in (kernels, biases, gaps) if part)
        if self._units:
            kernel, bias = folded(kernel, bias, *joined(zip(*self._units, strict=True)))
        return [kernel, bias, *gaps]

    @property
    def standard_units(self) -> dict[str, Any]:
        """Dict, name -> location and scale, of the tasks that are standardized."""
        units = joined(zip(*self._units, strict=True))
        return {
            name: [each[self._columns.of_task(index)] for each in units]
            for index, (name, task) in enumerate(self.tasks.items())
            if units and task.standardize
        }

    def standardize(self, name: str, location: Any, scale: Any) -> None:
        """Assigns the location and scale of a task."""
        columns = self._columns.of_task(list(self.tasks).index(name))
        for variables, own in zip(zip(*self._units, strict=True), (location, scale), strict=True):
            assign_columns(variables, columns, own)

    def call(self, features: Tensor, task_id: Tensor) -> Any:
        kernel, bias, *gaps = self._side_by_side()
        logits = ops.matmul(features, kernel) + bias
        outputs = {kind: self._output(kind, logits, gaps, task_id) for kind in self._kinds}
        return outputs if len(outputs) > 1 else outputs[next(iter(outputs))]

    def _output(self, kind: Any, logits: Tensor, gaps: Any, task_id: Tensor) -> Tensor:
        known = (task_id >= 0) & (task_id < len(self.tasks))
        task_id = ops.where(known, task_id, 0)

        def of_rows(by_task):
            per_row = (-1,) + (1,) * (len(logits.shape) - 2) + (by_task.shape[-1],)
            return ops.reshape(ops.take(by_task, task_id, axis=0), per_row)

        columns, exists = map(of_rows, self._columns.of_kind(kind))
        if len(logits.shape) == 3:
            columns = ops.broadcast_to(columns, (*ops.shape(logits)[:-1], columns.shape[-1]))
        logits = ops.where(exists, ops.take_along_axis(logits, columns, axis=-1), _CLOSED)
        indices, has_gap = self._gaps.of_kind(kind)
        own_gaps = None
        if has_gap.any():
            every = ops.broadcast_to(gaps[0], (len(indices), gaps[0].shape[0]))
            by_task = ops.take_along_axis(every, indices, axis=-1)  # whose gradient is not sparse
            own_gaps = of_rows(ops.where(has_gap, by_task, _WIDEST))
        values = KINDS[kind].answers(logits, own_gaps)
        _, exists = self._answers.of_kind(kind)
        known = ops.reshape(known, (-1,) + (1,) * (len(logits.shape) - 1))
        return ops.where(known, ops.where(of_rows(exists), values, 0.0), float("nan"))

    def compute_mask(self, features: Tensor, previous_mask: Any) -> Any:
        return dict.fromkeys(self._kinds, previous_mask) if len(self._kinds) > 1 else previous_mask

    def compute_output_spec(self, features: Tensor, task_id: Tensor) -> Any:
        outputs = {
            kind: keras.KerasTensor(
                (*features.shape[:-1], largest_size(self.tasks, kind)), dtype="float32"
            )
            for kind in self._kinds
        }
        return outputs if len(outputs) > 1 else outputs[next(iter(outputs))]

    def frozen(self, call: Callable[..., Any], features: Tensor, task_id: Tensor) -> Any:
        """Becomes a stock Dense with one task's columns, as `TaskHead` does."""
        name, task = list(self.tasks.items())[task_id]
        output = stock_head(name, task, features, *self.numbers_of(name))
        return dict.fromkeys(self._kinds, output) if len(self._kinds) > 1 else output

    def numbers_of(self, task: str) -> list[Any]:
        """Returns a task's kernel, bias and, if it has any, gaps, as arrays."""
        parts = zip(self._side_by_side(), self._places_of(task), strict=False)
        return [ops.convert_to_numpy(part)[..., own] for part, own in parts]

    def rescale(self, task: str, factor: Any, shift: Any) -> None:
        """Makes a task's logits `factor * logits + shift`, by numbers or one for each column."""
        numbers = rescaled(self.numbers_of(task), factor, shift)
        for index, (own, new) in enumerate(zip(self._places_of(task), numbers, strict=True)):
            assign_columns([block[index] for block in self.blocks if len(block) > index], own, new)

    def _places_of(self, task: str) -> list[Any]:
        """Returns where a task's numbers stand: in kernel, in bias and, if it has any, in gaps."""
        task_id = list(self.tasks).index(task)
        columns, gaps = self._columns.of_task(task_id), self._gaps.of_task(task_id)
        return [columns, columns, *([gaps] if self._gaps.sizes[task_id] else [])]

    def grown(self, new: Any) -> Any:
        """Has a head for the new task too, with variables of its own, which alone learn."""
        tasks = {**self.tasks, new.name: new.task}
        return TaskHeads(
            **super().get_config(),
            tasks=tasks,
            num_added_tasks=self.num_added_tasks + 1,
            seed=self.seed,
        )

    def take_over(self, old: Any) -> None:
        for before, own in ((old.blocks, self.blocks), (old._units, self._units)):
            for old_block, block in zip(before, own, strict=False):
                take_over_each(old_block, block)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        columns, gaps = (
            [
                head_columns(name, task, size)
                for (name, task), size in zip(self.tasks.items(), part.sizes, strict=True)
            ]
            for part in (self._columns, self._gaps)
        )
        found: dict[str, Any] = {}
        own = [(name, 0, columns) for name in ("bias", "location", "scale")]
        for name, axis, labels in (("kernel", 1, columns), *own, ("gaps", 0, gaps)):
            blocks = in_blocks(name, axis, labels, self.num_added_tasks)
            found |= {block: {axis: sum(places[axis], [])} for block, places in blocks.items()}
        return found

    def get_config(self) -> dict[str, Any]:
        units = self.standard_units
        tasks = {n: with_its_units(t, units[n]) if n in units else t for n, t in self.tasks.items()}
        tasks = {n: keras.saving.serialize_keras_object(t) for n, t in tasks.items()}
        return {
            **super().get_config(),
            "tasks": list(tasks.items()),
            "num_added_tasks": self.num_added_tasks,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        tasks = {n: keras.saving.deserialize_keras_object(t) for n, t in config["tasks"]}
        return cls(**{**config, "tasks": tasks})
