"""The data of a comparison: arrays with a label for each task, or batches of tasks."""

import zlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_mtl.data.batches.task_batches import TaskBatches
from keras_mtl.data.labels import check_labels, num_axes, one_value
from keras_mtl.funnels import joint_labels
from keras_mtl.tasks import Task


class Arrays:
    """Inputs with a label for each task."""

    def __init__(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight

    def of_task(self, name: str) -> "Arrays":
        """Returns what a network of one task is trained on."""
        weight = self.sample_weight
        if isinstance(weight, dict):
            weight = {name: weight[name]}
        return Arrays(self.x, {name: self.y[name]}, weight)

    def for_fit(self, batch_size: int) -> dict[str, Any]:
        weight = {"sample_weight": self.sample_weight} if self.sample_weight is not None else {}
        return {"x": self.x, "y": self.y, "batch_size": batch_size, **weight}

    def for_validation(self, batch_size: int) -> dict[str, Any]:
        weight = () if self.sample_weight is None else (self.sample_weight,)
        data = (self.x, self.y, *weight)
        return {"validation_data": data, "validation_batch_size": batch_size}

    def labelled_tasks(self, tasks: dict[str, Task]) -> list[str]:
        """Returns the tasks that have any label."""
        return [
            name
            for name, task in tasks.items()
            if _known(task, check_labels(name, task, self.y[name])).any()
        ]

    def answers(
        self, network: keras.Model, tasks: dict[str, Task], batch_size: int
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yields each task with its labels and a frozen network's answers, where it is labelled."""
        answers = network.predict(self.x, batch_size=batch_size, verbose=0)
        for name, task in tasks.items():
            yield name, *_labelled(task, check_labels(name, task, self.y[name]), answers[name])

    def batch(self, batch_size: int) -> Any:
        """Returns inputs of one batch."""
        return keras.tree.map_structure(lambda array: np.asarray(array)[:batch_size], self.x)

    def fingerprint(self) -> str:
        return _fingerprint((self.x, self.y, self.sample_weight))


class Batches:
    """Batches of tasks that have examples of their own."""

    def __init__(self, batches: TaskBatches) -> None:
        self.batches = batches

    def of_task(self, name: str) -> "Batches":
        return Batches(self.batches.of_task(name))

    def for_fit(self, batch_size: int) -> dict[str, Any]:
        self.batches.epoch = 0
        return {"x": self.batches}

    def for_validation(self, batch_size: int) -> dict[str, Any]:
        return {"validation_data": self.batches}

    def labelled_tasks(self, tasks: dict[str, Task]) -> list[str]:
        return self.batches.task_names

    def answers(
        self, network: keras.Model, tasks: dict[str, Task], batch_size: int
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        found: dict[str, list[Any]] = {name: [] for name in tasks}
        names = list(tasks)
        for index in range(len(self.batches)):
            inputs, y, *_ = self.batches[index]
            answers = network.predict_on_batch(inputs["inputs"])
            for number in np.unique(inputs["task_id"]).tolist():
                name, own = names[number], inputs["task_id"] == number
                labels = y[tasks[name].kind] if isinstance(y, dict) else y
                found[name].append((_narrow(tasks[name], labels[own]), answers[name][own]))
        for name, parts in found.items():
            if parts:
                labels, answers = (np.concatenate(part) for part in zip(*parts, strict=True))
                yield name, *_labelled(tasks[name], labels, answers)

    def batch(self, batch_size: int) -> Any:
        return self.batches[0][0]["inputs"]

    def fingerprint(self) -> str:
        self.batches.epoch = 0
        return f"{len(self.batches)} batches, {_fingerprint(self.batches[0])}"


def as_data(name: str, given: Any, tasks: dict[str, Task], task_data: str) -> Arrays | Batches:
    """Returns the data that an argument holds; `name` is what it is called."""
    data = _data(name, given, task_data)
    known = data.y if isinstance(data, Arrays) else data.batches.task_names
    if set(known) != set(tasks):
        raise ValueError(
            f"{name} must have labels of all tasks, {', '.join(tasks)}, and of no others. It has "
            f"those of {', '.join(known) or 'none'}."
        )
    if isinstance(data, Arrays):
        data.y = _with_joint_labels(tasks, data.y)
    return data


def _with_joint_labels(tasks: dict[str, Task], y: dict[str, Any]) -> dict[str, Any]:
    """Returns labels of funnels that need no look at a task's parent: those that it decides, 0."""
    names = {n for name, task in tasks.items() if task.given for n in (name, task.given)}
    return joint_labels(tasks, {**y, **{n: check_labels(n, tasks[n], y[n]) for n in names}})


def _data(name: str, given: Any, task_data: str) -> Arrays | Batches:
    if task_data == "separate":
        if not isinstance(given, TaskBatches):
            raise ValueError(
                f'With task_data="separate" {name} must be what keras_mtl.task_batches returns. '
                f"Received: {type(given).__name__}"
            )
        return Batches(given)
    if not isinstance(given, tuple) or len(given) not in (2, 3) or not isinstance(given[1], dict):
        raise ValueError(
            f"{name} must be (x, y) or (x, y, sample_weight), with y a dict, task -> labels. "
            f"Received: {type(given).__name__}"
        )
    return Arrays(*given)


def _narrow(task: Task, labels: np.ndarray) -> np.ndarray:
    """Returns labels of one task out of an array that is as wide as the largest of its kind."""
    if labels.ndim == num_axes(task):
        return labels
    return labels[..., 0] if one_value(task) else labels[..., : task.size]


def _known(task: Task, labels: np.ndarray) -> np.ndarray:
    """Returns which examples, or steps, have a whole label."""
    known = np.asarray(labels >= 0 if task.has_classes else ~np.isnan(labels))
    return known if one_value(task) else np.all(known, axis=-1)


def _labelled(task: Task, labels: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = _known(task, labels)
    answers = answers[..., 0] if answers.shape[-1] == 1 else answers
    return labels[known], answers[known]


def _fingerprint(arrays: Any) -> str:
    """Returns what tells data apart: sizes, and a check sum of all values."""
    total, shapes = 0, []
    for array in keras.tree.flatten(arrays):
        if array is not None:
            array = np.ascontiguousarray(array)
            shapes.append(str(array.shape))
            bytes_ = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
            total = zlib.crc32(bytes_, total)
    return f"{' '.join(shapes)}, check sum {total:08x}"
