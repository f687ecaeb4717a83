"""What a search draws: arguments of a builder, and learning rates, which no builder takes."""

from typing import Any

import keras

from keras_mtl.training import allocation_optimizer

RATES = ("learning_rate", "allocation_learning_rate")


def taken_apart(settings: dict[str, Any]) -> tuple[dict[str, Any], keras.optimizers.Optimizer]:
    """Returns the arguments of the builder among settings, and Adam with the rates."""
    arguments = {name: value for name, value in settings.items() if name not in RATES}
    adam = keras.optimizers.Adam(settings.get("learning_rate", 1e-3))
    if "allocation_learning_rate" in settings:
        return arguments, allocation_optimizer(adam, settings["allocation_learning_rate"])
    return arguments, adam
