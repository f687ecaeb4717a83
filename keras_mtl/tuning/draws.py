"""What is worth searching, and between which bounds.

A function draws one hyperparameter from a `keras_tuner.HyperParameters`. Names are the
builder's argument names, those of the two learning rates, or those of the sizes of layers.
"""

import dataclasses
from typing import Any

from keras_mtl.tuning.settings import has_width


@dataclasses.dataclass(frozen=True)
class Given:
    """What bounds depend on.

    Attributes:
        layers: As for builders, or `None`.
        num_tasks: Number of tasks.
    """

    layers: Any
    num_tasks: int

    @property
    def list_lengths(self) -> list[int]:
        """How many components each list has."""
        return [len(entry) for entry in self.layers or [] if isinstance(entry, list | tuple)]

    @property
    def fewest_components(self) -> int:
        """How many the smallest list of several has; 1 where there is none."""
        return min((length for length in self.list_lengths if length > 1), default=1)

    @property
    def has_width(self) -> bool:
        """Whether components can be made wider."""
        return has_width(self.layers or [])


def learning_rate(hp: Any, given: Given) -> Any:
    return hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)


def allocation_learning_rate(hp: Any, given: Given) -> Any:
    return hp.Float("allocation_learning_rate", 5e-4, 5e-2, sampling="log", default=5e-3)


def init_probability(hp: Any, given: Given) -> Any:
    even_in_log_odds = [0.5, 0.75, 0.9, 0.97]
    return hp.Choice("init_probability", even_in_log_odds, default=0.5)


def components_per_task(hp: Any, given: Given) -> Any:
    return hp.Int("components_per_task", 1, given.fewest_components, default=1)


def alpha(hp: Any, given: Given) -> Any:
    return hp.Choice("alpha", ["imbalanced", "balanced"], default="imbalanced")


def per_channel(hp: Any, given: Given) -> Any:
    return hp.Boolean("per_channel", default=False)


def num_subspaces(hp: Any, given: Given) -> Any:
    return hp.Choice("num_subspaces", [1, 2], default=2)


def num_depths(hp: Any, given: Given) -> Any:
    most = max(given.list_lengths, default=1)
    return hp.Int("num_depths", 1, most, default=most)


def num_cells(hp: Any, given: Given) -> Any:
    return hp.Choice("num_cells", [2, 3, 4], default=3)


def open_fraction(hp: Any, given: Given) -> Any:
    return hp.Choice("open_fraction", [0.25, 0.5, 0.75, 1.0], default=0.75)


def sparsity_weight(hp: Any, given: Given) -> Any:
    return hp.Choice("sparsity_weight", [0.25, 0.5, 1.0, 2.0, 4.0], default=1.0)


def policy_sparsity(hp: Any, given: Given) -> Any:
    return hp.Choice("sparsity_weight", [0.05, 0.1, 0.2, 0.3, 0.5], default=0.2)


def policy_sharing(hp: Any, given: Given) -> Any:
    return hp.Choice("sharing_weight", [0.005, 0.01, 0.02, 0.03, 0.05], default=0.02)


def gate_units(hp: Any, given: Given) -> Any:
    return hp.Choice("gate_units", [8, 16, 32], default=16)


def num_functions(hp: Any, given: Given) -> Any:
    return hp.Choice("num_functions", [2, 4, 8], default=4)


def exclusivity(hp: Any, given: Given) -> Any:
    return hp.Choice("exclusivity", [0.25, 0.5, 0.75], default=0.5)


def mode(hp: Any, given: Given) -> Any:
    return hp.Choice("mode", ["exclusivity", "exclusion"], default="exclusivity")


def top_k(hp: Any, given: Given) -> Any:
    return _of_experts(hp, "top_k", given)


def balance_weight(hp: Any, given: Given) -> Any:
    return hp.Choice("balance_weight", [0.01, 0.03, 0.1, 0.3], default=0.1)


def num_selected(hp: Any, given: Given) -> Any:
    return _of_experts(hp, "num_selected", given)


def entropy_weight(hp: Any, given: Given) -> Any:
    return hp.Choice("entropy_weight", [1e-3, 0.01, 0.1, 1.0], default=0.01)


def policy_learning_rate(hp: Any, given: Given) -> Any:
    return hp.Float("policy_learning_rate", 3e-3, 0.3, sampling="log", default=0.05)


def collaboration(hp: Any, given: Given) -> Any:
    return hp.Choice("collaboration", [0.0, 0.1, 0.3], default=0.0)


def connection(hp: Any, given: Given) -> Any:
    return hp.Choice("connection", ["transform", "sum"], default="transform")


def penalty_weight(hp: Any, given: Given) -> Any:
    return hp.Choice("penalty_weight", [1e-4, 1e-3, 0.01, 0.1], default=1e-3)


def keep_ratio(hp: Any, given: Given) -> Any:
    return hp.Choice("keep_ratio", [0.25, 0.5, 0.75], default=0.5)


def num_components(hp: Any, given: Given) -> Any:
    most = given.fewest_components
    return hp.Int("num_components", max(1, most // 2), most, default=most)


def _of_experts(hp: Any, name: str, given: Given) -> Any:
    """Draws how many experts an example has: of as many as `num_components` leaves at least."""
    most = max(1, given.fewest_components // 2)
    return hp.Int(name, 1, most, default=min(2, most))


def task_experts(hp: Any, given: Given) -> Any:
    most = max(1, (given.fewest_components - 1) // given.num_tasks)
    return hp.Int("task_experts", 1, most, default=1)


def width(hp: Any, given: Given) -> Any:
    return hp.Choice("width", [0.5, 1.0, 2.0], default=1.0)


def tower_width(hp: Any, given: Given) -> Any:
    return hp.Choice("tower_width", [0, 16, 32, 64], default=0)


def budget(hp: Any, given: Given) -> Any:
    return hp.Choice("budget", [0.25, 0.5, 0.75, 1.0], default=1.0)
