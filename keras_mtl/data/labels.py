"""Labels of one task: checked, given their dtype, and laid out beside other tasks'."""

import numpy as np

from keras_mtl.tasks import kinds_of, largest_size

MISSING_CLASS = -1


def check_labels(name, task, labels):
    """Returns the labels of a task as int32 (classes, tagging) or float32.

    NaN class labels become -1, `(n, 1)` labels of one value an example `(n,)`.

    Args:
        name: Name of the task, for messages.
        task: A `keras_mtl.Task`.
        labels: Array-like, the first axis is the example.

    Returns:
        Array of shape `(n,)`, `(n, steps)` for tagging, or `(n, size)` for
        multilabel and regression tasks of a size above 1.

    Raises:
        ValueError: A wrong shape, or a value that is no label of the task.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f'The labels of task "{name}" must be numbers. '
            f"Received an array of dtype {labels.dtype}."
        )
    labels = _check_shape(name, task, labels)
    missing = np.isnan(labels)
    if task.has_classes:
        allowed = (labels >= MISSING_CLASS) & (labels < task.size) & (labels == np.floor(labels))
        _check_values(
            name, labels, allowed | missing, f"0 to {task.size - 1} (-1 or NaN: not labelled)"
        )
        return np.where(missing, float(MISSING_CLASS), labels).astype("int32")
    if task.kind in ("binary", "multilabel"):
        allowed = (labels == 0) | (labels == 1)
        _check_values(name, labels, allowed | missing, "0 and 1 (NaN: not labelled)")
    return labels.astype("float32")


def _check_shape(name, task, labels):
    shape = labels.shape
    if task.kind == "tagging":
        if labels.ndim != 2:
            raise ValueError(
                f'Task "{name}" expects a class for every time step, labels of shape '
                f"(examples, steps). Received labels of shape {shape}."
            )
        return labels
    width = 1 if task.kind == "classes" else task.size
    if width == 1 and shape[1:] == (1,):
        return labels[:, 0]
    if labels.ndim == 0 or shape[1:] != (() if width == 1 else (width,)):
        expected = "(examples,)" if width == 1 else f"(examples, {width})"
        hint = " For one-hot labels use labels.argmax(-1)." if task.kind == "classes" else ""
        raise ValueError(
            f'Task "{name}" ({task.kind}, size {task.size}) expects labels of shape {expected}. '
            f"Received labels of shape {shape}.{hint}"
        )
    return labels


def _check_values(name, labels, allowed, expected):
    if not allowed.all():
        raise ValueError(
            f'Task "{name}" expects labels {expected}. Received: {labels[~allowed].flat[0]}'
        )


def pack_labels(tasks, name, labels, steps):
    """Returns one task's checked labels as every batch holds them.

    That is one array when all of `tasks` are of one kind, else `{kind: array}`.
    An array is as wide as the largest task of its kind. What is not this task's
    is -1 (classes, tagging) or NaN: not labelled.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`.
        name: The task that `labels` belong to.
        labels: What `check_labels` returned.
        steps: Number of time steps of tagging labels.

    Example:

    >>> from keras_mtl.tasks import as_tasks
    >>> tasks = as_tasks({"age": 5, "height": "regression"})
    >>> packed = pack_labels(tasks, "age", np.array([4, 0], "int32"), steps=None)
    >>> packed["classes"], packed["regression"]
    (array([4, 0], dtype=int32), array([nan, nan], dtype=float32))
    """
    packed = {kind: _not_labelled(tasks, kind, len(labels), steps) for kind in kinds_of(tasks)}
    own = packed[tasks[name].kind]
    if own.ndim == 1:
        own[:] = labels
    else:
        labels = labels.reshape(len(labels), -1)
        own[:, : labels.shape[1]] = labels
    return packed if len(packed) > 1 else own


def _not_labelled(tasks, kind, num_examples, steps):
    if kind == "classes":
        return np.full((num_examples,), MISSING_CLASS, "int32")
    if kind == "tagging":
        return np.full((num_examples, steps), MISSING_CLASS, "int32")
    width = largest_size(tasks, kind)
    return np.full((num_examples, width) if width > 1 else (num_examples,), np.nan, "float32")
