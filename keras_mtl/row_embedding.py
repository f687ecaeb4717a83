"""An embedding whose rows are read one by one."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class RowEmbedding(keras.layers.Embedding):
    """An `Embedding` that reads no more of its table than the rows that a batch names.

    On TensorFlow Keras reads the table as a whole, of which an optimizer that writes single rows
    makes TensorFlow take a copy at every step. With `keras_mtl.VisitedAdam` a step takes as long
    for a million rows of this layer as for a thousand. On JAX and torch it is Keras's layer, and
    freezing leaves that.

    Args:
        input_dim: Number of rows, at least 1.
        output_dim: Width of a row, at least 1.
        embeddings_initializer: Of the table. Defaults to `"uniform"`.
        mask_zero: Whether 0 is padding, which layers after this one skip. Defaults to `False`.

    The other arguments are those of `keras.layers.Embedding`.

    Input shape:
        Integers from 0 to `input_dim - 1`, of any shape.

    Output shape:
        The same, and `output_dim`.

    Weights:
        embeddings: `(input_dim, output_dim)`.

    Raises:
        ValueError: A size below 1, an initializer that Keras does not know.

    Example:

    >>> import numpy as np, keras_mtl
    >>> tuple(keras_mtl.layers.RowEmbedding(1000, 16)(np.array([[3, 999], [0, 3]])).shape)
    (2, 2, 16)
    """

    frozen_class = keras.layers.Embedding

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        mask_zero: bool = False,
        **kwargs: Any,
    ) -> None:
        initializer = checks.known_to_keras(
            "embeddings_initializer", embeddings_initializer, keras.initializers.get
        )
        super().__init__(
            checks.count("input_dim", input_dim),
            checks.count("output_dim", output_dim),
            initializer,
            mask_zero=checks.flag("mask_zero", mask_zero),
            **kwargs,
        )

    def call(self, ids: Tensor) -> Tensor:
        if keras.backend.backend() != "tensorflow" or self.lora_enabled:
            return super().call(ids)
        import tensorflow as tf

        rows = tf.gather(self.embeddings.value, ops.cast(ids, "int32"))
        return ops.cast(rows, self.compute_dtype)
