"""Funnels: tasks that can only be 1 where another task is, such as a purchase after a click."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

ESTIMATORS = ("entire", "given", "ipw", "dr")


def conditional_names(tasks: Mapping[str, Any]) -> dict[str, str]:
    """Returns a dict, task -> name of its conditional probability, of the tasks of funnels."""
    return {name: f"{name}_given_{task.given}" for name, task in tasks.items() if task.given}


def chain_of(tasks: Mapping[str, Any], name: str) -> list[str]:
    """Returns a task and those that stand before it in its funnel, the first one first."""
    chain = [name]
    while tasks[chain[0]].given:
        chain.insert(0, tasks[chain[0]].given)
    return chain


def check_funnel_task(task: Any) -> None:
    """Raises a `ValueError` where what a `Task` says of a funnel does not fit together."""
    if task.given is not None and not isinstance(task.given, str):
        raise ValueError(
            "A task's given must be the name of a binary task that stands before it, or None. "
            f"Received: given={task.given!r}"
        )
    if task.estimator not in ESTIMATORS:
        raise ValueError(
            f"A task's estimator must be one of {', '.join(map(repr, ESTIMATORS))}. "
            f"Received: estimator={task.estimator!r}"
        )
    if task.given is None:
        if task.estimator != "entire":
            raise ValueError(
                "An estimator says how a probability is learned that is given another task. "
                f"Received: estimator={task.estimator!r} without given. Name that task in given, "
                "or leave estimator out."
            )
    elif task.kind != "binary" or task.per_step:
        what = "with a label at every time step" if task.per_step else f"of kind {task.kind!r}"
        raise ValueError(
            "A task that is given another is binary, one label an example. Received: "
            f"given={task.given!r} for a task {what}"
        )
    elif task.class_weight is not None or task.label_smoothing:
        option = "label_smoothing" if task.class_weight is None else "class_weight"
        raise ValueError(
            f"{option} would change the probabilities whose product a task answers that is given "
            f"another. Received: given={task.given!r} and {option}={getattr(task, option)!r}"
        )


def check_funnels(tasks: Mapping[str, Any]) -> None:
    """Raises a `ValueError` where a task is given what no task before it can be."""
    before: dict[str, Any] = {}
    for name, task in tasks.items():
        if task.given is not None:
            _check_parent(name, task.given, before, tasks)
        before[name] = task
    for name, conditional in conditional_names(tasks).items():
        if conditional in tasks:
            raise ValueError(
                f"Task name {conditional!r} is also that of the conditional probability of task "
                f"{name!r}. Choose another name."
            )


def _check_parent(
    name: str, given: str, before: Mapping[str, Any], tasks: Mapping[str, Any]
) -> None:
    if given not in tasks:
        raise ValueError(
            f"Task {name!r} is given {given!r}, which is no task. Tasks: {', '.join(tasks)}"
        )
    if given not in before:
        raise ValueError(
            f"Task {name!r} is given {given!r}, which must stand before it. "
            f"Received the order: {', '.join(tasks)}"
        )
    parent = before[given]
    if parent.kind != "binary" or parent.per_step:
        what = "has a label at every time step" if parent.per_step else f"is {parent.kind!r}"
        raise ValueError(
            f"Task {name!r} is given {given!r}, which must be binary, one label an example, but "
            f"{what}."
        )


def check_no_funnels(tasks: Mapping[str, Any]) -> None:
    """Raises a `ValueError` for a funnel where each example belongs to one task."""
    for name, task in tasks.items():
        if task.given is not None:
            raise ValueError(
                f"Task {name!r} is given {task.given!r}, and with separate data no example has "
                'labels of both. Use task_data="shared", with NaN where an example has no label.'
            )


def check_stock_loss(tasks: Mapping[str, Any]) -> None:
    """Raises a `ValueError` for an estimator where stock losses judge the joint probability."""
    for name, task in tasks.items():
        if task.estimator != "entire":
            raise ValueError(
                f"compile(loss=...) is stock Keras, which knows no estimator={task.estimator!r} of "
                f"task {name!r}. Leave loss out, and put a task's own in keras_mtl.Task."
            )


def warn_of_impossible(tasks: Mapping[str, Any], y: Any) -> None:
    """Warns of arrays of labels that are 1 where a task's parent is 0."""
    for name, task in tasks.items():
        if task.given:
            parent, own = (np.reshape(np.asarray(y[n]), -1) for n in (task.given, name))
            number = int(np.sum((own == 1) & (parent == 0)))
            if number:
                warnings.warn(
                    f"Task {name!r} is 1 in {number} of {len(own)} examples whose {task.given!r}, "
                    "which it is given, is 0. They count as they are: as both for the joint "
                    "probability, and not at all for what is learned where the parent is 1.",
                    stacklevel=2,
                )


def joint_labels(tasks: Mapping[str, Any], y: Mapping[str, Any], ops: Any = np) -> dict[str, Any]:
    """Returns labels by task in which a missing one is 0 where the task's parent is 0.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`.
        y: Dict, name -> labels; of a task that is given another those of both are of one shape,
            and its own are floats.
        ops: What computes with them, `numpy` or `keras.ops`. Defaults to `numpy`.
    """
    found = dict(y)
    for name, task in tasks.items():  # a parent stands before its children
        if task.given and "float" in str(found[name].dtype):  # else none is missing
            no = ops.isnan(found[name]) & (found[task.given] == 0)
            found[name] = ops.where(no, ops.zeros_like(found[name]), found[name])
    return found
