"""The form of labels and weights: what can be told by structure and shapes, before any value.

Shapes are known of arrays, of a `tf.data.Dataset` before it is read, and of every batch while
its step is traced, so that a check costs nothing later.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.data.arrays import is_ragged
from keras_mtl.data.labels import check_label_shape
from keras_mtl.tasks import kinds_of, largest_size
from keras_mtl.types import Shape


def check_form(model: keras.Model, y: Any, sample_weight: Any = None, y_pred: Any = None) -> None:
    """Raises a `ValueError` when labels or weights of a batch have another form than a model's.

    Args:
        model: A `MultiTaskModel`.
        y: Labels, anything that has a shape in place of arrays.
        sample_weight: Weights, or `None`.
        y_pred: What the model answers. `None` knows only what its output says.
    """
    y_pred = model.output if y_pred is None else y_pred
    if model.task_data == "shared":
        check_is_dict(model.tasks, y)
        check_keys(model.tasks, y, "y", "NaN labels")
        parts = {f'"{name}"': (task, name) for name, task in model.tasks.items()}
    else:
        parts, y, y_pred = _by_kind(model.tasks, y, y_pred)
    for names, (task, key) in parts.items():
        _check_label_form(names, task, y[key], y_pred[key])
    num_examples = keras.tree.flatten(y_pred)[0].shape[0]
    for owner, weight in named_weights(model, sample_weight).items():
        shape = _shape(owner, weight)
        if shape is not None:
            check_weight_shape(owner, shape)
            _check_length(owner, shape[0], num_examples)


def check_is_dict(tasks: Any, y: Any) -> None:
    if not isinstance(y, dict):
        raise ValueError(
            f"y must be a dict with an array for every task: {', '.join(tasks)}. "
            f"Received: {type(y).__name__}"
        )


def check_keys(tasks: Any, given: Any, name: str, filler: Any) -> None:
    """Raises a `ValueError` unless the keys of a dict are the tasks."""
    missing = [task for task in tasks if task not in given]
    if missing:
        raise ValueError(
            f"{name} has no entry for task {missing[0]!r}. Every task must be a key of {name}: "
            f"give {filler} where there is nothing to say. Received: {sorted(given)}"
        )
    unknown = [key for key in given if key not in tasks]
    if unknown:
        raise ValueError(
            f"{name} has an entry {unknown[0]!r}, which is no task of this model. "
            f"Tasks: {', '.join(tasks)}"
        )


def check_steps(owner: Any, wanted: Any, came: Any) -> None:
    if None not in (wanted, came) and wanted != came:
        raise ValueError(
            f"{owner} is predicted at {wanted} time steps. Received labels of {came} steps. "
            "Pad them with NaN, or cut them."
        )


def check_weight_shape(owner: Any, shape: Shape) -> None:
    if len(shape) != 1 and shape[1:] not in ((1,), (None,)):
        raise ValueError(
            f"{owner} must be one number per example. Received: {shape}. Where a step or an "
            "element is not to count, give it no label: NaN."
        )


def named_weights(model: keras.Model, sample_weight: Any) -> Any:
    """Returns a dict, what to call them -> weights, of none, one array, or a dict by task."""
    if isinstance(sample_weight, dict):
        if model.task_data == "separate":
            raise ValueError(
                "sample_weight must be one array, a number per example: each example belongs to "
                f"one task. Received: a dict with the keys {sorted(sample_weight)}"
            )
        check_keys(model.tasks, sample_weight, "sample_weight", "ones")
        return {f"sample_weight[{task!r}]": sample_weight[task] for task in model.tasks}
    return {} if sample_weight is None else {"sample_weight": sample_weight}


def _by_kind(tasks: Any, y: Any, y_pred: Any) -> tuple[Any, Any, Any]:
    """Returns what separate data have, by kind: a task as wide as the widest, labels, answers."""
    kinds = kinds_of(tasks)
    if len(kinds) == 1:
        y, y_pred = {kinds[0]: y}, {kinds[0]: y_pred}
    elif not isinstance(y, dict) or set(y) != set(kinds):
        came = sorted(y) if isinstance(y, dict) else type(y).__name__
        raise ValueError(
            f"y must be a dict with an array for every kind of task: {', '.join(kinds)}. "
            f"Received: {came}. keras_mtl.task_batches makes such batches."
        )
    parts = {}
    for kind in kinds:
        alike = {name: task for name, task in tasks.items() if task.kind == kind}
        first = next(iter(alike.values()))
        widest = dataclasses.replace(first, size=largest_size(tasks, kind))
        parts[" or ".join(f'"{name}"' for name in alike)] = (widest, kind)
    return parts, y, y_pred


def _check_label_form(names: Sequence[str], task: Any, labels: Any, answers: Any) -> None:
    owner = f"The labels of task {names}"
    shape = _shape(owner, labels)
    if shape is None:
        return
    check_label_shape(f"Task {names}", task, shape)
    if task.per_step:
        check_steps(f"Task {names}", answers.shape[1], shape[1])
    _check_length(owner, shape[0], answers.shape[0])


def _shape(owner: Any, array: Any) -> Any:
    """Returns the shape of an array as a tuple, `None` for what is not known in it, or of it."""
    shape = getattr(array, "shape", None)
    if shape is None or is_ragged(array):
        raise ValueError(
            f"{owner} must be an array with an entry for each example. "
            f"Received: {type(array).__name__}"
        )
    return None if getattr(shape, "rank", 0) is None else tuple(shape)


def _check_length(owner: Any, came: Any, wanted: Any) -> None:
    if None not in (came, wanted) and came != wanted:
        raise ValueError(f"{owner} must be {wanted}, one for each example. Received: {came}")
