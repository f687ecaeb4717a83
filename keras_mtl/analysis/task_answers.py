"""Answers of a part of a network for the examples of each task."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_mtl.training.inputs.checks import check_inputs


def task_answers(model: keras.Model, network: Any, x: Any) -> Iterator[Any]:
    """Yields pairs, the name of a task and what `network` predicts for its examples.

    Args:
        model: A model made by a builder of this package.
        network: A part of it, a `keras.Model` on its inputs.
        x: Inputs of the model, which are everybody's examples; with separate data a dict, name
            of a task -> its own.

    Raises:
        ValueError: Inputs of another form than the model's, no examples, an unknown task.
    """
    if model.task_data == "shared":
        check_inputs(model, x)
        answer = _answer(network, x, "x")
        yield from ((task, answer) for task in model.tasks)
        return
    _check_names(model.tasks, x)
    yield from ((task, _own_answer(model, network, task, x[task])) for task in model.tasks)


def _own_answer(model: keras.Model, network: Any, task: Any, x: Any) -> Any:
    """Returns what the network answers for examples of one task, which has separate data."""
    task_id = np.full(len(keras.tree.flatten(x)[0]), list(model.tasks).index(task), "int32")
    inputs = {"inputs": x, "task_id": task_id}
    try:
        check_inputs(model, inputs)
    except ValueError as error:
        raise ValueError(f"Examples of task {task!r}: {error}") from error
    return _answer(network, inputs, f"x[{task!r}]")


def _answer(network: Any, inputs: Any, name: str) -> Any:
    if not len(keras.tree.flatten(inputs)[0]):
        raise ValueError(f"{name} has no examples, so there is nothing to look at.")
    return network.predict(inputs, verbose=0)


def _check_names(tasks: Any, x: Any) -> None:
    if not isinstance(x, dict):
        raise ValueError(
            "The tasks of this model have separate data, so x must be a dict, name of a task -> "
            f"its examples, for {', '.join(tasks)}. Received: {type(x).__name__}"
        )
    unknown = [name for name in x if name not in tasks]
    if unknown:
        raise ValueError(
            f"x has an entry {unknown[0]!r}, which is no task of this model. "
            f"Tasks: {', '.join(tasks)}"
        )
    missing = [task for task in tasks if task not in x]
    if missing:
        raise ValueError(
            f"x has no entry for task {missing[0]!r}. Give examples of every task: "
            f"{', '.join(tasks)}"
        )
