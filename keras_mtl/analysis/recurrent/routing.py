"""Routing over time: the share of open connections by task, step, layer and sub-encoder."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.recurrent.decisions import (
    decision_network,
    open_counts,
    ratio,
    required_encoder,
)


def routing_over_time(model: keras.Model, x: Any) -> Any:
    """Returns how often each task reads each sub-encoder, step by step.

    Connections are the most likely ones, as in every prediction. Padding does not count.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 4 (left).

    Args:
        model: A model made by `keras_mtl.build_recurrent_modular`.
        x: Examples, as `predict` takes them. With separate data a dict, name of each task ->
            its own examples.

    Returns:
        Dict, task -> `(time, layer, sub_network)` array: share of the examples in which the
        task is connected to the sub-encoder at that step. NaN at steps that no example
        reaches, and beyond the sub-encoders of a smaller layer.

    Raises:
        ValueError: The model has no modular encoder, or `x` does not fit it.

    Example:

    >>> import numpy as np
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"a": 3, "b": "binary"}, num_cells=2, cell_units=6,
    ...     num_sub_encoders=(3, 2), units=(5,))
    >>> routing = routing_over_time(model, np.ones((8, 7, 4)))
    >>> routing["a"].shape, np.isnan(routing["b"][:, 1, 2]).all().item()
    ((7, 2, 3), True)
    """
    counts = open_counts(model, decision_network(model), x)
    return shares_over_time(counts, required_encoder(model).cell.num_sub_encoders)


def shares_over_time(counts: Any, num_sub_encoders: Any) -> dict[Any, Any]:
    """Returns what `routing_over_time` does, of `open_counts`."""
    return {task: _by_layer(one.shares, num_sub_encoders) for task, one in counts.items()}


def sub_encoder_usage(model: keras.Model, x: Any) -> Any:
    """Returns how the open connections to each sub-encoder divide among the tasks.

    A task counts by the share of its steps in which it reads the sub-encoder, so one with more
    or longer examples counts no more.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, figure 4 (right).

    Args:
        model: As for `keras_mtl.routing_over_time`.
        x: As for `keras_mtl.routing_over_time`.

    Returns:
        Dict, task -> `(layer, sub_network)` array of numbers in [0, 1], which sum to 1 over the
        tasks; all 0 where no task reads a sub-encoder. NaN beyond those of a smaller layer.

    Raises:
        ValueError: As for `keras_mtl.routing_over_time`.

    Example:

    >>> import numpy as np
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"a": 3}, num_cells=2, cell_units=6,
    ...     num_sub_encoders=(3, 2), units=(5,), policy_units=())
    >>> policy = model.get_layer("decoder_1").policy
    >>> policy.set_weights([np.zeros((5, 2)), np.zeros(2)])  # a tie connects
    >>> sub_encoder_usage(model, np.ones((8, 7, 4)))["a"].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, nan]]
    """
    counts = open_counts(model, decision_network(model), x)
    rates = np.stack(
        [ratio(one.decoder.sum(axis=0), one.examples.sum()) for one in counts.values()]
    )
    usage = ratio(rates, rates.sum(axis=0), of_nothing=0.0)
    num_sub_encoders = required_encoder(model).cell.num_sub_encoders
    return dict(zip(counts, _by_layer(usage, num_sub_encoders), strict=True))


def _by_layer(values: Any, sizes: Any) -> Any:
    """Sorts `(..., sum of sizes)` into `(..., layer, sub_network)`, with NaN to fill up."""
    filled = np.full((*values.shape[:-1], len(sizes), max(sizes)), np.nan)
    layers = np.split(values, np.cumsum(sizes)[:-1], axis=-1)
    for index, layer in enumerate(layers):
        filled[..., index, : layer.shape[-1]] = layer
    return filled
