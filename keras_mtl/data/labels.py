"""Labels of one task: checked, given their dtype, and laid out beside other tasks'."""

from typing import Any

import numpy as np

from keras_mtl.data.arrays import as_numbers, first_of
from keras_mtl.kinds import KINDS, MISSING_CLASS
from keras_mtl.tasks import kinds_of, largest_size


def check_labels(name: str, task: Any, labels: Any) -> Any:
    """Returns the labels of a task as int32 (classes, tagging) or float32.

    NaN class labels become -1, a last axis of size 1 of labels of one value is dropped. What
    a `numpy.ma` array hides is not labelled.

    Args:
        name: Name of the task, for messages.
        task: A `keras_mtl.Task`.
        labels: Array-like, the first axis is the example.

    Returns:
        Array of shape `(n,)`, or `(n, size)` for multilabel and regression tasks of a
        size above 1; for tasks per step `(n, steps)` or `(n, steps, size)`.

    Raises:
        ValueError: A wrong shape, or a value that is no label of the task.
    """
    labels = label_array(f'The labels of task "{name}"', labels)
    check_label_shape(f'Task "{name}"', task, labels.shape)
    if one_value(task) and labels.ndim > num_axes(task):
        labels = labels[..., 0]
    missing = np.isnan(labels)
    kind = KINDS[task.kind]
    if kind.has_classes:
        allowed = (labels >= MISSING_CLASS) & (labels < task.size) & (labels == np.floor(labels))
        _check_values(
            name, labels, allowed | missing, f"0 to {task.size - 1} (-1 or NaN: not labelled)"
        )
        return np.where(missing, float(MISSING_CLASS), labels).astype(kind.dtype)
    with np.errstate(invalid="ignore"):  # infinity has no remainder
        allowed = kind.is_label(labels) | missing
    _check_values(name, labels, allowed, f"{kind.labels} (NaN: not labelled)")
    return labels.astype(kind.dtype)


def label_array(owner: Any, labels: Any) -> Any:
    """Returns labels as an array of numbers, NaN where a `numpy.ma` array hides one."""
    if np.ma.is_masked(labels):
        labels = labels.astype("float64").filled(np.nan)
    return as_numbers(owner, labels)


def num_axes(task: Any) -> Any:
    """Returns how many axes come before that of a label's values: examples, and steps."""
    return 2 if task.per_step else 1


def one_value(task: Any) -> Any:
    """Returns whether a label is a number, which needs no axis of its own."""
    return task.has_classes or task.size == 1


def check_label_shape(owner: Any, task: Any, shape: Any) -> None:
    """Raises a `ValueError` when labels have another shape than a task's.

    Args:
        owner: Whose labels they are, for messages.
        task: A `keras_mtl.Task`.
        shape: Tuple, `None` for a size that is not known.
    """
    axes = ("examples", "steps")[: num_axes(task)]
    rest = () if one_value(task) else (task.size,)
    came = shape[len(axes) :]
    if one_value(task) and came in ((1,), (None,)):
        return
    fits = len(shape) == len(axes) + len(rest)
    if not fits or any(size not in (None, own) for size, own in zip(came, rest, strict=True)):
        expected = ", ".join(map(str, axes + rest)) + ("," if len(axes + rest) == 1 else "")
        one_hot = task.has_classes and len(shape) > len(axes)
        raise ValueError(
            f"{owner} ({task.kind}, size {task.size}) expects labels of shape ({expected}). "
            f"Received labels of shape {shape}."
            + (" For one-hot labels use labels.argmax(-1)." if one_hot else "")
        )


def _check_values(name: str, labels: Any, allowed: Any, expected: Any) -> None:
    if not allowed.all():
        value, index = first_of(labels, ~allowed)
        raise ValueError(
            f'Task "{name}" expects labels {expected}. Received: {value} at index {index}'
        )


def pack_labels(tasks: Any, name: str, labels: Any, steps: Any) -> Any:
    """Returns one task's checked labels as every batch holds them.

    That is one array when all of `tasks` are of one kind, else `{kind: array}`.
    An array is as wide as the largest task of its kind, and has an axis of steps when
    these are per step. What is not this task's is -1 (classes, tagging) or NaN: not labelled.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`.
        name: The task that `labels` belong to.
        labels: What `check_labels` returned.
        steps: Number of time steps of labels per step.

    Example:

    >>> from keras_mtl.tasks import as_tasks
    >>> tasks = as_tasks({"age": 5, "height": "regression"})
    >>> packed = pack_labels(tasks, "age", np.array([4, 0], "int32"), steps=None)
    >>> packed["classes"], packed["regression"]
    (array([4, 0], dtype=int32), array([nan, nan], dtype=float32))
    """
    packed = {kind: _not_labelled(tasks, kind, len(labels), steps) for kind in kinds_of(tasks)}
    own = packed[tasks[name].kind]
    if own.shape == labels.shape:
        own[:] = labels
    else:
        labels = labels.reshape(*own.shape[:-1], -1)
        own[..., : labels.shape[-1]] = labels
    return packed if len(packed) > 1 else own


def _not_labelled(tasks: Any, kind: Any, num_examples: int, steps: Any) -> Any:
    alike = [task for task in tasks.values() if task.kind == kind]
    shape = (num_examples, steps) if alike[0].per_step else (num_examples,)
    width = 1 if alike[0].has_classes else largest_size(tasks, kind)
    shape = (*shape, width) if width > 1 else shape
    return np.full(shape, KINDS[kind].missing, KINDS[kind].dtype)


def check_one_array_per_kind(tasks: Any) -> None:
    """Raises a `ValueError` when some tasks of a kind are per step and others are not."""
    first: dict[Any, Any] = {}
    for name, task in tasks.items():
        other = first.setdefault(task.kind, name)
        if tasks[other].per_step != task.per_step:
            raise ValueError(
                f'Tasks "{other}" and "{name}" are both of kind {task.kind!r}, but only '
                f'"{name if task.per_step else other}" has a label at every time step. Separate '
                "data have one array of labels for each kind. Use shared data, with NaN where an "
                "example has no label, or a model for each of the two."
            )
