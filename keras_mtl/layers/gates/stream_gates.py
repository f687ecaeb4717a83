"""Gates of several streams of features over one set of experts."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import mean_of_places
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.gates.task_gates import checked_closed
from keras_mtl.layers.mixing.expert_mixture import OpenExperts
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class StreamGates(keras.layers.Layer):
    """Weighs experts for each example, by a softmax gate for every stream of features.

    As `TaskGates`, where the gates read features of their own: those of a task, or those that
    tasks share.

    Source: Tang et al., "Progressive Layered Extraction (PLE)", RecSys 2020, section 4.2, whose
    gates have no bias. Differs from the paper: they have one.

    Args:
        closed: `(num_gates, num_experts)`, 1 where an expert is closed to a gate for good.
        per_step: Whether every step of a sequence has weights of its own. Defaults to `False`.

    Call arguments:
        streams: List with the features that each gate reads, `(batch, ..., features)`; or with
            one, which all read.

    Output shape:
        List of `num_gates` times `(batch, num_experts)`, per step `(batch, steps,
        num_experts)`. Weights are not negative and sum to 1.

    Weights:
        gate_1, gate_2, ...: as of `keras.layers.Dense`, with the experts that are open to each.

    Raises:
        ValueError: A mask of other values, a gate with fewer than two open experts.

    Example:

    >>> gates = StreamGates(closed=[[0, 0, 1], [1, 0, 0]])
    >>> first, second = gates([keras.ops.zeros((1, 4))])
    >>> keras.ops.convert_to_numpy(first).tolist(), keras.ops.convert_to_numpy(second).tolist()
    ([[0.5, 0.5, 0.0]], [[0.0, 0.5, 0.5]])
    """

    def __init__(self, closed: Any, per_step: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        wanted = "a matrix of zeros and ones, a row for each stream"
        closed = checks.array("closed", closed, wanted)
        if closed.ndim != 2:
            raise ValueError(f"closed must be {wanted}. Received: {closed.tolist()}")
        self.closed = checked_closed(closed, *closed.shape)
        if np.any(np.sum(~self.closed, axis=1) < 2):
            raise ValueError(
                "A gate weighs two experts or more. Received closed, with at most one left: "
                f"{self.closed.astype(int).tolist()}"
            )
        self.per_step = checks.flag("per_step", per_step)
        self.supports_masking = True
        self.gates = [
            keras.layers.Dense(number, "softmax", dtype=self.dtype_policy, name=f"gate_{index}")
            for index, number in enumerate(np.sum(~self.closed, axis=1).tolist(), start=1)
        ]

    def build(self, streams_shape: Sequence[Shape]) -> None:
        for gate, shape in zip(self.gates, self._for_each(streams_shape), strict=True):
            gate.build((*shape[: 2 if self.per_step else 1], shape[-1]))

    def _for_each(self, streams: Any) -> Any:
        """Returns one stream for each gate."""
        return streams * len(self.gates) if len(streams) == 1 else streams

    def call(self, streams: Sequence[Tensor], mask: Any = None) -> Any:
        read = self._for_each(self._read(streams, mask))
        return [
            with_zeros(gate(x), row)
            for gate, x, row in zip(self.gates, read, self.closed, strict=True)
        ]

    def _read(self, streams: Sequence[Tensor], mask: Any) -> Any:
        if self.per_step:
            return streams
        masks = [None] * len(streams) if mask is None else mask
        return [mean_of_places(*pair) for pair in zip(streams, masks, strict=True)]

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any = None) -> Any:
        return [None] * len(self.gates)

    def compute_output_shape(self, streams_shape: Sequence[Shape]) -> Any:
        shape = streams_shape[0]
        steps = shape[1:2] if self.per_step else ()
        return [(shape[0], *steps, self.closed.shape[1])] * len(self.gates)

    def frozen(self, call: FrozenCall, streams: Sequence[Tensor]) -> Any:
        """Becomes a stock Dense for each gate."""
        call, read = call.inside(self), self._for_each(self._read(streams, call.mask))
        return [
            OpenExperts(np.flatnonzero(~row), call(gate, x, name=str(number)))
            for number, (gate, x, row) in enumerate(
                zip(self.gates, read, self.closed, strict=True), start=1
            )
        ]

    def get_config(self) -> dict[str, Any]:
        closed = self.closed.astype(int).tolist()
        return {**super().get_config(), "closed": closed, "per_step": self.per_step}


def with_zeros(weights: Any, closed: Any) -> Any:
    """Returns weights of open experts with exact zeros where experts are closed."""
    if not closed.any():
        return weights
    weights = ops.concatenate([weights, ops.zeros_like(weights[..., :1])], axis=-1)
    indices = np.where(closed, np.sum(~closed), np.cumsum(~closed) - 1)
    return ops.take(weights, indices, axis=-1)
