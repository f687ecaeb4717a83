"""MMoEEx: experts of which some serve one task only, or all but one."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.layers import TaskGates
from keras_mtl.models.experts.gated import build_gated
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits

_MODES = {
    "exclusivity": "marked experts serve one task",
    "exclusion": "they serve all tasks but one",
}


def build_mmoeex(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    exclusivity: float = 0.5,
    mode: str = "exclusivity",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds an MMoE some of whose gates are closed for good, so that experts differ.

    In each list `int(exclusivity * number of experts)` experts, drawn at random, are marked with
    a task. With `mode="exclusivity"` such an expert serves that task only, with `"exclusion"`
    every task but that one. A closed gate weighs nothing: the expert learns nothing from the
    task, and a network frozen for the task goes without it.

    Source: Aoki, Tung and Oliveira, "Heterogeneous Multi-task Learning with Expert Diversity",
    2021, https://arxiv.org/abs/2106.10595. Differs from its code: a closed gate has a logit of
    minus infinity, where the code sets it to 0, whose softmax is not; tasks are dealt out
    evenly, where the code draws each anew; experts are summed also for tables. Its two-step
    optimization is `compile(balancing=keras_mtl.FirstOrderMAML())`, for any network.

    Args:
        exclusivity: Fraction of marked experts, in [0, 1]; 0 is `keras_mtl.build_mmoe`.
            Defaults to 0.5.
        mode: `"exclusivity"` or `"exclusion"`. Defaults to `"exclusivity"`.
        seed: Integer, also of the draw; `None` draws anew for every model, from what
            `keras.utils.set_random_seed` sets. Defaults to `None`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `closed` of `gates_1`,
        `gates_2`, ... says which experts are closed to which task.

    Raises:
        ValueError: A fraction outside [0, 1], an unknown mode, a task that is left without an
            expert, wrong tasks or layers.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_mmoeex(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 6], exclusivity=0.7, seed=0)
    >>> model.get_layer("gates_1").closed.sum(axis=1).tolist()  # each misses what the other has
    [2, 2]
    """
    exclusivity = checks.number("exclusivity", exclusivity, least=0, most=1)
    checks.word("mode", mode, _MODES)
    seed = checks.seed("seed", seed)
    names = list(as_tasks(tasks))
    rng = np.random.default_rng(random.getrandbits(32) if seed is None else seed)

    def new_gates(index, num_experts, **settings):
        closed = _drawn_closed(rng, len(names), num_experts, exclusivity, mode)
        _check_each_has_one(closed, names, index, mode)
        return TaskGates(len(names), num_experts, closed, name=f"gates_{index}", **settings)

    return build_gated(
        inputs, tasks, layers, new_gates,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
    )  # fmt: skip


def _drawn_closed(
    rng: np.random.Generator, num_tasks: int, num_experts: int, exclusivity: Any, mode: Any
) -> Any:
    """Returns a (T, E) matrix of zeros and ones: which experts are closed to which task."""
    num_marked = int(num_experts * exclusivity)
    marked = rng.permutation(num_experts)[:num_marked]
    tasks = np.resize(rng.permutation(num_tasks), num_marked)
    closed = np.zeros((num_tasks, num_experts), int)
    closed[:, marked] = mode == "exclusivity"
    closed[tasks, marked] = mode == "exclusion"
    return closed


def _check_each_has_one(closed: Any, names: Sequence[str], index: int, mode: Any) -> None:
    for task_name, row in zip(names, closed, strict=True):
        if row.all():
            raise ValueError(
                f"Task {task_name!r} is left without an expert in list {index} of `layers`: the "
                f"{mode} of its {len(row)} experts closes all of them to it. Lower exclusivity, "
                "or give more experts."
            )
