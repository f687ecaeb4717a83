"""Delta: the mean relative gain of tasks over networks of their own, whatever their metrics."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple


class Delta(NamedTuple):
    """Relative gains over single-task networks in percent: of every task, and their mean."""

    tasks: dict[str, float]
    mean: float


def task_delta(metrics: Any, single_task: Any, lower_is_better: Any = ()) -> Any:
    """Returns by how many percent tasks do better together than each in a network of its own.

    The gain of a task is the mean over its metrics of `100 * (metric - single) / single`, with
    `single` of the task's own network; where less is better the sign is turned. So above 0 is
    better than alone, in any metric. The metrics come from elsewhere: the paper's are
    scikit-learn's `roc_auc_score` and `cohen_kappa_score`, here with `weights="linear"`.

    Source: Rahimian et al., "DynaShare: Dynamic Neural Networks for Multi-Task Learning", ICLR
    2022 submission, Eqs. 7 and 8. Differs from the paper: the sum is over the metrics of a task,
    where the printed one has a term more; the paper does not say which weights its kappa has.

    Args:
        metrics: Dict, task -> dict, name of a metric -> value. Or task -> value: a task of one
            metric, which has the name of the task.
        single_task: The same tasks and metrics, reached by a network for each task.
        lower_is_better: List of the names of metrics such as errors. Defaults to `()`.

    Returns:
        `Delta(tasks, mean)`: a dict, task -> gain in percent, and the mean of all tasks.

    Raises:
        ValueError: No tasks, other tasks or metrics in `single_task`, a single-task value that
            is not above 0, a name in `lower_is_better` that no metric has.

    Example:

    >>> single = {"segmentation": {"mIoU": 0.4, "accuracy": 0.8}, "depth": {"error": 0.5}}
    >>> shared = {"segmentation": {"mIoU": 0.5, "accuracy": 0.8}, "depth": {"error": 0.45}}
    >>> delta = task_delta(shared, single, lower_is_better=["error"])
    >>> {task: round(percent, 2) for task, percent in delta.tasks.items()}
    {'segmentation': 12.5, 'depth': 10.0}
    >>> round(delta.mean, 2)
    11.25
    """
    _check_names("tasks", metrics, single_task)
    metrics, single_task = _by_name(metrics), _by_name(single_task)
    for task in metrics:
        _check_names(f"metrics of task {task!r}", metrics[task], single_task[task])
    known = {name for values in metrics.values() for name in values}
    if unknown := [name for name in lower_is_better if name not in known]:
        raise ValueError(
            f"lower_is_better names {', '.join(map(repr, unknown))}, which no task has. "
            f"The metrics are {', '.join(sorted(known))}."
        )
    gains = {
        task: fmean(
            (-1 if name in lower_is_better else 1)
            * _relative_gain(task, name, value, single_task[task][name])
            for name, value in values.items()
        )
        for task, values in metrics.items()
    }
    return Delta(gains, fmean(gains.values()))


def _by_name(metrics: Any) -> dict[Any, Any]:
    return {
        task: values if isinstance(values, Mapping) else {task: values}
        for task, values in metrics.items()
    }


def _check_names(what: str, received: Any, single: Any) -> None:
    if not received or set(received) != set(single):
        raise ValueError(
            f"metrics and single_task must have the same {what}, at least one. Received: "
            f"{', '.join(received) or 'none'}; in single_task: {', '.join(single) or 'none'}"
        )


def _relative_gain(task: Any, name: str, value: Any, single: Any) -> Any:
    if not single > 0:  # relative to 0 nothing is defined, to less the sign is wrong
        raise ValueError(
            f"A relative gain needs a single-task value above 0. Received: {single} for "
            f"{name!r} of task {task!r}"
        )
    return 100 * (value - single) / single
