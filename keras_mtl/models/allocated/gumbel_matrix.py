"""Gumbel-Matrix: a learned binary allocation of components to tasks."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.layers import AllocationMatrix, AllocationPenalty
from keras_mtl.models.allocated.component_costs import UNITS, component_costs
from keras_mtl.models.construction import check_has_list, seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream, send_through
from keras_mtl.seeds import seed_of
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks, TowerUnits


def build_gumbel_matrix(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    init_probability: float = 0.5,
    temperature: Setting | None = None,
    budget: Any = None,
    budget_weight: float = 1.0,
    budget_scope: str = "task",
    budget_unit: str = "components",
    entropy_weight: float = 0.0,
    disconnect_weight: float = 0.0,
    combine: str = "mean",
    parameterization: str = "two_logits",
    min_components: int = 1,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network that learns which components each task uses.

    Each modular layer draws, for every batch, a binary matrix of tasks and components from
    learned probabilities; a task's features are the mean of its active components. In
    inference the most likely matrix is used, in which a task has at least `min_components`
    components of each routed layer, and `keras_mtl.freeze` keeps just that.

    Source: Maziarz et al., "Flexible Multi-task Networks by Learning Parameter
    Allocation", 2019, https://arxiv.org/abs/1910.04915. Differs from the source: the loss
    is the mean over the batch plus penalties, where the reference code multiplies both by
    the batch size; batches may hold several tasks. In the paper (III-A) a task may be left
    without a component in inference: that is `min_components=0`.

    Args:
        inputs: `keras.Input` that describes the input, or a dict of them.
        tasks: Dict, name -> number of classes, `"binary"`, `"regression"` or a
            `keras_mtl.Task`. Its order is the task index.
        layers: List of callables that return a new Keras layer, and of lists of these. A
            list holds parallel components; one component alone is not routed. A bare
            callable is a layer that every task passes.
        task_data: `"shared"`: one input with a label for each task; `"separate"`: each
            example belongs to one task, `{"inputs", "task_id"}`. Defaults to `"shared"`.
        stem: Callables of layers before `layers`. Defaults to `()`.
        tower_units: Sizes of dense ReLU layers that each task has before its head: a tuple for
            all tasks, or a dict, task -> tuple, in which a task may be missing. With separate
            data, where the examples of all tasks pass the same head layer, every tower reads
            every example, and towers end in one size. Defaults to `()`.
        init_probability: Chance in (0, 1) that a task starts with a component: a number, a
            (tasks, components) matrix, or a list of these, one per routed layer.
            Defaults to 0.5.
        temperature: Number above 0 or a schedule over training batches. Defaults to
            `None`, `keras_mtl.TemperatureSchedule()`.
        budget: Fraction of what all components cost, in (0, 1], above which a task pays; `None`
            for no limit. Defaults to `None`.
        budget_weight: Number or schedule. Defaults to 1.0.
        budget_scope: `"task"` or `"global"`, the mean over tasks. Defaults to `"task"`.
        budget_unit: What a component costs: `"components"`, each the same (the paper's);
            `"parameters"`; `"flops"` of an example; or `"milliseconds"`, measured once, here, and
            kept in the config. Defaults to `"components"`.
        entropy_weight: Weight of the entropy of the allocation. Defaults to 0.0.
        disconnect_weight: Weight of the chance that a task has no component in a layer.
            Defaults to 0.0.
        combine: `"mean"` or `"sum"` of active components. Defaults to `"mean"`.
        parameterization: As in `keras_mtl.layers.AllocationMatrix`. Defaults to
            `"two_logits"`.
        min_components: How many components of each routed layer a task has at least in
            inference, the most likely ones, of equals the first. With 0 a task whose components
            are all less likely than not has none: what follows sees zeros, and its answer does
            not depend on the input. `fit` warns then. Defaults to 1.
        seed: Integer that makes weights and draws reproducible, or `None`. Defaults to
            `None`.
        name: Name of the model. Defaults to `None`.

    Returns:
        An uncompiled functional `keras.Model`. Its outputs are probabilities, for
        regression values: with shared data a dict by task; with separate data one array
        `(batch, largest size)`, or a dict by kind when kinds differ.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"income": "binary", "age_group": 3}, [[dense] * 4])
    >>> [matrix.shape for matrix in keras_mtl.allocation(model)]
    [(2, 4)]
    """
    penalty = AllocationPenalty(
        budget, budget_weight, budget_scope, entropy_weight, disconnect_weight, name="penalty"
    )

    checks.word("combine", combine, ("mean", "sum"))
    checks.word("budget_unit", budget_unit, UNITS)
    check_has_list(layers, "components", "allocate")
    starts = _by_routed_layer(init_probability, layers)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream = TaskStream(network)

        def allocate(index, num_components):
            return AllocationMatrix(
                len(network.tasks),
                num_components,
                init_probability=next(starts),
                temperature=temperature,
                parameterization=parameterization,
                return_probabilities=bool(penalty.in_use),
                min_components=min_components,
                seed=seed_of(seed, index),
                name=f"allocation_{index}",
            )

        probabilities = send_through(stream, stem, layers, allocate, combine)
        if probabilities:
            penalty.num_repeats = stream.num_rows
            if budget is not None:
                penalty.costs = component_costs(network, stream.features, budget_unit)
            stream.features = penalty(stream.features, stream.task_id, probabilities)
        return network.finish(stream.by_task(), name, seed, tower_units)


def _by_routed_layer(init_probability: Any, layers: Sequence[Any]) -> Any:
    """Returns an iterator of the start of each layer that has several components."""
    is_list = isinstance(init_probability, list | tuple)
    if not is_list or (init_probability and np.ndim(init_probability[0]) == 1):
        return itertools.repeat(init_probability)
    num_routed = sum(isinstance(entry, list | tuple) and len(entry) > 1 for entry in layers)
    if len(init_probability) != num_routed:
        raise ValueError(
            f"init_probability has {len(init_probability)} entries, but {num_routed} layers are "
            "routed. Give an entry for each list of several components, or one number for all."
        )
    return iter(init_probability)
