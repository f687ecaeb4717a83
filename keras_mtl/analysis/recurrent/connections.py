"""The sparsity of a recurrent modular network: the share of connections that are open."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mtl.analysis.recurrent.decisions import (
    decision_network,
    open_counts,
    ratio,
    required_encoder,
)


class OpenConnections(NamedTuple):
    """Mean number of open connections of an example at a step, beside the number there is.

    `decoders` has a number for each task; each of them has `num_decoder` connections.
    """

    encoder: float
    num_encoder: int
    decoders: dict[str, float]
    num_decoder: int


def open_connections(model: keras.Model, x: Any) -> Any:
    """Returns how many connections are open, of how many: what `open_fraction` limits.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 10 and 11.

    Args:
        model: As for `keras_mtl.routing_over_time`.
        x: As for `keras_mtl.routing_over_time`.

    Returns:
        An `OpenConnections(encoder, num_encoder, decoders, num_decoder)`. With separate data
        `encoder` is the mean over tasks.

    Raises:
        ValueError: As for `keras_mtl.routing_over_time`.

    Example:

    >>> import numpy as np
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_recurrent_modular(
    ...     keras.Input((None, 4)), {"a": 3, "b": "binary"}, num_cells=2, cell_units=6,
    ...     num_sub_encoders=(3, 2), units=(5,))
    >>> opened = open_connections(model, np.ones((8, 7, 4)))
    >>> opened.num_encoder, opened.num_decoder  # 2 * 3 + 3 * 2, 3 + 2
    (12, 5)
    """
    counts = open_counts(model, decision_network(model), x)
    means = {
        task: [float(ratio(part.sum(), one.examples.sum())) for part in (one.encoder, one.decoder)]
        for task, one in counts.items()
    }
    cell = required_encoder(model).cell
    return OpenConnections(
        encoder=float(np.mean([encoder for encoder, _ in means.values()])),
        num_encoder=cell.num_connections,
        decoders={task: decoder for task, (_, decoder) in means.items()},
        num_decoder=sum(cell.num_sub_encoders),
    )
