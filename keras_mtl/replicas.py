"""A batch that the replicas of a distribution strategy share; as a rule there is one replica.

`tf.distribute.MirroredStrategy` gives each replica a part of a batch. What is said of a batch,
such as the mean over its labelled examples, is said of all parts together: replicas add up sums
and counts before they divide.

A replica's thread stands still wherever sums are added up, until the others have come there, and
meanwhile these go through the same layers. So nothing that a layer or model remembers between its
call and its loss may be read after a sum. `ReplicaStep` holds what one replica remembers.
"""

import threading
from typing import Any

import keras
from keras import ops

from keras_mtl.types import Shape

_running = threading.local()


def num_replicas() -> Any:
    """Returns how many replicas share the batch that is computed here."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def over_replicas(tensors: Any) -> Any:
    """Returns the sums over replicas of a structure of tensors, with their gradient."""
    if num_replicas() == 1:
        return tensors
    flat = _context().all_reduce("SUM", keras.tree.flatten(tensors))
    return keras.tree.pack_sequence_as(tensors, flat)


def mean_over_replicas(tensors: Any) -> Any:
    """Returns the means over replicas of a structure of tensors."""
    number = num_replicas()
    if number == 1:
        return tensors
    return keras.tree.map_structure(lambda tensor: tensor / number, over_replicas(tensors))


def _context() -> Any:
    if keras.backend.backend() != "tensorflow":
        return None  # `keras.distribution` on JAX computes with whole batches
    import tensorflow as tf

    return tf.distribute.get_replica_context()


class ReplicaStep:
    """A step of training or evaluation in one of several replicas.

    Args:
        examples: Number of examples in this replica's part of the batch.

    Attributes:
        charges: What layers charge for the batch, until the model adds it up: pairs of a tuple of
            sums over this replica's rows, and a function that makes a penalty of the whole sums.
    """

    def __init__(self, examples: Any) -> None:
        self.charges: list[Any] = []
        parts = ops.one_hot(_context().replica_id_in_sync_group, num_replicas(), dtype="int32")
        self.examples = examples
        by_replica = over_replicas(parts * examples)
        self.total = ops.sum(by_replica)
        before = ops.cumsum(by_replica) - by_replica
        self.first = before[_context().replica_id_in_sync_group]

    def __enter__(self) -> Any:
        _running.step = self
        return self

    def __exit__(self, *error: Any) -> None:
        _running.step = None


def current_step() -> Any:
    """Returns the `ReplicaStep` in which this is computed, or `None` without several replicas."""
    return getattr(_running, "step", None)


def drawn_by_row(draw: Any, shape: Shape, seed: int | None) -> Any:
    """Draws numbers for rows that are examples, or blocks of them, as one replica would.

    Every replica draws for the whole batch and takes the part that is its own.

    Args:
        draw: Function `(shape, seed)` that returns a tensor.
        shape: Shape whose first entry is the number of rows.
        seed: `keras.random.SeedGenerator`, in the same state on all replicas.
    """
    step = current_step()
    if step is None:
        return draw(shape, seed)
    blocks = shape[0] // ops.maximum(step.examples, 1)
    drawn = draw((blocks * step.total, *shape[1:]), seed)
    drawn = ops.reshape(drawn, (blocks, step.total, *shape[1:]))
    own = drawn[:, step.first : step.first + step.examples]
    return ops.reshape(own, shape)
