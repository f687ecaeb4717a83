"""The loss of quantiles: what a share of the labels does not exceed."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class Quantile(keras.losses.Loss):
    """The pinball loss, by which an answer is the quantile of its label.

    With `q = 0.9` an answer that is too low costs 0.9 for each unit, one that is too high 0.1: it
    settles where 9 of 10 labels are below. `q = 0.5` is half the absolute error, the median. With
    the error `e = y_true - y_pred` a label costs `max(q e, (q - 1) e)`.

    Several quantiles are the values of one task, each with its label: `Task("regression", 3,
    loss=Quantile([0.1, 0.5, 0.9]))` has labels `(examples, 3)`, which may be one label three
    times. Nothing keeps the answers of one example in order.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978.

    Args:
        q: The share of labels below the answer, in (0, 1), or a list with one for each value of the
            task.
        **kwargs: `name`, `reduction` and `dtype`, as of `keras.losses.Loss`.

    Call arguments:
        y_true: Labels, `(..., size)`.
        y_pred: Answers of the same shape.

    Raises:
        ValueError: Shares that are not between 0 and 1, or none; in `Task`, a list of another
            length than its size.

    Example:

    >>> import keras_mtl
    >>> task = keras_mtl.Task("regression", loss=keras_mtl.Quantile(0.75), standardize=True)
    >>> float(task.loss([[3.0]], [[1.0]])), float(task.loss([[1.0]], [[3.0]]))
    (1.5, 0.5)
    """

    def __init__(self, q: Any, **kwargs: Any) -> None:
        super().__init__(**{"name": "quantile", **kwargs})
        several = isinstance(q, list | tuple | np.ndarray)
        if several and not len(q):
            raise ValueError(f"q must be a number in (0, 1), or a list of some. Received: {q!r}")
        shares = [checks.probability("q", each) for each in (q if several else [q])]
        self.q = shares if several else shares[0]

    def check_size(self, size: int) -> None:
        """Raises a `ValueError` for a list that has not one entry for each of `size` values."""
        if isinstance(self.q, list) and len(self.q) != size:
            raise ValueError(
                f"Quantile({self.q}) has {len(self.q)} quantiles for a task of size {size}. Give "
                f"one, or a list of {size}, or a task of size {len(self.q)}, whose labels are "
                f"(examples, {len(self.q)})."
            )

    def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        error = ops.convert_to_tensor(y_true, y_pred.dtype) - y_pred
        q = ops.convert_to_tensor(self.q, y_pred.dtype)
        return ops.mean(ops.where(error > 0, q * error, (q - 1.0) * error), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "q": self.q}
