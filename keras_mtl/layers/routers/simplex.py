"""Back to probabilities: rows that left the simplex in an update."""

from typing import Any

from keras import ops


def clipped_to_simplex(rows: Any, floor: float = 0.0) -> Any:
    """Cuts what lies outside [floor, 1] and divides by the sum; rows of probabilities stay.

    What is left of a row without anything above the floor is uniform.
    """
    size = rows.shape[-1]
    above = ops.clip(rows - floor, 0.0, 1.0)
    total = ops.sum(above, axis=-1, keepdims=True)
    empty = total <= 0
    shares = ops.where(empty, 1.0 / size, above / ops.where(empty, 1.0, total))
    return floor + (1.0 - size * floor) * shares


def nearest_on_simplex(rows: Any, floor: float = 0.0) -> Any:
    """Returns the nearest rows of probabilities that are at least `floor`.

    The shift that makes the positive parts sum to 1 is found on the sorted row.
    """
    size = rows.shape[-1]
    rows = (rows - floor) / (1.0 - size * floor)
    falling = -ops.sort(-rows, axis=-1)
    indices = ops.arange(1, size + 1, dtype=rows.dtype)
    shifts = (ops.cumsum(falling, axis=-1) - 1.0) / indices
    num_kept = ops.sum(ops.cast(falling > shifts, "int32"), axis=-1, keepdims=True)
    shift = ops.take_along_axis(shifts, num_kept - 1, axis=-1)
    return floor + (1.0 - size * floor) * ops.relu(rows - shift)


PROJECTIONS = {"clip": clipped_to_simplex, "euclidean": nearest_on_simplex}
