"""Raw values made from what an encoder knows, to ask an export with before it is written."""

from typing import Any

import numpy as np

from keras_mtl.data import SentenceEncoder


def trial_requests(encoder: Any, number: int = 8, seed: int | None = 0) -> Any:
    """Returns random sentences, or columns of a table, of known, unknown and missing values."""
    rng = np.random.default_rng(seed)
    if not isinstance(encoder, SentenceEncoder):
        return {column.name: column.trial_values(number, rng) for column in encoder.columns}
    words = [*encoder.words, "unknown"]
    lengths = rng.integers(1, 6, number)
    return [" ".join(rng.choice(words, length)) for length in lengths]
