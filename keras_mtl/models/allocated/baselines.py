"""Baselines: the same networks with an allocation that is given, not learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.layers import FixedAllocation
from keras_mtl.models.construction import check_has_list, check_lists, new_input, new_layer, seeded
from keras_mtl.models.task_stream import build_allocated
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_shared_bottom(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    combine: str = "mean",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network in which every task uses every component.

    Hard parameter sharing: tasks differ in their heads only.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V ("shared
    bottom": the average of all components).

    The arguments are those of `keras_mtl.build_gumbel_matrix`.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_shared_bottom(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4])
    >>> keras_mtl.allocation(model)[0].tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    num_tasks = len(as_tasks(tasks))

    def allocate(index, num_components):
        ones = np.ones((num_tasks, num_components))
        return FixedAllocation(ones, name=f"allocation_{index}")

    return build_allocated(
        inputs, tasks, layers, allocate,
        task_data=task_data, stem=stem, combine=combine, tower_units=tower_units, seed=seed,
        name=name,
    )  # fmt: skip


def build_no_sharing(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    partition: Any = None,
    combine: str = "mean",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network in which no component serves two tasks.

    Task i uses component i of every layer, or the components that `partition` gives it.
    Bare layers and the stem are shared: give weightless ones, or use `build_single_tasks`.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V, and
    appendix A2 for two components per task.

    Args:
        partition: List with the name of the owning task for each component, the same for
            all modular layers, or a list of such lists, one per modular layer. Defaults to
            `None`: as many components as tasks, each with its own.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_no_sharing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4],
    ...     partition=["a", "b", "a", "b"])
    >>> keras_mtl.allocation(model)[0].tolist()
    [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """
    names = list(as_tasks(tasks))
    check_has_list(layers, "components", "deal out to the tasks", "[[dense] * number of tasks]")
    owners = _owners(partition, names, [e for e in layers if isinstance(e, list | tuple)])

    def allocate(index, num_components):
        matrix = [[float(owner == task) for owner in owners[index - 1]] for task in names]
        return FixedAllocation(matrix, name=f"allocation_{index}")

    return build_allocated(
        inputs, tasks, layers, allocate,
        task_data=task_data, stem=stem, combine=combine, tower_units=tower_units, seed=seed,
        name=name,
    )  # fmt: skip


def _owners(partition: Any, names: Sequence[str], modular_layers: Any) -> Any:
    """Returns the owners of the components of each modular layer."""
    if partition is not None:
        _check_form(partition)
    by_layer = names if partition is None else partition
    if isinstance(by_layer[0], str):
        by_layer = [by_layer] * len(modular_layers)
    if len(by_layer) != len(modular_layers):
        raise ValueError(
            f"partition has {len(by_layer)} lists of owners, but there are {len(modular_layers)} "
            "modular layers. Give a list for each, or one list for all."
        )
    for index, (owners, components) in enumerate(zip(by_layer, modular_layers, strict=True), 1):
        _check_owners(owners, len(components), index, names, partition)
    return by_layer


def _check_form(partition: Any) -> None:
    some = isinstance(partition, list | tuple) and partition
    kinds = (str, list | tuple)
    if not some or not any(all(isinstance(x, kind) for x in partition) for kind in kinds):
        raise ValueError(
            "partition must be a list with the name of the owning task for each component, or a "
            f"list of such lists, one for each modular layer. Received: {partition!r}"
        )


def _check_owners(
    owners: Any, num_components: int, index: int, names: Sequence[str], partition: Any
) -> None:
    if len(owners) != num_components:
        what = "one component per task" if partition is None else "an owner for each component"
        raise ValueError(
            f"No sharing needs {what}. Modular layer {index} has {num_components} components, "
            f"but there are {len(owners)} {'tasks' if partition is None else 'owners'}. "
            'Give partition=["task", ...], the owner of each component.'
        )
    unknown = [owner for owner in owners if owner not in names]
    if unknown:
        raise ValueError(
            f"partition names {unknown[0]!r}, which is no task. Tasks: {', '.join(names)}"
        )
    idle = [name for name in names if name not in owners]
    if idle:
        raise ValueError(
            f"partition gives task {idle[0]!r} no component of modular layer {index}. "
            "Every task needs one."
        )


def build_single_tasks(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds one network per task, side by side in one model.

    Nothing that has weights is shared: stem and bare layers stand once per task, and a
    list has one component per task. For single-task networks with all of a modular
    layer's components, call `build_shared_bottom` with one task at a time. A task that is given
    another answers with its network times the other's, and both learn from its label; `compare`
    trains a network of its own on the joint label instead.

    Source: the "single task" rows of the papers.

    The arguments are those of `keras_mtl.build_gumbel_matrix`.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8)
    >>> model = keras_mtl.build_single_tasks(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [dense, [dense, dense]])
    >>> [matrix.tolist() for matrix in keras_mtl.allocation(model)]
    [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
    """
    tasks = as_tasks(tasks)
    with seeded(seed):
        towers = _per_task(inputs, stem, layers, list(tasks))

    def allocate(index, num_components):
        return FixedAllocation(np.eye(len(tasks)), name=f"allocation_{index}")

    return build_allocated(
        inputs, tasks, towers, allocate,
        task_data=task_data, stem=(), combine="mean", tower_units=tower_units, seed=seed,
        name=name,
    )  # fmt: skip


def _per_task(inputs: Any, stem: Sequence[Any], layers: Sequence[Any], names: Sequence[str]) -> Any:
    """Returns stem and layers with everything that has weights once per task."""
    check_lists(stem=stem, layers=layers)
    features = new_input(inputs)
    entries = [(f"stem[{i}]", entry) for i, entry in enumerate(stem)]
    entries += [(f"layers[{i}]", entry) for i, entry in enumerate(layers)]
    towers = []
    for where, entry in entries:
        alone = not isinstance(entry, list | tuple)
        if not alone and len(entry) != len(names):
            raise ValueError(
                f"{where} has {len(entry)} components, but single-task networks need one for "
                f"each of {len(names)} tasks: {', '.join(names)}."
            )
        make, where = (entry, where) if alone else (entry[0], f"{where}[0]")
        trial = new_layer(make, "trial", where)
        features = trial(features)
        towers.append([entry] * len(names) if alone and trial.weights else entry)
    return towers
