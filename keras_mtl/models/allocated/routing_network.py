"""Routing networks: each task is sent to one component per layer, learned from rewards."""

from collections.abc import Sequence
from typing import Any

from keras_mtl import checks
from keras_mtl.layers import RoutingPolicy
from keras_mtl.models.construction import check_has_list
from keras_mtl.models.task_stream import build_allocated
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_routing_network(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    projection: str = "clip",
    learner: str = "wpl",
    wpl_form: str = "original",
    baseline: str = "row",
    reward: str = "accuracy",
    policy_learning_rate: float = 0.05,
    collaboration: float = 0.0,
    epsilon: float | None = None,
    draws: str = "example",
    warm_up: int = 0,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks learn, from rewards, which one component of a layer they use.

    In training each example draws its components from its task's policies; in inference the
    likeliest are used, and `keras_mtl.freeze` keeps just these. Policies learn in `fit`, from
    the tasks' own labels: no label, no lesson. The optimizer knows nothing of them, unless they
    are scores of a softmax (`projection="softmax"`): `keras_mtl.allocation_optimizer` then gives
    these a learning rate of their own, as the paper does (0.02 beside 0.00015).

    Source: Rosenbaum et al., "Routing Networks", ICLR 2018, https://arxiv.org/abs/1711.01239, as
    corrected in "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission.
    Differs from them: as `keras_mtl.layers.RoutingPolicy` says; the reward is that of the batch
    that chose, in one step with the weights.

    Args:
        projection: As in `keras_mtl.layers.RoutingPolicy`. Defaults to `"clip"`.
        learner: The same. Defaults to `"wpl"`.
        wpl_form: The same. Defaults to `"original"`.
        baseline: The same. Defaults to `"row"`.
        reward: The same. Defaults to `"accuracy"`.
        policy_learning_rate: Its `learning_rate`, of tables. Defaults to 0.05.
        collaboration: Weight of the collaboration reward, shared out over the routed layers.
            Defaults to 0.0.
        epsilon: As in `keras_mtl.layers.RoutingPolicy`. Defaults to `None`.
        draws: The same. With `"task"` only what is drawn is computed, where that can be.
            Defaults to `"example"`.
        warm_up: The same. Defaults to 0.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_routing_network(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4])
    >>> keras_mtl.allocation_probabilities(model)[0].tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    policy_learning_rate = checks.number("policy_learning_rate", policy_learning_rate, above=0)
    collaboration = checks.number("collaboration", collaboration, least=0)
    num_tasks = len(as_tasks(tasks))
    check_has_list(layers, "components", "choose from")
    num_routed = sum(isinstance(entry, list | tuple) and len(entry) > 1 for entry in layers)

    def allocate(index, num_components):
        return RoutingPolicy(
            num_tasks,
            num_components,
            projection=projection,
            learner=learner,
            wpl_form=wpl_form,
            baseline=baseline,
            reward=reward,
            learning_rate=policy_learning_rate,
            collaboration=collaboration / num_routed,
            epsilon=epsilon,
            draws=draws,
            warm_up=warm_up,
            seed=seed_of(seed, index),
            name=f"allocation_{index}",
        )

    return build_allocated(
        inputs, tasks, layers, allocate,
        task_data=task_data, stem=stem, combine="mean", tower_units=tower_units, seed=seed,
        name=name,
    )  # fmt: skip
