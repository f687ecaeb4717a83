"""The relatedness of tasks over time, by the connections that they open."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.recurrent.decisions import (
    decision_network,
    open_counts,
    probability_network,
    ratio,
)


def relatedness_over_time(model: keras.Model, x: Any, decided: bool = False) -> Any:
    """Returns how much the tasks read the same sub-encoders at each step.

    The measure is a weighted Jaccard index of how often a task reads each sub-encoder in
    training, the mean over examples of the probability of its connection: the
    smaller of two tasks' shares, summed over sub-encoders, divided by the sum of the larger. It
    is 1 when both read each sub-encoder equally often, 0 when they read none in common. A task
    that reads nothing has 0 with others and 1 with itself. No examples are paired, so tasks
    may have data of their own.

    Source: this package's measure of the relatedness that figure 4 of Xu et al., "Multi-Task
    Recurrent Modular Networks", AAAI 2021, shows.

    Args:
        model: As for `keras_mtl.routing_over_time`.
        x: As for `keras_mtl.routing_over_time`.
        decided: Whether to compare what is read in inference instead, the shares that
            `keras_mtl.routing_over_time` returns: connections that are likelier than not. Defaults
            to `False`.

    Returns:
        `(time, tasks, tasks)` array of numbers in [0, 1], tasks in the order of `tasks`. NaN at
        steps that the examples of one of the two do not reach.

    Raises:
        ValueError: As for `keras_mtl.routing_over_time`.

    Example:

    >>> import numpy as np
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"a": 3, "b": "binary"}, num_cells=2, cell_units=6,
    ...     num_sub_encoders=(3, 3), units=(5,))
    >>> relatedness = relatedness_over_time(model, np.ones((8, 7, 4)))
    >>> relatedness.shape, relatedness[0, 0, 0].item()
    ((7, 2, 2), 1.0)
    """
    network = decision_network(model) if decided else probability_network(model)
    by_task = [one.shares for one in open_counts(model, network, x).values()]
    longest = max(map(len, by_task))
    shares = np.stack(
        [np.pad(one, ((0, longest - len(one)), (0, 0)), constant_values=np.nan) for one in by_task],
        axis=1,
    )
    one, other = shares[:, :, None], shares[:, None]
    either = np.maximum(one, other).sum(axis=-1)
    common = np.minimum(one, other).sum(axis=-1)
    return ratio(common, either, of_nothing=np.eye(either.shape[-1]))
