"""The best factor of logits, and the best shift, in the sense of the likelihood of labels."""

from typing import Any

import numpy as np

from keras_mtl.kinds import KINDS
from keras_mtl.kinds.slopes import sigmoid

_DOUBLINGS = 40  # of a factor, before there is said to be none
_WIDTH = 1e-10  # of what is left of a factor's range, in parts of it
_NEWTON_STEPS = 100


def temperature(name: str, task: Any, logits: Any, gaps: Any, y: Any) -> tuple[Any, Any]:
    """Returns `(1 / temperature, 0)`: the factor where the likelihood of labels is largest.

    The slope of the negative log-likelihood grows with the factor, so that its zero is found by
    doubling or halving, and then by bisection.

    Args:
        name: Name of the task, for messages.
        task: A `keras_mtl.Task`.
        logits: `(n, columns)`, in float64.
        gaps: `(size - 2,)` of an ordinal task, or `None`.
        y: Class indices `(n,)`, or `(n, columns)` labels 0 and 1, NaN where there is none.

    Raises:
        ValueError: All answers are right, or no better than a guess.
    """
    kind = KINDS[task.kind]
    if not kind.has_classes:
        logits, y = logits[~np.isnan(y)], y[~np.isnan(y)]

    def slope(factor: float) -> float:
        return kind.slope(logits, gaps, y, factor)

    low, high = 1.0, 1.0
    for _ in range(_DOUBLINGS):
        if slope(high) > 0:
            break
        low, high = high, 2 * high
    else:
        other = ', or use method="platt", which stays finite' if kind.shifts else ""
        raise ValueError(
            f"Task {name!r}: the network is right about all of these {len(y)} labels, so that "
            "larger logits are always better and no temperature is the best. Give more held-out "
            f"data, on which it is wrong somewhere{other}."
        )
    for _ in range(_DOUBLINGS):
        if slope(low) < 0:
            break
        low, high = low / 2, low
    else:
        _refuse_guesses(f"Task {name!r}")
    while high - low > _WIDTH * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2, 0.0


def platt(name: str, task: Any, logits: Any, gaps: Any, y: Any) -> tuple[Any, Any]:
    """Returns scales and shifts, one of each for every column of the logits.

    Arguments and errors are those of `temperature`; labels are 0 and 1.
    """
    several = logits.shape[1] > 1
    owners = [f"Task {name!r}" + f", label {n}" * several for n in range(logits.shape[1])]
    found = [platt_line(*column) for column in zip(owners, logits.T, y.T, strict=True)]
    factors, shifts = zip(*found, strict=True)
    return np.array(factors), np.array(shifts)


def platt_line(owner: str, logits: Any, y: Any) -> tuple[float, float]:
    """Returns `(factor, shift)` of one logit, by Newton's method with shorter steps where needed.

    Instead of 1 and 0 it fits (yes + 1) / (yes + 2) and 1 / (no + 2), where yes and no are the
    numbers of labels, so that the answer is finite whatever the labels are.
    """
    known = ~np.isnan(y)
    logits, y = logits[known], y[known]
    check_both(owner, y)
    yes, no = np.sum(y == 1), np.sum(y == 0)
    target = np.where(y == 1, (yes + 1) / (yes + 2), 1 / (no + 2))
    mean, scale = np.mean(logits), np.std(logits)
    if not scale > 0:
        raise ValueError(
            f"{owner}: the network answers the same for all examples, so no scale of it fits."
        )
    columns = np.stack([(logits - mean) / scale, np.ones_like(logits)])

    def loss(line: Any) -> Any:
        odds = line @ columns
        return np.mean(np.logaddexp(0.0, odds) - target * odds)

    line = np.array([0.0, np.log((yes + 1) / (no + 1))])
    for _ in range(_NEWTON_STEPS):
        answers = sigmoid(line @ columns)
        gradient = columns @ (answers - target) / len(y)
        curvature = columns * (answers * (1 - answers)) @ columns.T / len(y)
        step = np.linalg.solve(curvature + 1e-15 * np.eye(2), gradient)
        before, size = loss(line), 1.0
        while size > 1e-10 and not loss(line - size * step) < before:
            size /= 2
        if size <= 1e-10:
            break  # nowhere is better
        line = line - size * step
    if not line[0] > 0:
        _refuse_guesses(owner)
    return line[0] / scale, line[1] - line[0] * mean / scale


def check_both(owner: str, y: Any) -> None:
    """Raises a `ValueError` unless known labels differ."""
    if not len(y):
        raise ValueError(
            f"{owner} has no labelled example. Give held-out data with labels, or name the tasks "
            "to calibrate: tasks=[...]."
        )
    if np.all(y == y[0]):
        raise ValueError(
            f"{owner} has labels of one class only: all {len(y)} are {y[0]:g}. Give held-out data "
            "with labels of several, or name the tasks to calibrate: tasks=[...]."
        )


def _refuse_guesses(owner: str) -> None:
    raise ValueError(
        f"{owner}: the network's answers are no better than a guess on these examples, or say the "
        "opposite, so that no factor above 0 makes them right. Look whether x and y belong "
        "together."
    )
