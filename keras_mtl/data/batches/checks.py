"""Refusals of `task_batches`, in the words of its caller."""

from collections.abc import Mapping
from typing import Any

from keras_mtl import checks


def check_names(tasks: Any, data: Any) -> None:
    if not isinstance(data, Mapping) or not data:
        received = "an empty dict" if isinstance(data, Mapping) else type(data)
        raise ValueError(
            "data must be a dict, task name -> examples, with at least one of the tasks "
            f"{', '.join(tasks)}. Received: {received}"
        )
    unknown = [name for name in data if name not in tasks]
    if unknown:
        raise ValueError(
            f"data names {', '.join(map(repr, unknown))}, which tasks does not. "
            f"The tasks are {', '.join(tasks)}."
        )


def check_sequential(unknown: Any, steps_per_epoch: Any) -> None:
    if steps_per_epoch is not None:
        raise ValueError(
            'order="sequential" gives every example once, so steps_per_epoch cannot be set. '
            f"Received: steps_per_epoch={steps_per_epoch}"
        )
    if unknown:
        raise ValueError(
            f'order="sequential" needs data of known length, which the data of {unknown} do not '
            "have. Give arrays, or a tf.data.Dataset with tf.data.experimental.assert_cardinality."
        )


def check_training(unknown: Any, sampling: Any, steps_per_epoch: Any) -> None:
    if unknown and sampling != "uniform":
        raise ValueError(
            f"sampling={sampling!r} needs data of known length, which the data of {unknown} "
            'do not have. Use sampling="uniform".'
        )
    if unknown and steps_per_epoch is None:
        raise ValueError(
            f"The length of the data of {unknown} is not known. Give the number of batches "
            "in an epoch: task_batches(..., steps_per_epoch=...)."
        )
    if steps_per_epoch is not None:
        checks.count("steps_per_epoch", steps_per_epoch)
