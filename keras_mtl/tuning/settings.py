"""What a search draws: arguments of a builder, sizes of its layers, and learning rates."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.training import allocation_optimizer

RATES = ("learning_rate", "allocation_learning_rate")
SIZES = ("num_components", "width", "tower_width")
_WIDTHS = ("units", "filters")


def taken_apart(
    settings: dict[str, Any], layers: Any
) -> tuple[Any, dict[str, Any], keras.optimizers.Optimizer]:
    """Returns layers of the sizes among settings, arguments of the builder, and an optimizer."""
    arguments = {name: value for name, value in settings.items() if name not in RATES + SIZES}
    if "num_components" in settings:
        layers = [_first(entry, settings["num_components"]) for entry in layers]
    if "width" in settings:
        layers = [_widened(entry, settings["width"]) for entry in layers]
    if "tower_width" in settings:
        width = settings["tower_width"]
        arguments["tower_units"] = (width,) if width else ()
    adam = keras.optimizers.Adam(settings.get("learning_rate", 1e-3))
    if "allocation_learning_rate" in settings:
        adam = allocation_optimizer(adam, settings["allocation_learning_rate"])
    return layers, arguments, adam


def has_width(layers: Sequence[Any]) -> bool:
    """Returns whether a search can widen each component: `functools.partial` of a sized layer."""
    lists = [entry for entry in layers if isinstance(entry, list | tuple)]
    return bool(lists) and all(_width_of(one) for entry in lists for one in entry)


def _first(entry: Any, number: int) -> Any:
    return entry[:number] if isinstance(entry, list | tuple) else entry


def _widened(entry: Any, factor: float) -> Any:
    """Returns components that are so many times as wide; bare layers stay."""
    if not isinstance(entry, list | tuple):
        return entry
    return [_sized(component, factor) for component in entry]


def _sized(component: functools.partial[Any], factor: float) -> functools.partial[Any]:
    name, width = _width_of(component)
    width = max(1, round(factor * width))
    if component.args:
        return functools.partial(component.func, width, *component.args[1:], **component.keywords)
    return functools.partial(component, **{name: width})


def _width_of(component: Any) -> Any:
    """Returns the name and the value of a component's width, or `None`."""
    if not isinstance(component, functools.partial):
        return None
    name = next(iter(inspect.signature(component.func).parameters), None)
    if name not in _WIDTHS:
        return None
    value = component.args[0] if component.args else component.keywords.get(name)
    return (name, value) if isinstance(value, int) else None
