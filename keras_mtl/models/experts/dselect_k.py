"""DSelect-k: gates that learn to select a few experts, without randomness."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import DSelectKGates
from keras_mtl.models.experts.gated import build_gated
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_dselect_k(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    num_selected: int = 2,
    gamma: float = 1.0,
    entropy_weight: float = 0.01,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds an MMoE whose gates select experts: k of a list for each example and task.

    Gates start by spreading over all experts and end, the sooner the higher `entropy_weight`,
    with exactly k of them, or fewer when selectors agree; all the way they have gradients.
    `keras_mtl.layers.DSelectKGates` says how.

    Source: Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of Experts with
    Applications to Multi-Task Learning", NeurIPS 2021, https://arxiv.org/abs/2106.03760, the
    gates for each example.

    Args:
        num_selected: Number of experts that a task selects for an example. Defaults to 2.
        gamma: Width, above 0, of the scores between choosing and not choosing. Defaults to 1.0.
        entropy_weight: Weight of the entropy of selectors, logged as `entropy_penalty`: a
            number or a schedule. Defaults to 0.01.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. Where a number of experts
        is no power of 2, logs name `unused_codes_penalty`.

    Raises:
        ValueError: `num_selected` that a list does not have, wrong tasks, layers or settings.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_dselect_k(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 6], num_selected=2)
    >>> model.get_layer("gates_1").num_digits  # of the indices 0 to 5
    3
    """
    num_tasks = len(as_tasks(tasks))

    def new_gates(index, num_experts, **settings):
        return DSelectKGates(
            num_tasks,
            num_experts,
            num_selected,
            gamma,
            entropy_weight,
            name=f"gates_{index}",
            **settings,
        )

    return build_gated(
        inputs, tasks, layers, new_gates,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
    )  # fmt: skip
