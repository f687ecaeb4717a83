"""Search spaces of methods: the hyperparameters of each."""

from collections.abc import Callable
from typing import Any

from keras_mtl.models import (
    build_adashare,
    build_cross_stitch,
    build_dselect_k,
    build_dynashare,
    build_fixed_random,
    build_gumbel_matrix,
    build_mmoe,
    build_mmoeex,
    build_moe,
    build_ple,
    build_recurrent_modular,
    build_recursive_routing,
    build_routing_network,
    build_shared_bottom,
    build_single_tasks,
    build_sluice,
    build_snr,
    build_soft_ordering,
    build_task_routing,
)
from keras_mtl.tuning import draws
from keras_mtl.tuning.draws import Given

_WEIGHTS_ONLY = {"learning_rate": draws.learning_rate}
_TOWERS = {**_WEIGHTS_ONLY, "width": draws.width, "tower_width": draws.tower_width}
_EXPERTS = {**_TOWERS, "num_components": draws.num_components}

SPACES = {
    # The bounds hold the settings of all experiments of Maziarz et al. 2019. A budget is
    # what the user can afford: searched for accuracy alone it would only grow.
    build_gumbel_matrix: {
        "learning_rate": draws.learning_rate,
        "allocation_learning_rate": draws.allocation_learning_rate,
        "init_probability": draws.init_probability,
    },
    build_fixed_random: {
        "learning_rate": draws.learning_rate,
        "components_per_task": draws.components_per_task,
    },
    build_cross_stitch: {
        "learning_rate": draws.learning_rate,
        "alpha": draws.alpha,
        "per_channel": draws.per_channel,
    },
    # Both starts and both numbers of subspaces were in use in Ruder et al. 2017.
    build_sluice: {
        "learning_rate": draws.learning_rate,
        "alpha": draws.alpha,
        "num_subspaces": draws.num_subspaces,
    },
    build_soft_ordering: {"learning_rate": draws.learning_rate, "num_depths": draws.num_depths},
    # The grids of Xu et al. 2021.
    build_recurrent_modular: {
        "learning_rate": draws.learning_rate,
        "num_cells": draws.num_cells,
        "open_fraction": draws.open_fraction,
        "sparsity_weight": draws.sparsity_weight,
    },
    # Relative to the tasks' losses, around what finds tasks of known depth. Target rates are
    # what the user can afford.
    build_adashare: {
        "learning_rate": draws.learning_rate,
        "sparsity_weight": draws.policy_sparsity,
        "sharing_weight": draws.policy_sharing,
    },
    build_dynashare: {"learning_rate": draws.learning_rate, "gate_units": draws.gate_units},
    build_recursive_routing: {
        "learning_rate": draws.learning_rate,
        "num_functions": draws.num_functions,
    },
    build_shared_bottom: _TOWERS,
    build_single_tasks: _TOWERS,
    build_mmoe: _EXPERTS,
    build_ple: {**_TOWERS, "task_experts": draws.task_experts},
    build_dselect_k: {
        **_EXPERTS,
        "num_selected": draws.num_selected,
        "entropy_weight": draws.entropy_weight,
    },
    build_mmoeex: {
        **_EXPERTS,
        "exclusivity": draws.exclusivity,
        "mode": draws.mode,
    },
    build_moe: {
        **_EXPERTS,
        "top_k": draws.top_k,
        "balance_weight": draws.balance_weight,
    },
    build_routing_network: {
        "learning_rate": draws.learning_rate,
        "policy_learning_rate": draws.policy_learning_rate,
        "collaboration": draws.collaboration,
    },
    build_snr: {
        "learning_rate": draws.learning_rate,
        "allocation_learning_rate": draws.allocation_learning_rate,
        "connection": draws.connection,
        "penalty_weight": draws.penalty_weight,
    },
    build_task_routing: {"learning_rate": draws.learning_rate, "keep_ratio": draws.keep_ratio},
}


def is_ours(builder: Any) -> bool:
    """Returns whether a function is a builder of this package."""
    return getattr(builder, "__module__", "").startswith("keras_mtl.models.")


def learning_rate_alone(hp: Any) -> dict[str, Any]:
    """Draws what every network has to search."""
    return {name: draw(hp, Given(None, 1)) for name, draw in _WEIGHTS_ONLY.items()}


def default_space(
    builder: Any, given: Given, fixed: Any, cost: str | None = None
) -> Callable[..., Any]:
    """Returns the function hp -> settings that searches all that is not `fixed`.

    A builder of this package without a row in `SPACES` has a learning rate to search. A budget is
    searched where cost is to be kept low too.
    """
    space = SPACES.get(builder, _WEIGHTS_ONLY if is_ours(builder) else None)
    if space is None:
        name = getattr(builder, "__name__", repr(builder))
        raise ValueError(
            f"No search space is known for {name}. Give your own, such as "
            'space=lambda hp: {"learning_rate": hp.Float("learning_rate", 1e-4, 1e-2, '
            'sampling="log")}.'
        )
    if cost and builder is build_gumbel_matrix:
        space = {**space, "budget": draws.budget, "budget_unit": lambda hp, given: cost}
    known = set(fixed)
    known |= {"tower_width"} if "tower_units" in known else set()
    known |= set() if given.has_width else {"width"}
    left = {name: draw for name, draw in space.items() if name not in known}
    return lambda hp: {name: draw(hp, given) for name, draw in left.items()}
