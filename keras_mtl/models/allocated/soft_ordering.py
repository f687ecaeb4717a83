"""Soft layer ordering: one set of layers, used at every depth in a task's own order."""

from collections.abc import Sequence
from typing import Any

from keras_mtl import checks
from keras_mtl.layers import Modular, SoftAllocation
from keras_mtl.models.construction import (
    check_different_starts,
    check_has_list,
    made_layers,
    seeded,
)
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_soft_ordering(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    num_depths: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks learn in which order to use the same layers.

    The components of a list are used at several depths: the features at depth d + 1 are
    `sum over j of softmax(scores[task, d])[j] * component j(features at depth d)`. Components
    must map a space to itself.

    Source: Meyerson and Miikkulainen, "Beyond shared hierarchies: deep multitask learning
    through soft layer ordering", 2018, https://arxiv.org/abs/1711.00108, section 3.2. Differs
    from the paper: what comes before the list is shared by the tasks, where the paper has
    linear encoders per task; depths follow each other without pooling.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these. A list
            holds the components that are put in order; one component alone is passed once.
        num_depths: How many times the components of a list are passed. Defaults to `None`,
            the number of components.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `allocation_1`,
        `allocation_2`, ... hold the scores of the depths of all lists;
        `keras_mtl.allocation` returns their softmax weights.

    Raises:
        ValueError: Components that change the shape, wrong tasks, layers or settings.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_soft_ordering(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [dense, [dense] * 3])
    >>> [matrix.shape for matrix in keras_mtl.allocation(model)]  # three depths
    [(2, 3), (2, 3), (2, 3)]
    """
    if num_depths is not None:
        num_depths = checks.count("num_depths", num_depths)
    check_has_list(layers, "components", "put in order")
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream, depth = TaskStream(network), 0
        for index, made in made_layers(stem, layers):
            if len(made) == 1:  # no order to learn
                for _ in range(1 if index is None else num_depths or 1):
                    stream.apply(made[0])
                continue
            stream.separate_rows()
            modular = Modular(made, combine="sum", name=f"modular_{index}")
            for _ in range(num_depths or len(made)):
                depth += 1
                allocation = SoftAllocation(
                    len(network.tasks), len(made), name=f"allocation_{depth}"
                )
                features = modular(stream.features, allocation(stream.task_id))
                if features.shape != stream.features.shape:
                    raise ValueError(
                        f"The components of list {index} of `layers` are used at several depths, "
                        "so their output must have the shape of their input. Received: "
                        f"{stream.features.shape} became {features.shape}. A layer in stem can "
                        "make that shape of the inputs."
                    )
                stream.features = features
            check_different_starts(made)
        return network.finish(stream.by_task(), name, seed, tower_units)
