"""Areas within groups after every epoch, where other callbacks can follow them."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.analysis.scores.grouped_auc import grouped_auc
from keras_mtl.analysis.task_answers import (
    asked_tasks,
    joint_task_labels,
    num_examples,
    predictions,
)
from keras_mtl.kinds import KINDS


class GroupAUC(keras.callbacks.Callback):
    """Adds the areas within groups, such as users, on validation data to the logs of every epoch.

    `val_<task>_gauc`, as `grouped_auc` counts it, and `val_mean_gauc`, the mean over the tasks. An
    area within groups is no mean over batches, so it cannot be a metric of the task. Put this
    callback before those that follow it, and tell them its direction:
    `keras.callbacks.EarlyStopping("val_mean_gauc", mode="max")`. Each epoch costs one more
    prediction.

    Source: Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017,
    https://arxiv.org/abs/1703.02091.

    Args:
        x: Inputs of the validation examples; with separate data a dict, name of a task -> its own.
        y: Dict, name of a task -> labels, NaN where there is none; of a task that is given another
            both.
        groups: The group of each example, integers or strings, `(n,)`; with separate data a dict,
            name of a task -> those of its examples.
        tasks: List of the tasks, of labels 0 and 1, one an example; `None`: all of the model that
            are so. Defaults to `None`.
        batch_size: Examples that are predicted at once. Defaults to 1024.

    Raises:
        ValueError: In `fit`: no such task, labels or groups of other lengths, no group with labels
            of both kinds.

    Example:

    >>> import numpy as np
    >>> x, users = np.arange(6.0)[:, None], [1, 1, 1, 2, 2, 2]
    >>> y = {"click": [0, 1, 0, 1, 0, 1]}
    >>> recorder = GroupAUC(x, y, users)
    >>> dense = lambda: keras.layers.Dense(4)
    >>> model = keras_mtl.build_shared_bottom(keras.Input((1,)), {"click": "binary"}, [dense])
    >>> model.compile("adam")
    >>> logs = model.fit(x, y, callbacks=[recorder], verbose=0).history
    >>> [name for name in logs if name.startswith("val_")]
    ['val_click_gauc', 'val_mean_gauc']
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        groups: Any,
        tasks: Sequence[str] | None = None,
        batch_size: int = 1024,
    ) -> None:
        super().__init__()
        self.x = x
        self.y = checks.mapping("y", y, "name of a task -> its labels")
        self.groups = groups
        self.tasks = tasks
        self.batch_size = checks.count("batch_size", batch_size)
        self._labels: dict[str, Any] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        names = self._names()
        self._labels = joint_task_labels(self.model, names, self.y)
        for name, labels in self._labels.items():
            try:
                p = np.zeros(num_examples(self.model, self.x, name))
                grouped_auc(labels, p, self._groups_of(name))
            except ValueError as error:
                raise ValueError(f"GroupAUC, task {name!r}: {error}") from error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        found = []
        for name, p in predictions(self.model, self.x, list(self._labels), self.batch_size):
            found.append(grouped_auc(self._labels[name], p, self._groups_of(name)))
            logs[f"val_{name}_gauc"] = found[-1]
        logs["val_mean_gauc"] = float(np.mean(found))

    def _names(self) -> list[str]:
        """Returns which tasks are watched."""
        every = {
            name: KINDS[self.model.tasks[name].kind].shifts
            and self.model.tasks[name].size == 1
            and not self.model.tasks[name].per_step
            for name in asked_tasks(self.model, self.tasks)
        }
        wrong = [name for name, fits in every.items() if not fits]
        if (self.tasks is not None and wrong) or len(wrong) == len(every):
            raise ValueError(
                "GroupAUC is of tasks with one label, 0 or 1, for each example. "
                f"Received: task {wrong[0]!r}, {self.model.tasks[wrong[0]]}"
            )
        return [name for name, fits in every.items() if fits]

    def _groups_of(self, name: str) -> Any:
        if self.model.task_data == "shared":
            return self.groups
        if not isinstance(self.groups, Mapping) or name not in self.groups:
            raise ValueError(
                "The tasks of this model have separate data, so groups must be a dict, name of a "
                f"task -> the groups of its examples, with an entry for {name!r}."
            )
        return self.groups[name]
