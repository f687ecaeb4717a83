"""What a network of a search costs, as a log that a tuner can keep low."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import sharing_report

COSTS = ("parameters", "flops")


def cost_of(model: keras.Model, name: str) -> float:
    """Returns the parameters or FLOPs that a task needs of a network, in the mean of all tasks."""
    return float(np.mean(list(getattr(sharing_report(model), name).values())))


class CostLog(keras.callbacks.Callback):
    """Logs `cost`: what a network would cost if it were frozen now, as a share of a whole.

    Args:
        name: `"parameters"` or `"flops"`.
        whole: What a cost of 1 is.
    """

    def __init__(self, name: str, whole: float) -> None:
        super().__init__()
        self.name, self.whole = name, whole

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["cost"] = cost_of(self.model, self.name) / self.whole
