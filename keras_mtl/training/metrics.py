"""Logs by task: `<task>_<metric>`, and `mean_<metric>` over the tasks with data.

Something wrong, such as a label that is none, makes a task's value NaN, and the mean with it. A
task without labelled data is NaN too, and left out of the mean. The mean of a metric that depends
on units is one of standard units, for tasks that have them.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.kinds.keras_names import reads_one_hot
from keras_mtl.training.losses import Measure
from keras_mtl.types import Tensor


class TaskMetric(keras.metrics.Metric):
    """One metric of several tasks, as one metric whose result is a dict.

    Args:
        name: The metric's name in the logs.
        measures: Dict, task name -> `Measure` or Keras metric.
        task_names: Names of all the model's tasks, with the metric or without.
        in_mean: Dict, task name -> `Measure` that stands for the task's own in the mean over tasks.
            Defaults to `None`, none.
    """

    def __init__(
        self, name: str, measures: Any, task_names: Sequence[str], in_mean: Any = None
    ) -> None:
        super().__init__(name=f"task_{name}", dtype="float32")
        self.metric_name = name
        self.task_names = list(task_names)
        self.measures = {n: m for n, m in measures.items() if isinstance(m, Measure)}
        self.objects = {
            task: metric.from_config(metric.get_config())
            for task, metric in measures.items()
            if task not in self.measures
        }
        self.own_names = [task for task in self.task_names if task in measures]
        shape = (len(self.task_names),)
        self.totals = self.add_weight(shape=shape, initializer="zeros", name="totals")
        self.counts = self.add_weight(shape=shape, initializer="zeros", name="counts")
        self.in_mean = in_mean or {}
        if self.in_mean:
            self.totals_in_mean = self.add_weight(shape, "zeros", name="totals_in_mean")

    def update_state(self, batch: Any) -> None:
        totals, counts = batch.sums(self.measures)
        self.add(totals, counts)
        if self.in_mean:
            self.totals_in_mean.assign_add(batch.sums(self.in_mean)[0])
        for task, metric in self.objects.items():
            y, y_pred, weight = batch.view(task)
            wrong = ops.isnan(weight)
            weight = ops.where(wrong, 0.0, weight)
            if len(y.shape) < len(y_pred.shape) and reads_one_hot(metric):
                y = ops.one_hot(y, y_pred.shape[-1])
            metric.update_state(y, y_pred, sample_weight=weight)
            own = ops.arange(len(self.task_names)) == self.task_names.index(task)
            self.add(
                ops.where(own & ops.any(wrong), float("nan"), 0.0),
                ops.where(own, ops.sum(weight), 0.0),
            )

    def add(self, totals: Any, counts: Any) -> None:
        """Adds sums by task that are already known."""
        self.totals.assign_add(totals)
        self.counts.assign_add(counts)

    @property
    def log_names(self) -> list[Any]:
        """Names of what `result` returns."""
        return [f"mean_{self.metric_name}", *map(self.log_name, self.own_names)]

    def log_name(self, task: Any) -> str:
        return f"{task}_{self.metric_name}"

    def result(self) -> dict[Any, Any]:
        totals, counts = ops.convert_to_tensor(self.totals), ops.convert_to_tensor(self.counts)
        means = list(ops.unstack(totals / ops.where(counts > 0, counts, float("nan"))))
        for task, metric in self.objects.items():
            index = self.task_names.index(task)
            value = ops.where(counts[index] > 0, metric.result(), float("nan"))
            means[index] = value + totals[index]  # 0, or NaN where something was wrong
        own = [self.task_names.index(task) for task in self.own_names]
        present = ops.stack([counts[index] > 0 for index in own])
        means = ops.stack([means[index] for index in own])
        in_mean = means
        if self.in_mean:
            standard = ops.take(self.totals_in_mean / ops.where(counts > 0, counts, 1.0), own)
            known = ops.array([name in self.in_mean for name in self.own_names])
            in_mean = ops.where(known, standard, means)
        mean = ops.sum(ops.where(present, in_mean, 0.0)) / _count(present)
        logs = dict(zip(map(self.log_name, self.own_names), ops.unstack(means), strict=True))
        wrong = ops.any(ops.isnan(totals))
        return {f"mean_{self.metric_name}": ops.where(wrong, float("nan"), mean), **logs}

    def reset_state(self) -> None:
        super().reset_state()
        for metric in self.objects.values():
            metric.reset_state()


def _count(present: Any) -> Tensor:
    """Returns how many there are, NaN for none."""
    count = ops.sum(ops.cast(present, "float32"))
    return ops.where(count > 0, count, float("nan"))
