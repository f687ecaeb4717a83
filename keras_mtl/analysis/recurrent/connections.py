"""The sparsity of a recurrent modular network: the share of connections that are open."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mtl.analysis.recurrent.decisions import (
    OpenCounts,
    counted_answers,
    decision_network,
    open_counts,
    probability_network,
    ratio,
    required_encoder,
)

_TINY = 1e-7  # below which a probability of float32 says nothing


class OpenConnections(NamedTuple):
    """Mean number of open connections of an example at a step, beside the number there is.

    `decoders` has a number for each task; each of them has `num_decoder` connections. In training
    a connection is drawn: as many as in `expected_encoder` and `expected_decoders` are open then.
    `spread` is by how much a task's log-odds differ between examples and steps, the standard
    deviation, mean over sub-encoders: far below 1.8, that of the draws' noise, the task chooses
    nothing, and inference opens what training opened by chance, for all or for none.
    """

    encoder: float
    num_encoder: int
    decoders: dict[str, float]
    num_decoder: int
    expected_encoder: float
    expected_decoders: dict[str, float]
    spread: dict[str, float]


def open_connections(model: keras.Model, x: Any) -> Any:
    """Returns how many connections are open, of how many: what `open_fraction` limits.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 10 and 11.

    Args:
        model: As for `keras_mtl.routing_over_time`.
        x: As for `keras_mtl.routing_over_time`.

    Returns:
        An `OpenConnections(encoder, num_encoder, decoders, num_decoder, expected_encoder,
        expected_decoders, spread)`. With separate data `encoder` is the mean over tasks.

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
    encoder, decoders = _means(open_counts(model, decision_network(model), x))
    expected, spread = {}, {}
    for task, counts, chances in counted_answers(model, probability_network(model), x):
        expected[task], spread[task] = counts, _spread(chances)
    expected_encoder, expected_decoders = _means(expected)
    cell = required_encoder(model).cell
    return OpenConnections(
        encoder=encoder,
        num_encoder=cell.num_connections,
        decoders=decoders,
        num_decoder=sum(cell.num_sub_encoders),
        expected_encoder=expected_encoder,
        expected_decoders=expected_decoders,
        spread=spread,
    )


def _means(counts: dict[str, OpenCounts]) -> tuple[float, dict[str, float]]:
    """Returns mean numbers of open connections: the encoder's, and of each task's decoder."""
    means = {
        task: [float(ratio(part.sum(), one.examples.sum())) for part in (one.encoder, one.decoder)]
        for task, one in counts.items()
    }
    encoder = float(np.mean([encoder for encoder, _ in means.values()]))
    return encoder, {task: decoder for task, (_, decoder) in means.items()}


def _spread(chances: Any) -> float:
    """Returns the standard deviation of log-odds, of probabilities `(places, connections)`."""
    chances = np.clip(chances.astype("float64"), _TINY, 1 - _TINY)
    odds = np.log(chances / (1 - chances))
    return float(odds.std(axis=0).mean())
