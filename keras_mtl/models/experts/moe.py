"""Mixture of experts with a sparse gate for each example, which all tasks share."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import NoisyTopKGates
from keras_mtl.models.construction import check_lists
from keras_mtl.models.experts.gated import build_gated
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_moe(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    top_k: int = 2,
    noise: bool = True,
    balance_weight: float = 0.1,
    by_task: bool = True,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network in which each example takes the few experts that score highest for it.

    The gate of a list reads what the list reads, averaged over space or time, and which task
    it is for; `keras_mtl.layers.NoisyTopKGates` says how it chooses and what idle experts cost.
    Every expert is computed for every example: what is sparse are weights and gradients.
    `top_k=None, noise=False, balance_weight=0, by_task=False` is the one-gate mixture (OMoE).

    Source: Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
    Mixture-of-Experts Layer", ICLR 2017, https://arxiv.org/abs/1701.06538; Ramachandran and Le,
    "Diversity and Depth in Per-Example Routing Models", ICLR 2019, for a gate in each layer of a
    network of several tasks, with `top_k` falling and the balance weight cooling.

    Args:
        top_k: Number of experts of an example, `None` for all; or a list of these, one for each
            list of several experts. Defaults to 2.
        noise: Whether scores are noisy in training. Defaults to `True`.
        balance_weight: Weight of the penalty on idle experts, logged as `balance_penalty`: a
            number or a schedule. Defaults to 0.1.
        by_task: Whether gates know the task. Defaults to `True`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does.

    Raises:
        ValueError: `top_k` that a list does not have, or of another number than lists, wrong
            tasks, layers or settings.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_moe(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 6, [dense] * 6], top_k=[4, 2])
    >>> model.get_layer("gates_2").top_k
    2
    """
    check_lists(stem=stem, layers=layers)
    num_lists = sum(isinstance(entry, list | tuple) and len(entry) > 1 for entry in layers)
    if isinstance(top_k, list | tuple) and len(top_k) != num_lists:
        raise ValueError(
            f"top_k has {len(top_k)} entries, but `layers` has {num_lists} lists of several "
            "experts. Give an entry for each, or one number for all."
        )
    by_list = iter(top_k if isinstance(top_k, list | tuple) else [top_k] * num_lists)
    num_tasks = len(as_tasks(tasks))

    def new_gates(index, num_experts, **settings):
        return NoisyTopKGates(
            num_tasks,
            num_experts,
            next(by_list),
            noise,
            balance_weight,
            by_task,
            seed=seed_of(seed, index),
            name=f"gates_{index}",
            **settings,
        )

    return build_gated(
        inputs, tasks, layers, new_gates,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
    )  # fmt: skip
