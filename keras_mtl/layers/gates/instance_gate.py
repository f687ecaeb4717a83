"""Each example's own choice to execute a block, or that of each of its steps."""

from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import mean_of_places, mean_so_far
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.routers.decisions import log_odds, most_likely
from keras_mtl.layers.routers.gumbel import GumbelRouter
from keras_mtl.schedules import deserialize_setting, serialize_setting
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class InstanceGate(keras.layers.Layer):
    """Decides for each example, from a block's input, whether the block is worth executing.

    The mean of the features over space or time, a small dense network, and a binary decision:
    drawn in training, with a straight-through gradient, the most likely one in inference.
    With `per_step` it decides at every step of a sequence, from the mean of the steps so far:
    labels at every step must not depend on what comes after, which the mean of all would tell.

    Source: Rahimian et al., "DynaShare: Dynamic Neural Networks for Multi-Task Learning", ICLR
    2022 submission, section 3.3; Veit and Belongie, "Convolutional Networks with Adaptive
    Inference Graphs", ECCV 2018, section 3.2, whose start is kept: most gates are open. Differs
    from their code: the gate is open or closed without randomness in inference, and may decide
    at every step.

    Args:
        units: Size of the hidden ReLU layer. Defaults to 16.
        temperature: As in `GumbelRouter`. Defaults to 1.0.
        stochastic: Whether to draw in inference too, as their code does. Defaults to `False`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        per_step: Whether to decide at every step of a sequence. Defaults to `False`.
        strides: With `per_step`, number of steps from one decision to the next: that of the
            block. Defaults to 1.

    Call arguments:
        x: `(batch, ..., features)`; with `per_step` `(batch, steps, features)`.
        mask: For sequences, `(batch, steps)` booleans, `False` where there is only padding,
            which is left out of the mean.
        training: Whether to draw.

    Output shape:
        `(batch, 1)`, 1 where the gate is open, else 0; with `per_step` `(batch, steps, 1)`, steps
        divided by `strides` and rounded up, with the mask of these steps.

    Weights:
        hidden, normalization, scores: as of `keras.layers.Dense` and `BatchNormalization`;
            scores are of (closed, open) and start at (0.1, 2): open with probability 0.87.
        router: as of `GumbelRouter`.

    Raises:
        ValueError: No hidden unit, strides below 1, `per_step` on data without steps.

    Example:

    >>> gate = InstanceGate(seed=0)
    >>> x = keras.random.normal((1000, 8, 8, 3), seed=0)
    >>> tuple(gate(x).shape), 0.8 < float(keras.ops.mean(gate(x, training=True))) < 0.95
    ((1000, 1), True)
    """

    def __init__(
        self,
        units: int = 16,
        temperature: Setting = 1.0,
        stochastic: bool = False,
        seed: int | None = None,
        per_step: bool = False,
        strides: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units = checks.count("units", units)
        self.per_step = checks.flag("per_step", per_step)
        self.strides = checks.count("strides", strides)
        self.stochastic = checks.flag("stochastic", stochastic)
        self.seed = checks.seed("seed", seed)
        own = {"dtype": self.dtype_policy}
        self.hidden = keras.layers.Dense(units, name="hidden", **own)
        self.normalization = keras.layers.BatchNormalization(name="normalization", **own)
        self.scores = keras.layers.Dense(
            2,
            kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
            bias_initializer=keras.initializers.Constant([0.1, 2.0]),
            name="scores",
            **own,
        )
        self.supports_masking = True
        self.router = GumbelRouter(temperature, stochastic, seed=seed, name="router", **own)

    def build(self, shape: Shape) -> None:
        if self.per_step and len(shape) != 3:
            raise ValueError(
                f"{self.name!r} decides at every step, so it reads sequences, (batch, steps, "
                f"features). Received: {tuple(shape)}. To decide once for each example take "
                "per_step=False, or gates_per_step=False in keras_mtl.build_dynashare."
            )
        *outer, _ = self.compute_output_shape(shape)
        self.hidden.build((*outer, shape[-1]))
        for layer in (self.normalization, self.scores):
            layer.build((*outer, self.units))
        self.router.build((*outer, 1))

    def call(self, x: Tensor, mask: Any = None, training: bool = False) -> Any:
        hidden = self.hidden(self._mean(x, mask))
        hidden = ops.relu(self.normalization(hidden, mask=self.compute_mask(x, mask)))
        odds = ops.expand_dims(log_odds(self.scores(hidden)), axis=-1)
        return self.router(odds, training=training)

    def _mean(self, x: Tensor, mask: Any) -> Any:
        """Returns what the decisions rest on."""
        if not self.per_step:
            return mean_of_places(x, mask)
        return self._decided(mean_so_far(x, mask))

    def _decided(self, steps: Any) -> Any:
        return steps if self.strides == 1 else steps[:, :: self.strides]

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        if previous_mask is None or not self.per_step:
            return None
        return self._decided(previous_mask)

    def compute_output_shape(self, shape: Shape) -> Any:
        if not self.per_step:
            return (shape[0], 1)
        return (shape[0], shape[1] and -(-shape[1] // self.strides), 1)

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes stock layers that decide without randomness."""
        call = call.inside(self)
        hidden = call(self.hidden, self._mean(x, call.mask))
        hidden = ops.relu(call(self.normalization, hidden))
        odds = log_odds(call(self.scores, hidden))
        return ops.expand_dims(most_likely(odds), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "temperature": serialize_setting(self.router.temperature),
            "stochastic": self.stochastic,
            "seed": self.seed,
            "per_step": self.per_step,
            "strides": self.strides,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "temperature": deserialize_setting(config["temperature"])})
