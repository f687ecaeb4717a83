"""How the negative log-likelihood of labels changes when all logits are multiplied by a factor.

Each function takes the logits of labelled examples, the gaps of the task's head, the labels and a
factor above 0, and returns the derivative by it of the mean negative log-likelihood. That grows
with the factor, so its only zero is the best one. Below 0 for every factor it is where all
examples are told right. NumPy in float64: nothing is clipped, and nothing overflows.
"""

from typing import Any

import numpy as np


def slope_of_classes(logits: Any, gaps: Any, y: Any, factor: float) -> float:
    """Returns the slope for logits `(n, classes)` and class indices `(n,)`."""
    beyond = logits - np.take_along_axis(logits, y[:, None], axis=-1)  # 0 of the true class
    shares = np.exp(factor * (beyond - beyond.max(axis=-1, keepdims=True)))
    return float(np.mean(np.sum(shares * beyond, axis=-1) / np.sum(shares, axis=-1)))


def slope_of_yes_or_no(logits: Any, gaps: Any, y: Any, factor: float) -> float:
    """Returns the slope for logits and labels 0 and 1 of one shape."""
    margins = np.where(y == 1, logits, -logits)
    return float(np.mean(-margins * sigmoid(-factor * margins)))


def slope_of_ranks(logits: Any, gaps: Any, y: Any, factor: float) -> float:
    """Returns the slope for scores `(n, 1)` and ranks `(n,)`; scores and thresholds are scaled."""
    steps = np.logaddexp(0.0, np.zeros(0) if gaps is None else gaps)
    odds = logits - np.concatenate([[0.0], np.cumsum(steps)])
    rank, rows = y, np.arange(len(y))
    has_lower, has_upper = rank > 0, rank < odds.shape[1]  # thresholds on both sides
    lower = np.where(has_lower, odds[rows, rank - 1], 0.0)
    upper = np.where(has_upper, odds[rows, np.minimum(rank, odds.shape[1] - 1)], 0.0)
    # log P = log sigmoid(lower) + log sigmoid(-upper) + log(1 - exp(upper - lower))
    gain = lower * sigmoid(-factor * lower) - upper * sigmoid(factor * upper)
    between = has_lower & has_upper
    width = (lower - upper)[between]
    with np.errstate(over="ignore"):
        gain[between] += width / np.expm1(factor * width)
    return float(np.mean(-gain))


def sigmoid(logits: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -logits))
