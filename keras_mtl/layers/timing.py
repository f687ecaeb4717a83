"""How long a network takes, here and now."""

import statistics
import time
from typing import Any

import keras

_WARM_UP_CALLS, _TIMED_CALLS = 3, 15


def milliseconds(network: keras.Model, batch: Any) -> float:
    """Returns the median time in which a network answers a batch, once it is compiled."""
    times = []
    for _ in range(_WARM_UP_CALLS + _TIMED_CALLS):
        start = time.perf_counter()
        network.predict_on_batch(batch)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[_WARM_UP_CALLS:])
