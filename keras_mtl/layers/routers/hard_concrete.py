"""Numbers between 0 and 1 that have a gradient, and may be exactly 0 or 1."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.routers.gumbel import logistic_noise, relaxed
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class HardConcrete(keras.layers.Layer):
    """Draws numbers in [0, 1] from logits, exactly 0 and exactly 1 among them.

    In training `s = sigmoid((logits + log(u) - log(1 - u)) / temperature)`, u uniform in (0, 1),
    is stretched to `(low, high)` and clipped: `clip(s * (high - low) + low, 0, 1)`. In inference s
    is `sigmoid(logits)`, and nothing is random. With `trainable = False` it behaves as in
    inference. Without a stretch, (0, 1), these are draws of the concrete distribution, which
    are never exactly 0 or 1.

    Source: Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0
    Regularization", ICLR 2018, https://arxiv.org/abs/1712.01312, section 2.2, with logits for
    log alpha.

    Args:
        temperature: Number above 0, beta in the paper: the lower, the nearer draws are to 0 or 1.
            Defaults to 0.9.
        stretch: Pair (low, high), gamma and zeta in the paper, low at most 0 and high at least
            1. Defaults to `(-0.1, 1.1)`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        logits: Any shape.
        training: Whether to draw (`True`).

    Output shape:
        The shape of `logits`, in the layer's compute dtype.

    Raises:
        ValueError: A temperature that is not above 0, a stretch that does not hold [0, 1].

    Example:

    >>> gate = HardConcrete(seed=0)
    >>> keras.ops.convert_to_numpy(gate(keras.ops.array([-5.0, 0.0, 5.0]))).tolist()
    [0.0, 0.5, 1.0]
    >>> round(float(gate.nonzero_probability(keras.ops.array(0.0))), 3)
    0.896
    """

    def __init__(
        self,
        temperature: Setting = 0.9,
        stretch: Any = (-0.1, 1.1),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.temperature = checks.number("temperature", temperature, above=0)
        wanted = "a pair (low, high) with low at most 0 and high at least 1, so that both are drawn"
        ends = checks.array("stretch", stretch, wanted)
        if ends.shape != (2,) or ends[0] > 0 or ends[1] < 1:
            raise ValueError(f"stretch must be {wanted}. Received: {stretch}")
        self.stretch = tuple(ends.tolist())
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def call(self, logits: Tensor, training: bool = False) -> Any:
        concrete = relaxed(logits)
        if training and self.trainable:
            noise = logistic_noise(ops.shape(logits), self.seed_generator)
            concrete = relaxed(logits, self.temperature, noise)
        low, high = self.stretch
        return ops.cast(ops.clip(concrete * (high - low) + low, 0.0, 1.0), self.compute_dtype)

    def nonzero_probability(self, logits: Tensor) -> Tensor:
        """Returns the chance that a draw is not 0, `sigmoid(logits - t * log(-low / high))`."""
        low, high = self.stretch
        if low == 0:
            return ops.ones_like(logits)
        return ops.sigmoid(logits - self.temperature * float(np.log(-low / high)))

    def compute_output_shape(self, logits_shape: Shape) -> Any:
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "stretch": self.stretch,
            "seed": self.seed,
        }
