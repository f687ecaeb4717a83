"""A task's decoder of a modular encoder, which chooses at every step what it reads."""

from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.components.mlp import MLP
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.recurrent.step_clock import CLOCK_SIZE, step_clock
from keras_mtl.layers.recurrent.sub_encoders import (
    check_width,
    mean_of_open,
    normalization,
    seen_in_training,
)
from keras_mtl.layers.routers.decisions import log_odds, most_likely
from keras_mtl.layers.routers.gumbel import GumbelRouter
from keras_mtl.schedules import HalvingSchedule, deserialize_setting, serialize_setting
from keras_mtl.types import Setting, Shape, Tensor

DECIDE_BY = ("example", "step")


@keras.saving.register_keras_serializable("keras_mtl")
class ModularDecoder(keras.layers.Layer):
    """Reads, for one task, the sub-encoders that it connects to.

    There is a sub-decoder for each layer of sub-encoders, which reads the mean of those of its
    layer that are connected. One policy network decides about all of them: from what a sub-encoder
    says, and, when it is given, from the task's own features; or from the time step alone.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, section "decoders",
    Eqs. 6 (with features) and 7. Differs from the paper: sub-decoder d reads layer d + 1 of the
    encoder, whose first are the LSTM cells (the paper's indices do not fit each other); the
    task's features are brought to the width of a sub-encoder; the last layer of the policy
    network is linear; without any connection a sub-decoder reads zeros; `decide_by="step"`.

    Args:
        num_sub_encoders: Number of sub-encoders in each layer.
        units: Sizes of the ReLU layers of each sub-decoder.
        policy_units: Sizes of the ReLU layers of the policy network.
        temperature: As in `GumbelRouter`. `None` takes `HalvingSchedule()`. Defaults to `None`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        normalize_policies: Whether what policies see is brought to mean 0 and variance 1, source by
            source. Without, as in the paper, log-odds stay within a fraction of the noise of their
            draws: a connection is a coin flip in training, and open or closed for all in
            inference. Files that do not say were trained without. Defaults to `True`.
        decide_by: `"example"`: anew for each example, as in the paper. `"step"`: alike for all
            examples, by sines and cosines of the number of the step, with periods of 4 to 2048
            steps; the policy answers for all sub-encoders at once. Defaults to `"example"`.

    Call arguments:
        x: `(batch, steps, sum(num_sub_encoders), width)`, as `RecurrentModular` says it.
        features: `(batch, steps, features)` of the task, which a policy that decides by example
            reads too, or `None`.
        training: Whether decisions are drawn.

    Output shape:
        A pair: `(batch, steps, layers * units[-1])`, the sub-decoders side by side; and the
        decisions, 1 where the task reads a sub-encoder, `(batch, steps, sum(num_sub_encoders))`.

    Weights:
        policy, sub_decoder_1, ...: as of `MLP`; projection: kernel `(features, width)`, when
        there are features; router: as of `GumbelRouter`.

    Raises:
        ValueError: Another number of sub-encoders; features for a policy that decides by step.

    Example:

    >>> decoder = ModularDecoder((3, 3), (6,), (4,), seed=0)
    >>> outputs, decisions = decoder(keras.ops.ones((5, 7, 6, 8)))
    >>> tuple(outputs.shape), tuple(decisions.shape)
    ((5, 7, 12), (5, 7, 6))
    """

    def __init__(
        self,
        num_sub_encoders: Any,
        units: Any,
        policy_units: Any,
        temperature: Setting | None = None,
        seed: int | None = None,
        normalize_policies: bool = True,
        decide_by: str = "example",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalize_policies = checks.flag("normalize_policies", normalize_policies)
        self.num_sub_encoders = checks.sizes("num_sub_encoders", num_sub_encoders, length=1)
        self.units = checks.sizes("units", units, length=1)
        self.policy_units = checks.sizes("policy_units", policy_units)
        self.temperature = HalvingSchedule() if temperature is None else temperature
        self.seed = checks.seed("seed", seed)
        self.decide_by = checks.word("decide_by", decide_by, DECIDE_BY)
        self.supports_masking = True
        own = {"dtype": self.dtype_policy}
        self.sub_decoders = [
            MLP(units, name=f"sub_decoder_{number}", **own)
            for number in range(1, len(self.num_sub_encoders) + 1)
        ]
        self.normalization = normalization(**own) if normalize_policies else None
        scores = sum(self.num_sub_encoders) if decide_by == "step" else 2
        self.policy = MLP((*policy_units, scores), "linear", name="policy", **own)
        self.router = GumbelRouter(self.temperature, seed=seed, name="router", **own)
        self.seen: Any = None

    def build(self, x_shape: Any, features_shape: Shape | None = None) -> None:
        if len(x_shape) != 4 or x_shape[2] != sum(self.num_sub_encoders):
            raise ValueError(
                f"{self.name!r} reads {' + '.join(map(str, self.num_sub_encoders))} sub-encoders, "
                f"(batch, steps, sub-encoders, width). Received: {tuple(x_shape)}"
            )
        width, policy_width = x_shape[-1], x_shape[-1]
        self.projection: Any = None
        if features_shape is not None:
            self.projection = keras.layers.Dense(
                width, use_bias=False, dtype=self.dtype_policy, name="projection"
            )
            self.projection.build(features_shape)
            policy_width *= 2
        if self.decide_by == "step":
            if self.projection:
                raise ValueError(f"{self.name!r} decides by step, so it takes no features.")
            self.policy.build((1, x_shape[1], CLOCK_SIZE))
        else:
            self.policy.build((*x_shape[:-1], policy_width))
        if self.normalization and self.decide_by == "example":
            check_width(self, width)
            self.normalization.build(x_shape)
        for sub_decoder in self.sub_decoders:
            sub_decoder.build((*x_shape[:-2], width))
        self.router.build(x_shape[:-1])

    def call(self, x: Tensor, features: Tensor | None = None, training: bool = False) -> Any:
        def decide(logits):
            self.seen = seen_in_training(self, logits, training)
            return self.router(logits, training=training)

        projected = None if features is None else self.projection(features)
        return self._decoded(x, projected, lambda network: network, decide)

    def _decoded(self, x: Tensor, projected: Any, own: Any, decide: Any) -> tuple[Any, Any]:
        decisions = decide(self._log_odds(x, projected, own))
        indices, outputs = pairwise(accumulate((0, *self.num_sub_encoders))), []
        for sub_decoder, (start, end) in zip(self.sub_decoders, indices, strict=True):
            opened = ops.expand_dims(decisions[..., start:end], axis=-2)
            read = mean_of_open(opened, x[..., start:end, :])[..., 0, :]
            outputs.append(own(sub_decoder)(read))
        return ops.concatenate(outputs, axis=-1), decisions

    def log_odds(self, x: Tensor, features: Tensor | None = None) -> Tensor:
        """Returns the log-odds of reading each sub-encoder, of the shape of the decisions."""
        projected = None if features is None else self.projection(features)
        return self._log_odds(x, projected, lambda network: network)

    def _log_odds(self, x: Tensor, projected: Any, own: Any) -> Tensor:
        if self.decide_by == "step":
            odds = own(self.policy)(step_clock(x[..., 0]))
            return ops.zeros_like(x[..., 0]) + odds  # alike for all examples
        parts = [x]
        if projected is not None:
            parts.append(ops.stack([projected] * sum(self.num_sub_encoders), axis=-2))
        if self.normalization:
            parts = [own(self.normalization)(part) for part in parts]
        return log_odds(own(self.policy)(ops.concatenate(parts, axis=-1)))

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return [previous_mask, previous_mask]

    def compute_output_shape(self, x_shape: Any, features_shape: Shape | None = None) -> Any:
        outputs = (*x_shape[:-2], len(self.num_sub_encoders) * self.units[-1])
        return outputs, x_shape[:-1]

    def frozen(self, call: FrozenCall, x: Tensor, features: Tensor | None = None) -> Any:
        """Becomes stock layers that decide without randomness."""
        call = call.inside(self)
        projected = None if features is None else call(self.projection, features)
        return self._decoded(x, projected, lambda mlp: partial(call, mlp), most_likely)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_sub_encoders": self.num_sub_encoders,
            "units": self.units,
            "policy_units": self.policy_units,
            "temperature": serialize_setting(self.temperature),
            "seed": self.seed,
            "normalize_policies": self.normalize_policies,
            "decide_by": self.decide_by,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        temperature = deserialize_setting(config["temperature"])
        return cls(**{"normalize_policies": False, **config, "temperature": temperature})
