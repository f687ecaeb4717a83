"""Batches for weights and for the policy in turns, each from its own part of the data."""

from typing import Any

import keras

from keras_mtl.data.batches.array_batches import ArrayBatches
from keras_mtl.data.batches.task_batches import TaskBatches


def alternating_batches(
    weights_part: Any,
    policy_part: Any,
    phases: Any,
    batch_size: int | None = None,
    seed: int | None = 0,
) -> Any:
    """Gives weights and policy batches of their own part of the training data, in turns.

    An epoch is a cycle of `phases`. Batches of the warm-up are of the first part. Each part goes
    round and round, reshuffled after every pass, and goes on where its last phase ended.

    Source: Sun et al., "AdaShare", NeurIPS 2020, section 3, which cuts its training data 80 to 20.

    Args:
        weights_part: `(x, y)` or `(x, y, sample_weight)` of shared data, or what
            `keras_mtl.task_batches` returns.
        policy_part: The same.
        phases: `keras_mtl.PolicyPhases`, those of the builder and of the optimizer.
        batch_size: Examples of a batch, of arrays. Defaults to `None`, for task batches, which
            know theirs.
        seed: Integer seed of the shuffling, of arrays. Defaults to 0.

    Returns:
        An `AlternatingBatches`, for `fit`.

    Raises:
        ValueError: Parts of different forms, arrays of different lengths, no batch size, fewer
            examples than a batch.

    Example:

    >>> import numpy as np
    >>> from keras_mtl import PolicyPhases
    >>> weights = (np.zeros((8, 2)), {"a": np.zeros(8)})
    >>> policy = (np.ones((4, 2)), {"a": np.ones(4)})
    >>> batches = alternating_batches(weights, policy, PolicyPhases(0, 2, 1), batch_size=4)
    >>> [float(batches[index][0][0, 0]) for index in range(len(batches))]
    [0.0, 0.0, 1.0]
    """
    parts = (weights_part, policy_part)
    if all(isinstance(part, TaskBatches) for part in parts):
        return AlternatingBatches(weights_part, policy_part, phases)
    if any(isinstance(part, TaskBatches) for part in parts) or not all(
        isinstance(part, tuple) and len(part) in (2, 3) for part in parts
    ):
        raise ValueError(
            "Both parts must be (x, y) or (x, y, sample_weight) arrays, or both what "
            f"keras_mtl.task_batches returns. Received: {[type(part).__name__ for part in parts]}"
        )
    first, second = (FullBatches(part, batch_size, [seed, n]) for n, part in enumerate(parts))
    return AlternatingBatches(first, second, phases)


class AlternatingBatches(keras.utils.PyDataset):
    """The batches that `alternating_batches` makes.

    They are a pure function of the seeds and `first_step`, the number of batches before those of
    the epoch. The models of this package set it in `fit` to what their optimizer has counted, so
    that batches and optimizer are in the same phase, in a second `fit` or a resumed run too.
    `epoch` says the same in cycles.

    Args:
        weights_part: Batches of the first part: an object with `epoch`, a length and indices.
        policy_part: The same of the second.
        phases: `keras_mtl.PolicyPhases`.
    """

    def __init__(self, weights_part: Any, policy_part: Any, phases: Any) -> None:
        super().__init__()
        self.parts = (weights_part, policy_part)
        self.phases = phases
        self.epoch = 0

    @property
    def epoch(self) -> Any:
        return self.first_step // len(self)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.first_step = epoch * len(self)

    def __len__(self) -> int:
        return self.phases.cycle_length

    def __getitem__(self, index: int) -> Any:
        step = self.first_step + index
        cycle, in_cycle = divmod(max(step - self.phases.warm_up, 0), len(self))
        learned = self.phases.policy * cycle + max(in_cycle - self.phases.weights, 0)
        policy_learns = bool(self.phases.policy_learns(step))
        part = self.parts[policy_learns]
        part.epoch, its_index = divmod(learned if policy_learns else step - learned, len(part))
        return part[its_index]


class FullBatches(ArrayBatches):
    """Full batches of arrays alone."""

    def __init__(self, arrays: Any, batch_size: int | None, seed: Any) -> None:
        super().__init__(arrays, batch_size, seed)
        lengths = sorted({len(array) for array in keras.tree.flatten(arrays)})
        if len(lengths) > 1:
            raise ValueError(
                "All arrays of a part must have an entry for each example. Received lengths: "
                f"{', '.join(map(str, lengths))}"
            )
        if not len(self):
            raise ValueError(f"A part of {lengths[0]} examples makes no batch of {batch_size}.")

    def __len__(self) -> int:
        return self._num_examples // self.batch_size
