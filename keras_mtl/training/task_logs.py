"""Logs of a model by task: trackers of losses, metrics and penalties, and what a step reports."""

from typing import Any

from keras_mtl.funnels import conditional_names
from keras_mtl.keras_internals import ModelPart, untrack
from keras_mtl.kinds import KINDS
from keras_mtl.layers import SubspaceOrthogonality
from keras_mtl.training.callbacks.coin_flips import (
    PolicyTracker,
    deciding_layers,
    taken_log_odds,
)
from keras_mtl.training.losses import loss_measure, metric_measures
from keras_mtl.training.metrics import TaskMetric


class TaskLogs(ModelPart):
    """Keeps trackers of every task, and names them in logs; a base before `keras.Model`."""

    def _forget_trackers(self) -> None:
        """Takes the trackers of an earlier `compile` out of the logs."""
        for tracker in [m for m in self.metrics if isinstance(m, TaskMetric)]:
            untrack(self, tracker)
        for tracker in getattr(self, "_penalty_trackers", {}).values():
            untrack(self, tracker)
        if getattr(self, "policy_tracker", None) is not None:
            untrack(self, self.policy_tracker)
        self.policy_tracker: Any = None
        self._loss_tracker_by_task: Any = None
        self._metric_trackers: list[TaskMetric] = []

    def _build_trackers(self) -> None:
        tasks = self.tasks
        self._loss_measures = {name: loss_measure(task) for name, task in tasks.items()}
        self._task_weights = [task.weight for task in tasks.values()]
        self._loss_tracker_by_task = TaskMetric("loss", self._loss_measures, tasks)
        if deciding := deciding_layers(self):
            self.policy_tracker = PolicyTracker(len(deciding))
        by_metric: dict[Any, Any] = {}
        for name, task in tasks.items():
            for metric, measure in metric_measures(name, task).items():
                by_metric.setdefault(metric, {})[name] = measure
        self._metric_trackers = [
            TaskMetric(metric, by_task, tasks, _in_standard_units(metric, by_task, tasks))
            for metric, by_task in by_metric.items()
        ]
        self._task_log_names = {f"{task}_{log}" for task in tasks for log in ["loss", *by_metric]}

    def of_tasks(self, y_pred: Any) -> Any:
        """Returns the answers that have labels: all but the conditional ones of funnels."""
        others = conditional_names(self.tasks).values()
        return {n: y_pred[n] for n in y_pred if n not in others} if others else y_pred

    def _penalty_values(self) -> Any:
        """Returns the named penalties of layers and regularizers, each summed up."""
        found = [pair for layer in self.layers for pair in getattr(layer, "penalties", {}).items()]
        for weight in self.trainable_variables:
            if isinstance(weight.regularizer, SubspaceOrthogonality):
                found.append((weight.regularizer.penalty_name, weight.regularizer(weight)))
        values: dict[Any, Any] = {}
        for name, value in found:
            values[name] = values[name] + value if name in values else value
        return values

    def _track_policies(self, x: Any) -> None:
        """Looks at the log-odds of this step of training, once: they are taken away."""
        log_odds, mask = taken_log_odds(self)
        if self.policy_tracker is not None and any(odds is not None for odds in log_odds):
            task_id = x["task_id"] if self.task_data == "separate" else None
            self.policy_tracker.update_state(log_odds, mask, task_id)

    def _track_penalties(self) -> None:
        for name, value in self._penalty_values().items():
            self._penalty_trackers[name].update_state(value)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Logs a step: the loss, means over tasks and penalties.

        A compiled step pays for every number it returns, and a progress bar has no room
        for all tasks. Their own values follow at the end of the epoch.
        """
        logs = super().compute_metrics(x, y, self.of_tasks(y_pred), sample_weight)
        if not self.uses_task_losses:
            return logs
        return {name: value for name, value in logs.items() if name not in self._task_log_names}

    def epoch_logs(self, logs: Any) -> Any:
        return self.get_metrics_result()

    @property
    def metrics_names(self) -> Any:
        if not self.uses_task_losses:
            return super().metrics_names
        names = [n for m in self.metrics for n in getattr(m, "log_names", [m.name])]
        return sorted(names, key=self._task_log_names.__contains__)  # those of a step come first

    def logs_in_order(self, logs: Any) -> Any:
        if not self.uses_task_losses:
            return super().logs_in_order(logs)
        return [logs[name] for name in self.metrics_names if name in logs]


def _in_standard_units(metric: str, measures: Any, tasks: Any) -> dict[str, Any]:
    """Returns a metric of the kinds themselves for the tasks that are standardized, by task."""
    return {
        name: measure.in_standard_units()
        for name, measure in measures.items()
        if tasks[name].standardize and metric in KINDS[tasks[name].kind].metrics
    }
