"""Returns of a policy: running estimates of them, and the advantage of each choice."""

from typing import Any

from keras import ops

from keras_mtl.replicas import over_replicas
from keras_mtl.types import Tensor

_MOST_ROWS = 2000  # that an estimate of a return rests on; older ones are forgotten
_KEPT = 0.99  # of the weight of all that came before, with each batch of a task


def sums_by_choice(
    num_tasks: int, task_id: Tensor, rows: Any, returns: Any, valid: Any
) -> tuple[Any, Any]:
    """Returns how often each task made each choice in a batch, and the sums of what it returned.

    Args:
        num_tasks: Number of tasks.
        task_id: (rows,) whose task each row is.
        rows: (rows, C) 1 at the choice of each row.
        returns: (rows,) what each choice returned.
        valid: (rows,) 1 where that counts, else 0.
    """
    num_components = rows.shape[-1]
    returns = ops.stop_gradient(ops.where(valid > 0, returns, 0.0))
    task_id = ops.clip(task_id, 0, num_tasks - 1)
    index = task_id * num_components + ops.cast(ops.argmax(rows, axis=-1), "int32")

    def table(values):
        sums = ops.segment_sum(values, index, num_tasks * num_components)
        return over_replicas(ops.reshape(sums, (num_tasks, -1)))

    return table(valid), table(valid * returns)


def with_batch(returns: Any, num_returns: Any, count: Any, total: Any) -> tuple[Any, Any]:
    """Returns estimates of returns after a batch, and how many rows each rests on.

    A running mean, which forgets once it rests on 2000 rows, and with each batch of the task a
    hundredth of what it rests on: what a rare choice returned while the network knew nothing yet
    would count for good.

    Args:
        returns: (T, C) estimates before the batch.
        num_returns: (T, C) numbers of rows that they rest on.
        count: (T, C) rows of the batch.
        total: (T, C) sums of their returns.
    """
    present = ops.any(count > 0, axis=1, keepdims=True)
    seen = ops.where(present, _KEPT * num_returns, num_returns) + count
    step = (total - count * returns) / ops.where(seen > 0, seen, 1.0)
    return returns + step, ops.minimum(seen, _MOST_ROWS)


def expected_return(policy: Any, returns: Any, num_returns: Any) -> Any:
    """Returns the expected return of each row of a policy, (T, 1), over known choices."""
    known = policy * ops.cast(num_returns > 0, policy.dtype)
    chance = ops.sum(known, axis=1, keepdims=True)
    expected = ops.sum(known * returns, axis=1, keepdims=True)
    return expected / ops.where(chance > 0, chance, 1.0)


def advantages(returns: Any, num_returns: Any, expected: Any) -> Tensor:
    """Returns by how much the return of each choice is above what its row expects, (T, C).

    Nothing is said of a choice that was never drawn.
    """
    return ops.where(num_returns > 0, returns - expected, 0.0)


def weighted(advantage: Any, policy: Any, form: Any) -> Any:
    """Returns advantages times `1 - policy` above 0 and `policy` elsewhere, or the other way."""
    above = advantage > 0 if form == "original" else advantage <= 0
    return advantage * ops.where(above, 1.0 - policy, policy)
