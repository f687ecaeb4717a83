"""Binary decisions with a gradient: straight-through Gumbel sampling."""

from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.replicas import drawn_by_row
from keras_mtl.schedules import (
    TemperatureSchedule,
    asks_length,
    check_setting,
    deserialize_setting,
    serialize_setting,
    value_at,
)
from keras_mtl.types import Setting, Shape, Tensor

_UNIFORM_MARGIN = 1e-6  # uniform() can return exact 0, whose logarithm is infinite
_LOWEST_TEMPERATURE = 1e-6  # a schedule may underflow; 0 would divide by zero


def logistic_noise(shape: Shape, seed: int | None) -> Any:
    """Returns float32 noise that turns a logit into a Bernoulli draw.

    The difference of two independent Gumbel variables is logistic, so
    `logit + noise >= 0` has probability `sigmoid(logit)`.
    """
    uniform = keras.random.uniform(
        shape, _UNIFORM_MARGIN, 1.0 - _UNIFORM_MARGIN, dtype="float32", seed=seed
    )
    return ops.log(uniform) - ops.log1p(-uniform)


def straight_through(logits: Tensor, temperature: Setting = 1.0, noise: Any = None) -> Any:
    """Decides 0 or 1, with the gradient of a sigmoid.

    The value is exactly 1 where `logits + noise >= 0` (a tie is active), else 0. The
    gradient is that of `sigmoid((logits + noise) / temperature)`.

    Args:
        logits: Natural log-odds of being active, any shape.
        temperature: Above 0, no unit; shapes the gradient only. Defaults to 1.0.
        noise: Float32 noise of the shape of `logits`, or `None` for the most likely
            decision. Defaults to `None`.

    Returns:
        Float32 tensor of the shape of `logits`.

    Example:

    >>> decisions = straight_through(keras.ops.array([-2.0, 0.0, 3.0]))
    >>> keras.ops.convert_to_numpy(decisions).tolist()
    [0.0, 1.0, 1.0]
    """
    logits = ops.cast(logits, "float32")
    if noise is not None:
        logits = logits + noise
    hard = ops.cast(logits >= 0, "float32")
    soft = ops.sigmoid(logits / temperature)
    return hard + (soft - ops.stop_gradient(soft))


def relaxed(logits: Tensor, temperature: Setting = 1.0, noise: Any = None) -> Tensor:
    """Decides between 0 and 1: the number whose gradient `straight_through` has.

    Args:
        logits: Natural log-odds of being active, any shape.
        temperature: Above 0, no unit: the lower, the nearer to 0 or 1. Defaults to 1.0.
        noise: Float32 noise of the shape of `logits`, or `None`. Defaults to `None`.

    Returns:
        Float32 tensor of the shape of `logits`, `sigmoid((logits + noise) / temperature)`.
    """
    logits = ops.cast(logits, "float32")
    return ops.sigmoid((logits if noise is None else logits + noise) / temperature)


@keras.saving.register_keras_serializable("keras_mtl")
class GumbelRouter(keras.layers.Layer):
    """Makes binary decisions from logits and lets the gradient through.

    In training every logit gets an independent draw; in inference a logit of at
    least 0 is active (a tie is active) and nothing is random. Feed it logits that
    come from features to route each example or time step on its own. With
    `trainable = False` it behaves as in inference.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section III-B;
    Jang et al. 2017 and Maddison et al. 2017 for the relaxation. Differs from the
    source: two-class Gumbel noise is drawn as one logistic variable, which has the
    same distribution.

    Args:
        temperature: Number above 0, or a schedule over training batches; shapes the
            gradient, not the decisions. A `HalvingSchedule` is over epochs, an
            `AnnealingSchedule` over all batches to come: they need the `fit` of a model that a
            builder made. `None` takes `TemperatureSchedule()`. Defaults to `None`.
        stochastic: Whether to draw in inference too. Defaults to `False`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        hard: Whether draws in training are 0 or 1; else they are relaxed, numbers between, the
            nearer to 0 or 1 the lower the temperature. Defaults to `True`.

    Call arguments:
        logits: Natural log-odds of being active, any shape.
        training: Whether to draw (`True`) or take the most likely decision.

    Output shape:
        The shape of `logits`; values 0 or 1, relaxed draws between, in the layer's compute dtype.

    Weights:
        updates: `()`, int32, not trainable: training batches seen.
        epochs: for a schedule over epochs in its place, not trainable: the epochs that are over.
        length: for an `AnnealingSchedule`, `()`, int32, not trainable: the training batches that
            `fit` expects, those seen too; 0 where nobody said.

    Raises:
        ValueError: `temperature` is not above 0.

    Example:

    >>> router = GumbelRouter(temperature=1.0, seed=0)
    >>> keras.ops.convert_to_numpy(router(keras.ops.array([[-3.0, 0.0, 3.0]]))).tolist()
    [[0.0, 1.0, 1.0]]
    >>> draws = router(keras.ops.zeros((1000, 2)), training=True)
    >>> bool(keras.ops.all((draws == 0) | (draws == 1)))
    True
    """

    def __init__(
        self,
        temperature: Setting | None = None,
        stochastic: bool = False,
        seed: int | None = None,
        hard: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if temperature is None:
            temperature = TemperatureSchedule()
        self.temperature = check_setting("temperature", temperature, above=0)
        self.stochastic = checks.flag("stochastic", stochastic)
        self.seed = checks.seed("seed", seed)
        self.hard = checks.flag("hard", hard)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.counts = getattr(temperature, "counts", "updates")
        self.draws_by_row = True  # the first axis is that of the batch
        self.supports_masking = True

    def build(self, logits_shape: Shape) -> None:
        counter = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name=self.counts
        )
        setattr(self, self.counts, counter)
        self.length = None
        if asks_length(self.temperature):
            self.length = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="length"
            )

    def call(self, logits: Tensor, training: bool = False) -> Any:
        learning = training and self.trainable
        counter = getattr(self, self.counts)
        temperature = ops.maximum(self.temperature_now(), _LOWEST_TEMPERATURE)
        noise = None
        if learning or self.stochastic:
            shape = ops.shape(logits)
            if self.draws_by_row:
                noise = drawn_by_row(logistic_noise, shape, self.seed_generator)
            else:
                noise = logistic_noise(shape, self.seed_generator)
        if learning and self.counts == "updates":
            counter.assign_add(1)
        decide = relaxed if learning and not self.hard else straight_through
        return ops.cast(decide(logits, temperature, noise), self.compute_dtype)

    def temperature_now(self) -> Any:
        """Returns the temperature of the next batch of training."""
        return value_at(self.temperature, getattr(self, self.counts), self.length)

    def compute_output_shape(self, logits_shape: Shape) -> Any:
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": serialize_setting(self.temperature),
            "stochastic": self.stochastic,
            "seed": self.seed,
            "hard": self.hard,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "temperature": deserialize_setting(config["temperature"])})
