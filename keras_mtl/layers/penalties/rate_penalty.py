"""A price on gates that are open more often, or less often, than wanted."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.charging import ChargingLayer
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.freezing import passes_through
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class TargetRatePenalty(ChargingLayer):
    """Adds a penalty on the opening rates of instance gates to the loss; passes features through.

    For each task of the batch, the sum of `(share of its examples whose gate is open - target
    rate)**2` over the blocks that it executes; summed over tasks. Where gates decide at every
    step, it is the share of the steps of its examples, padding left out.

    Source: Rahimian et al., "DynaShare", ICLR 2022 submission, Eq. 5, with a target for each
    block as in its code, which counts blocks that the task skips too.

    Args:
        executed: `(num_tasks, num_gates)` zeros and ones: who executes the gated blocks.
        target_rates: Target of each gate, in (0, 1].
        weight: Number of at least 0, or a schedule over training batches. Defaults to 25.0.
        normalize: Whether to divide by the number of gates. Defaults to `False`.

    Call arguments:
        features: Tensor or structure of tensors, returned as they are.
        task_id: Whose task each row is, `(batch,)`.
        gates: List of `(batch, 1)` or `(batch, steps, 1)`, 1 where a gate is open. The mask of
            one, `(batch, steps)`, is `False` where there is only padding.

    Weights:
        updates: `()`, int32, not trainable: training batches seen.
        penalty: `()`, not trainable: latest value.

    Raises:
        ValueError: Rates outside (0, 1] or of another number than the gates, a negative weight.

    Example:

    >>> penalty = TargetRatePenalty([[1], [1], [0]], [0.5], weight=1.0, name="rate")
    >>> task_id, gate = keras.ops.array([0, 0, 1, 2]), keras.ops.array([[1.0], [0], [1], [1]])
    >>> _ = penalty(keras.ops.ones((4, 2)), task_id, [gate])
    >>> float(penalty.penalties["rate"].numpy())  # 0 + 1 / 4, and the third skips the block
    0.25
    """

    def __init__(
        self,
        executed: Any,
        target_rates: Any,
        weight: float = 25.0,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__({"weight": weight}, autocast=False, **kwargs)
        wanted = "a (num_tasks, num_gates) matrix of zeros and ones"
        executed = checks.array("executed", executed, wanted).astype("float32")
        wanted = "a rate in (0, 1] for each gate"
        target_rates = checks.array("target_rates", target_rates, wanted).astype("float32")
        if executed.ndim != 2 or target_rates.shape != executed.shape[1:]:
            raise ValueError(
                "executed must be (num_tasks, num_gates), and target_rates a rate for each gate. "
                f"Received shapes: {executed.shape} and {target_rates.shape}"
            )
        if not np.all((target_rates > 0) & (target_rates <= 1)):
            raise ValueError(
                f"target_rates must be rates in (0, 1]. Received: {target_rates.tolist()}"
            )
        self.executed = executed
        self.target_rates = target_rates
        self.normalize = checks.flag("normalize", normalize)
        self.supports_masking = True

    def build(self, features_shape: Shape, task_id_shape: Shape, gates_shape: Shape) -> None:
        self.add_penalties({self.name: "penalty"})

    def call(
        self,
        features: Tensor,
        task_id: Tensor,
        gates: Any,
        gates_mask: Any = None,
        training: bool = False,
    ) -> Any:
        gates_mask = [None] * len(gates) if gates_mask is None else gates_mask
        counts = [_counts(*gate) for gate in zip(gates, gates_mask, strict=True)]
        belongs = ops.transpose(ops.one_hot(task_id, len(self.executed), dtype="float32"))
        opened, number = (
            ops.matmul(belongs, ops.stack(count, axis=-1)) for count in zip(*counts, strict=True)
        )  # (tasks, gates)
        self.charge(self.name, self.weight, self._off_target, (opened, number))
        self.count_batch(training)
        return features

    def _off_target(self, opened: Any, number: Any) -> Any:
        """Returns how far the rates are from their targets, of `(tasks, gates)` counts."""
        present = ops.cast(number > 0, "float32")
        rates = opened / at_least_one(number)
        executed, targets = map(ops.convert_to_tensor, (self.executed, self.target_rates))
        off = ops.sum(ops.square(rates - targets) * executed * present)
        return off / len(self.target_rates) if self.normalize else off

    frozen = passes_through

    def grown(self, new: Any) -> Any:
        """Asks nothing of the new task: gates learn no more."""
        executed = np.vstack([self.executed, np.zeros((1, self.executed.shape[1]))])
        return new_layer_like(self, {"executed": executed.tolist()})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "executed": self.executed.tolist(),
            "target_rates": self.target_rates.tolist(),
            "normalize": self.normalize,
        }


def _counts(gate: Any, mask: Any) -> tuple[Any, Any]:
    """Returns for each row how many decisions opened the gate, and how many there were."""
    gate = ops.cast(gate, "float32")
    valid = ops.ones_like(gate)
    if mask is not None:
        valid = ops.expand_dims(ops.cast(mask, "float32"), axis=-1)
    indices = tuple(range(1, len(gate.shape)))
    return ops.sum(gate * valid, axis=indices), ops.sum(valid, axis=indices)
