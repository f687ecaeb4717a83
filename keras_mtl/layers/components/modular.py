"""Parallel components and how their outputs meet."""

from typing import Any

import keras

from keras_mtl.layers.components.parallel_components import ParallelComponents
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.growing import one_more_block
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class Modular(ParallelComponents):
    """Runs parallel components on one input and combines their outputs.

    The weights say how much each example uses each component. `"mean"` divides by
    the sum of the weights, but by no less than 1, so that zeros and ones give the
    average of the active components, and no active component gives zeros. Every
    component is computed, used or not: an unused one gets no gradient, but its output
    is needed for the gradient of its weight. Components that are the same Dense or
    convolution are computed as one operation.

    Only rows that use a component move its state in training, such as moving means: those whose
    weight is not 0. A batch normalization in it takes the mean of the batch over them too, as in
    a network of these rows alone. What no row uses does not move.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, sections II and
    III-B; the division by at least 1 is from its reference code.

    Args:
        components: List of Keras layers, whose outputs have one shape.
        combine: `"mean"` or `"sum"`. Defaults to `"mean"`.
        num_repeats: How many blocks of rows the weights have for each example, block
            after block. The output has as many: one input, several tasks. Defaults to 1.

    Call arguments:
        x: The components' input, a tensor or a structure of tensors.
        weights: `(num_repeats * batch, len(components))`; for sequences also
            `(num_repeats * batch, steps, len(components))`.

    Output shape:
        `(num_repeats * batch, ...)`, the rest as of one component.

    Raises:
        ValueError: No component, components whose output shapes differ, an unknown
            `combine`.

    Example:

    >>> constant = lambda value: keras.layers.Dense(
    ...     1, kernel_initializer=keras.initializers.Constant(value))
    >>> layer = Modular([constant(1.0), constant(3.0), constant(8.0)])
    >>> weights = keras.ops.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    >>> keras.ops.convert_to_numpy(layer(keras.ops.ones((2, 1)), weights)).tolist()
    [[2.0], [0.0]]
    """

    def call(self, x: Tensor, weights: Any, training: bool = False) -> Any:
        return self.mixture(x, weights, training)

    def grown(self, new: Any) -> Any:
        """Answers for the rows of one more task, where each has rows of its own."""
        return new_layer_like(self, {"num_repeats": one_more_block(self.num_repeats)})
