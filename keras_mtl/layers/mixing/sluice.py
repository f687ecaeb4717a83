"""Sluice networks: towers that meet in subspaces."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.mixing.stitch import (
    STARTS,
    Stitch,
    checked_start,
    serialized_start,
    start_of_alpha,
)
from keras_mtl.layers.weighted_sums import weighted_sums
from keras_mtl.types import Tensor

_FIXED = -1  # a tie that no weight stands behind


@keras.saving.register_keras_serializable("keras_mtl")
class Sluice(Stitch):
    """Mixes the towers of all tasks with one learned weight per pair of subspaces.

    The features of each task are split along the last axis into subspaces of equal size.
    Subspace s of task m continues with `sum over m', s' of alpha[(m, s), (m', s')] *
    subspace s' of task m'`. Weights are real numbers of any sign; rows that sum to 1, as in
    the named starts but `"sluice2"`, keep the scale of the features.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142, section 2.2, Eqs. 2 and 3; rows are targets, as in Eq. 2
    (the corners of Eq. 3 print the transpose). Differs from the reference code, which
    reshapes in the order of columns and so mixes units within a task.

    Args:
        num_subspaces: Subspaces of each task, a divisor of the width. Defaults to 2.
        alpha: Start of the weights: `"imbalanced"` (0.9 for a subspace itself, 0.1 shared by
            all others), `"balanced"` (all equal), `"identity"`, `"sluice2"` (the reference
            code's start for two tasks and subspaces), a number, or an array. Defaults to
            `"imbalanced"`.
        ties: Whole numbers in the shape of alpha: entries of one number are one weight, which
            starts at their mean; -1 keeps an entry at its start for good. `None` leaves all
            entries free. Defaults to `None`.
        normalize: Whether the softmax of a row of weights is used. Defaults to `False`.

    Call arguments:
        streams: List of tensors `(batch, ..., width)` of one shape, one per task.

    Output shape:
        A list like `streams`.

    Weights:
        alpha: `(T * S, T * S)` for T tasks with S subspaces, ordered by task, then subspace;
            with ties `(number of weights,)`. The property `alpha` is always the matrix in
            use, as a NumPy array.

    Raises:
        ValueError: Features of different shapes, a width that `num_subspaces` does not
            divide, a start or ties of a wrong shape.

    Example:

    >>> layer = Sluice(num_subspaces=2, alpha="balanced")
    >>> mixed = layer([keras.ops.array([[1.0, 2.0]]), keras.ops.array([[3.0, 6.0]])])
    >>> [keras.ops.convert_to_numpy(stream).tolist() for stream in mixed]
    [[[3.0, 3.0]], [[3.0, 3.0]]]
    >>> layer.alpha.shape
    (4, 4)
    """

    def __init__(
        self,
        num_subspaces: int = 2,
        alpha: str = "imbalanced",
        ties: Any = None,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_subspaces = checks.count("num_subspaces", num_subspaces)
        self.normalize = checks.flag("normalize", normalize)
        self.start = checked_start("alpha", alpha, STARTS)
        if normalize and ties is not None:
            raise ValueError("normalize=True makes every row sum to 1, so ties cannot hold.")
        self.ties = None if ties is None else _checked_ties(ties)

    def add_alpha(self, num_tasks: int, width: Any) -> None:
        self.fixed = start = start_of_alpha(self.start, num_tasks, self.num_subspaces)
        if self.normalize:
            if np.any(start <= 0):
                raise ValueError("normalize=True needs a start with numbers above 0 only.")
            start = np.log(start)
        if self.ties is not None:
            start = _means_by_tie(start, self.ties)
        self.free_weights = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            name="alpha",
        )

    def _matrix(self) -> Any:
        if self.normalize:
            return ops.softmax(self.free_weights, axis=-1)
        if self.ties is None:
            return self.free_weights
        fixed = ops.cast(self.fixed, self.compute_dtype)
        tied = ops.take(self.free_weights, np.maximum(self.ties, 0))
        return ops.where(self.ties == _FIXED, fixed, ops.cast(tied, self.compute_dtype))

    @property
    def alpha(self) -> Any:
        weights = np.array(self.free_weights.numpy())
        if self.normalize:
            weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
            return weights / weights.sum(axis=-1, keepdims=True)
        if self.ties is None:
            return weights
        return np.where(self.ties == _FIXED, self.fixed, np.append(weights, 0)[self.ties])

    def call(self, streams: Sequence[Tensor]) -> Any:
        if self.num_subspaces == 1:
            return weighted_sums(self._matrix(), streams)
        num = self.num_subspaces
        chunks = [chunk for stream in streams for chunk in ops.split(stream, num, axis=-1)]
        chunks = weighted_sums(self._matrix(), chunks)
        return [
            ops.concatenate(chunks[start : start + num], axis=-1)
            for start in range(0, len(chunks), num)
        ]

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        parts = [(task, self.num_subspaces, n) for task in tasks for n in range(self.num_subspaces)]
        if self.ties is None:
            return {"alpha": {0: parts, 1: parts}}
        entries = [np.argwhere(self.ties == n) for n in range(self.ties.max() + 1)]
        tied = [frozenset((parts[row], parts[col]) for row, col in pairs) for pairs in entries]
        return {"alpha": {0: tied}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_subspaces": self.num_subspaces,
            "alpha": serialized_start(self.start),
            "ties": None if self.ties is None else self.ties.tolist(),
            "normalize": self.normalize,
        }


def _checked_ties(ties: Any) -> Any:
    wanted = "whole numbers from -1 (fixed), in the shape of alpha"
    found = checks.array("ties", ties, wanted)
    whole = np.round(found).astype("int32")
    if np.any(whole != found):
        raise ValueError(f"ties must be {wanted}. Received: {ties}")
    return whole


def _means_by_tie(start: Any, ties: Any) -> Any:
    """Returns the start of each weight: the mean of the entries that it stands behind."""
    numbers = np.unique(ties[ties != _FIXED]) if ties.shape == start.shape else None
    if numbers is None or not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError(
            f"ties must have the shape of alpha, {start.shape}, and number the weights 0, 1, ... "
            f"(-1 = fixed). Received shape {ties.shape}: {ties.tolist()}"
        )
    if not len(numbers):
        raise ValueError("ties leave no weight to learn. Use Sluice(..., trainable=False).")
    return np.array([start[ties == number].mean() for number in numbers], "float32")
