"""Answers of a part of a network for the examples of each task."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.data.labels import check_labels
from keras_mtl.funnels import chain_of, joint_labels
from keras_mtl.training.inputs.checks import check_inputs


def task_answers(
    model: keras.Model,
    network: Any,
    x: Any,
    tasks: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> Iterator[Any]:
    """Yields pairs, the name of a task and what `network` predicts for its examples.

    Args:
        model: A model made by a builder of this package.
        network: A part of it, a `keras.Model` on its inputs.
        x: Inputs of the model, which are everybody's examples; with separate data a dict, name
            of a task -> its own.
        tasks: Names of the tasks that are asked for; `None`: all of the model.
        batch_size: Examples that are predicted at once; `None`: as many as Keras does.

    Raises:
        ValueError: Inputs of another form than the model's, no examples, an unknown task.
    """
    asked = list(model.tasks if tasks is None else tasks)
    if model.task_data == "shared":
        check_inputs(model, x)
        answer = _answer(network, x, "x", batch_size)
        yield from ((task, answer) for task in asked)
        return
    _check_names(model.tasks, asked, x)
    for task in asked:
        yield task, _own_answer(model, network, task, x[task], batch_size)


def predictions(model: keras.Model, x: Any, tasks: Any, batch_size: int) -> Iterator[Any]:
    """Yields pairs, the name of a task and what a model predicts of it: `(n, size)`, or per step.

    Arguments are those of `task_answers`.
    """
    for name, answer in task_answers(model, model, x, tasks, batch_size):
        if model.task_data == "shared":
            yield name, answer[name]
        else:
            task = model.tasks[name]
            own = answer[task.kind] if isinstance(answer, dict) else answer
            yield name, own[..., : task.size]


def num_examples(model: keras.Model, x: Any, task: str) -> int:
    """Returns how many examples a task has."""
    if model.task_data == "separate":
        _check_names(model.tasks, [task], x)
        x = x[task]
    return len(keras.tree.flatten(x)[0])


def task_labels(model: keras.Model, names: Sequence[str], y: Any) -> dict[str, Any]:
    """Returns checked labels of tasks and of those that they are given, as arrays.

    Raises:
        ValueError: No dict, an unknown task, no entry for one that is needed, a label that is none.
    """
    checks.mapping("y", y, "name of a task -> its labels")
    for name in y:
        if name not in model.tasks:
            raise ValueError(
                f"y has an entry {name!r}, which is no task of this model. "
                f"Tasks: {', '.join(model.tasks)}"
            )
    needed = {each for name in names for each in chain_of(model.tasks, name)}
    for name in model.tasks:
        if name in needed and name not in y:
            raise ValueError(
                f"y has no entry for task {name!r}. Give its labels, or name other tasks: "
                "tasks=[...]."
            )
    return {n: check_labels(n, task, y[n]) for n, task in model.tasks.items() if n in needed}


def joint_task_labels(model: keras.Model, names: Sequence[str], y: Any) -> dict[str, Any]:
    """Returns what `task_labels` does of the tasks alone, with 0 where a parent is 0."""
    labels = task_labels(model, names, y)
    joint = joint_labels({name: model.tasks[name] for name in labels}, labels)
    return {name: joint[name] for name in names}


def asked_tasks(model: keras.Model, tasks: Any) -> list[str]:
    """Returns names of tasks in the order of the model; `None` asks for all.

    Raises:
        ValueError: No list, a name that is none of its tasks, or no name.
    """
    if tasks is None:
        return list(model.tasks)
    if not isinstance(tasks, list | tuple) or not tasks:
        raise ValueError(
            "tasks must be a list of names of tasks, or None for all. "
            f"Received: {tasks!r}. Tasks: {', '.join(model.tasks)}"
        )
    for name in tasks:
        if name not in model.tasks:
            raise ValueError(
                f"Unknown task {name!r}. Tasks of this model: {', '.join(model.tasks)}"
            )
    return [name for name in model.tasks if name in tasks]


def _own_answer(model: keras.Model, network: Any, task: Any, x: Any, batch_size: Any) -> Any:
    """Returns what the network answers for examples of one task, which has separate data."""
    task_id = np.full(len(keras.tree.flatten(x)[0]), list(model.tasks).index(task), "int32")
    inputs = {"inputs": x, "task_id": task_id}
    try:
        check_inputs(model, inputs)
    except ValueError as error:
        raise ValueError(f"Examples of task {task!r}: {error}") from error
    return _answer(network, inputs, f"x[{task!r}]", batch_size)


def _answer(network: Any, inputs: Any, name: str, batch_size: Any) -> Any:
    if not len(keras.tree.flatten(inputs)[0]):
        raise ValueError(f"{name} has no examples, so there is nothing to look at.")
    return network.predict(inputs, batch_size=batch_size, verbose=0)


def _check_names(tasks: Any, asked: Sequence[str], x: Any) -> None:
    if not isinstance(x, dict):
        raise ValueError(
            "The tasks of this model have separate data, so x must be a dict, name of a task -> "
            f"its examples, for {', '.join(asked)}. Received: {type(x).__name__}"
        )
    unknown = [name for name in x if name not in tasks]
    if unknown:
        raise ValueError(
            f"x has an entry {unknown[0]!r}, which is no task of this model. "
            f"Tasks: {', '.join(tasks)}"
        )
    missing = [task for task in asked if task not in x]
    if missing:
        raise ValueError(
            f"x has no entry for task {missing[0]!r}. Give examples of every task: "
            f"{', '.join(asked)}"
        )
