"""The two forms of a batch, seen task by task."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_mtl.funnels import joint_labels
from keras_mtl.tasks import kinds_of
from keras_mtl.training.funnel_losses import funnel_values
from keras_mtl.training.losses import (
    in_standard_units,
    labelled,
    laid_out,
    per_example,
    usable_weights,
    weighted,
    weighted_sums,
)
from keras_mtl.types import Tensor


class SharedBatch:
    """One input with a label for each task: `y` and `y_pred` are dicts by task."""

    def __init__(
        self,
        tasks: Any,
        x: Any,
        y: Any,
        y_pred: Any,
        sample_weight: Any,
        imputed: Any = None,
        units: Any = None,
    ) -> None:
        self.tasks, self.y_pred, self.imputed = tasks, y_pred, imputed or {}
        self.units = units or {}
        y = {n: laid_out(t.has_classes, y[n], y_pred[n]) for n, t in tasks.items()}
        self.y = joint_labels(tasks, y, ops)
        if isinstance(sample_weight, dict):
            self.sample_weight = {name: usable_weights(sample_weight[name]) for name in tasks}
        else:
            weight = None if sample_weight is None else usable_weights(sample_weight)
            self.sample_weight = dict.fromkeys(tasks, weight)

    def sums(self, measures: Any) -> tuple[Any, Any]:
        """Returns (T,) sums of `measures`, a dict by task, and (T,) sums of weights."""
        by_task = [self._per_row(name, measures) for name in self.tasks]
        totals, counts = zip(*by_task, strict=True)
        return ops.stack([ops.sum(x) for x in totals]), ops.stack([ops.sum(x) for x in counts])

    def rows(self, measures: Any) -> Any:
        """Returns what `sums` adds up: values and weights of a block of rows per task."""
        batch = ops.shape(keras.tree.flatten(self.y_pred)[0])[0]
        by_task = [self._per_row(name, measures) for name in self.tasks]
        return tuple(
            ops.concatenate([ops.broadcast_to(one, (batch,)) for one in found])
            for found in zip(*by_task, strict=True)
        )

    def _per_row(self, name: str, measures: Any) -> Any:
        if name not in measures:
            return 0.0, 0.0
        task = self.tasks[name]
        y, y_pred = self.y[name], self.y_pred[name]
        measure = measures[name]
        if measure.standard:
            y, y_pred = in_standard_units(y, y_pred, *self.units[name])
        if task.given and measure.is_loss:
            imputed = self.imputed.get(name)
            values, mask = funnel_values(self.tasks, name, measure, self.y, self.y_pred, imputed)
        else:
            values, mask = per_example(measure, task, y, y_pred, task.size)
        return weighted_sums(values, mask, self.sample_weight[name])

    def total(self, weights: Any, totals: Any, counts: Any) -> Tensor:
        """Returns the loss: the tasks' weighted means, summed."""
        return ops.sum(weights * totals / ops.where(counts > 0, counts, 1.0))

    def shares(self, weights: Any, counts: Any) -> Tensor:
        """Returns (T,): by what each task's mean counts in the loss."""
        return ops.where(counts > 0, weights, 0.0)

    def view(self, name: str) -> Any:
        """Returns one task's labels, predictions and weights, for a metric.

        The weight of a missing label is 0, that of a wrong one NaN.
        """
        return _view(self.tasks[name], self.y[name], self.y_pred[name], self.sample_weight[name])


class SeparateBatch:
    """Examples of one task each: `x["task_id"]` says which; arrays padded, by kind."""

    def __init__(
        self, tasks: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any, units: Any = None
    ) -> None:
        self.tasks, self.units = tasks, units or {}
        self.sample_weight = None if sample_weight is None else usable_weights(sample_weight)
        kinds = kinds_of(tasks)
        y = y if len(kinds) > 1 else {kinds[0]: y}
        self.y_pred = y_pred if len(kinds) > 1 else {kinds[0]: y_pred}
        has_classes = {task.kind: task.has_classes for task in tasks.values()}
        self.y = {k: laid_out(has_classes[k], y[k], self.y_pred[k]) for k in kinds}
        task_id = ops.reshape(ops.cast(x["task_id"], "int32"), (-1,))
        self.known = (task_id >= 0) & (task_id < len(tasks))
        self.task_id = ops.where(self.known, task_id, 0)

    def sums(self, measures: Any) -> tuple[Any, Any]:
        """Returns (T,) sums of `measures`, a dict by task, and (T,) sums of weights."""
        num_tasks = len(self.tasks)
        totals, counts = ops.zeros((num_tasks,)), ops.zeros((num_tasks,))
        for value_sums, mask_sums in self._by_group(measures):
            totals += ops.segment_sum(value_sums, self.task_id, num_tasks)
            counts += ops.segment_sum(mask_sums, self.task_id, num_tasks)
        return totals, counts

    def rows(self, measures: Any) -> tuple[Any, Any]:
        """Returns what `sums` adds up: values and weights of every example."""
        totals = counts = ops.zeros_like(self.task_id, dtype="float32")
        for value_sums, mask_sums in self._by_group(measures):
            totals, counts = totals + value_sums, counts + mask_sums
        return totals, counts

    def _by_group(self, measures: Any) -> Iterator[Any]:
        """Yields values and weights of every example for each group of tasks, 0 for others."""
        for (measure, kind, width, units), names in self._groups(measures).items():
            sizes = [task.size if name in names else 0 for name, task in self.tasks.items()]
            chosen = ops.take(ops.array([size > 0 for size in sizes]), self.task_id, axis=0)
            size = ops.take(ops.array(sizes, dtype="int32"), self.task_id, axis=0)
            y, y_pred = _own_width(self.y[kind], self.y_pred[kind], width)
            if units is not None:
                y, y_pred = in_standard_units(y, y_pred, *self.units[units])
            size = ops.reshape(size, (-1,) + (1,) * (len(y_pred.shape) - 2))
            values, mask = per_example(measure, self.tasks[names[0]], y, y_pred, size)
            value_sums, mask_sums = weighted_sums(values, mask, self.sample_weight)
            value_sums = ops.where(chosen, value_sums, 0.0)
            value_sums = ops.where(self.known, value_sums, float("nan"))
            yield value_sums, ops.where(chosen, mask_sums, 0.0)

    def _groups(self, measures: Any) -> Any:
        """Groups tasks whose values are computed in one go.

        Measures that mind padding see a task's own width, those in standard units one task.
        """
        groups: dict[Any, Any] = {}
        for name, measure in measures.items():
            task = self.tasks[name]
            width = None if measure.any_width else task.size
            units = name if measure.standard else None
            groups.setdefault((measure, task.kind, width, units), []).append(name)
        return groups

    def total(self, weights: Any, totals: Any, counts: Any) -> Any:
        """Returns the loss: the weighted mean over the labelled examples."""
        count = ops.sum(counts)
        return ops.sum(weights * totals) / ops.where(count > 0, count, 1.0)

    def shares(self, weights: Any, counts: Any) -> Any:
        """Returns (T,): by what each task's mean counts in the loss."""
        count = ops.sum(counts)
        return weights * counts / ops.where(count > 0, count, 1.0)

    def view(self, name: str) -> Any:
        """Returns one task's labels, predictions and weights, for a metric.

        The weight of a missing label and of another task's is 0, that of a wrong one NaN.
        """
        task = self.tasks[name]
        y, y_pred = _own_width(self.y[task.kind], self.y_pred[task.kind], task.size)
        belongs = self.task_id == list(self.tasks).index(name)
        return _view(task, y, y_pred, self.sample_weight, self.known, belongs)


def _own_width(y: Any, y_pred: Any, width: Any) -> tuple[Any, Any]:
    """Cuts the padding of narrower tasks; `None` leaves it."""
    if width is None:
        return y, y_pred
    padded = len(y.shape) == len(y_pred.shape)
    return (y[..., :width] if padded else y), y_pred[..., :width]


def _view(
    task: Any, y: Any, y_pred: Any, sample_weight: Any, known_id: Any = None, belongs: Any = None
) -> tuple[Any, Any, Any]:
    y, known, wrong = labelled(task, y, task.size)
    if not task.has_classes:
        known, wrong = ops.all(known, axis=-1), ops.any(wrong, axis=-1)
    weight = ops.where(wrong, float("nan"), ops.cast(known, "float32"))
    weight = weighted(weight, sample_weight)
    if belongs is not None:
        rows = (-1,) + (1,) * (len(weight.shape) - 1)
        weight = ops.where(ops.reshape(belongs, rows), weight, 0.0)
        weight = ops.where(ops.reshape(known_id, rows), weight, float("nan"))
    if task.per_step:  # metrics such as AUC know examples, not steps
        y = ops.reshape(y, (-1,) if task.has_classes else (-1, task.size))
        y_pred, weight = ops.reshape(y_pred, (-1, task.size)), ops.reshape(weight, (-1,))
    return y, y_pred, weight
