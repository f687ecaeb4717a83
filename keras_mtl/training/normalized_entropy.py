"""How much better probabilities are than the mean label alone."""

from typing import Any

import keras
from keras import ops

_LEAST = 1e-7  # probability of what happened, as Keras's cross-entropy has it


@keras.saving.register_keras_serializable("keras_mtl")
class NormalizedEntropy(keras.metrics.Metric):
    """Log loss over the entropy of the mean label, which a constant answer would have.

    Below 1 a network knows more than how frequent the label is; less is better, and rates that
    differ from data set to data set can be compared. Where all labels are one the entropy is 0,
    and the metric NaN.

    Source: He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014,
    section 3.

    Args:
        name: Its name in the logs, after that of the task. Defaults to `"normalized_entropy"`.
        dtype: Of its sums. Defaults to `None`, that of Keras.

    Example:

    >>> metric = NormalizedEntropy()
    >>> metric.update_state([0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25])
    >>> round(float(metric.result()), 4)
    1.0
    >>> task = keras_mtl.Task("binary", metrics=["auc", NormalizedEntropy()])
    """

    def __init__(self, name: str = "normalized_entropy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = self.add_weight(shape=(), initializer="zeros", name="loss")
        self.ones = self.add_weight(shape=(), initializer="zeros", name="ones")
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels 0 and 1, probabilities of 1, and a weight for each or none."""
        y, p = (ops.reshape(ops.cast(part, self.dtype), (-1,)) for part in (y_true, y_pred))
        weight = ops.ones_like(y)
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        likelihood = ops.where(y > 0.5, p, 1.0 - p)
        self.loss.assign_add(-ops.sum(weight * ops.log(ops.maximum(likelihood, _LEAST))))
        self.ones.assign_add(ops.sum(weight * y))
        self.weight.assign_add(ops.sum(weight))

    def result(self) -> Any:
        rate = self.ones / self.weight
        entropy = -rate * ops.log(rate) - (1.0 - rate) * ops.log1p(-rate)
        return self.loss / self.weight / entropy
