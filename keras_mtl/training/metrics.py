"""Logs by task: `<task>_<metric>`, and `mean_<metric>` over the tasks with data."""

import keras
from keras import ops

from keras_mtl.training.losses import Measure


class TaskMetric(keras.metrics.Metric):
    """One metric of several tasks, as one metric whose result is a dict.

    Args:
        name: The metric's name in the logs.
        measures: Dict, task name -> `Measure` or Keras metric.
        task_names: Names of all the model's tasks, with the metric or without.
        mean: Whether to log `mean_<metric>`. Defaults to `True`.
    """

    def __init__(self, name, measures, task_names, mean=True):
        super().__init__(name=f"task_{name}", dtype="float32")
        self.metric_name = name
        self.task_names = list(task_names)
        self.mean = mean
        self.measures = {n: m for n, m in measures.items() if isinstance(m, Measure)}
        self.objects = {
            task: metric.from_config(metric.get_config())
            for task, metric in measures.items()
            if task not in self.measures
        }
        shape = (len(self.task_names),)
        self.totals = self.add_weight(shape=shape, initializer="zeros", name="totals")
        self.counts = self.add_weight(shape=shape, initializer="zeros", name="counts")

    def update_state(self, batch):
        totals, counts = batch.sums(self.measures)
        self.add(totals, counts)
        for task, metric in self.objects.items():
            y, y_pred, weight = batch.view(task)
            metric.update_state(y, y_pred, sample_weight=weight)
            place = ops.one_hot(self.task_names.index(task), len(self.task_names))
            self.counts.assign_add(place * ops.sum(weight))

    def add(self, totals, counts):
        """Adds sums by task that are already known."""
        self.totals.assign_add(totals)
        self.counts.assign_add(counts)

    def result(self):
        counts = ops.convert_to_tensor(self.counts)
        means = list(ops.unstack(self.totals / ops.where(counts > 0, counts, float("nan"))))
        for task, metric in self.objects.items():
            place = self.task_names.index(task)
            means[place] = ops.where(counts[place] > 0, metric.result(), float("nan"))
        values = {
            task: value
            for task, value in zip(self.task_names, means, strict=True)
            if task in self.measures or task in self.objects
        }
        logs = {f"{task}_{self.metric_name}": value for task, value in values.items()}
        if self.mean:
            logs[f"mean_{self.metric_name}"] = _mean_of_known(ops.stack(list(values.values())))
        return logs

    def reset_state(self):
        super().reset_state()
        for metric in self.objects.values():
            metric.reset_state()


def _mean_of_known(values):
    known = ~ops.isnan(values)
    count = ops.sum(ops.cast(known, values.dtype))
    return ops.sum(ops.where(known, values, 0.0)) / ops.where(count > 0, count, float("nan"))
