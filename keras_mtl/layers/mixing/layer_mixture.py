"""Mixtures of the layers of a tower, which a head reads."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.masks import joint_mask
from keras_mtl.layers.mixing.stitch import checked_start, serialized_start
from keras_mtl.layers.weighted_sums import stock_sum, weighted_sums


@keras.saving.register_keras_serializable("keras_mtl")
class LayerMixture(keras.layers.Layer):
    """Mixes what the layers of a tower say, with one learned weight per layer.

    The head then reads early layers too: `sum over k of beta[k] * features[k]`.

    Source: Ruder et al. 2017, https://arxiv.org/abs/1705.08142, section 2.2, Eq. 5. Differs
    from the paper, as its code does: the features are the stitched ones.

    Args:
        beta: Start of the weights: `"imbalanced"` (0.9 for the last layer, 0.1 shared by the
            others), `"balanced"` (all equal), or an array `(layers,)`. Defaults to
            `"imbalanced"`.

    Call arguments:
        outputs: List of tensors `(batch, ...)` of one shape, one per layer.

    Output shape:
        `(batch, ...)`.

    Weights:
        beta: `(layers,)`; the property `beta` is the same as a NumPy array.

    Raises:
        ValueError: Layers of different shapes, a start of a wrong shape.

    Example:

    >>> mixture = LayerMixture(beta=[0.5, 2.0])
    >>> keras.ops.convert_to_numpy(mixture([keras.ops.ones((1, 2)), keras.ops.ones((1, 2))]))
    array([[2.5, 2.5]], dtype=float32)
    """

    def __init__(self, beta: Any = "imbalanced", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = checked_start("beta", beta, ("imbalanced", "balanced"))

    def build(self, shapes: Any) -> None:
        if len({tuple(shape[1:]) for shape in shapes}) > 1:
            raise ValueError(
                "A mixture of layers needs one output shape of all of them. Received: "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}. Give the layers equal units, "
                'or choose connections="concat" or "none".'
            )
        start = _start_of_beta(self.start, len(shapes))
        self.layer_weights = self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            name="beta",
        )

    @property
    def beta(self) -> Any:
        return np.array(self.layer_weights.numpy())

    def call(self, outputs: Any) -> Any:
        return weighted_sums(ops.expand_dims(self.layer_weights, axis=0), outputs)[0]

    def compute_mask(self, outputs: Any, previous_mask: Any) -> Any:
        return joint_mask(previous_mask)

    def compute_output_shape(self, shapes: Any) -> Any:
        return shapes[-1]

    def frozen(self, call: Callable[..., Any], outputs: Any) -> Any:
        """Becomes a stock sum of scaled layers."""
        if not self.beta.any():
            return ops.zeros_like(outputs[-1])
        return stock_sum(outputs, self.beta)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": serialized_start(self.start)}


def _start_of_beta(start: Any, num_layers: Any) -> Any:
    if not isinstance(start, str):
        beta = np.asarray(start, "float32")
    elif start == "balanced":
        beta = np.full(num_layers, 1 / num_layers, "float32")
    elif start == "imbalanced":
        beta = np.full(num_layers, 0.1 / max(num_layers - 1, 1), "float32")
        beta[-1] = 1.0 if num_layers == 1 else 0.9
    else:
        beta = None
    if beta is None or beta.shape != (num_layers,):
        raise ValueError(
            f'beta must be "imbalanced", "balanced" or {num_layers} numbers, one per layer. '
            f"Received: {start!r}"
        )
    return beta


@keras.saving.register_keras_serializable("keras_mtl")
class LayerConcat(keras.layers.Layer):
    """Puts what the layers of a tower say side by side, along the last axis.

    As `keras.layers.Concatenate`, but a mask of steps passes features of any rank.

    Call arguments:
        outputs: List of tensors `(batch, ..., width)`, equal but for the width.

    Output shape:
        `(batch, ..., sum of widths)`.

    Example:

    >>> LayerConcat()([keras.ops.ones((1, 2)), keras.ops.ones((1, 3))]).shape[-1]
    5
    """

    def call(self, outputs: Any) -> Any:
        return ops.concatenate(outputs, axis=-1)

    def compute_mask(self, outputs: Any, previous_mask: Any) -> Any:
        return joint_mask(previous_mask)

    def compute_output_shape(self, shapes: Any) -> Any:
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def frozen(self, call: Callable[..., Any], outputs: Any) -> Any:
        """Becomes a stock operation."""
        return self.call(outputs)
