"""Loss and metric values per task, over labelled examples only.

Two things are worked out for every task: the sum of a function over its labelled
examples, and the sum of their weights. Means, totals and logs follow from these.
"""

import dataclasses
import re
from collections.abc import Callable

import keras
from keras import ops

_LOWEST_PROBABILITY = 1e-30  # Keras stops at 1e-7, below which a wrong answer learns nothing


def cross_entropy(y, y_pred):
    """Returns minus the natural logarithm of the probability of each class index in `y`."""
    probability = ops.take_along_axis(y_pred, ops.expand_dims(y, axis=-1), axis=-1)[..., 0]
    lowest = probability < _LOWEST_PROBABILITY
    return -ops.log(ops.where(lowest, _LOWEST_PROBABILITY, probability))


_LOSSES = {
    "classes": cross_entropy,
    "tagging": cross_entropy,
    "binary": keras.losses.binary_crossentropy,
    "multilabel": keras.losses.binary_crossentropy,
    "regression": keras.losses.mean_squared_error,
}
_ACCURACIES = {
    "classes": keras.metrics.sparse_categorical_accuracy,
    "tagging": keras.metrics.sparse_categorical_accuracy,
    "binary": keras.metrics.binary_accuracy,
    "multilabel": keras.metrics.binary_accuracy,
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of labels and predictions.

    `elementwise` functions judge every element of a label on its own, so that a label
    may be missing in part; others see whole labels. `any_width` functions do not mind
    the padding of tasks that are narrower than others; others see a task's own width.
    """

    function: Callable
    elementwise: bool = False
    any_width: bool = False


def loss_measure(task):
    """Returns how the loss of a `Task` is measured."""
    if task.loss is None:
        return _own_measure(task, _LOSSES[task.kind])
    loss = keras.losses.get(task.loss)
    return Measure(loss.call if isinstance(loss, keras.losses.Loss) else loss)


def accuracy_measure(task):
    """Returns how the share of correct answers of a `Task` is measured; `None` of regression."""
    return _own_measure(task, _ACCURACIES[task.kind]) if task.kind in _ACCURACIES else None


def _own_measure(task, function):
    return Measure(function, elementwise=not task.has_classes, any_width=True)


def metric_measures(name, task):
    """Returns a dict, name in the logs -> `Measure` or Keras metric, of what a `Task` logs."""
    metrics = task.metrics
    if metrics is None:
        metrics = ["mae" if task.kind == "regression" else "accuracy"]
    measures = {}
    for metric, measure in (_metric(task, metric) for metric in metrics):
        if metric in measures:
            raise ValueError(
                f"Task {name!r} has two metrics named {metric!r}. Give one of them another name, "
                "such as keras.metrics.AUC(..., name=...)."
            )
        measures[metric] = measure
    return measures


def _metric(task, metric):
    if metric == "accuracy" and task.kind in _ACCURACIES:
        return metric, accuracy_measure(task)
    if metric in ("mae", "mse") and task.kind == "regression":
        function = keras.losses.mean_absolute_error if metric == "mae" else _LOSSES["regression"]
        return metric, _own_measure(task, function)
    resolved = keras.metrics.get(metric)
    if not isinstance(resolved, keras.metrics.Metric):
        return resolved.__name__, Measure(resolved)
    return metric if isinstance(metric, str) else _log_name(resolved), resolved


def _log_name(metric):
    """Returns a metric's name, without the number by which Keras tells unnamed ones apart.

    The name of a log must not depend on how many metrics a process made before.
    """
    name = re.sub(r"_\d+$", "", metric.name)
    unnamed = name.replace("_", "") == type(metric).__name__.lower()
    return name if unnamed else metric.name


def labelled(task, y, y_pred, size):
    """Splits labels into what can be computed with, what is known, and what is wrong.

    Args:
        task: A `Task`, for its kind.
        y: Labels, `(batch,)` or with further axes; NaN (for classes also -1) = missing.
        y_pred: Predictions, for their rank.
        size: The task's number of classes, a number or one per example.

    Returns:
        Labels with a harmless value where one is missing or wrong, class indices without
        and other labels with a last axis; a mask of labels that are known; a mask of
        labels that are no label of the task.
    """
    y = ops.convert_to_tensor(y)  # torch's train_on_batch gives NumPy
    same_rank = len(y.shape) == len(y_pred.shape)
    if task.has_classes and same_rank:
        y = ops.squeeze(y, axis=-1)
    elif not task.has_classes and not same_rank:
        y = ops.expand_dims(y, axis=-1)
    missing = ops.isnan(y) if "float" in keras.backend.standardize_dtype(y.dtype) else None
    if task.has_classes:
        if missing is not None:
            y = ops.where(missing, -1, y)
        index = ops.cast(y, "int32")
        changed = ops.not_equal(index, y)  # a fraction, or too large
        known = (index != -1) | changed
        wrong = known & (changed | (index < 0) | (index >= size))
        return ops.where(known & ~wrong, index, 0), known, wrong
    if missing is None:
        y = ops.cast(y, "float32")
        missing = ops.zeros_like(y, dtype="bool")
    wrong = ops.zeros_like(missing)
    if task.kind in ("binary", "multilabel"):
        wrong = ~missing & (y != 0) & (y != 1)
    return ops.where(missing | wrong, 0.0, ops.cast(y, "float32")), ~missing, wrong


def per_example(measure, task, y, y_pred, size):
    """Returns the values of a measure and the 0/1 mask of those that count.

    There is one value for each example, of tasks per step one for each time step. Elementwise
    measures are averaged over the labelled elements of an example or step. A wrong label
    makes its value NaN: compiled code cannot raise, and no number would be right.
    """
    y, known, wrong = labelled(task, y, y_pred, size)
    if measure.elementwise:
        values = ops.reshape(measure.function(y[..., None], y_pred[..., None]), ops.shape(y))
        count = ops.sum(ops.cast(known, values.dtype), axis=-1)
        values = ops.sum(ops.where(known, values, 0.0), axis=-1) / ops.maximum(count, 1.0)
        known, wrong = ops.any(known, axis=-1), ops.any(wrong, axis=-1)
    else:
        values = measure.function(y, y_pred)
        if not task.has_classes:
            known, wrong = ops.all(known, axis=-1), ops.any(wrong, axis=-1)
        if task.per_step and len(values.shape) == 1 and known.shape[1] == 1:
            values = ops.expand_dims(values, axis=-1)  # some of Keras's drop an axis of one step
        _check_rank(measure.function, task, values, known)
    values = ops.where(wrong, float("nan"), ops.where(known, values, 0.0))
    return values, ops.cast(known, values.dtype)


def _check_rank(function, task, values, known):
    if len(values.shape) != len(known.shape):
        unit = "time step" if task.per_step else "example"
        raise ValueError(
            f"{getattr(function, '__name__', function)!r} must return one value per {unit}, of "
            f"shape {tuple(known.shape)}. It returned shape {tuple(values.shape)}. Sums and means "
            "over the batch are taken afterwards, over what is labelled."
        )


def weighted_sums(values, mask, sample_weight):
    """Returns each example's weighted sum of values, and its sum of weights."""
    if sample_weight is not None:
        weight = ops.cast(sample_weight, values.dtype)
        mask = mask * ops.reshape(weight, (-1,) + (1,) * (len(mask.shape) - 1))
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(values * mask, axis=axes), ops.sum(mask, axis=axes)
