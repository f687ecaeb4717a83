"""Phases of training: when weights learn and when the policy does."""

from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class PolicyPhases:
    """Turns between learning weights and learning a policy, counted in training batches.

    First comes a warm-up, in which every task executes every block and only weights learn.
    Then cycles follow: `weights` batches in which the weights learn, `policy` batches in which
    the policy does.

    Source: Sun et al., "AdaShare: Learning What To Share For Efficient Deep Multi-Task
    Learning", NeurIPS 2020, and Rahimian et al., "DynaShare", ICLR 2022 submission,
    algorithm 1. A phase of theirs is one pass over its part of the data, or a fixed number of
    batches.

    Args:
        warm_up: Batches of the warm-up. Defaults to 0.
        weights: Batches of a cycle in which weights learn. Defaults to 100.
        policy: Batches of a cycle in which the policy learns. Defaults to 100.

    Raises:
        ValueError: A negative number, a cycle without one of its phases.

    Example:

    >>> phases = PolicyPhases(warm_up=2, weights=3, policy=1)
    >>> [bool(phases.policy_learns(step)) for step in range(7)]
    [False, False, False, False, False, True, False]
    >>> phases.start_of_cycle(1)
    6
    """

    def __init__(self, warm_up: int = 0, weights: int = 100, policy: int = 100) -> None:
        self.warm_up = checks.count("warm_up", warm_up, least=0)
        self.weights = checks.count("weights", weights)
        self.policy = checks.count("policy", policy)

    @property
    def cycle_length(self) -> Any:
        return self.weights + self.policy

    def start_of_cycle(self, cycle: Any) -> Any:
        """Returns the first batch of a cycle, which count from 0."""
        return self.warm_up + cycle * self.cycle_length

    def cycle(self, step: Any) -> Tensor:
        """Returns which cycle a batch is in, as a float; the warm-up counts to the first."""
        step = ops.maximum(ops.cast(step, "float32") - self.warm_up, 0.0)
        return ops.floor(step / self.cycle_length)

    def policy_learns(self, step: Any) -> Tensor:
        """Returns whether the policy learns in a batch, which count from 0."""
        step = ops.cast(step, "int32") - self.warm_up
        return ops.logical_and(step >= 0, ops.mod(step, self.cycle_length) >= self.weights)

    def __repr__(self) -> str:
        return f"PolicyPhases({self.warm_up}, weights={self.weights}, policy={self.policy})"

    def get_config(self) -> dict[str, Any]:
        return {"warm_up": self.warm_up, "weights": self.weights, "policy": self.policy}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def checked_phases(phases: Any) -> Any:
    """Returns `phases`, after a check that they are `PolicyPhases`."""
    if not isinstance(phases, PolicyPhases):
        raise ValueError(f"phases must be keras_mtl.PolicyPhases. Received: {phases!r}")
    return phases


@keras.saving.register_keras_serializable("keras_mtl")
class CycleTemperature(keras.optimizers.schedules.LearningRateSchedule):
    """Cools a relaxed sampler with every cycle: `max(minimum, initial * factor**cycle)`.

    Source: AdaShare's reference code. Its papers only say that the temperature decreases; the
    floor is ours.

    Args:
        phases: `PolicyPhases`.
        initial: Temperature of the first cycle, above 0, no unit. Defaults to 5.0.
        factor: Of one cycle's temperature to the one's before, in (0, 1]. Defaults to 0.965.
        minimum: Smallest temperature, above 0. Defaults to 0.1.

    Raises:
        ValueError: A temperature that is not above 0, a factor outside (0, 1].

    Example:

    >>> schedule = CycleTemperature(PolicyPhases(warm_up=10, weights=3, policy=1))
    >>> [round(float(schedule(step)), 3) for step in (0, 13, 14, 999)]
    [5.0, 5.0, 4.825, 0.1]
    """

    def __init__(
        self, phases: Any, initial: float = 5.0, factor: float = 0.965, minimum: float = 0.1
    ) -> None:
        super().__init__()
        self.phases = checked_phases(phases)
        self.initial = float(checks.number("initial", initial, above=0))
        self.factor = float(checks.fraction("factor", factor))
        self.minimum = float(checks.number("minimum", minimum, above=0))

    def __call__(self, step: Any) -> Tensor:
        return ops.maximum(self.minimum, self.initial * self.factor ** self.phases.cycle(step))

    def get_config(self) -> dict[str, Any]:
        return {
            "phases": keras.saving.serialize_keras_object(self.phases),
            "initial": self.initial,
            "factor": self.factor,
            "minimum": self.minimum,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "phases": keras.saving.deserialize_keras_object(config["phases"])})
