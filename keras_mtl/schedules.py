"""Values that change with the number of training batches, or epochs, or their share, seen."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class TemperatureSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Cools a straight-through sampler: `max(minimum, initial / sqrt(step + 1))`.

    `step` counts training batches. The counter lives in the layer that samples and
    is saved with it, so a resumed run goes on where it stopped. Any other
    `keras.optimizers.schedules.LearningRateSchedule` can be used in its place.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915. The paper only says
    "annealing"; form and numbers are those of its reference code.

    Args:
        initial: Temperature of the first batch, above 0, no unit. Defaults to 50.0.
        minimum: Smallest temperature, above 0. Defaults to 0.5.

    Raises:
        ValueError: `initial` or `minimum` is not above 0.

    Example:

    >>> schedule = TemperatureSchedule(initial=50.0, minimum=0.5)
    >>> [round(float(schedule(step)), 3) for step in (0, 99, 9999, 20000)]
    [50.0, 5.0, 0.5, 0.5]
    """

    def __init__(self, initial: float = 50.0, minimum: float = 0.5) -> None:
        super().__init__()
        self.initial = float(checks.number("initial", initial, above=0))
        self.minimum = float(checks.number("minimum", minimum, above=0))

    def __call__(self, step: Any) -> Tensor:
        step = ops.cast(step, "float32")
        return ops.maximum(self.minimum, self.initial / ops.sqrt(step + 1.0))

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "minimum": self.minimum}


@keras.saving.register_keras_serializable("keras_mtl")
class HalvingSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Halves a temperature after every epoch: `max(minimum, initial / 2**epoch)`.

    The only schedule over epochs: `fit` of a model that a builder made tells its routers
    which epoch begins. They count on when `fit` is called again, also at `initial_epoch`.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021. The paper has no
    floor, so that its temperature underflows.

    Args:
        initial: Temperature of the first epoch, above 0, no unit. Defaults to 100.0.
        minimum: Smallest temperature, above 0. Defaults to 0.1.

    Raises:
        ValueError: `initial` or `minimum` is not above 0.

    Example:

    >>> schedule = HalvingSchedule()
    >>> [round(float(schedule(epoch)), 3) for epoch in (0, 1, 2, 30)]
    [100.0, 50.0, 25.0, 0.1]
    """

    counts = "epochs"

    def __init__(self, initial: float = 100.0, minimum: float = 0.1) -> None:
        super().__init__()
        self.initial = float(checks.number("initial", initial, above=0))
        self.minimum = float(checks.number("minimum", minimum, above=0))

    def __call__(self, epoch: int) -> Tensor:
        halved = self.initial * 0.5 ** ops.cast(epoch, "float32")
        return ops.maximum(self.minimum, halved)

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "minimum": self.minimum}


@keras.saving.register_keras_serializable("keras_mtl")
class AnnealingSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Cools by the part of training that is done: `initial * (final / initial)**part`.

    However long training is, it ends at `final`. How many batches there will be `fit` of a model
    that a builder made says: those so far and those of the epochs that are left, so that a second
    `fit` is a longer training, which begins warmer than the first one ended. Outside of `fit`
    `num_steps` says it; before it is known, the temperature is `initial`.

    Source: Sun et al., "AdaShare", NeurIPS 2020, and its code, where the temperature falls by a
    factor with every cycle, and how far it falls depends on their number.

    Args:
        initial: Temperature of the first batch, above 0, no unit. Defaults to 5.0.
        final: Temperature of the last batch, above 0. Defaults to 0.1.
        start: Training batches at the beginning that do not count. Defaults to 0.
        num_steps: Length of training in batches, those of `start` too; `None` asks `fit`. Defaults
            to `None`.

    Raises:
        ValueError: `initial` or `final` is not above 0, a negative `start`, no batch after it.

    Example:

    >>> schedule = AnnealingSchedule(start=50, num_steps=250)
    >>> [round(float(schedule(step)), 3) for step in (0, 50, 150, 250, 999)]
    [5.0, 5.0, 0.707, 0.1, 0.1]
    """

    asks_length = True

    def __init__(
        self,
        initial: float = 5.0,
        final: float = 0.1,
        start: int = 0,
        num_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.initial = float(checks.number("initial", initial, above=0))
        self.final = float(checks.number("final", final, above=0))
        self.start = checks.count("start", start, least=0)
        if num_steps is not None:
            num_steps = checks.count("num_steps", num_steps, least=self.start + 1)
        self.num_steps = num_steps

    def __call__(self, step: Any, length: Any = 0) -> Any:
        """Returns the temperature of a batch, which count from 0; a `length` of 0 is unknown."""
        length = self.num_steps or length
        done, length = (ops.cast(x, "float32") - self.start for x in (step, length))
        part = ops.where(length > 0, done / ops.maximum(length, 1.0), 0.0)
        return self.initial * (self.final / self.initial) ** ops.clip(part, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial": self.initial,
            "final": self.final,
            "start": self.start,
            "num_steps": self.num_steps,
        }


@keras.saving.register_keras_serializable("keras_mtl")
class RampSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Raises a penalty's weight from 0: `final * (step / num_steps) ** power`.

    After `num_steps` training batches the value stays at `final`.

    Source: the entropy penalty in the reference code of Maziarz et al. 2019.

    Args:
        final: Value at the end of the ramp.
        num_steps: Length of the ramp in training batches, at least 1.
        power: Shape of the ramp, above 0. Defaults to 1.0, a straight line.

    Raises:
        ValueError: `num_steps` is below 1 or `power` not above 0.

    Example:

    >>> ramp = RampSchedule(final=2.0, num_steps=100)
    >>> [float(ramp(step)) for step in (0, 50, 100, 500)]
    [0.0, 1.0, 2.0, 2.0]
    """

    def __init__(self, final: Any, num_steps: Any, power: float = 1.0) -> None:
        super().__init__()
        self.final = float(checks.number("final", final))
        self.num_steps = checks.count("num_steps", num_steps)
        self.power = float(checks.number("power", power, above=0))

    def __call__(self, step: Any) -> Any:
        progress = ops.minimum(ops.cast(step, "float32") / self.num_steps, 1.0)
        return self.final * progress**self.power

    def get_config(self) -> dict[str, Any]:
        return {"final": self.final, "num_steps": self.num_steps, "power": self.power}


def check_setting(name: str, setting: Any, above: Any = None) -> Any:
    """Returns a setting that is a schedule, or a number.

    With `above` a number must exceed it, else it must be at least 0.
    """
    if callable(setting):
        return setting
    least = 0 if above is None else None
    return checks.number(name, setting, above=above, least=least, or_else=" or a schedule")


def value_at(setting: Any, step: Any, length: Any = None) -> Any:
    """Returns the value of `setting`, a number or a schedule, at a training step.

    `length` is that of training, in steps, for a schedule that asks for it.
    """
    if not callable(setting):
        return setting
    return setting(step, length) if asks_length(setting) else setting(step)


def asks_length(setting: Any) -> bool:
    """Returns whether `setting` is a schedule that asks how long training is."""
    return getattr(setting, "asks_length", False)


def serialize_setting(setting: Any) -> Any:
    """Returns the config form of a number or schedule."""
    return keras.saving.serialize_keras_object(setting) if callable(setting) else setting


def deserialize_setting(config: Any) -> Any:
    """Returns the number or schedule that `serialize_setting` wrote."""
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
