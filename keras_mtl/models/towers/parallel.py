"""Networks of parallel towers: one stream of features per task, and where streams meet."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.keras_internals import mask_of
from keras_mtl.layers import SharedMask
from keras_mtl.layers.masks import keeps_steps
from keras_mtl.models.construction import (
    check_different_starts,
    check_has_list,
    made_layers,
    seeded,
)
from keras_mtl.models.graph import Network, each_once
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, Tensor, TowerUnits


class Towers:
    """The features of every task on their way through towers of their own.

    Every tower reads every example, also where an example belongs to one task, because any
    tower may feed any other.
    """

    def __init__(self, network: Any) -> None:
        self.names = list(network.tasks)
        self.streams = [network.inputs] * len(self.names)

    def apply(self, layer: keras.Layer) -> None:
        """Sends every stream through one layer, equal streams once."""
        self.streams = each_once(layer, self.streams)

    def run(self, components: Sequence[keras.Layer], index: int) -> None:
        """Sends each task's stream through its own component."""
        if len(components) != len(self.names):
            raise ValueError(
                f"List {index} of `layers` has {len(components)} components, but towers need one "
                f"for each of {len(self.names)} tasks: {', '.join(self.names)}."
            )
        self.streams = run_each(components, self.streams, index)


def run_each(components: Sequence[keras.Layer], streams: Sequence[Tensor], index: int) -> Any:
    """Returns what each component of a list makes of its own stream, all of one shape."""
    sources = streams
    streams = [component(stream) for component, stream in zip(components, streams, strict=True)]
    if len({tuple(stream.shape[1:]) for stream in streams}) > 1:
        described = ", ".join(
            f"{component.name}: {stream.shape}"
            for component, stream in zip(components, streams, strict=True)
        )
        raise ValueError(
            f"The components of list {index} of `layers` must have one output shape, because "
            f"their outputs meet there. Received: {described}. Give them the same units, filters, "
            "strides and padding."
        )
    check_different_starts(components)
    return _with_one_mask(components[0], sources, streams, index)


def _with_one_mask(
    component: keras.Layer, sources: Any, streams: Sequence[Tensor], index: int
) -> Any:
    """Returns streams that all know the padding that one of them, or of their sources, knows."""
    masks = {id(mask_of(x)) for x in [*sources, *streams]}
    if len(masks) == 1 or not keeps_steps(component, sources[0]):
        return streams
    return SharedMask(name=f"mask_{index}")([streams, list({id(x): x for x in sources}.values())])


def build_towers(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    stitch: Any,
    *,
    task_data: str,
    stem: Sequence[NewLayer],
    tower_units: TowerUnits,
    seed: int | None,
    name: str | None,
    prepare: Any = None,
    connect: Any = None,
) -> MultiTaskModel:
    """Builds a network with a tower per task whose layers are stitched together.

    Args:
        stitch: Function of a list's index (from 1) that returns the layer that mixes the
            streams there.
        prepare: Function of a component that returns the one to use. Defaults to `None`.
        connect: Function that returns the streams after the last list, from a list of the
            streams after every list. Defaults to `None`, those after the last.

    The other arguments are those of every builder.
    """
    check_has_list(layers, "components, one per task", "stitch", "[[dense] * number of tasks]")
    num_lists = sum(isinstance(entry, list | tuple) for entry in layers)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        towers = Towers(network)
        after_lists = []
        for index, made in made_layers(stem, layers):
            if index is None:
                towers.apply(made[0])
                continue
            towers.run([prepare(component) for component in made] if prepare else made, index)
            towers.streams = stitch(index)(towers.streams)
            after_lists.append(towers.streams)
            if connect and index == num_lists:
                towers.streams = connect(after_lists)
        return network.finish(towers.streams, name, seed, tower_units)
