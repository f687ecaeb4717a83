"""Task routing: one network, of whose channels every task keeps a random part."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import TaskMask
from keras_mtl.models.construction import check_has_list, made_layers, seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.seeds import seed_of
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_task_routing(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    keep_ratio: float = 0.5,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks pass the same layers, each with channels of its own choice.

    Every list of one callable in `layers` is a layer whose output is masked: a task keeps a part
    of its channels, drawn once, for good. `keep_ratio=1` is a shared bottom.

    Source: Strezoski, van Noord and Worring, "Many Task Learning with Task Routing", ICCV 2019,
    https://arxiv.org/abs/1903.12117; see `keras_mtl.layers.TaskMask` for what differs from its
    code.

    Args:
        layers: List of callables that return a new Keras layer, whose channels all tasks keep,
            and of lists of one such callable, whose channels tasks keep in part.
        keep_ratio: Share of a layer's channels that a task keeps, in (0, 1]. Defaults to 0.5.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `mask_1`, `mask_2`, ... hold
        the masks, `(tasks, channels)`.

    Raises:
        ValueError: A list of several callables, none of one, wrong tasks or settings.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_task_routing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense], [dense]], keep_ratio=0.75)
    >>> keras.ops.convert_to_numpy(model.get_layer("mask_2").masks).sum(axis=1).tolist()
    [6.0, 6.0]
    """
    _check_lists_of_one(layers)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream = TaskStream(network)
        for index, made in made_layers(stem, layers):
            stream.apply(made[0])
            if index is None:
                continue
            stream.separate_rows()
            seed_of_draw = seed_of(seed, index)
            mask = TaskMask(len(network.tasks), keep_ratio, seed_of_draw, name=f"mask_{index}")
            stream.features = mask(stream.features, stream.task_id)
        return network.finish(stream.by_task(), name, seed, tower_units)


def _check_lists_of_one(layers: Sequence[Any]) -> None:
    check_has_list(layers, "one callable", "mask", "[[dense], [dense]]")
    lists = [(at, entry) for at, entry in enumerate(layers) if isinstance(entry, list | tuple)]
    for index, entry in lists:
        if len(entry) > 1:
            raise ValueError(
                f"layers[{index}] has {len(entry)} components, but task routing masks the channels "
                "of one layer that all tasks pass: a list of one callable. Make one layer of them, "
                "with as many channels as they have together."
            )
