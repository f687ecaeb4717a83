"""Search spaces of methods: what is worth searching, and between which bounds.

A function draws one hyperparameter from a `keras_tuner.HyperParameters`. Names are the
builder's argument names, or those of the two learning rates.
"""

from collections.abc import Callable
from typing import Any

from keras_mtl.models import (
    build_adashare,
    build_cross_stitch,
    build_dselect_k,
    build_dynashare,
    build_fixed_random,
    build_gumbel_matrix,
    build_mmoeex,
    build_moe,
    build_recurrent_modular,
    build_recursive_routing,
    build_routing_network,
    build_sluice,
    build_snr,
    build_soft_ordering,
    build_task_routing,
)


def _learning_rate(hp: Any, layers: Any) -> Any:
    return hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)


def _allocation_learning_rate(hp: Any, layers: Any) -> Any:
    return hp.Float("allocation_learning_rate", 5e-4, 5e-2, sampling="log", default=5e-3)


def _init_probability(hp: Any, layers: Any) -> Any:
    even_in_log_odds = [0.5, 0.75, 0.9, 0.97]
    return hp.Choice("init_probability", even_in_log_odds, default=0.5)


def _components_per_task(hp: Any, layers: Any) -> Any:
    counts = [len(entry) for entry in layers if isinstance(entry, list | tuple)]
    most = min((count for count in counts if count > 1), default=1)
    return hp.Int("components_per_task", 1, most, default=1)


def _alpha(hp: Any, layers: Any) -> Any:
    return hp.Choice("alpha", ["imbalanced", "balanced"], default="imbalanced")


def _per_channel(hp: Any, layers: Any) -> Any:
    return hp.Boolean("per_channel", default=False)


def _num_subspaces(hp: Any, layers: Any) -> Any:
    return hp.Choice("num_subspaces", [1, 2], default=2)


def _num_depths(hp: Any, layers: Any) -> Any:
    most = max((len(entry) for entry in layers if isinstance(entry, list | tuple)), default=1)
    return hp.Int("num_depths", 1, most, default=most)


def _num_cells(hp: Any, layers: Any) -> Any:
    return hp.Choice("num_cells", [2, 3, 4], default=3)


def _open_fraction(hp: Any, layers: Any) -> Any:
    return hp.Choice("open_fraction", [0.25, 0.5, 0.75, 1.0], default=0.75)


def _sparsity_weight(hp: Any, layers: Any) -> Any:
    return hp.Choice("sparsity_weight", [0.25, 0.5, 1.0, 2.0, 4.0], default=1.0)


def _policy_weight(name: str) -> Any:
    def draw(hp, layers):
        return hp.Choice(name, [1e-3, 5e-3, 0.01, 0.05, 0.1], default=0.05)

    return draw


def _gate_units(hp: Any, layers: Any) -> Any:
    return hp.Choice("gate_units", [8, 16, 32], default=16)


def _num_functions(hp: Any, layers: Any) -> Any:
    return hp.Choice("num_functions", [2, 4, 8], default=4)


def _exclusivity(hp: Any, layers: Any) -> Any:
    return hp.Choice("exclusivity", [0.25, 0.5, 0.75], default=0.5)


def _mode(hp: Any, layers: Any) -> Any:
    return hp.Choice("mode", ["exclusivity", "exclusion"], default="exclusivity")


def _top_k(hp: Any, layers: Any) -> Any:
    counts = [len(entry) for entry in layers if isinstance(entry, list | tuple)]
    most = min((count for count in counts if count > 1), default=1)
    return hp.Int("top_k", 1, most, default=min(2, most))


def _balance_weight(hp: Any, layers: Any) -> Any:
    return hp.Choice("balance_weight", [0.01, 0.03, 0.1, 0.3], default=0.1)


def _num_selected(hp: Any, layers: Any) -> Any:
    counts = [len(entry) for entry in layers if isinstance(entry, list | tuple)]
    most = min((count for count in counts if count > 1), default=1)
    return hp.Int("num_selected", 1, most, default=min(2, most))


def _entropy_weight(hp: Any, layers: Any) -> Any:
    return hp.Choice("entropy_weight", [1e-3, 0.01, 0.1, 1.0], default=0.01)


def _policy_learning_rate(hp: Any, layers: Any) -> Any:
    return hp.Float("policy_learning_rate", 3e-3, 0.3, sampling="log", default=0.05)


def _collaboration(hp: Any, layers: Any) -> Any:
    return hp.Choice("collaboration", [0.0, 0.1, 0.3], default=0.0)


def _connection(hp: Any, layers: Any) -> Any:
    return hp.Choice("connection", ["transform", "sum"], default="transform")


def _penalty_weight(hp: Any, layers: Any) -> Any:
    return hp.Choice("penalty_weight", [1e-4, 1e-3, 0.01, 0.1], default=1e-3)


def _keep_ratio(hp: Any, layers: Any) -> Any:
    return hp.Choice("keep_ratio", [0.25, 0.5, 0.75], default=0.5)


_WEIGHTS_ONLY = {"learning_rate": _learning_rate}

SPACES = {
    # The bounds hold the settings of all experiments of Maziarz et al. 2019. A budget is
    # what the user can afford: searched for accuracy it would only grow.
    build_gumbel_matrix: {
        "learning_rate": _learning_rate,
        "allocation_learning_rate": _allocation_learning_rate,
        "init_probability": _init_probability,
    },
    build_fixed_random: {
        "learning_rate": _learning_rate,
        "components_per_task": _components_per_task,
    },
    build_cross_stitch: {
        "learning_rate": _learning_rate,
        "alpha": _alpha,
        "per_channel": _per_channel,
    },
    # Both starts and both numbers of subspaces were in use in Ruder et al. 2017.
    build_sluice: {
        "learning_rate": _learning_rate,
        "alpha": _alpha,
        "num_subspaces": _num_subspaces,
    },
    build_soft_ordering: {"learning_rate": _learning_rate, "num_depths": _num_depths},
    # The grids of Xu et al. 2021.
    build_recurrent_modular: {
        "learning_rate": _learning_rate,
        "num_cells": _num_cells,
        "open_fraction": _open_fraction,
        "sparsity_weight": _sparsity_weight,
    },
    # The weights of the experiments of Sun et al. 2020. Target rates are what the user can
    # afford.
    build_adashare: {
        "learning_rate": _learning_rate,
        "sparsity_weight": _policy_weight("sparsity_weight"),
        "sharing_weight": _policy_weight("sharing_weight"),
    },
    build_dynashare: {"learning_rate": _learning_rate, "gate_units": _gate_units},
    build_recursive_routing: {"learning_rate": _learning_rate, "num_functions": _num_functions},
    build_dselect_k: {
        "learning_rate": _learning_rate,
        "num_selected": _num_selected,
        "entropy_weight": _entropy_weight,
    },
    build_mmoeex: {
        "learning_rate": _learning_rate,
        "exclusivity": _exclusivity,
        "mode": _mode,
    },
    build_moe: {
        "learning_rate": _learning_rate,
        "top_k": _top_k,
        "balance_weight": _balance_weight,
    },
    build_routing_network: {
        "learning_rate": _learning_rate,
        "policy_learning_rate": _policy_learning_rate,
        "collaboration": _collaboration,
    },
    build_snr: {
        "learning_rate": _learning_rate,
        "allocation_learning_rate": _allocation_learning_rate,
        "connection": _connection,
        "penalty_weight": _penalty_weight,
    },
    build_task_routing: {"learning_rate": _learning_rate, "keep_ratio": _keep_ratio},
}


def is_ours(builder: Any) -> bool:
    """Returns whether a function is a builder of this package."""
    return getattr(builder, "__module__", "").startswith("keras_mtl.models.")


def learning_rate_alone(hp: Any) -> dict[str, Any]:
    """Draws what every network has to search."""
    return {name: draw(hp, None) for name, draw in _WEIGHTS_ONLY.items()}


def default_space(builder: Any, layers: Any, fixed: Any) -> Callable[..., Any]:
    """Returns the function hp -> settings that searches all that is not `fixed`.

    A builder of this package without a row in `SPACES` has a learning rate to search.
    """
    space = SPACES.get(builder, _WEIGHTS_ONLY if is_ours(builder) else None)
    if space is None:
        name = getattr(builder, "__name__", repr(builder))
        raise ValueError(
            f"No search space is known for {name}. Give your own, such as "
            'space=lambda hp: {"learning_rate": hp.Float("learning_rate", 1e-4, 1e-2, '
            'sampling="log")}.'
        )
    draws = {name: draw for name, draw in space.items() if name not in fixed}
    return lambda hp: {name: draw(hp, layers) for name, draw in draws.items()}
