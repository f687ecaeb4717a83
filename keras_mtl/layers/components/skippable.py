"""A block that a task, an example, or a step of a sequence may skip."""

from functools import partial
from typing import Any, Self

import keras
from keras import ops

from keras_mtl.layers.components.component_state import has_state, moved_by, rows_in_use
from keras_mtl.layers.components.residual import ResidualBlock
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.masks import mask_beside
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class SkippableBlock(keras.layers.Layer):
    """Mixes what a block answers with what its input is without it.

    `execute * block(x) + (1 - execute) * shortcut(x)`: 1 executes the block, 0 skips it. The
    shortcut is the block's own, where it has one, such as a `ResidualBlock` that changes the
    shape, else x itself.

    Source: AdaShare's and DynaShare's reference code. Differs from other residual networks: an
    executed residual block ends with its ReLU, a skipped one has none.

    Args:
        block: A Keras layer whose output has the shape of its shortcut.

    Call arguments:
        x: `(batch, ...)`.
        execute: `(batch, 1)`, numbers in [0, 1], of the task's policy.
        gate: The same of each example's own choice, which multiplies it, or `None`; for
            sequences also `(batch, steps, 1)`, a choice for each step of the block's output.

    Output shape:
        That of the block.

    Raises:
        ValueError: A block whose output has another shape than its shortcut, or other steps
            than its gate.

    Example:

    >>> double = keras.layers.Rescaling(2.0)
    >>> x, execute = keras.ops.ones((3, 1)), keras.ops.array([[1.0], [0.0], [0.5]])
    >>> keras.ops.convert_to_numpy(SkippableBlock(double)(x, execute)).tolist()
    [[2.0], [1.0], [1.5]]
    """

    def __init__(self, block: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(block, keras.layers.Layer):
            raise ValueError(f"block must be a Keras layer. Received: {block!r}")
        self.block = block
        self.supports_masking = True

    def build(self, x_shape: Any, execute_shape: Shape, gate_shape: Any = None) -> None:
        if not self.block.built:
            self.block.build(x_shape)
        shape = tuple(self.block.compute_output_shape(x_shape))
        if not isinstance(self.block, ResidualBlock) and shape != tuple(x_shape):
            raise ValueError(
                f"Block {self.block.name!r} makes {shape[1:]} of {tuple(x_shape[1:])}, but a task "
                "that skips it goes on with its input. Use a block that keeps the shape, or a "
                "keras_mtl.layers.ResidualBlock, which projects what skips it, or put the layer "
                "bare into `layers`: every task executes it then."
            )
        if gate_shape is not None and len(gate_shape) == 3 and gate_shape[1] != shape[1]:
            raise ValueError(
                f"The gate of block {self.block.name!r} decides at {gate_shape[1]} steps, but the "
                f"block answers at {shape[1]}. Give the gate the strides of the block."
            )

    def call(
        self, x: Tensor, execute: Any, gate: Any = None, x_mask: Any = None, training: bool = False
    ) -> Any:
        part = execute if gate is None else _beside(execute, gate) * gate
        counts = training and has_state(self.block)
        executed = rows_in_use(part)[..., 0] if counts else None
        answer, shortcut = self._both_ways(x, x_mask, executed)
        return self.interpolated(part, answer, shortcut)

    def _both_ways(self, x: Tensor, mask: Any, executed: Any) -> tuple[Any, Any]:
        """Returns the block's answer and what goes on without it, its projection called once.

        What is skipped does not move the state of the block; the projection reads it all the same.
        """
        if isinstance(self.block, ResidualBlock):
            shortcut = self.block.shortcut(x, mask)
            with moved_by(executed, *self.block.residual_layers):
                return ops.relu(shortcut + self.block.residual(x, mask)), shortcut
        with moved_by(executed, self.block):
            return self.block(x), x

    @staticmethod
    def interpolated(part: Any, answer: Any, shortcut: Any) -> Any:
        """Returns `part * answer + (1 - part) * shortcut`, a part for each example, or step."""
        part = _beside(ops.cast(part, answer.dtype), answer)
        return part * answer + (1 - part) * shortcut

    def compute_output_shape(
        self, x_shape: Any, execute_shape: Shape, gate_shape: Any = None
    ) -> Any:
        return self.block.compute_output_shape(x_shape)

    def compute_mask(self, x: Tensor, previous_mask: Any) -> Any:
        return mask_beside([self.block], x, keras.tree.flatten(previous_mask)[0])

    def frozen(self, call: FrozenCall, x: Tensor, row: Any, gate: Any = None) -> Any:
        """Becomes the block, or what skips it; with a gate both, where the task executes it."""
        if row[0] and gate is None:
            return call(self.block, x)
        shortcut = x
        if isinstance(self.block, ResidualBlock):
            shortcut = self.block.frozen_shortcut(call, x)
        if not row[0]:
            return shortcut
        return call.where_open(self, gate, partial(self.frozen_answer, call), x, shortcut)

    def frozen_answer(self, call: FrozenCall, x: Tensor, shortcut: Any) -> Any:
        """Returns the block's answer in stock layers, its shortcut at hand."""
        if not isinstance(self.block, ResidualBlock):
            return call(self.block, x)
        return ops.relu(shortcut + self.block.frozen_residual(call, x))

    def get_config(self) -> dict[str, Any]:
        block = keras.saving.serialize_keras_object(self.block)
        return {**super().get_config(), "block": block}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "block": keras.saving.deserialize_keras_object(config["block"])})


def _beside(part: Any, x: Tensor) -> Any:
    """Gives a part of each example the axes of x, so that it multiplies the rows of x."""
    if len(part.shape) == len(x.shape):
        return part
    return ops.reshape(part, (-1,) + (1,) * (len(x.shape) - 1))
