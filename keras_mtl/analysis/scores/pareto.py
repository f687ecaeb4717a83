"""The networks that nobody beats: none is cheaper and better."""

from collections.abc import Mapping
from typing import Any


def pareto_front(costs: Mapping[Any, float], scores: Mapping[Any, float]) -> list[Any]:
    """Returns the names that are worth their cost, the cheapest first.

    A network is left out where another costs no more and scores no less, and is better in one of
    the two. Of equals all stay.

    Args:
        costs: Dict, name -> cost, the less the better.
        scores: Dict, name -> score, the more the better.

    Raises:
        ValueError: Other names in `costs` than in `scores`.

    Example:

    >>> pareto_front({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.7, "b": 0.6, "c": 0.9})
    ['a', 'c']
    """
    if set(costs) != set(scores):
        raise ValueError(
            "costs and scores must be of the same networks. Received: costs of "
            f"{', '.join(map(str, costs)) or 'none'}; scores of "
            f"{', '.join(map(str, scores)) or 'none'}"
        )
    front: list[Any] = []
    for name in sorted(costs, key=lambda name: (costs[name], -scores[name])):
        cost, score = costs[name], scores[name]
        best = (costs[front[-1]], scores[front[-1]]) if front else None
        if best is None or score > best[1] or (cost, score) == best:
            front.append(name)
    return front
