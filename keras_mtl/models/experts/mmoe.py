"""MMoE: experts that all tasks share, weighed by a gate of each task for each example."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import TaskGates
from keras_mtl.models.experts.gated import build_gated
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_mmoe(
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
    """Builds a network whose tasks weigh shared experts by what an example looks like.

    A list in `layers` holds experts f_e; task k goes on with `sum over e of
    softmax(W_k x + b_k)[e] * f_e(x)`, where x is what the list reads: its mean over space for
    images; for sequences there is a gate at each step when the experts answer each step, else
    x is the mean of the steps that are no padding. A list of one expert is a shared bottom.

    Source: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018, section 4.2. Differs from the paper: gates have a bias, and
    there may be several lists, whose gates read the task's own features.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these. A list
            holds experts, whose outputs have one shape.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `gates_1`, `gates_2`, ...
        are the gates of its lists; `keras_mtl.analysis.expert_usage` shows what they do.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_mmoe(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 4], tower_units=(6,))
    >>> tuple(model.get_layer("gates_1").kernel.shape)  # features, tasks, experts
    (5, 2, 4)
    """
    num_tasks = len(as_tasks(tasks))

    def new_gates(index, num_experts, **settings):
        return TaskGates(num_tasks, num_experts, name=f"gates_{index}", **settings)

    return build_gated(
        inputs, tasks, layers, new_gates,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
    )  # fmt: skip
