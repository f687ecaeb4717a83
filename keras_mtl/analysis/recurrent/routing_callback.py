"""A callback that records routing over time after each epoch."""

from typing import Any

import keras

from keras_mtl.analysis.recurrent.decisions import decision_network, open_counts, required_encoder
from keras_mtl.analysis.recurrent.routing import shares_over_time


class RoutingRecorder(keras.callbacks.Callback):
    """Records the tasks' routing of some examples at the start and after every epoch.

    Each epoch costs one more prediction of these examples.

    Args:
        x: As for `keras_mtl.routing_over_time`.

    Attributes:
        epochs: List of how many epochs were over at each record: 0 at the start (more in a
            run that goes on with an earlier one), then 1, 2, ...
        routing: List of the same length, of what `keras_mtl.routing_over_time` returned.

    Raises:
        ValueError: As for `keras_mtl.routing_over_time`, when `fit` begins.

    Example:

    >>> import numpy as np
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"a": 3}, num_cells=1, cell_units=6,
    ...     num_sub_encoders=(3,), units=(5,))
    >>> model.compile("adam", jit_compile=False)
    >>> x, recorder = np.ones((8, 3, 4)), RoutingRecorder(np.ones((5, 3, 4)))
    >>> _ = model.fit(x, {"a": np.zeros(8, int)}, epochs=2, verbose=0, callbacks=[recorder])
    >>> recorder.epochs, recorder.routing[-1]["a"].shape
    ([0, 1, 2], (3, 1, 3))
    """

    def __init__(self, x: Any) -> None:
        super().__init__()
        self.x = x
        self.epochs: list[Any] = []
        self.routing: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._network = decision_network(self.model)  # one for all epochs, compiled once

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self.epochs:
            self._record(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._record(epoch + 1)

    def _record(self, epoch: int) -> None:
        counts = open_counts(self.model, self._network, self.x)
        self.epochs.append(epoch)
        sizes = required_encoder(self.model).cell.num_sub_encoders
        self.routing.append(shares_over_time(counts, sizes))
