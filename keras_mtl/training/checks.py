"""Checks of arrays before compiled code sees them, where Python can still explain."""

import keras
import numpy as np

from keras_mtl.data.labels import check_labels


def check_arrays(model, x, y, sample_weight=None):
    """Raises a `ValueError` when arrays given to `fit` or `evaluate` do not fit a model.

    Data sets of other kinds (`tf.data`, `PyDataset`, generators) pass unchecked.
    """
    if y is None and not _is_array(x):
        return
    check_inputs(model, x)
    if model.task_data == "shared":
        _check_shared_labels(model, y)
        _check_sample_weight(model.tasks, sample_weight, (len(next(iter(y.values()))),))
        return
    raise ValueError(
        "This model's tasks have separate data: each example belongs to one task. Make batches "
        "with keras_mtl.task_batches(tasks, {name: (x, y), ...}, batch_size=...) and call "
        "fit(batches), without y."
    )


def _is_array(x):
    """Whether `x` is an array or a dict of arrays, and no data set that holds labels too."""
    return isinstance(x, dict) or hasattr(x, "shape")


def check_inputs(model, x):
    """Raises a `ValueError` when the structure or shape of `x` is not the model's."""
    _check_input("x", model.input, x)


def _check_input(name, wanted, x):
    if isinstance(wanted, dict):
        if not isinstance(x, dict) or set(x) != set(wanted):
            came = sorted(x) if isinstance(x, dict) else type(x).__name__
            raise ValueError(
                f"{name} must be a dict with the keys {sorted(wanted)}. Received: {came}"
            )
        for key, tensor in wanted.items():
            _check_input(f"{name}[{key!r}]", tensor, x[key])
    elif keras.backend.is_keras_tensor(wanted):
        _check_shape(name, wanted.shape, x)


def _check_shape(name, wanted, value):
    shape = np.shape(value)
    fits = len(shape) == len(wanted) and all(
        size in (None, came) for size, came in zip(wanted[1:], shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape {tuple(wanted)}, with None for any size. Received: {shape}"
        )


def _check_shared_labels(model, y):
    tasks = model.tasks
    if not isinstance(y, dict):
        raise ValueError(
            f"y must be a dict with an array for every task: {', '.join(tasks)}. "
            f"Received: {type(y).__name__}"
        )
    _check_keys(tasks, y, "y", "NaN labels")
    for name, task in tasks.items():
        labels = check_labels(name, task, y[name])
        if task.per_step:
            _check_steps(name, model.output[name].shape[1], labels.shape[1])


def _check_steps(name, wanted, came):
    if wanted not in (None, came):
        raise ValueError(
            f'Task "{name}" is predicted at {wanted} time steps. Received labels of {came} steps. '
            "Pad them with NaN, or cut them."
        )


def _check_sample_weight(tasks, sample_weight, wanted):
    if isinstance(sample_weight, dict):
        _check_keys(tasks, sample_weight, "sample_weight", "ones")
        weights = {f"sample_weight[{task!r}]": sample_weight[task] for task in tasks}
    else:
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    for name, weight in weights.items():
        if np.shape(weight) != wanted:
            raise ValueError(
                f"{name} must be one number per example, shape {wanted}. "
                f"Received: {np.shape(weight)}"
            )


def _check_keys(tasks, given, name, filler):
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
