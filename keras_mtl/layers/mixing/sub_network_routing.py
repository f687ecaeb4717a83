"""Learned connections between the sub-networks of one list and what reads them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.charging import ChargingLayer
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.fusion import fused_call, fusible
from keras_mtl.layers.masks import joint_mask
from keras_mtl.layers.routers.hard_concrete import HardConcrete
from keras_mtl.layers.weighted_sums import stock_sum, weighted_sums
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class SubNetworkRouting(ChargingLayer):
    """Gives every target a sum of all sources, through connections that may vanish.

    Target j reads `sum over i of z[j, i] * W[j, i] x_i` with `connection="transform"`, `sum over i
    of z[j, i] * x_i` with `"sum"`. The codes z are those of `HardConcrete`: in training one draw
    serves all examples of a batch, in inference they are fixed, and a connection with code 0
    can be left out. The penalty is the expected number of connections whose code is not 0, an L0
    norm, times `penalty_weight`.

    Source: Ma et al., "SNR: Sub-Network Routing for Flexible Parameter Sharing in Multi-Task
    Learning", AAAI 2019, https://doi.org/10.1609/aaai.v33i01.3301216: SNR-Trans is
    `"transform"`, SNR-Aver is `"sum"`. All logits start at 0, a code of one half in inference.

    Args:
        num_targets: Number of sums: sub-networks of the next list, or tasks.
        connection: `"transform"`, a matrix for each pair of source and target, or `"sum"`.
            Defaults to `"transform"`.
        penalty_weight: Number of at least 0, or a schedule over training batches. Defaults to
            0.001.
        temperature: As of `HardConcrete`. Defaults to 0.9.
        stretch: As of `HardConcrete`. Defaults to `(-0.1, 1.1)`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        streams: List of `(batch, ..., width)` of one shape, what the sources answer.
        training: Whether to draw the codes (`True`).

    Output shape:
        List of `num_targets` tensors like those in `streams`.

    Weights:
        logits: `(num_targets, num_sources)`, row = target.
        transform_1_1, transform_1_2, ...: for `"transform"`, with target and source in the name,
            `kernel` of shape `(width, width)`.
        updates: `()`, int32, not trainable: training batches seen.
        l0: `()`, not trainable: latest penalty.

    Raises:
        ValueError: An unknown `connection`, a negative weight, what `HardConcrete` refuses.

    Example:

    >>> routing = SubNetworkRouting(num_targets=2, connection="sum")
    >>> routing.build([(None, 3), (None, 3)])
    >>> _ = routing.logits.assign([[9.0, -9.0], [9.0, 0.0]])
    >>> routing.matrix().tolist()
    [[1.0, 0.0], [1.0, 0.5]]
    >>> first, second = routing([keras.ops.ones((1, 3)), keras.ops.full((1, 3), 4.0)])
    >>> keras.ops.convert_to_numpy(second).tolist()
    [[3.0, 3.0, 3.0]]
    """

    def __init__(
        self,
        num_targets: Any,
        connection: str = "transform",
        penalty_weight: float = 0.001,
        temperature: Setting = 0.9,
        stretch: Any = (-0.1, 1.1),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__({"penalty_weight": penalty_weight}, **kwargs)
        self.num_targets = checks.count("num_targets", num_targets)
        self.connection = checks.word("connection", connection, ("transform", "sum"))
        self.codes = HardConcrete(temperature, stretch, seed, dtype="float32", name="codes")
        self.supports_masking = True

    def build(self, streams_shape: Sequence[Shape]) -> None:
        shape = (self.num_targets, len(streams_shape))
        self.logits = self.add_weight(
            shape=shape, initializer="zeros", dtype="float32", autocast=False, name="logits"
        )
        self.transforms = [  # source by source; a flat list, because Keras saves no list in a list
            self._new_transform(target, source, streams_shape[0])
            for source in range(shape[1] if self.connection == "transform" else 0)
            for target in range(shape[0])
        ]
        self.add_penalties({"l0_penalty": "l0"})

    def _new_transform(self, target: Any, source: Any, shape: Shape) -> Any:
        name = f"transform_{target + 1}_{source + 1}"
        dense = keras.layers.Dense(shape[-1], use_bias=False, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        return dense

    def call(self, streams: Sequence[Tensor], training: bool = False) -> Any:
        logits = ops.convert_to_tensor(self.logits)
        expected = ops.sum(self.codes.nonzero_probability(logits))
        self.charge("l0_penalty", self.penalty_weight, lambda: expected)
        self.count_batch(training)
        codes = ops.cast(self.codes(logits, training=training), self.compute_dtype)
        if self.connection == "sum":
            return weighted_sums(codes, streams)
        by_target, number = 0.0, self.num_targets
        for source, stream in enumerate(streams):
            transforms = self.transforms[source * number : (source + 1) * number]
            by_target = by_target + self._transformed(transforms, stream) * codes[:, source, None]
        return ops.unstack(by_target, number, axis=-2)

    def _transformed(self, transforms: Any, stream: Any) -> Any:
        """Returns what the matrices of one source make of it, stacked before the last axis."""
        if fusible(transforms, self.compute_dtype):
            return fused_call(transforms, stream)
        return ops.stack([transform(stream) for transform in transforms], axis=-2)

    def matrix(self) -> np.ndarray:
        """Returns the codes of inference as a NumPy array, row = target, column = source."""
        return ops.convert_to_numpy(self.codes(ops.convert_to_tensor(self.logits)))

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any) -> Any:
        return [joint_mask(previous_mask)] * self.num_targets

    def compute_output_shape(self, streams_shape: Sequence[Shape]) -> Any:
        return [tuple(streams_shape[0])] * self.num_targets

    def frozen(self, call: FrozenCall, streams: Sequence[Tensor]) -> Any:
        """Becomes stock sums, and a Dense for each connection, of those whose code is not 0."""
        call, answers = call.inside(self), []
        for target, row in enumerate(self.matrix()):
            parts = streams
            if self.connection == "transform":
                transforms = self.transforms[target :: self.num_targets]
                parts = [call(w, x) for w, x in zip(transforms, streams, strict=True)]
            answers.append(stock_sum(parts, row) if np.any(row) else ops.zeros_like(streams[0]))
        return answers

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_targets": self.num_targets,
            "connection": self.connection,
            "temperature": self.codes.temperature,
            "stretch": self.codes.stretch,
            "seed": self.codes.seed,
        }
