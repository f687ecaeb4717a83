"""Dense layers that each task has before its head."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.keras_internals import origin
from keras_mtl.layers import LastStep
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.types import Tensor, TowerUnits

_NAME = re.compile(r"tower_\d+_\d+")


def units_by_task(tower_units: TowerUnits, names: Sequence[str]) -> Any:
    """Returns a tuple of sizes for each task, after a check of what a builder was given."""
    if not isinstance(tower_units, Mapping):
        return [checks.sizes("tower_units", tower_units)] * len(names)
    unknown = [name for name in tower_units if name not in names]
    if unknown:
        raise ValueError(
            f"tower_units names {unknown[0]!r}, which is no task. Tasks: {', '.join(names)}"
        )
    by_name = {
        name: checks.sizes(f"tower_units[{name!r}]", sizes) for name, sizes in tower_units.items()
    }
    return [by_name.get(name, ()) for name in names]


def through_towers(streams: Sequence[Tensor], units: Any) -> Any:
    """Sends the features of each task through dense ReLU layers of its own, of given sizes."""
    streams = list(streams)
    for depth in range(1, max(map(len, units)) + 1):
        for index, sizes in enumerate(units):
            if len(sizes) >= depth:
                dense = keras.layers.Dense(
                    sizes[depth - 1], activation="relu", name=f"tower_{depth}_{index + 1}"
                )
                streams[index] = dense(streams[index])
    return streams


def is_in_tower(operation: Any) -> bool:
    """Returns whether a layer of a network is part of a task's tower."""
    return bool(_NAME.fullmatch(operation.name))


def tower_of(tensor: Tensor) -> tuple[Any, Any]:
    """Returns the layers of the tower that ends in a tensor, and what the tower reads."""
    tower: list[Any] = []
    while True:
        operation, read = origin(tensor)
        if is_in_tower(operation):
            tower.insert(0, operation)
        elif not isinstance(operation, LastStep):
            return tower, tensor
        tensor = read[0]  # what follows is its mask


def new_tower(like: Any, number: Any) -> list[Any]:
    """Returns untrained layers like those of a tower, for the task of that number."""
    return [
        new_layer_like(layer, {"name": f"tower_{depth}_{number}", "trainable": True})
        for depth, layer in enumerate(like, start=1)
    ]
