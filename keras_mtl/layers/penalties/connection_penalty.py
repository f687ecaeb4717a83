"""A price on open connections above a free share."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one, mean_of_valid
from keras_mtl.layers.charging import ChargingLayer
from keras_mtl.layers.freezing import passes_through
from keras_mtl.types import Shape, Tensor

SCOPES = ("step", "sequence", "batch")


@keras.saving.register_keras_serializable("keras_mtl")
class ConnectionPenalty(ChargingLayer):
    """Adds a penalty on open connections to the loss; passes features through.

    `weight * max(0, number of open connections - open_fraction * number of connections)`. What is
    open is a mean over the steps of the batch, padding left out; or it is counted for each step or
    sequence, and their penalties are averaged. Where examples belong to tasks, each task has a
    mean of its own, so that none pays for another, and its penalty counts by its share of the
    examples. The latest value stands in `penalties` under the name of the layer, and the model's
    logs name it.

    Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Eqs. 10 and 11,
    which do not say over what the sum runs: see `scope`.

    Args:
        open_fraction: Share of connections that is free, in (0, 1]. 1 is no limit.
        weight: Number of at least 0, or a schedule over training batches. Defaults to 1.0.
        scope: What must stay below the limit: `"step"`, every step of every example;
            `"sequence"`, the mean over an example's steps; `"batch"`, the mean over all. The
            narrower the scope, the fewer connections stay open: every draw above the limit costs,
            and none below it pays. Defaults to `"batch"`.
        num_tasks: Number of tasks to which examples belong. Defaults to 1.

    Call arguments:
        features: Tensor or structure of tensors, returned as they are.
        decisions: `(batch, steps, connections)`, 1 where a connection is open.
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`, whose task each example is; or
            `None`, if all belong to the same. Defaults to `None`.
        decisions_mask: `(batch, steps)` booleans, `False` where there is only padding.

    Weights:
        updates: `()`, int32, not trainable: training batches seen.
        penalty: `()`, not trainable: latest value.

    Raises:
        ValueError: A share outside (0, 1], a negative weight, an unknown scope.

    Example:

    >>> penalty = ConnectionPenalty(open_fraction=0.5, name="sparsity")
    >>> features, decisions = keras.ops.ones((1, 2, 3)), [[[1.0, 1, 1, 0], [1, 1, 0, 0]]]
    >>> _ = penalty(features, keras.ops.array(decisions))
    >>> float(penalty.penalties["sparsity"].numpy())  # 3 and 2 are open, 2 free
    0.5
    """

    def __init__(
        self,
        open_fraction: Any,
        weight: float = 1.0,
        scope: str = "batch",
        num_tasks: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__({"weight": weight}, autocast=False, **kwargs)
        self.open_fraction = checks.fraction("open_fraction", open_fraction)
        self.scope = checks.word("scope", scope, SCOPES)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.supports_masking = True

    def build(
        self, features_shape: Shape, decisions_shape: Any, task_id_shape: Shape | None = None
    ) -> None:
        self.num_connections = decisions_shape[-1]
        self.add_penalties({self.name: "penalty"})

    def call(
        self,
        features: Tensor,
        decisions: Any,
        task_id: Tensor | None = None,
        decisions_mask: Any = None,
        training: bool = False,
    ) -> Any:
        counts = ops.sum(ops.cast(decisions, "float32"), axis=-1)
        valid = ops.ones_like(counts)
        if decisions_mask is not None:
            valid = ops.cast(decisions_mask, "float32")
        self.charge(self.name, self.weight, self._excess, self._sums(counts, valid, task_id))
        self.count_batch(training)
        return features

    def _sums(self, counts: Any, valid: Any, task_id: Tensor) -> Any:
        """Returns sums over places of what is limited, and the numbers of places and of rows.

        Each is `(1,)` for the batch or, with the tasks of the rows, `(T,)`.
        """
        free = self.open_fraction * self.num_connections
        if self.scope == "step":
            return _totals(valid * ops.relu(counts - free), valid, valid)
        rows = _has_a_step(valid)
        if self.scope == "sequence":
            excess = ops.relu(mean_of_valid(counts, valid, axis=1) - free)
            return _totals(rows * excess, rows, rows)
        sums = ops.sum(valid * counts, axis=1), ops.sum(valid, axis=1), rows
        if task_id is None:
            return _totals(*sums)
        belongs = ops.one_hot(task_id, self.num_tasks, axis=0, dtype="float32")
        return tuple(ops.sum(belongs * each, axis=1) for each in sums)

    def _excess(self, total: Any, steps: Any, rows: Any) -> Any:
        """Returns how many connections too many are open, on average."""
        mean = total / at_least_one(steps)
        if self.scope == "batch":
            mean = ops.relu(mean - self.open_fraction * self.num_connections)
        return mean_of_valid(mean, rows)

    frozen = passes_through

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "open_fraction": self.open_fraction,
            "scope": self.scope,
            "num_tasks": self.num_tasks,
        }


def _totals(*by_place: Any) -> Any:
    """Returns the sums over all places, `(1,)` each."""
    return tuple(ops.reshape(ops.sum(each), (1,)) for each in by_place)


def _has_a_step(valid: Any) -> Tensor:
    """Returns 1 for rows with a valid step, else 0; a maximum would refuse an empty batch."""
    return ops.cast(ops.sum(valid, axis=1) > 0, "float32")
