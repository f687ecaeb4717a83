"""The policy over blocks that validation chooses, of those that may be taken."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.layers import BlockPolicy


class BestPolicy(keras.callbacks.Callback):
    """Goes back, when training ends, to the epoch whose policy over blocks was best in validation.

    Only epochs count at whose end every block may be skipped and draws are nearly 0 or 1, at a
    temperature of at most 0.2: what a network answers before, with all blocks or with parts of
    them, says nothing about the policy. `keras_mtl.sample_policy` then draws from the best one.

    Source: Sun et al., "AdaShare", NeurIPS 2020, whose code keeps no best state before all blocks
    are free; that the temperature counts too is ours.

    Args:
        monitor: Log that is watched. `"val_loss"` is the tasks' losses and the penalties, at the
            likely choices. Defaults to `"val_loss"`.
        mode: `"min"` or `"max"`. Defaults to `"min"`.

    Attributes:
        epoch: The epoch that was chosen, which count from 0, or `None`.

    Raises:
        ValueError: An unknown mode; in `fit`, a model without a policy over blocks, logs without
            `monitor`.

    Warns:
        UserWarning: Training ended before a policy could be taken; the network stays as it is.

    Example:

    >>> callbacks = [BestPolicy("val_mean_accuracy", mode="max")]
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "min") -> None:
        super().__init__()
        if not isinstance(monitor, str) or not monitor:
            raise ValueError(
                f'monitor must be the name of a log, such as "val_loss". Received: {monitor!r}'
            )
        self.monitor = monitor
        self.mode = checks.word("mode", mode, ("min", "max"))
        self.epoch: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._policies = [x for x in self.model.layers if isinstance(x, BlockPolicy)]
        if not self._policies:
            raise ValueError(
                f"BestPolicy chooses a policy over blocks, and model {self.model.name!r} learns "
                "none. Give it to fit of a model of keras_mtl.build_adashare."
            )
        self.epoch, self._best = None, np.inf

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"BestPolicy watches {self.monitor!r}, which the logs do not have. They have: "
                f"{', '.join(sorted(logs))}. Names with val_ need validation_data."
            )
        if any(policy.why_not_yet() for policy in self._policies):
            return
        cost = logs[self.monitor] if self.mode == "min" else -logs[self.monitor]
        if cost < self._best:
            self.epoch, self._best = epoch, cost
            self._weights = self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        if self.epoch is not None:
            self.model.set_weights(self._weights)
            return
        reasons = {why for policy in self._policies if (why := policy.why_not_yet())}
        warnings.warn(
            "BestPolicy found no epoch whose policy could be taken: "
            f"{'; '.join(sorted(reasons)) or 'its log was never a number'}. Train for more cycles.",
            stacklevel=2,
        )
