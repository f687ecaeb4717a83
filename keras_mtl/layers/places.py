"""Whose the numbers of a layer are, so that a network with other tasks can take them over.

A layer that has numbers of its own for each task has a method `places(tasks)`, of the names of
the tasks in order. It returns a dict, name of a variable -> `{axis: labels}`, with a label for each
index along the axis: numbers of two networks are the same where their labels are equal. Along an
axis that is not named they are the same at equal indices, if there are equally many.
"""

from collections.abc import Sequence
from typing import Any


def in_blocks(name: str, axis: int, tasks: Sequence[Any], num_added_tasks: int) -> dict[str, Any]:
    """Returns the places of a variable whose added tasks have variables of their own."""
    first = len(tasks) - num_added_tasks
    added = {f"{name}_added_{n}": {axis: [task]} for n, task in enumerate(tasks[first:], start=1)}
    return {name: {axis: list(tasks[:first])}, **added}


def head_columns(name: str, task: Any, num_columns: int) -> list[Any]:
    """Returns labels of the columns of a task's head: another size, kind or unit is another."""
    own = (name, task.kind, task.size, bool(task.standardize))
    return [(*own, index) for index in range(num_columns)]
