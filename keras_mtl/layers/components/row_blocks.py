"""Rows of one component each, sorted into blocks of equal size."""

from typing import Any

from keras import ops


def row_blocks(indices: Any, num_components: int) -> tuple[Any, Any, Any]:
    """Returns how rows fill `2 * num_components` blocks, each with rows of one component.

    A block holds `ceil(rows / num_components)`, so that there are enough of them whatever was
    chosen, and shapes depend on nothing that was. Nearly half of what they hold is empty: it
    reads the first row, and nobody reads what becomes of it.

    Args:
        indices: (B,) the component of each row.
        num_components: How many there are.

    Returns:
        (2 * num_components * size,) the row in each place of a block, block after block; (B,)
        the place of each row; (2 * num_components,) the component of each block.
    """
    num_rows, num_blocks = ops.shape(indices)[0], 2 * num_components
    size = (num_rows + num_components - 1) // num_components
    chosen = ops.cast(ops.expand_dims(indices, 1) == ops.arange(num_components), "int32")
    earlier = ops.sum((ops.cumsum(chosen, axis=0) - 1) * chosen, axis=1)  # of the same component
    ends = ops.cumsum((ops.sum(chosen, axis=0) + size - 1) // size)  # in blocks
    starts = ops.concatenate([ops.zeros((1,), "int32"), ends[:-1]])
    slots = ops.take(starts, indices) * size + earlier
    rows = ops.scatter(slots[:, None], ops.arange(num_rows, dtype="int32"), (num_blocks * size,))
    components = ops.sum(ops.cast(ops.arange(num_blocks)[:, None] >= ends, "int32"), axis=1)
    return rows, slots, ops.minimum(components, num_components - 1)
