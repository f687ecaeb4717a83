"""A plot of cost against score, with the networks that nobody beats in both."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl.analysis.scores.pareto import pareto_front
from keras_mtl.plots.axes import BAR_COLOR, given_or_new
from keras_mtl.plots.given import refuse

_WANTED = "dicts, name of a network -> its FLOPs by task, and name -> its score"


def plot_compute(
    flops: Any, scores: Any, ax: Any = None, *, cost: str = "FLOPs per example"
) -> Any:
    """Draws a point for each network: what an example costs, and the score of the network.

    A line joins the Pareto front, the networks than which none is cheaper and better
    (`keras_mtl.analysis.pareto_front`).

    Args:
        flops: Dict, name of a network -> its FLOPs, one number or a dict by task, as
            `executed_flops` in `keras_mtl.analysis` returns them, or the `flops` of a
            `keras_mtl.sharing_report`. Drawn is the mean over examples, and over tasks.
        scores: Dict, name of a network -> a number.
        ax: Matplotlib axes to draw into, or `None` for a new figure, `ax.figure`.
            Defaults to `None`.
        cost: What the costs are, if they are no FLOPs, such as `"parameters"`. Defaults to
            `"FLOPs per example"`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No network, or other networks in `flops` than in `scores`.

    Example:

    >>> import numpy as np
    >>> ax = plot_compute(
    ...     {"all blocks": {"a": 400}, "gates": {"a": np.array([100.0, 200.0])}},
    ...     {"all blocks": 0.5, "gates": 0.75})
    >>> ax.collections[0].get_offsets().tolist()
    [[400.0, 0.5], [150.0, 0.75]]
    >>> ax.lines[0].get_xydata().tolist()  # the front: gates are cheaper and better
    [[150.0, 0.75]]
    """
    if not (isinstance(flops, Mapping) and isinstance(scores, Mapping)):
        refuse("plot_compute", scores if isinstance(flops, Mapping) else flops, _WANTED)
    if not flops or set(flops) != set(scores):
        raise ValueError(
            "flops and scores must have an entry for each network, under one name. Received: "
            f"flops of {', '.join(flops) or 'none'}; scores of {', '.join(scores) or 'none'}"
        )
    points = {name: (_mean(by_task), scores[name]) for name, by_task in flops.items()}
    ax = given_or_new(ax, 5, 3.2)
    from matplotlib.ticker import EngFormatter

    front = pareto_front(*({name: point[i] for name, point in points.items()} for i in (0, 1)))
    ax.plot(*zip(*(points[name] for name in front), strict=True), color="0.7", zorder=0)
    ax.scatter(*zip(*points.values(), strict=True), color=BAR_COLOR)
    for name, point in points.items():
        ax.annotate(name, point, xytext=(0, 6), textcoords="offset points", ha="center")
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.margins(0.2)  # room for names
    ax.set_xlabel(cost)
    ax.set_ylabel("score")
    return ax


def _mean(by_task: Any) -> Any:
    tasks = by_task.values() if isinstance(by_task, Mapping) else [by_task]
    return np.mean([np.mean(one) for one in tasks])
