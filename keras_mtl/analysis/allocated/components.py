"""The parallel components of a network, and which of them a task runs."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import ExpertStreams
from keras_mtl.layers.components.parallel_components import ParallelComponents

_NAME = re.compile(r"component_(\d+)_(\d+)")


def parallel_components(model: keras.Model) -> Any:
    """Returns the components of all lists with several, in order of depth.

    `Modular`, `RoutedModular` and `ExpertStreams` layers hold theirs. Those of towers are layers of
    the graph, which their names tell from others: `component_<list>_<number>`. A list with one
    component is a layer that all tasks pass, and not listed.
    """
    hold = ParallelComponents | ExpertStreams
    holders = [layer for layer in model.layers if isinstance(layer, hold)]
    held = [component for layer in holders for component in layer.components]
    lists: dict[Any, Any] = {}
    for layer in model.layers:
        if match := _NAME.fullmatch(layer.name):
            index, number = map(int, match.groups())
            lists.setdefault(index, {})[number] = layer
    several = [lists[index] for index in sorted(lists) if len(lists[index]) > 1]
    return held + [components[number] for components in several for number in sorted(components)]


def used_components(components: Sequence[keras.Layer], layers: Any) -> list[Any]:
    """Returns for each component whether it, or a part of it, is among `layers`.

    The latter are the layers that a nested model holds, and those with the weights of a component
    that becomes stock layers when it is frozen.

    Args:
        components: List of layers.
        layers: List of what a task runs, as `keras_mtl.layers.task_paths.task_calls` tells.

    Returns:
        List of booleans.
    """
    used = {id(layer) for layer in layers}
    used |= {id(weight) for layer in layers for weight in getattr(layer, "weights", ())}
    return [
        any(id(part) in used for part in (*with_inner_layers(component), *component.weights))
        for component in components
    ]
