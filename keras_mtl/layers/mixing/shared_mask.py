"""One mask for streams that have the same steps."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.masks import joint_mask
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class SharedMask(keras.layers.Layer):
    """Gives all streams the mask of all: a step is valid where nobody says that it is padding.

    Towers that stand side by side read the same steps, so what a component of one tower drops, or
    forgets when it makes a mask of its own, the others and the streams before it still know.

    Call arguments:
        streams: List of two lists of tensors `(batch, steps, ...)`: the streams, and those from
            which they were made.

    Output shape:
        The streams, as they are.

    Example:

    >>> layer, mask = SharedMask(), keras.ops.array([[True, False]])
    >>> x = keras.ops.ones((1, 2, 3))
    >>> masks = layer.compute_mask([[x, 2 * x], [x]], [[None, mask], [mask]])
    >>> [keras.ops.convert_to_numpy(each).tolist() for each in masks]
    [[[True, False]], [[True, False]]]
    """

    def call(self, streams: Sequence[Tensor]) -> Any:
        made, _ = streams
        return [ops.copy(stream) for stream in made]  # new tensors, as each may have a mask

    def compute_mask(self, streams: Sequence[Tensor], previous_mask: Any) -> Any:
        return [joint_mask(previous_mask)] * len(streams[0])

    def compute_output_spec(self, streams: Sequence[Tensor]) -> list[Any]:
        return [keras.KerasTensor(stream.shape, stream.dtype) for stream in streams[0]]

    def frozen(self, call: Callable[..., Any], streams: Sequence[Tensor]) -> Any:
        """Becomes copies of tensors."""
        return self.call(streams)
