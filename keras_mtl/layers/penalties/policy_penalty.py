"""Prices on task policies over blocks: on executing them, and on tasks that disagree."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.charging import ChargingLayer
from keras_mtl.layers.freezing import passes_through
from keras_mtl.types import Shape, Tensor

_SMALLEST = 1e-6  # of a probability whose logarithm is taken


@keras.saving.register_keras_serializable("keras_mtl")
class PolicyPenalty(ChargingLayer):
    """Adds penalties on the policies of all blocks to the loss; passes features through.

    The sparsity penalty pushes tasks to skip blocks: with alpha the probability that a task
    executes a block, the mean of `-log(1 - alpha)` over blocks, summed over tasks. The sharing
    penalty pushes tasks to agree, in early blocks most of all: the sum over pairs of tasks and
    blocks l = 0, 1, ... of `(L - l) / L * |alpha of one - alpha of the other|`. Blocks that
    nobody may skip yet do not count.

    Source: Sun et al., "AdaShare", NeurIPS 2020; Rahimian et al., "DynaShare", ICLR 2022
    submission, Eqs. 3 and 4. Differs from the papers in the defaults: their sparsity penalty
    `sum(log(alpha))` is `sparsity="log_alpha"`, which falls without bound as a block dies;
    the sum over pairs has each pair once, and l counts from 0, so that the last block counts
    too. Weights may be relative to the tasks' losses, so that one number serves losses of any
    size. Their code is `sharing="reference"`: the weight of a block is (l + 1) / L, growing
    with the depth, and logits of executing are compared instead of probabilities.

    Args:
        starts: Training batches before each block may be skipped, in order of depth.
        sparsity_weight: Number of at least 0, or a schedule over training batches. Defaults to
            0.05.
        sharing_weight: The same. Defaults to 0.05.
        sparsity: `"skip"` or `"log_alpha"`. Defaults to `"skip"`.
        sharing: `"decreasing"` or `"reference"`. Defaults to `"decreasing"`.
        relative_to: `(first, number)` of the training batches, counted from 0, whose mean loss the
            weights are relative to: they are multiplied with the mean over tasks of each one's
            weight times its loss, so far while these batches run and fixed from then on. `None`
            leaves weights as they are. Defaults to `None`.

    Call arguments:
        features: Tensor or structure of tensors, returned as they are.
        logits: List of `(num_tasks, 2)`, one per block, index 0 = execute.

    Weights:
        updates: `()`, int32, not trainable: training batches seen.
        sparsity, sharing: `()`, not trainable: latest values of the penalties.
        task_loss: with `relative_to`, `()`, not trainable: what weights are multiplied with, 0
            before the first of these batches is over.

    Raises:
        ValueError: A negative weight, an unknown form, no batch to be relative to.

    Example:

    >>> penalty = PolicyPenalty([0, 0], sparsity_weight=1.0, sharing_weight=1.0)
    >>> even, sure = keras.ops.zeros((2, 2)), keras.ops.array([[0.0, 9.0], [9.0, 0.0]])
    >>> _ = penalty(keras.ops.ones((3, 4)), [even, sure])
    >>> round(float(penalty.penalties["sharing_penalty"].numpy()), 3)  # half of 1
    0.5
    """

    def __init__(
        self,
        starts: Any,
        sparsity_weight: float = 0.05,
        sharing_weight: float = 0.05,
        sparsity: str = "skip",
        sharing: str = "decreasing",
        relative_to: Any = None,
        **kwargs: Any,
    ) -> None:
        weights = {"sparsity_weight": sparsity_weight, "sharing_weight": sharing_weight}
        super().__init__(weights, autocast=False, **kwargs)
        self.starts = checks.counts("starts", starts, length=1)
        self.sparsity = checks.word("sparsity", sparsity, ("skip", "log_alpha"))
        self.sharing = checks.word("sharing", sharing, ("decreasing", "reference"))
        self.relative_to = None if relative_to is None else _checked_batches(relative_to)
        self.supports_masking = True

    def build(self, features_shape: Shape, logits_shape: Shape) -> None:
        self.add_penalties({"sparsity_penalty": "sparsity", "sharing_penalty": "sharing"})
        if self.relative_to is not None:
            self.task_loss = self.add_weight(
                shape=(),
                dtype="float32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                name="task_loss",
            )

    def call(self, features: Tensor, logits: Tensor, training: bool = False) -> Any:
        logits = ops.stack([ops.cast(block, "float32") for block in logits])
        learned = ops.cast(self.updates >= ops.convert_to_tensor(self.starts), "float32")
        learned = ops.expand_dims(learned, axis=-1)
        # A copy: what the batch was charged by stays when `see_task_loss` changes the variable.
        scale = 1.0 if self.relative_to is None else ops.add(self.task_loss, 0.0)
        self.charge(
            "sparsity_penalty",
            self.sparsity_weight,
            lambda: scale * self._sparsity(logits, learned),
        )
        self.charge(
            "sharing_penalty", self.sharing_weight, lambda: scale * self._sharing(logits, learned)
        )
        self.count_batch(training)
        return features

    def see_task_loss(self, loss: Tensor) -> None:
        """Hears from the model the mean task loss of the training batch that was just counted."""
        if self.relative_to is None:
            return
        first, number = self.relative_to
        place = ops.cast(self.updates - first, "float32")  # 1 is the first of these batches
        among = ops.logical_and(place >= 1, place <= number)
        step = (ops.stop_gradient(loss) - self.task_loss) / ops.maximum(place, 1.0)
        self.task_loss.assign_add(ops.where(among, step, 0.0))

    def _sparsity(self, logits: Tensor, learned: Any) -> Any:
        odds = logits[..., 0] - logits[..., 1]  # (blocks, tasks)
        if self.sparsity == "log_alpha":
            lowest = float(np.log(_SMALLEST))
            return ops.sum(learned * ops.maximum(ops.log_sigmoid(odds), lowest))
        charged = ops.sum(learned * ops.softplus(odds))  # -log(1 - sigmoid(odds))
        return charged / at_least_one(ops.sum(learned))

    def _sharing(self, logits: Tensor, learned: Any) -> Any:
        depth = np.arange(len(self.starts), dtype="float32")[:, None]
        if self.sharing == "reference":
            compared, weights = logits[..., 0], (depth + 1) / len(self.starts)
        else:
            compared = ops.sigmoid(logits[..., 0] - logits[..., 1])
            weights = (len(self.starts) - depth) / len(self.starts)
        weights = ops.convert_to_tensor(weights)
        pairs = itertools.combinations(range(logits.shape[1]), 2)
        apart = [ops.abs(compared[:, i : i + 1] - compared[:, j : j + 1]) for i, j in pairs]
        return sum((ops.sum(learned * weights * each) for each in apart), ops.zeros(()))

    frozen = passes_through

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "starts": self.starts,
            "sparsity": self.sparsity,
            "sharing": self.sharing,
            "relative_to": self.relative_to,
        }


def _checked_batches(relative_to: Any) -> Any:
    """Returns `relative_to` as a pair of integers."""
    try:
        first, number = checks.counts("relative_to", relative_to)
        return first, checks.count("relative_to", number)
    except ValueError as error:
        raise ValueError(
            "relative_to must be (first, number) of training batches, integers of at least 0 and "
            f"1, or None. Received: {relative_to!r}"
        ) from error
