"""Gates that learn to select k experts: DSelect-k."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import as_dtype, at_least_one, mean_of_places
from keras_mtl.layers.charging import ChargingLayer, is_charged
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.gates.task_logits import add_task_kernel, check_rows, task_logits, valid_rows
from keras_mtl.layers.mixing.expert_mixture import OpenExperts
from keras_mtl.types import Shape, Tensor

_SMALLEST = 1e-3  # of a probability that one is divided by
_WIDEST = 1e6  # step, whose cube float32 still holds


def smooth_step(t: Any, gamma: float = 1.0) -> Tensor:
    """Returns 0 up to `-gamma / 2`, 1 from `gamma / 2`, and between a cubic that is smooth there.

    Source: Hazimeh et al., "DSelect-k", NeurIPS 2021, https://arxiv.org/abs/2106.03760.
    """
    inside = -2.0 / gamma**3 * t**3 + 1.5 / gamma * t + 0.5
    above = ops.where(t >= gamma / 2, ops.ones_like(t), inside)
    return ops.where(t <= -gamma / 2, ops.zeros_like(t), above)


@keras.saving.register_keras_serializable("keras_mtl")
class DSelectKGates(ChargingLayer):
    """Weighs experts for each example by k selectors of each task, which learn to select one each.

    A selector has a binary code of an expert's index, whose digits are smooth steps of linear
    scores: between 0 and 1 at first, where it spreads over experts, and exactly 0 or 1 when a
    score is beyond `gamma / 2`. Then it selects one expert, and the others weigh exactly 0.
    A softmax over selectors weighs what they select. Nothing is random.

    Penalties are the mean over examples, and in shared data the sum over tasks, of `entropy`,
    the entropies in nats of a row's selectors, times `entropy_weight`, which pushes codes to 0
    and 1; and, where the number of experts is no power of 2, of `1 / (probability of codes that
    are an expert's) - 1`, summed over selectors.

    Source: Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of Experts with
    Applications to Multi-Task Learning", NeurIPS 2021, https://arxiv.org/abs/2106.03760,
    the gates for each example, with the initial weights of its code. Differs from the code:
    penalties are means over examples, not sums; the second is 0 when all codes are experts',
    and stops to grow at a probability of 0.001.

    Args:
        num_tasks: Number of tasks.
        num_experts: Number of experts, at least 2.
        num_selected: Number of selectors of a task, k. Defaults to 2.
        gamma: Width of the smooth step, above 0. Defaults to 1.0.
        entropy_weight: Number of at least 0, or a schedule over training batches. Defaults to
            0.01.
        rows: As in `TaskGates`. Defaults to `"mixed"`.
        per_step: As in `TaskGates`. Defaults to `False`.

    Call arguments:
        x: `(batch, ..., features)`.
        task_id: As in `TaskGates`.

    Output shape:
        As of `TaskGates`. Weights are not negative and sum to 1; to less where a code is not
        an expert's.

    Weights:
        code_kernel, code_bias: `(features, num_tasks, k * digits)`, `(num_tasks, k * digits)`.
        weight_kernel, weight_bias: `(features, num_tasks, k)`, `(num_tasks, k)`.
        updates: `()`, int32, not trainable: training batches seen.
        entropy, unused_codes: `()`, not trainable: latest values of the penalties in use.

    Raises:
        ValueError: Fewer than 2 experts, `num_selected` outside 1 to `num_experts`, `gamma`
            not above 0, a negative weight, unknown `rows`.

    Example:

    >>> gates = DSelectKGates(num_tasks=2, num_experts=4, num_selected=1)
    >>> gates.build((None, 5), (None,))
    >>> _ = gates.linear["code"][1].assign([[1.0, -1.0], [0.0, 0.0]])  # binary 10; undecided
    >>> weights = gates(keras.ops.zeros((2, 5)), keras.ops.array([0, 1]))
    >>> keras.ops.convert_to_numpy(weights).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.25, 0.25, 0.25, 0.25]]
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        num_selected: int = 2,
        gamma: float = 1.0,
        entropy_weight: float = 0.01,
        rows: str = "mixed",
        per_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__({"entropy_weight": entropy_weight}, **kwargs)
        check_rows(rows)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.num_experts = num_experts = checks.count("num_experts", num_experts, least=2)
        self.num_selected = checks.count("num_selected", num_selected, 1, num_experts)
        self.gamma = checks.number("gamma", gamma, above=0, most=_WIDEST)
        self.rows = rows
        self.per_step = checks.flag("per_step", per_step)
        self.supports_masking = True
        self.num_digits = int(np.ceil(np.log2(num_experts)))

    @property
    def same_for_all(self) -> bool:
        """Whether all tasks are bound to have the same weights."""
        return False

    @property
    def codes(self) -> Any:
        """`(num_experts, num_digits)` booleans: the indices of experts in binary digits."""
        indices = np.arange(self.num_experts)[:, None]
        return indices >> np.arange(self.num_digits)[::-1] & 1 == 1

    def build(self, x_shape: Any, task_id_shape: Shape) -> None:
        sizes = {"code": self.num_selected * self.num_digits, "weight": self.num_selected}
        scales = {"code": self.gamma / 100, "weight": 0.05}
        self.linear = {
            name: add_task_kernel(
                self, x_shape[-1], self.num_tasks, size, scales[name],
                name=f"{name}_kernel", bias=f"{name}_bias",
            )
            for name, size in sizes.items()
        }  # fmt: skip
        in_use = ["entropy"] if is_charged(self.entropy_weight) else []
        if self.num_experts < 2**self.num_digits:
            in_use.append("unused_codes")
        self.add_penalties({f"{name}_penalty": name for name in in_use})

    def call(self, x: Tensor, task_id: Tensor, x_mask: Any = None, training: bool = False) -> Any:
        if not self.per_step:
            x = mean_of_places(x, x_mask)
        codes, logits = (
            ops.cast(task_logits(x, task_id, *linear, self.rows), "float32")
            for linear in self.linear.values()
        )
        selectors = self._selectors(codes)
        repeats = self.num_tasks if self.rows == "shared" else 1
        self._add_penalties(selectors, valid_rows(x_mask, self.per_step, repeats))
        self.count_batch(training)
        return ops.cast(self._weights(selectors, logits), self.compute_dtype)

    def _selectors(self, codes: Any) -> Any:
        """Returns the probability of each expert by each selector, `(..., k, E)`."""
        parts = [
            codes[..., start : start + self.num_digits]
            for start in range(0, self.num_selected * self.num_digits, self.num_digits)
        ]
        steps = smooth_step(ops.stack(parts, axis=-2), self.gamma)
        product = None
        for digit, wanted in enumerate(self.codes.T):
            step = steps[..., digit : digit + 1]
            other = (~wanted).astype("float32")
            part = ops.add(ops.multiply(step, 1 - 2 * other), other)  # the step, or 1 - step
            product = part if product is None else product * part
        return product

    def _weights(self, selectors: Any, logits: Tensor) -> Any:
        if self.num_selected == 1:
            return selectors[..., 0, :]
        shares = ops.softmax(logits)
        return ops.sum(ops.expand_dims(shares, axis=-1) * selectors, axis=-2)

    def _add_penalties(self, selectors: Any, valid: Any) -> None:
        valid = ops.ones_like(selectors[..., 0, 0]) if valid is None else valid
        tasks = 1 if self.rows == "mixed" else self.num_tasks

        def price(total, count):
            return tasks * total / at_least_one(count)

        for name in self.penalties:
            by_row = getattr(self, f"_{name}")(selectors)
            weight = self.entropy_weight if name == "entropy_penalty" else 1.0
            self.charge(name, weight, price, (ops.sum(valid * by_row), ops.sum(valid)))

    def _entropy_penalty(self, selectors: Any) -> Any:
        logarithms = ops.log(ops.where(selectors > 0, selectors, 1.0))
        return -ops.sum(selectors * logarithms, axis=(-2, -1))

    def _unused_codes_penalty(self, selectors: Any) -> Tensor:
        probability = ops.sum(selectors, axis=-1)
        return ops.sum(1.0 / ops.maximum(probability, _SMALLEST) - 1.0, axis=-1)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return None

    def compute_output_shape(self, x_shape: Any, task_id_shape: Shape) -> Any:
        steps = x_shape[1:2] if self.per_step else ()
        return (task_id_shape[0], *steps, self.num_experts)

    def frozen(self, call: FrozenCall, x: Tensor, task_id: Tensor) -> Any:
        """Becomes two stock Dense layers with one task's columns, and stock operations."""
        if not self.per_step:
            x = mean_of_places(x, call.mask)
        found = {}
        for name, (kernel, bias) in self.linear.items():
            dense = keras.layers.Dense(
                bias.shape[-1], dtype=self.dtype_policy, name=f"{self.name}_{name}_{task_id + 1}"
            )
            found[name] = as_dtype(dense(x), "float32")
            dense.set_weights([kernel.numpy()[:, task_id], bias.numpy()[task_id]])
        weights = self._weights(self._selectors(found["code"]), found["weight"])
        return OpenExperts(np.arange(self.num_experts), as_dtype(weights, self.compute_dtype))

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        names = ("code", "weight")
        kernels = {f"{name}_kernel": {1: tasks} for name in names}
        return kernels | {f"{name}_bias": {0: tasks} for name in names}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "num_selected": self.num_selected,
            "gamma": self.gamma,
            "rows": self.rows,
            "per_step": self.per_step,
        }
