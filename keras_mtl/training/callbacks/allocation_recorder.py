"""Callbacks that look on while a network trains."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers import RoutingPolicy
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation


class AllocationRecorder(keras.callbacks.Callback):
    """Records the allocation probabilities at the start and after every epoch.

    Attributes:
        epochs: List of how many epochs were over at each record: 0 at the start (more in a
            run that goes on with an earlier one), then 1, 2, ...
        probabilities: List of the same length; each entry is a list of
            `(num_tasks, num_components)` arrays, one per routed layer.

    Example:

    >>> recorder = AllocationRecorder()
    >>> recorder.epochs
    []
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[Any] = []
        self.probabilities: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self.epochs:
            self._record(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._record(epoch + 1)

    def _record(self, epoch: int) -> None:
        learned = LearnedAllocation | RoutingPolicy
        layers = [layer for layer in self.model.layers if isinstance(layer, learned)]
        self.epochs.append(epoch)
        self.probabilities.append([ops.convert_to_numpy(layer.probabilities()) for layer in layers])
