"""Growth of layers by a task: each says what of it stays and what is new.

A layer that is made for a number of tasks has a method `grown(new)`, which returns a layer like
it for one more. Where that has weights of its own for the new task, which alone will learn, it also
has `take_over(old)`, called once it is built, which takes the weights of the layer before. All
other layers are copied as they are. A layer that reads whose task an example is, and has no
`grown`, is made for its own tasks only.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_mtl.tasks import Task


@dataclasses.dataclass(frozen=True)
class NewTask:
    """The task that a network grows by.

    Attributes:
        name: Its name.
        task: What it predicts.
        init_probability: Chance in (0, 1) that it starts with a component. `None` takes what a
            layer started with.
        rows: Iterator of rows, one for each layer with a given allocation. `None` takes the row
            that all tasks have.
        has_own_rows: Whether its examples are rows of their own wherever they pass.
    """

    name: str
    task: Task
    init_probability: Any = None
    rows: Any = None
    has_own_rows: bool = True


def take_over_each(old: Any, new: Any) -> None:
    """Assigns the values of variables to others, as many as there are of the old ones."""
    for source, target in zip(old, new, strict=False):
        target.assign(np.array(source.numpy()))  # a copy: JAX may give the buffer away


def one_more_block(number: Any) -> Any:
    """Returns how many blocks of rows there are with one more task; one may be that of all."""
    return number + 1 if number > 1 else number
