"""Stitches between towers: each reads a weighted sum of all (cross-stitch, sluice)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.weighted_sums import stock_sum, weighted_sums
from keras_mtl.types import Tensor


class Stitch(keras.layers.Layer):
    """Abstract: replaces each task's features by a weighted sum of all tasks' features.

    A final class makes its weights in `add_alpha(num_tasks, width)`, tells them as the NumPy
    array `alpha`, row = target, column = source, and mixes in `call(streams)`.

    Call arguments:
        streams: List of tensors `(batch, ..., width)` of one shape, one per task.

    Output shape:
        A list like `streams`.
    """

    num_subspaces = 1

    def build(self, shapes: Any) -> None:
        if len({tuple(shape[1:]) for shape in shapes}) > 1:
            raise ValueError(
                f"{self.name!r} mixes the features of all tasks, so the components before it must "
                "have one output shape. Received: "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}"
            )
        width = shapes[0][-1]
        if width is None:
            raise ValueError(f"{self.name!r} needs features of a known width. Received: {shapes}")
        if width % self.num_subspaces:
            raise ValueError(
                f"{self.name!r} splits features into {self.num_subspaces} subspaces of one size, "
                f"but they have width {width}. Choose units that num_subspaces divides."
            )
        self.add_alpha(len(shapes), width)

    def add_alpha(self, num_tasks: int, width: Any) -> Any:
        """Makes the weights."""
        raise NotImplementedError

    @property
    def alpha(self) -> Any:
        """The weights as a NumPy array, row = target, column = source."""
        raise NotImplementedError

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(self, shapes: Any) -> Any:
        return list(shapes)

    def frozen(self, call: FrozenCall, streams: Sequence[Tensor]) -> Any:
        """Becomes stock sums of scaled parts, without what weighs nothing.

        A task that another one uses with no weight above `call.cut_below`, in absolute value, is
        left out there.
        """
        alpha = cut_alpha(self.alpha, self.num_subspaces, call.cut_below)
        size = streams[0].shape[-1] // self.num_subspaces
        parts = streams
        if self.num_subspaces > 1:
            starts = range(0, streams[0].shape[-1], size)
            parts = [stream[..., start : start + size] for stream in streams for start in starts]
        rows_by_task = alpha.reshape(len(streams), self.num_subspaces, *alpha.shape[1:])
        mixed_streams = []
        for own, rows in zip(streams, rows_by_task, strict=True):
            chunks = [
                stock_sum(parts, row) if np.any(row) else ops.zeros_like(own[..., :size])
                for row in rows
            ]
            mixed_streams.append(chunks[0] if len(chunks) == 1 else ops.concatenate(chunks, -1))
        return mixed_streams


def cut_alpha(alpha: Any, num_subspaces: int, cut_below: float) -> Any:
    """Returns alpha with the pairs of different tasks set to 0 that weigh no more than asked."""
    num_tasks = len(alpha) // num_subspaces
    blocks = alpha.reshape(num_tasks, num_subspaces, num_tasks, num_subspaces, -1)
    weighs = np.abs(blocks).max(axis=(1, 3, 4)) > cut_below
    kept = weighs | np.eye(num_tasks, dtype=bool)
    return np.where(kept[:, None, :, None, None], blocks, 0).reshape(alpha.shape)


def checked_start(name: str, start: Any, words: Any) -> Any:
    """Returns a start of weights that is one of some words, or an array of numbers."""
    if isinstance(start, str) and start in words:
        return start
    wanted = f"one of {', '.join(map(repr, words))}, a number or an array"
    return checks.array(name, start, wanted)


def start_of_alpha(start: Any, num_tasks: int, num_subspaces: int) -> Any:
    """Returns the initial (T * S, T * S) weights that a name, number or array stands for."""
    size = num_tasks * num_subspaces
    if isinstance(start, str):
        if start == "sluice2" and (num_tasks, num_subspaces) != (2, 2):
            raise ValueError(
                'alpha="sluice2" is the start of the reference code for 2 tasks and 2 subspaces. '
                f"Received {num_tasks} tasks and {num_subspaces} subspaces."
            )
        return STARTS[start](size)
    array = np.asarray(start, "float32")
    if array.shape not in ((), (size, size)):
        raise ValueError(
            f"alpha must be a number or an array of shape {(size, size)}: a row and a column for "
            f"each of {num_subspaces} subspaces of {num_tasks} tasks. Received: {array.shape}"
        )
    return np.broadcast_to(array, (size, size)).copy()


def _imbalanced(size: Any) -> Any:
    if size == 1:
        return np.ones((1, 1), "float32")
    own = np.eye(size, dtype="float32")
    return 0.9 * own + 0.1 / (size - 1) * (1 - own)


def _sluice2(size: Any) -> Any:
    return np.repeat([[0.05, 0.95] * 2, [0.95, 0.05] * 2], 2, axis=0).astype("float32")


STARTS = {
    "imbalanced": _imbalanced,
    "balanced": lambda size: np.full((size, size), 1 / size, "float32"),
    "identity": lambda size: np.eye(size, dtype="float32"),
    "sluice2": _sluice2,
}


@keras.saving.register_keras_serializable("keras_mtl")
class CrossStitch(Stitch):
    """Mixes the towers of all tasks with one learned weight per pair of tasks.

    Task m continues with `sum over m' of alpha[m, m'] * features[m']`.

    Source: Misra et al., "Cross-stitch networks for multi-task learning", 2016,
    https://arxiv.org/abs/1604.03539, section 3.2. Any number of tasks, where the paper has two.

    Args:
        alpha: Start of the weights: `"imbalanced"` (0.9 for a task's own features, 0.1 shared
            by the others), `"balanced"`, `"identity"`, a number, or a `(tasks, tasks)`
            array, row = target. Defaults to `"imbalanced"`.
        per_channel: Whether every channel (last axis) has its own weights. Defaults to `False`.

    Call arguments:
        streams: List of tensors `(batch, ..., width)` of one shape, one per task.

    Output shape:
        A list like `streams`.

    Weights:
        alpha: `(tasks, tasks)`; per channel `(tasks, tasks, width)`. The property `alpha` is
            the same as a NumPy array.

    Raises:
        ValueError: Features of different shapes, a start of a wrong shape.

    Example:

    >>> layer = CrossStitch(alpha=[[1.0, 0.5], [0.0, 1.0]])
    >>> mixed = layer([keras.ops.ones((1, 2)), keras.ops.full((1, 2), 4.0)])
    >>> [keras.ops.convert_to_numpy(stream).tolist() for stream in mixed]
    [[[3.0, 3.0]], [[4.0, 4.0]]]
    """

    def __init__(self, alpha: str = "imbalanced", per_channel: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = checked_start("alpha", alpha, STARTS)
        self.per_channel = checks.flag("per_channel", per_channel)

    def add_alpha(self, num_tasks: int, width: Any) -> None:
        start = start_of_alpha(self.start, num_tasks, 1)
        if self.per_channel:
            start = np.repeat(start[..., None], width, axis=-1)
        self.pair_weights = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            name="alpha",
        )

    @property
    def alpha(self) -> Any:
        return np.array(self.pair_weights.numpy())

    def call(self, streams: Sequence[Tensor]) -> Any:
        return weighted_sums(self.pair_weights, streams)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"alpha": {0: tasks, 1: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": serialized_start(self.start),
            "per_channel": self.per_channel,
        }


def serialized_start(start: Any) -> Any:
    """Returns a start of alpha in a form that a config can hold."""
    return start if isinstance(start, str) else np.asarray(start, "float32").tolist()
