"""One layer of a modular encoder: sub-networks that choose what they read, at every step."""

from functools import partial
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.components.mlp import MLP
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.routers.decisions import log_odds, most_likely
from keras_mtl.layers.routers.gumbel import GumbelRouter
from keras_mtl.schedules import HalvingSchedule, deserialize_setting, serialize_setting
from keras_mtl.types import Setting, Shape, Tensor


def mean_of_open(decisions: Any, sources: Any) -> Tensor:
    """Returns the mean of the sources whose connection is open; zeros where none is.

    Args:
        decisions: `(..., destinations, sources)`, 0 or 1.
        sources: `(..., sources, features)`.

    Returns:
        `(..., destinations, features)`.
    """
    num_open = ops.sum(decisions, axis=-1, keepdims=True)
    return ops.matmul(decisions / at_least_one(num_open), sources)


def normalization(**options: Any) -> keras.Layer:
    """Returns a layer without weights that brings what a policy sees to one scale."""
    return keras.layers.LayerNormalization(
        center=False, scale=False, name="normalization", **options
    )


def check_width(layer: keras.Layer, width: int | None) -> None:
    """Raises a `ValueError` where normalization leaves a policy nothing to see."""
    if width == 1:
        raise ValueError(
            f"{layer.name!r} reads sources of one unit, which is 0 whenever it is normalized. Give "
            "them more units, or use normalize_policies=False."
        )


def seen_in_training(layer: keras.Layer, log_odds: Tensor, training: bool) -> Any:
    """Returns the log-odds that a layer keeps in `seen` for those who watch it learn, or `None`."""
    return ops.stop_gradient(log_odds) if training and layer.trainable else None


def side_by_side(x: Tensor) -> Tensor:
    """Joins the last two axes; a plain reshape does not know two free axes before them."""
    return ops.concatenate([x[..., index, :] for index in range(x.shape[-2])], axis=-1)


@keras.saving.register_keras_serializable("keras_mtl")
class SubEncoders(keras.layers.Layer):
    """Small networks that each read the mean of the sources they connect to.

    A destination decides by a policy network of its own, which sees one source at a time.
    Nothing passes between time steps, so one call serves a step or a whole sequence.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 2 to 5. Differs
    from the paper: what policies see is normalized; the last layer of a policy network is linear,
    because a clipped score would lose half its range; a sub-encoder without any connection, which
    the paper does not treat, reads zeros.

    Args:
        num_sub_encoders: Number of sub-encoders.
        units: Sizes of the ReLU layers of each.
        policy_units: Sizes of the ReLU layers of each policy network, before its two scores.
        temperature: As in `GumbelRouter`. `None` takes `HalvingSchedule()`. Defaults to `None`.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        normalize_policies: Whether what policies see is brought to mean 0 and variance 1, source by
            source. Without, as in the paper, log-odds stay within a fraction of the noise of their
            draws: a connection is a coin flip in training, and open or closed for all in
            inference. Files that do not say were trained without. Defaults to `True`.

    Call arguments:
        sources: `(batch, ..., sources, features)`.
        training: Whether to draw decisions (`True`), one for each connection, example and
            step, or to take the most likely.

    Output shape:
        A pair: `(batch, ..., num_sub_encoders, units[-1])`, and the decisions, 1 where a
        connection is open, `(batch, ..., num_sub_encoders, sources)`.

    Weights:
        policy_1, ..., network_1, ...: as of `MLP`; router: as of `GumbelRouter`.

    Example:

    >>> outputs, decisions = SubEncoders(3, (8, 6), (4,))(keras.ops.ones((5, 9, 2, 7)))
    >>> tuple(outputs.shape), tuple(decisions.shape)
    ((5, 9, 3, 6), (5, 9, 3, 2))
    """

    def __init__(
        self,
        num_sub_encoders: Any,
        units: Any,
        policy_units: Any,
        temperature: Setting | None = None,
        seed: int | None = None,
        normalize_policies: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalize_policies = checks.flag("normalize_policies", normalize_policies)
        self.num_sub_encoders = checks.count("num_sub_encoders", num_sub_encoders)
        self.units = checks.sizes("units", units, length=1)
        self.policy_units = checks.sizes("policy_units", policy_units)
        self.temperature = HalvingSchedule() if temperature is None else temperature
        self.seed = checks.seed("seed", seed)
        own = {"dtype": self.dtype_policy}
        numbers = range(1, num_sub_encoders + 1)
        self.policies = [
            MLP((*policy_units, 2), "linear", name=f"policy_{n}", **own) for n in numbers
        ]
        self.normalization = normalization(**own) if normalize_policies else None
        self.networks = [MLP(units, name=f"network_{n}", **own) for n in numbers]
        self.router = GumbelRouter(self.temperature, seed=seed, name="router", **own)
        self.seen: Any = None

    def build(self, shape: Shape) -> None:
        for layer in (*self.policies, *self.networks):
            layer.build(shape)
        if self.normalization:
            check_width(self, shape[-1])
            self.normalization.build(shape)
        self.router.build((*shape[:-2], self.num_sub_encoders, shape[-2]))

    def call(self, sources: Any, training: bool = False) -> Any:
        def decide(logits):
            self.seen = seen_in_training(self, logits, training)
            return self.router(logits, training=training)

        return self._encoded(sources, lambda network: network, decide)

    def log_odds(self, sources: Any) -> Tensor:
        """Returns the log-odds of each connection, of the shape of the decisions."""
        return self._log_odds(sources, lambda network: network)

    def _log_odds(self, sources: Any, own: Any) -> Tensor:
        seen = own(self.normalization)(sources) if self.normalization else sources
        return ops.stack([log_odds(own(policy)(seen)) for policy in self.policies], axis=-2)

    def _encoded(self, sources: Any, own: Any, decide: Any) -> tuple[Any, Any]:
        decisions = decide(self._log_odds(sources, own))
        read = mean_of_open(decisions, sources)
        outputs = [own(network)(read[..., n, :]) for n, network in enumerate(self.networks)]
        return ops.stack(outputs, axis=-2), decisions

    def compute_output_shape(self, shape: Shape) -> Any:
        outputs = (*shape[:-2], self.num_sub_encoders, self.units[-1])
        return outputs, (*shape[:-2], self.num_sub_encoders, shape[-2])

    def frozen(self, call: FrozenCall, sources: Any) -> Any:
        """Becomes stock layers that decide without randomness."""
        call = call.inside(self)
        return self._encoded(sources, lambda mlp: partial(call, mlp), most_likely)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_sub_encoders": self.num_sub_encoders,
            "units": self.units,
            "policy_units": self.policy_units,
            "temperature": serialize_setting(self.temperature),
            "seed": self.seed,
            "normalize_policies": self.normalize_policies,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        temperature = deserialize_setting(config["temperature"])
        return cls(**{"normalize_policies": False, **config, "temperature": temperature})
