"""The Tweedie loss and deviance: amounts that are often 0, and otherwise of any size."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor

POWER = 1.5
_LOWEST_AMOUNT = 1e-15  # below which a wrong answer learns nothing: gradients stay finite


@keras.saving.register_keras_serializable("keras_mtl")
class Tweedie(keras.losses.Loss):
    """The negative log-likelihood of a Tweedie distribution, for amounts such as spend.

    With the expected amount `m` and a power `p` between 1 and 2 the variance is proportional to
    `m ** p`, and there is a lump of zeros: sums of Gamma-distributed amounts, as many as a Poisson
    variable says. Towards 1 large amounts count more, towards 2 relative errors count alike. A
    label `y` costs

        -y m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p),

    which leaves out what depends on labels alone, and the dispersion. It is least at `m = y`.

    Source: Jørgensen, "Exponential Dispersion Models", Journal of the Royal Statistical Society B
    49, 1987; the deviance of `sklearn.metrics.mean_tweedie_deviance` is twice what this exceeds the
    least by.

    Args:
        power: `p`, in (1, 2). Defaults to 1.5.
        **kwargs: `name`, `reduction` and `dtype`, as of `keras.losses.Loss`.

    Call arguments:
        y_true: Amounts of at least 0, `(..., size)`.
        y_pred: Expected amounts above 0, of the same shape.

    Raises:
        ValueError: A power that is not between 1 and 2.

    Example:

    >>> import keras_mtl
    >>> task = keras_mtl.Task("amount", loss=keras_mtl.Tweedie(1.2))
    >>> float(keras_mtl.Tweedie(1.5)([[4.0]], [[4.0]]))  # 2 * 4 / 2 + 2 * 2
    8.0
    """

    def __init__(self, power: float = POWER, **kwargs: Any) -> None:
        super().__init__(**{"name": "tweedie", **kwargs})
        self.power = checks.number("power", power, above=1, below=2)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        return tweedie(ops.convert_to_tensor(y_true, y_pred.dtype), y_pred, self.power)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}


def tweedie(y: Any, y_pred: Any, power: float = POWER) -> Any:
    """Returns the mean over the last axis of what `Tweedie` says."""
    log = ops.log(_at_least_lowest(y_pred))
    rate, severity = ops.exp((1.0 - power) * log), ops.exp((2.0 - power) * log)
    return ops.mean(severity / (2.0 - power) - y * rate / (1.0 - power), axis=-1)


def tweedie_deviance(y: Any, y_pred: Any) -> Any:
    """Returns the mean over the last axis of the deviance of power 1.5, at least 0.

    It is twice what `tweedie` exceeds that of the best answer, `y` itself, by:
    `4 (sqrt(y) - sqrt(y_pred)) ** 2 / sqrt(y_pred)`.
    """
    root = ops.sqrt(_at_least_lowest(y_pred))
    return 4.0 * ops.mean(ops.square(ops.sqrt(y) - root) / root, axis=-1)


def _at_least_lowest(y_pred: Any) -> Tensor:
    return ops.where(y_pred < _LOWEST_AMOUNT, _LOWEST_AMOUNT, y_pred)
