"""Checks of arrays before compiled code sees them, where Python can still explain."""

from typing import Any

import keras
import numpy as np

from keras_mtl.data import AlternatingBatches, TaskBatches
from keras_mtl.data.arrays import as_array, as_sample_weight, is_tensor
from keras_mtl.data.labels import check_labels, label_array
from keras_mtl.training.inputs.forms import (
    check_form,
    check_is_dict,
    check_keys,
    check_steps,
    check_weight_shape,
    named_weights,
)

OWN_FORM = (AlternatingBatches, TaskBatches)  # made of data that were checked


def check_data(model: keras.Model, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Returns what `fit` or `evaluate` was given, lists of numbers and masked labels as arrays.

    Of data sets only what the backend looks at itself before it trains: an `element_spec`, on
    TensorFlow the first batch of a `PyDataset`.

    Raises:
        ValueError: What does not fit the model.
    """
    if y is not None or is_array(x):
        return check_arrays(model, x, y, sample_weight)
    for part in getattr(x, "parts", ()):  # of alternating batches
        if hasattr(part, "arrays"):
            part.arrays = check_arrays(model, *part.arrays)[: len(part.arrays)]
    first = _first(x)
    if first is not None:
        _, *labels = keras.utils.unpack_x_y_sample_weight(first)
        check_form(model, *labels)
    return x, y, sample_weight


def _first(data: Any) -> Any:
    """Returns the first batch of a data set, or a description of it, if that has no price."""
    if hasattr(data, "element_spec"):
        return data.element_spec
    if keras.backend.backend() != "tensorflow" or not isinstance(data, keras.utils.PyDataset):
        return None
    return None if isinstance(data, OWN_FORM) or data.num_batches == 0 else data[0]


def check_arrays(
    model: keras.Model, x: Any, y: Any, sample_weight: Any = None
) -> tuple[Any, Any, Any]:
    """Returns `(x, y, sample_weight)` as arrays that fit a model.

    Raises:
        ValueError: Arrays that do not.
    """
    x = check_inputs(model, x)
    if model.task_data == "separate":
        raise ValueError(
            "This model's tasks have separate data: each example belongs to one task. Make "
            "batches with keras_mtl.task_batches(tasks, {name: (x, y), ...}, batch_size=...) and "
            "call fit(batches), without y."
        )
    check_is_dict(model.tasks, y)
    check_keys(model.tasks, y, "y", "NaN labels")
    y = {name: label_array(f'The labels of task "{name}"', y[name]) for name in model.tasks}
    for name, task in model.tasks.items():
        labels = check_labels(name, task, y[name])
        if task.per_step:
            check_steps(f'Task "{name}"', model.output[name].shape[1], labels.shape[1])
    return x, y, _check_weights(model, sample_weight, len(next(iter(y.values()))))


def check_batch(model: keras.Model, x: Any, y: Any, sample_weight: Any = None) -> Any:
    """Returns what `train_on_batch` was given, lists of numbers and masked labels as arrays.

    Raises:
        ValueError: What does not fit the model.
    """
    if y is None or any(map(is_tensor, keras.tree.flatten((y, sample_weight)))):
        return x, y, sample_weight  # its form is checked while the step is traced
    if model.task_data == "shared":
        return check_arrays(model, x, y, sample_weight)
    x = check_inputs(model, x)
    if isinstance(y, dict):
        y = {kind: label_array(f"The labels of kind {kind!r}", y[kind]) for kind in y}
    else:
        y = label_array("The labels", y)
    return x, y, _check_weights(model, sample_weight, len(x["task_id"]))


def is_array(x: Any) -> bool:
    """Returns whether `x` is an array, or a list or dict of arrays, and no data set with labels."""
    return isinstance(x, dict | list) or hasattr(x, "shape")


def check_inputs(model: keras.Model, x: Any) -> Any:
    """Returns inputs as arrays.

    Raises:
        ValueError: The structure or shape of `x` is not the model's.
    """
    return _check_input("x", model.input, x)


def _check_input(name: str, wanted: Any, x: Any) -> Any:
    if isinstance(wanted, dict):
        if not isinstance(x, dict) or set(x) != set(wanted):
            came = sorted(x) if isinstance(x, dict) else type(x).__name__
            raise ValueError(
                f"{name} must be a dict with the keys {sorted(wanted)}. Received: {came}"
            )
        return {key: _check_input(f"{name}[{key!r}]", wanted[key], x[key]) for key in x}
    if not keras.backend.is_keras_tensor(wanted):
        return x
    if isinstance(x, list) or np.ma.is_masked(x):
        x = as_array(f"The values of {name}", x)
    _check_shape(name, wanted.shape, x)
    return x


def _check_shape(name: str, wanted: Any, value: Any) -> None:
    shape = np.shape(value)
    fits = len(shape) == len(wanted) and all(
        size in (None, came) for size, came in zip(wanted[1:], shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape {tuple(wanted)}, with None for any size. Received: {shape}"
        )


def _check_weights(model: keras.Model, sample_weight: Any, num_examples: int) -> Any:
    weights = {
        owner: as_sample_weight(owner, weight)
        for owner, weight in named_weights(model, sample_weight).items()
    }
    for owner, weight in weights.items():
        check_weight_shape(owner, weight.shape)
        if weight.shape != (num_examples,):
            raise ValueError(
                f"{owner} must be one number per example, shape {(num_examples,)}. "
                f"Received: {weight.shape}"
            )
    if isinstance(sample_weight, dict):
        return dict(zip(model.tasks, weights.values(), strict=True))
    return weights.get("sample_weight")
