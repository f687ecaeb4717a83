"""Each example's own choice to execute a block."""

import keras
from keras import ops

from keras_mtl.layers.gumbel import GumbelRouter
from keras_mtl.layers.means import mean_of_valid
from keras_mtl.layers.sub_encoders import inside, log_odds, most_likely
from keras_mtl.schedules import deserialize_setting, serialize_setting


@keras.saving.register_keras_serializable("keras_mtl")
class InstanceGate(keras.layers.Layer):
    """Decides for each example, from a block's input, whether the block is worth executing.

    The mean of the features over space or time, a small dense network, and a binary decision:
    drawn in training, with a straight-through gradient, the most likely one in inference.

    Source: Rahimian et al., "DynaShare: Dynamic Neural Networks for Multi-Task Learning", ICLR
    2022 submission, section 3.3; Veit and Belongie, "Convolutional Networks with Adaptive
    Inference Graphs", ECCV 2018, section 3.2, whose start is kept: most gates are open. Differs
    from their code: the gate is open or closed without randomness in inference.

    Args:
        units: Size of the hidden ReLU layer. Defaults to 16.
        temperature: As in `GumbelRouter`. Defaults to 1.0.
        stochastic: Whether to draw in inference too, as their code does. Defaults to `False`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        x: `(batch, ..., features)`.
        mask: For sequences, `(batch, steps)` booleans, `False` where there is only padding,
            which is left out of the mean.
        training: Whether to draw.

    Output shape:
        `(batch, 1)`, 1 where the gate is open, else 0.

    Weights:
        hidden, normalization, scores: as of `keras.layers.Dense` and `BatchNormalization`;
        scores are of (closed, open) and start at (0.1, 2): open with probability 0.87.

    Raises:
        ValueError: No hidden unit.

    Example:

    >>> gate = InstanceGate(seed=0)
    >>> x = keras.random.normal((1000, 8, 8, 3), seed=0)
    >>> tuple(gate(x).shape), 0.8 < float(keras.ops.mean(gate(x, training=True))) < 0.95
    ((1000, 1), True)
    """

    def __init__(self, units=16, temperature=1.0, stochastic=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"A gate needs at least one hidden unit. Received: units={units}")
        self.units = units
        self.stochastic = stochastic
        self.seed = seed
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

    def build(self, shape):
        self.hidden.build((shape[0], shape[-1]))
        for layer in (self.normalization, self.scores):
            layer.build((shape[0], self.units))
        self.router.build((shape[0], 1))

    def call(self, x, mask=None, training=False):
        hidden = ops.relu(self.normalization(self.hidden(mean_of_places(x, mask))))
        odds = ops.expand_dims(log_odds(self.scores(hidden)), axis=-1)
        return self.router(odds, training=training)

    def compute_mask(self, x, previous_mask=None):
        return None

    def compute_output_shape(self, shape):
        return (shape[0], 1)

    def stock_call(self, x, mask=None, *, copy):
        """Becomes stock layers that decide without randomness."""
        copy = inside(self.name, copy)
        hidden = copy(self.hidden, "hidden")(mean_of_places(x, mask))
        hidden = ops.relu(copy(self.normalization, "normalization")(hidden))
        odds = log_odds(copy(self.scores, "scores")(hidden))
        return ops.expand_dims(most_likely(odds), axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "temperature": serialize_setting(self.router.temperature),
            "stochastic": self.stochastic,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "temperature": deserialize_setting(config["temperature"])})


def mean_of_places(x, mask=None):
    """Returns the mean over space or time, `(batch, features)`; of valid steps, with a mask."""
    places = tuple(range(1, len(x.shape) - 1))
    if not places:
        return x
    if mask is None:
        return ops.mean(x, axis=places)
    valid = ops.expand_dims(ops.cast(mask, x.dtype), axis=-1)
    return mean_of_valid(x, valid, axis=1)
