"""The base of layers that charge: named penalties, whose weights may change with training."""

from collections.abc import Mapping
from typing import Any, Self

import keras

from keras_mtl.replicas import current_step, over_replicas
from keras_mtl.schedules import check_setting, deserialize_setting, serialize_setting, value_at


class ChargingLayer(keras.layers.Layer):
    """Abstract: adds named penalties to the loss.

    A final class makes the variables that this needs in `build` (`add_penalties`), and in `call`
    charges each penalty (`charge`) before it counts the batch (`count_batch`).

    Args:
        weights: Dict, name of an argument, which ends in `weight` -> weight of a penalty: a number
            of at least 0, or a schedule over training batches. Each becomes an attribute of that
            name, and stands in the config.

    Attributes:
        penalties: Dict, name in the logs -> variable with the latest value.
        updates: Variable, training batches seen; `None` where nobody counts them.
    """

    def __init__(self, weights: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._names_of_weights = tuple(weights)
        for name, weight in weights.items():
            setattr(self, name, check_setting(name, weight))

    def add_penalties(self, names: Mapping[str, str], counted: bool = True) -> None:
        """Makes the counter of training batches, and a variable for each penalty.

        Args:
            names: Dict, name of a penalty in the logs -> name of its variable.
            counted: Whether there is a counter. Defaults to `True`.
        """
        scalar = {"shape": (), "initializer": "zeros", "trainable": False}
        self.updates = self.add_weight(dtype="int32", name="updates", **scalar) if counted else None
        self.penalties = {
            log: self.add_weight(dtype="float32", name=name, **scalar)
            for log, name in names.items()
        }

    def charge(self, name: str, weight: Any, price: Any, sums: Any = ()) -> None:
        """Adds a penalty to the loss, and keeps its value in `penalties`.

        Args:
            name: Key of `penalties`.
            weight: Number, or a schedule over training batches.
            price: Function of the sums that returns what the weight is multiplied with, a scalar.
            sums: Tuple of tensors, sums over the rows of the batch. Where replicas share a batch
                `price` is asked later, by the model, for the sums over all of them. Defaults to
                `()`: the price does not depend on the rows.
        """
        weight = value_at(weight, self.updates)

        def settle(sums):
            value = weight * price(*sums)
            self.penalties[name].assign(value)
            return value

        step = current_step()
        if step is None or not sums:
            self.add_loss(settle(sums))
        else:
            step.charges.append((sums, settle))

    def count_batch(self, training: bool) -> None:
        """Counts a batch whose penalties are charged, if it is one of training."""
        if training and self.updates is not None:
            self.updates.assign_add(1)

    def see_task_loss(self, loss: Any) -> None:
        """Hears the mean task loss of a training batch; most layers do not ask."""

    def get_config(self) -> dict[str, Any]:
        weights = {name: serialize_setting(getattr(self, name)) for name in self._names_of_weights}
        return {**super().get_config(), **weights}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        weights = {n: deserialize_setting(w) for n, w in config.items() if n.endswith("weight")}
        return cls(**{**config, **weights})


def is_charged(weight: Any) -> Any:
    """Returns whether the weight of a penalty is not always 0."""
    return callable(weight) or weight > 0


def settled_charges() -> list[Any]:
    """Returns a list of what was charged for sums over a batch that several replicas share."""
    step = current_step()
    if step is None:
        return []
    charges, step.charges = step.charges, []
    sums = over_replicas([sums for sums, _ in charges]) if charges else []
    return [settle(whole) for whole, (_, settle) in zip(sums, charges, strict=True)]


def tell_task_loss(layers: Any, loss: Any, num_tasks: int) -> None:
    """Tells layers whose price is relative to the tasks' losses what these are in a batch.

    Args:
        layers: Layers of a model.
        loss: Loss of a training batch, without penalties.
        num_tasks: Number of tasks, for the mean.
    """
    for layer in layers:
        if isinstance(layer, ChargingLayer):
            layer.see_task_loss(loss / num_tasks)
