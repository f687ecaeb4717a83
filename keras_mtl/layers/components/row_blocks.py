"""Rows of one component each, sorted into blocks of equal size."""

from typing import Any

from keras import ops


def sorted_rows(indices: Any, num_components: int) -> tuple[Any, Any, Any]:
    """Returns the order in which rows of one component follow each other, each at least once.

    Besides its own rows a component gets the first row of all, whose answer nobody reads:
    TensorFlow convolves no empty batch.

    Args:
        indices: (B,) the component of each row.
        num_components: How many there are.

    Returns:
        (B + num_components,) rows; their components, rising; (B,) the place of each row.
    """
    num_rows = ops.shape(indices)[0]
    indices = ops.concatenate([indices, ops.arange(num_components, dtype=indices.dtype)])
    order = ops.argsort(indices)
    rows = ops.where(order < num_rows, order, 0)
    return rows, ops.take(indices, order), ops.argsort(order)[:num_rows]


def row_blocks(indices: Any, num_components: int, size: int) -> tuple[Any, Any, Any]:
    """Returns how rows fill blocks of a size, each with rows of one component.

    There are enough blocks whatever was chosen, and shapes depend on nothing that was. Some of
    what they hold is empty: it reads the first row, and nobody reads what becomes of it.

    Args:
        indices: (B,) the component of each row.
        num_components: How many there are.
        size: Rows of a block.

    Returns:
        (blocks * size,) the row in each place of a block, block after block; (B,) the place of
        each row; (blocks,) the component of each block.
    """
    num_rows = indices.shape[0]
    num_blocks = (num_rows + num_components * (size - 1)) // size
    chosen = ops.cast(ops.expand_dims(indices, 1) == ops.arange(num_components), "int32")
    earlier = ops.sum((ops.cumsum(chosen, axis=0) - 1) * chosen, axis=1)  # of the same component
    ends = ops.cumsum((ops.sum(chosen, axis=0) + size - 1) // size)  # in blocks
    starts = ops.concatenate([ops.zeros((1,), "int32"), ends[:-1]])
    slots = ops.take(starts, indices) * size + earlier
    rows = ops.scatter(slots[:, None], ops.arange(num_rows, dtype="int32"), (num_blocks * size,))
    components = ops.sum(ops.cast(ops.arange(num_blocks)[:, None] >= ends, "int32"), axis=1)
    return rows, slots, ops.minimum(components, num_components - 1)
