"""Sluice networks as the paper trains them, and methods that they contain, as settings.

Source: Ruder et al. 2017, https://arxiv.org/abs/1705.08142, sections 2.3, 3 and 5.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks

PRESETS = (
    "paper",
    "hard_sharing",
    "group_lasso",
    "easy_adaptation",
    "low_supervision",
    "cross_stitch",
    "single_task",
)
_OF_TWO_SUBSPACES = {
    "paper": "two subspaces a task",
    "easy_adaptation": "a private and a shared subspace",
}
PAPER_ORTHOGONALITY = 0.1  # the example of the reference code; the paper prints no weight


def stitch_settings(
    preset: Any, index: int, num_tasks: int, num_subspaces: int, levels: Any
) -> Any:
    """Returns what a preset asks of the `Sluice` after list `index`: its arguments."""
    size = num_tasks * num_subspaces
    if preset == "paper":
        return {"alpha": "sluice2"}
    if preset == "hard_sharing" or (preset == "low_supervision" and index <= min(levels)):
        return {"alpha": "balanced", "trainable": False}
    if preset in ("single_task", "low_supervision"):
        return {"alpha": "identity", "trainable": False}
    if preset == "group_lasso":
        own_task = np.kron(np.eye(num_tasks), np.ones((num_subspaces, num_subspaces))) > 0
        return {"alpha": "identity", "ties": _numbered(own_task)}
    if preset == "easy_adaptation":
        return _easy_adaptation(num_tasks, size)
    return {}


def _numbered(free: Any) -> Any:
    """Returns ties that give every free entry a weight of its own."""
    ties = np.full(free.shape, -1, "int32")
    ties[free] = np.arange(free.sum())
    return ties


def _easy_adaptation(num_tasks: int, size: Any) -> dict[str, Any]:
    """Returns a private first subspace and a second one that is the same for all tasks."""
    alpha, ties = np.zeros((size, size), "float32"), np.full((size, size), -1, "int32")
    private = np.arange(0, size, 2)
    alpha[private, private] = 1
    ties[private, private] = np.arange(num_tasks)
    shared = np.ix_(private + 1, private + 1)
    alpha[shared] = 1 / num_tasks
    ties[shared] = num_tasks + np.arange(num_tasks)  # by source, whoever reads it
    return {"alpha": alpha, "ties": ties}


def is_level(level: Any, most: Any) -> bool:
    """Returns whether a level is a whole number from 1 to `most`."""
    try:
        return bool(checks.count("level", level, 1, most))
    except ValueError:
        return False


def check_preset(
    preset: Any, alpha: Any, normalize_alpha: Any, connections: Any, beta: Any
) -> None:
    """Raises a `ValueError` for an unknown preset, or settings that it would not read."""
    checks.word("preset", preset, (None, *PRESETS))
    given = []
    if preset not in (None, "cross_stitch"):
        given += ["alpha"] * _is_given(alpha) + ["normalize_alpha"] * bool(normalize_alpha)
    if preset in ("low_supervision", "cross_stitch"):
        given += ["connections"] * (connections not in ("mixture", "none"))
        given += ["beta"] * _is_given(beta)
    if given:
        raise ValueError(
            f"preset={preset!r} decides what {given[0]} would, so they cannot both be given. "
            "Leave out one of the two."
        )


def _is_given(start: Any) -> Any:
    return not isinstance(start, str) or start != "imbalanced"


def checked_levels(
    preset: Any, levels: Any, names: Sequence[str], num_lists: Any, num_subspaces: int
) -> list[Any]:
    """Returns the list number that each task is predicted from, after a check of the levels."""
    if preset in _OF_TWO_SUBSPACES and num_subspaces != 2:
        raise ValueError(
            f'preset="{preset}" has {_OF_TWO_SUBSPACES[preset]}, so it needs num_subspaces=2. '
            f"Received: {num_subspaces}"
        )
    if preset == "paper" and len(names) != 2:
        raise ValueError(
            'preset="paper" starts alpha as the reference code does, which knows two tasks. Leave '
            f"preset out, and give orthogonality_weight={PAPER_ORTHOGONALITY}. Received tasks: "
            f"{', '.join(names)}"
        )
    if (preset == "low_supervision") != (levels is not None):
        raise ValueError(
            'preset="low_supervision" needs levels, a dict such as {"pos": 1} that says from '
            "which list of `layers` a task is predicted, and no other preset takes it. "
            f"Received: preset={preset!r}, levels={levels!r}"
        )
    levels = checks.mapping("levels", levels or {}, "task -> list of `layers`, from 1")
    wrong = [task for task, level in levels.items() if not is_level(level, num_lists)]
    unknown = [task for task in levels if task not in names]
    if unknown or wrong:
        task = (unknown or wrong)[0]
        raise ValueError(
            f"levels gives task {task!r} the level {levels[task]!r}. Tasks: {', '.join(names)}; "
            f"levels: 1 to {num_lists}, the lists of `layers`."
        )
    return [levels.get(name, num_lists) for name in names]
