"""Experts that read different streams of features, and what each stream makes of them."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.components.component_state import has_state, moved_by, rows_in_use
from keras_mtl.layers.components.parallel_components import (
    check_one_output_shape,
    checked_components,
)
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.fusion import fused_call, fused_groups
from keras_mtl.layers.masks import call_in_inference, joint_mask, mask_beside
from keras_mtl.layers.mixing.expert_mixture import mixtures
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class ExpertStreams(keras.layers.Layer):
    """Runs each expert on the stream that it reads, and gives every stream its own sum of them.

    Experts of one stream that are the same Dense or convolution are computed as one operation:
    all of them where there is one stream yet.

    Source: Tang et al., "Progressive Layered Extraction (PLE)", RecSys 2020, section 4.3.

    Args:
        components: List of Keras layers, the experts, whose outputs have one shape.
        reads: Place of the stream that each of them reads.

    Call arguments:
        streams: List of features, `(batch, ...)`; or with one, which all experts read.
        weights: List of `(batch, len(components))`, one for each stream of the answer; for
            sequences also `(batch, steps, len(components))`.

    Output shape:
        List of `(batch, ...)`, the rest as of one expert, as many as `weights`.

    Raises:
        ValueError: Experts whose output shapes differ.

    Example:

    >>> scale = keras.layers.Rescaling
    >>> layer = ExpertStreams([scale(1.0), scale(10.0)], reads=[0, 1])
    >>> streams = [keras.ops.ones((1, 1)), keras.ops.full((1, 1), 2.0)]
    >>> first, both = layer(streams, [keras.ops.array([[1.0, 0.0]]), keras.ops.array([[0.5, 0.5]])])
    >>> keras.ops.convert_to_numpy(first).tolist(), keras.ops.convert_to_numpy(both).tolist()
    ([[1.0]], [[10.5]])
    """

    def __init__(self, components: Sequence[keras.Layer], reads: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.components = checked_components(components)
        self.reads = list(checks.counts("reads", reads))
        if len(self.reads) != len(self.components):
            raise ValueError(
                f"reads must have an index for each of {len(self.components)} components. "
                f"Received: {self.reads}"
            )

    def build(self, streams_shape: Sequence[Shape], weights_shape: Shape) -> None:
        reads = self._reads(streams_shape)
        for component, stream in zip(self.components, reads, strict=True):
            if not component.built:
                component.build(streams_shape[stream])
        check_one_output_shape(self, self.components, [streams_shape[index] for index in reads])
        self._num_outputs = len(weights_shape)
        self._with_state = [has_state(component) for component in self.components]

    def _reads(self, streams: Sequence[Tensor]) -> Any:
        """Returns the index of the stream of each expert in a list that may have only one."""
        return self.reads if len(streams) > 1 else [0] * len(self.components)

    def _groups(self, streams: Sequence[Tensor]) -> list[Any]:
        """Returns the stream and the positions of each group that is computed together."""
        reads = self._reads(streams)
        return [
            (stream, [positions[index] for index in group])
            for stream in sorted(set(reads))
            for positions in [[p for p, read in enumerate(reads) if read == stream]]
            for group in fused_groups([self.components[p] for p in positions], self.compute_dtype)
        ]

    def call(self, streams: Sequence[Tensor], weights: Any, training: bool = False) -> Any:
        outputs, groups = [], self._groups(streams)
        weights = [ops.cast(each, self.compute_dtype) for each in weights]
        used: Any = None
        if training and any(self._with_state):
            used = ops.any(ops.stack([rows_in_use(each) for each in weights]), axis=0)
        for stream, group in groups:
            experts = [self.components[position] for position in group]
            if len(experts) > 1:
                outputs.append(fused_call(experts, streams[stream]))
                continue
            counts = used is not None and self._with_state[group[0]]
            with moved_by(used[..., group[0]] if counts else None, experts[0]):
                outputs.append(ops.expand_dims(experts[0](streams[stream]), axis=-2))
        outputs = ops.concatenate([ops.cast(o, self.compute_dtype) for o in outputs], axis=-2)
        order = [position for _, group in groups for position in group]
        if order != sorted(order):
            weights = [ops.take(each, order, axis=-1) for each in weights]
        return mixtures(outputs, weights)

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any) -> Any:
        return [self._mask(streams, previous_mask, call_in_inference)] * self._num_outputs

    def _mask(self, streams: Sequence[Tensor], masks: Any, call: Any) -> Any:
        """Returns the one mask of all answers, to which every expert may contribute."""
        masks = [None] * len(streams) if masks is None else masks
        reads = zip(self.components, self._reads(streams), strict=True)
        return joint_mask([mask_beside([c], streams[n], masks[n], call) for c, n in reads])

    def compute_output_shape(self, streams_shape: Sequence[Shape], weights_shape: Shape) -> Any:
        shape = self.components[0].compute_output_shape(streams_shape[0])
        return [shape] * len(weights_shape)

    def frozen(self, call: FrozenCall, streams: Sequence[Tensor], weights: Any) -> Any:
        """Becomes stock layers, experts and sums; what a task does not need nobody asks for."""
        reads = self._reads(streams)
        outputs = [
            call(component, streams[stream])
            for component, stream in zip(self.components, reads, strict=True)
        ]
        return [each.mixture([outputs[index] for index in each.indices]) for each in weights]

    def frozen_mask(self, call: FrozenCall, streams: Sequence[Tensor], weights: Any) -> Any:
        return [self._mask(streams, call.mask, call)] * len(weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "components": [keras.saving.serialize_keras_object(c) for c in self.components],
            "reads": self.reads,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        components = [keras.saving.deserialize_keras_object(c) for c in config["components"]]
        return cls(**{**config, "components": components})
