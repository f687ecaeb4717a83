"""Loss and metric values per task, over labelled examples only.

Two things are worked out for every task: the sum of a function over its labelled
examples, and the sum of their weights. Means, totals and logs follow from these.
"""

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.kinds import KINDS
from keras_mtl.kinds.keras_names import reads_one_hot
from keras_mtl.layers.heads.standard_units import usable_scale
from keras_mtl.types import Tensor


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of labels and predictions.

    `elementwise` functions judge every element of a label on its own, so that a label
    may be missing in part; others see whole labels. `any_width` functions do not mind
    the padding of tasks that are narrower than others; others see a task's own width.
    `weigh(y)` is how much each label counts, or each element of one; `None` is 1. The loss of a
    task in a funnel is more than one function of its labels and predictions. `standard` ones see
    both in the standard units of the task.
    """

    function: Callable
    elementwise: bool = False
    any_width: bool = False
    weigh: Callable | None = None
    is_loss: bool = False
    standard: bool = False

    def in_standard_units(self) -> "Measure":
        """Returns the same of labels and predictions in standard units, which are a task's own."""
        return dataclasses.replace(self, any_width=False, standard=True)


def loss_measure(task: Any) -> Any:
    """Returns how the loss of a `Task` is measured."""
    measure = _loss_measure(task)
    return measure.in_standard_units() if task.standardize else measure


def _loss_measure(task: Any) -> Any:
    kind = KINDS[task.kind]
    weigh = None if task.class_weight is None else partial(_label_weights, task)
    if task.loss is None:
        loss = kind.loss
        if task.label_smoothing:
            loss = partial(kind.smoothed, smoothing=task.label_smoothing)
        measure = dataclasses.replace(_own_measure(task, loss), is_loss=True)
        plain = weigh is None and not task.label_smoothing
        return measure if plain else dataclasses.replace(measure, any_width=False, weigh=weigh)
    return Measure(_reading(task, keras.losses.get(task.loss)), weigh=weigh, is_loss=True)


def _reading(task: Any, judge: Any) -> Any:
    """Returns a loss or metric as a function of a task's labels and answers."""
    function = judge.call if isinstance(judge, keras.losses.Loss) else judge
    if not (task.has_classes and reads_one_hot(judge)):
        return function
    return lambda y, y_pred: function(ops.one_hot(y, y_pred.shape[-1]), y_pred)


def accuracy_measure(task: Any) -> Any:
    """Returns how the share of correct answers is measured; `None` of kinds that know none."""
    accuracy = KINDS[task.kind].metrics.get("accuracy")
    return None if accuracy is None else _own_measure(task, accuracy)


def _own_measure(task: Any, function: Any) -> Any:
    return Measure(function, elementwise=not task.has_classes, any_width=True)


def metric_measures(name: str, task: Any) -> Any:
    """Returns a dict, name in the logs -> `Measure` or Keras metric, of what a `Task` logs."""
    metrics = task.metrics
    if metrics is None:
        metrics = KINDS[task.kind].default_metrics
    measures = {}
    for metric, measure in (_metric(task, metric) for metric in metrics):
        if metric == "loss":
            raise ValueError(
                f"Task {name!r} has a metric named 'loss', as its loss is in the logs. Give it "
                "another name."
            )
        if metric in measures:
            raise ValueError(
                f"Task {name!r} has two metrics named {metric!r}. Give one of them another name, "
                "such as keras.metrics.AUC(..., name=...)."
            )
        measures[metric] = measure
    return measures


def _metric(task: Any, metric: Any) -> tuple[Any, Any]:
    short = metric.lower() if isinstance(metric, str) else None
    if short is not None and short in KINDS[task.kind].metrics:
        return short, _own_measure(task, KINDS[task.kind].metrics[short])
    resolved = keras.metrics.get(metric)
    if not isinstance(resolved, keras.metrics.Metric):
        return resolved.__name__, Measure(_reading(task, resolved))
    return _log_name(resolved, short), resolved


def _log_name(metric: Any, short: Any = None) -> Any:
    """Returns a metric's name, without the number by which Keras tells unnamed ones apart.

    The name of a log must not depend on how many metrics a process made before, nor on the
    case in which it is written: a short form such as `"mae"` stays, `"AUC"` is `"auc"`. An area
    under another curve is another metric, which must not be averaged with it.
    """
    name = re.sub(r"_\d+$", "", metric.name)
    if (
        type(metric) is keras.metrics.AUC
        and name == "auc"
        and metric.get_config()["curve"] != "ROC"
    ):
        return f"auc_{metric.get_config()['curve'].lower()}"
    kind = type(metric).__name__.lower()
    if short is not None and short.replace("_", "") != kind:
        return short
    return name if name.replace("_", "") == kind else metric.name


def laid_out(has_classes: Any, y: Any, y_pred: Any) -> Tensor:
    """Returns labels with the axes of predictions, class indices without the last.

    Labels of another number are an error, where a broadcast would go unnoticed.
    """
    shape = ops.shape(y_pred)
    y = ops.convert_to_tensor(y)  # torch's train_on_batch gives NumPy
    return ops.reshape(y, shape[:-1] if has_classes else shape)


def in_standard_units(y: Any, y_pred: Any, location: Any, scale: Any) -> tuple[Any, Any]:
    """Returns labels and predictions of a task in standard units."""
    scale = usable_scale(scale)
    return (ops.cast(y, "float32") - location) / scale, (y_pred - location) / scale


def labelled(task: Any, y: Any, size: Any) -> tuple[Any, Any, Any]:
    """Splits labels into what can be computed with, what is known, and what is wrong.

    Args:
        task: A `Task`, for its kind.
        y: Labels, laid out as predictions are; NaN (for classes also -1) = missing.
        size: The task's number of classes, a number or one per example.

    Returns:
        Labels with a harmless value where one is missing or wrong; a mask of labels that
        are known; a mask of labels that are no label of the task.
    """
    missing = ops.isnan(y) if "float" in keras.backend.standardize_dtype(y.dtype) else None
    if task.has_classes:
        if missing is not None:
            y = ops.where(missing, -1, y)
        index = ops.cast(y, "int32")
        changed = ops.not_equal(index, y)  # a fraction, or too large
        known = (index != -1) | changed
        wrong = known & (changed | (index < 0) | (index >= size))
        return ops.where(known & ~wrong, index, 0), known, wrong
    y = ops.cast(y, "float32")
    known = ops.ones_like(y, dtype="bool") if missing is None else ~missing
    wrong = known & ~KINDS[task.kind].is_label(y)
    return ops.where(known & ~wrong, y, 0.0), known, wrong


def per_example(measure: Any, task: Any, y: Any, y_pred: Any, size: Any) -> tuple[Any, Any]:
    """Returns the values of a measure and the 0/1 mask of those that count.

    There is one value for each example, of tasks per step one for each time step. Elementwise
    measures are averaged over the labelled elements of an example or step. A wrong label
    makes its value NaN: compiled code cannot raise, and no number would be right.
    """
    y, known, wrong = labelled(task, y, size)
    weight: Any = 1.0 if measure.weigh is None else measure.weigh(y)
    if measure.elementwise:
        values = ops.reshape(measure.function(y[..., None], y_pred[..., None]), ops.shape(y))
        count = ops.sum(ops.cast(known, values.dtype), axis=-1)
        own = ops.where(known, weight, 0.0)
        values = ops.sum(own * ops.where(known, values, 0.0), axis=-1)
        known, wrong = ops.any(known, axis=-1), ops.any(wrong, axis=-1)
        weight = ops.sum(own, axis=-1)
        values = values / ops.where(weight > 0, weight, 1.0)
        weight = weight / ops.maximum(count, 1.0)
    else:
        values = measure.function(y, y_pred)
        if not task.has_classes:
            weight = weight if measure.weigh is None else weight[..., 0]
            known, wrong = ops.all(known, axis=-1), ops.any(wrong, axis=-1)
        if task.per_step and len(values.shape) == 1 and known.shape[1] == 1:
            values = ops.expand_dims(values, axis=-1)  # some of Keras's drop an axis of one step
        _check_rank(measure.function, task, values, known)
    values = ops.where(wrong, float("nan"), ops.where(known, values, 0.0))
    return values, weight * ops.cast(known, values.dtype)


def _label_weights(task: Any, y: Any) -> Any:
    """Returns how much labels count in the loss of a `Task`, or each element of them."""
    table = ops.array(task.class_weight, dtype="float32")
    index = ops.cast(y, "int32")
    if task.has_classes or len(table.shape) == 1:
        return ops.take(table, index, axis=0)
    return ops.where(index == 1, table[:, 1], table[:, 0])


def _check_rank(function: Any, task: Any, values: Any, known: Any) -> None:
    if len(values.shape) != len(known.shape):
        unit = "time step" if task.per_step else "example"
        raise ValueError(
            f"{getattr(function, '__name__', function)!r} must return one value per {unit}, of "
            f"shape {tuple(known.shape)}. It returned shape {tuple(values.shape)}. Sums and means "
            "over the batch are taken afterwards, over what is labelled."
        )


def usable_weights(sample_weight: Any) -> Tensor:
    """Returns weights of examples as `(batch,)` float32, NaN for what is no weight."""
    weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
    return ops.where((weight >= 0) & (weight < float("inf")), weight, float("nan"))


def weighted(mask: Any, sample_weight: Any) -> Any:
    """Returns a mask of examples, or of their steps, times the `(batch,)` weights of examples."""
    if sample_weight is None:
        return mask
    # one row for each example: weights of another number do not broadcast in silence
    rows = (ops.shape(mask)[0],) + (1,) * (len(mask.shape) - 1)
    return mask * ops.reshape(ops.cast(sample_weight, mask.dtype), rows)


def weighted_sums(values: Any, mask: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Returns each example's weighted sum of values, and its sum of weights."""
    mask = weighted(mask, sample_weight)
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(values * mask, axis=axes), ops.sum(mask, axis=axes)


def means_of(totals: Any, counts: Any) -> Any:
    """Returns means of sums, of which some may be of nothing: 0."""
    return totals / ops.where(counts > 0, counts, 1.0)
