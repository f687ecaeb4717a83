"""The baseline of learned routing: components drawn at random once, or given."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.layers import FixedAllocation
from keras_mtl.models.construction import check_has_list
from keras_mtl.models.task_stream import build_allocated
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_fixed_random(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    components_per_task: int = 1,
    balanced: bool = False,
    routes: Any = None,
    combine: str = "mean",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks use components drawn at random once, for good.

    The baseline that learned routing has to beat. With `routes` nothing is drawn: zeros are a
    shared bottom of one component, a component for each task is no sharing.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission,
    section 2.3, with one component per task and layer.

    Args:
        components_per_task: How many different components each task gets in each modular
            layer. Defaults to 1.
        balanced: Whether components of a layer serve equally many tasks, give or take one: with
            independent draws 20 tasks visit 12.8 of 20 components on average. Defaults to
            `False`.
        routes: Array `(tasks, layers)` with each task's component, counted from 0, in every list
            of several components, or `None` to draw. Defaults to `None`.
        seed: Integer, also of the draw; `None` draws anew for every model, from what
            `keras.utils.set_random_seed` sets. Defaults to `None`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8)
    >>> model = keras_mtl.build_fixed_random(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 4], components_per_task=2)
    >>> keras_mtl.allocation(model)[0].sum(axis=1).tolist()
    [2.0, 2.0]
    >>> model = keras_mtl.build_fixed_random(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 4], routes=[[2], [0]])
    >>> keras_mtl.allocation(model)[0].tolist()
    [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """
    names = list(as_tasks(tasks))
    check_has_list(layers, "components", "draw from")
    seed = checks.seed("seed", seed)
    components_per_task = checks.count("components_per_task", components_per_task)
    checks.flag("balanced", balanced)
    if components_per_task != 1 and (balanced or routes is not None):
        raise ValueError(
            "balanced=True and routes give each task one component of a layer. "
            f"Received: components_per_task={components_per_task}. Leave it out."
        )
    if routes is not None:
        if balanced:
            raise ValueError("With routes nothing is drawn. Leave balanced=True out.")
        routes = iter(_checked(routes, names, layers).T)
    rng = np.random.default_rng(random.getrandbits(32) if seed is None else seed)

    def allocate(index, num_components):
        if routes is not None:
            matrix = np.eye(num_components)[next(routes)]
        elif balanced:
            in_turn = np.resize(rng.permutation(num_components), len(names))
            matrix = np.eye(num_components)[rng.permutation(in_turn)]
        else:
            matrix = _drawn(rng, len(names), index, num_components, components_per_task)
        return FixedAllocation(matrix, name=f"allocation_{index}")

    return build_allocated(
        inputs, tasks, layers, allocate,
        task_data=task_data, stem=stem, combine=combine, tower_units=tower_units, seed=seed,
        name=name,
    )  # fmt: skip


def _drawn(
    rng: np.random.Generator,
    num_tasks: int,
    index: int,
    num_components: int,
    components_per_task: Any,
) -> Any:
    if components_per_task > num_components:
        raise ValueError(
            f"components_per_task must be a whole number between 1 and {num_components}, the "
            f"number of components of modular layer {index}. Received: {components_per_task}"
        )
    chosen = np.arange(num_components) < components_per_task
    return rng.permuted(np.tile(chosen, (num_tasks, 1)), axis=1)


def _checked(routes: Any, names: Sequence[str], layers: Sequence[Any]) -> Any:
    """Returns routes as an array `(tasks, layers)` of indices of components."""
    lists = [entry for entry in layers if isinstance(entry, list | tuple)]
    sizes = {number: len(entry) for number, entry in enumerate(lists, start=1) if len(entry) > 1}
    routes = checks.array("routes", routes, "indices of components, whole numbers from 0")
    if routes.shape != (len(names), len(sizes)):
        raise ValueError(
            f"routes must have a row for each of {len(names)} tasks and a column for each of "
            f"{len(sizes)} lists of several components. Received shape: {routes.shape}"
        )
    if not np.issubdtype(routes.dtype, np.integer):
        raise ValueError(
            f"routes must be whole numbers, indices of components from 0. Received: {routes.dtype}"
        )
    for (number, size), column in zip(sizes.items(), routes.T, strict=True):
        for name, index in zip(names, column, strict=True):
            if not 0 <= index < size:
                raise ValueError(
                    f"routes sends task {name!r} to component {index} of modular layer {number}, "
                    f"which has {size} components: 0 to {size - 1}."
                )
    return routes
