"""What training does to each task: its best epoch, what it gains or loses, where tasks pull."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.training.gradients import jacobian


class TaskMonitor(keras.callbacks.Callback):
    """Watches every task in validation, keeps its best weights, and says which loses by sharing.

    Tasks of one network are seldom best at the same epoch. What this logs at the end of an epoch
    can be watched by `keras.callbacks.EarlyStopping` and keras_tuner; it stands before them in
    `callbacks`, and in the mode "max" they end training

    - `"val_any_improved"`: when no task gets better any more (how often some task was better than
      ever),
    - `"val_all_improved"`: when some task does not (how often all tasks have been, each since the
      last time),
    - `"val_mean_gain"`, `"val_worst_gain"`: when tasks in the mean, or the one that loses most,
      gain no more against networks of their own, where `single_task` says how good these are.

    The first task alone is watched by its own log.

    Args:
        metric: What is watched of each task, as in the logs: `"loss"`, `"accuracy"`, ... All tasks
            must have it. Defaults to `"loss"`.
        mode: `"min"`, `"max"`, or `None` for `"max"` of accuracies and areas (`"accuracy"`,
            `"auc"`, `"auc_pr"`) and `"min"` of all else. Defaults to `None`.
        single_task: Dict, task -> what a network of its own reaches in validation, or `None`.
            Defaults to `None`.
        folder: Where to keep the best weights of each task, `<task>.weights.h5`, which
            `keras_mtl.freeze(model, task, weights=...)` takes. `None` keeps none. Defaults
            to `None`.
        batch: `(x, y)` on which to compare the gradients of the tasks' losses, or `None`. It is
            what a batch of `fit` is, a dict with `task_id` for separate data. Defaults to `None`.
        every: Training batches from one comparison of gradients to the next. Defaults to 100.

    Attributes:
        values: Dict, task -> list of what was watched, epoch by epoch.
        best_epochs: Dict, task -> its best epoch, from 1.
        cosines: List of pairs: training batches, and the `(tasks, tasks)` cosines of gradients in
            the weights that both of a pair reach, NaN where there are none. Below 0 two tasks pull
            against each other.

    Raises:
        ValueError: Wrong arguments; in `fit`, no validation data, a metric that no log has.

    Example:

    >>> monitor = TaskMonitor("accuracy")
    >>> stop = keras.callbacks.EarlyStopping("val_any_improved", mode="max", patience=3)
    >>> callbacks = [monitor, stop]
    """

    def __init__(
        self,
        metric: str = "loss",
        mode: str | None = None,
        single_task: Mapping[str, float] | None = None,
        folder: Any = None,
        batch: Any = None,
        every: int = 100,
    ) -> None:
        super().__init__()
        if not isinstance(metric, str) or not metric:
            raise ValueError(
                f'metric must be the name of a log, such as "loss". Received: {metric!r}'
            )
        self.metric = metric
        mode = checks.word("mode", mode, ("min", "max", None))
        self.mode = mode or ("max" if metric.endswith(("accuracy", "auc", "auc_pr")) else "min")
        if single_task is not None:
            checks.mapping("single_task", single_task, "task -> what a network of its own reaches")
        self.single_task = single_task
        self.folder = None if folder is None else Path(os.fspath(folder))
        self.batch = batch
        self.every = checks.count("every", every)
        self.values: dict[str, list[float]] = {}
        self.best_epochs: dict[str, int] = {}
        self.cosines: list[tuple[int, np.ndarray]] = []
        self._num_batches = 0
        self._any_improved = self._all_improved = 0
        self._not_yet: set[str] = set()

    def on_train_begin(self, logs: Any = None) -> None:
        tasks = list(self.model.tasks)
        if self.single_task is not None and set(self.single_task) != set(tasks):
            raise ValueError(
                f"single_task must have a number for each task: {', '.join(tasks)}. Received: "
                f"{', '.join(self.single_task) or 'none'}"
            )
        if not self.values:
            self.values = {task: [] for task in tasks}
            self._not_yet = set(tasks)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._num_batches += 1
        if self.batch is not None and self._num_batches % self.every == 0:
            self.cosines.append((self._num_batches, gradient_cosines(self.model, *self.batch)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        improved = set()
        for task, values in self.values.items():
            log = f"val_{task}_{self.metric}"
            if log not in logs:
                raise ValueError(
                    f"TaskMonitor watches {log!r}, which the logs do not have. They have: "
                    f"{', '.join(sorted(logs))}. Names with val_ need validation_data."
                )
            if self._is_best(task, logs[log]):
                improved.add(task)
                self.best_epochs[task] = len(values) + 1
                self._keep(task)
            values.append(float(logs[log]))
        self._any_improved += bool(improved)
        self._not_yet -= improved
        if not self._not_yet:
            self._all_improved += 1
            self._not_yet = set(self.values)
        logs["val_any_improved"], logs["val_all_improved"] = self._any_improved, self._all_improved
        if self.single_task is not None:
            gains = [self.gain(task, values[-1]) for task, values in self.values.items()]
            logs["val_mean_gain"], logs["val_worst_gain"] = float(np.mean(gains)), min(gains)

    def gain(self, task: str, value: float) -> float:
        """Returns by how much a value is better than that of the task's own network."""
        gain = value - (self.single_task or {})[task]
        return gain if self.mode == "max" else -gain

    @property
    def losing(self) -> list[str]:
        """The tasks whose best value is worse than that of a network of their own."""
        best = max if self.mode == "max" else min
        return [
            task
            for task, values in self.values.items()
            if self.single_task is not None and values and self.gain(task, best(values)) < 0
        ]

    def _is_best(self, task: str, value: float) -> bool:
        before = self.values[task]
        if not before or task not in self.best_epochs:
            return not np.isnan(value)
        best = before[self.best_epochs[task] - 1]
        return value > best if self.mode == "max" else value < best

    def _keep(self, task: str) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.model.save_weights(self.folder / f"{task}.weights.h5")


def gradient_cosines(model: keras.Model, x: Any, y: Any) -> np.ndarray:
    """Returns the `(tasks, tasks)` cosines of the gradients of the tasks' mean losses on data.

    Of a pair of tasks those weights count that both reach, entry by entry; NaN where there are
    none.

    Args:
        model: A compiled model of this package.
        x: Inputs of one batch.
        y: Labels of one batch.
    """
    x, y = keras.tree.map_structure(ops.convert_to_tensor, (x, y))
    values = [ops.convert_to_tensor(variable) for variable in model.trainable_variables]
    by_variable = jacobian(lambda at: model.means_and_shares(at, x, y, None)[0], values)
    gradients = np.concatenate(
        [ops.convert_to_numpy(g).reshape(len(model.tasks), -1) for g in by_variable], axis=1
    )
    reached = (gradients != 0).astype("float64")
    dots = gradients @ gradients.T
    squares = (gradients**2) @ reached.T  # of i, in what j reaches
    with np.errstate(invalid="ignore", divide="ignore"):
        return dots / np.sqrt(squares * squares.T)
