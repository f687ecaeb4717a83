"""Each example's few experts: noisy top-k gates, and a price on experts that stand idle."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import mean_of_places
from keras_mtl.layers.charging import ChargingLayer, is_charged
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.layers.gates.task_logits import check_rows, valid_rows
from keras_mtl.layers.mixing.expert_mixture import OpenExperts
from keras_mtl.layers.routers.allocation import take_rows
from keras_mtl.replicas import drawn_by_row
from keras_mtl.types import Shape, Tensor

_CLOSED = -1e9  # score of an expert that is not among the k


@keras.saving.register_keras_serializable("keras_mtl")
class NoisyTopKGates(ChargingLayer):
    """Weighs the k experts that score highest for an example; the others weigh exactly nothing.

    `H = s(x) + eps * softplus(n(x))` with linear scores s and n and, in training only, normal
    noise eps; a softmax over the k largest of H. One gate serves all tasks: it reads the features
    beside an embedding of the task, which amounts to a row of biases for each.

    A penalty keeps experts busy: `balance_weight * (CV(importance)**2 + CV(load)**2)`, where
    CV is the standard deviation over experts divided by their mean, importance the sum of an
    expert's weights over the batch, and load the expected number of rows that get it when their
    noise is drawn anew. Without noise, or with all experts, there is no load.

    Source: Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
    Mixture-of-Experts Layer", ICLR 2017, https://arxiv.org/abs/1701.06538, section 2.1 and
    appendix A. Differs from the paper: scores do not start at 0, so that a gate without noise
    has no ties; one weight for both terms of the penalty.

    Args:
        num_tasks: Number of tasks.
        num_experts: Number of experts.
        top_k: Number of experts of an example. `None` takes all. Defaults to 2.
        noise: Whether scores are noisy in training. Defaults to `True`.
        balance_weight: Number of at least 0, or a schedule over training batches. Defaults to
            0.1.
        by_task: Whether the gate knows the task. Defaults to `True`.
        rows: As in `TaskGates`. Defaults to `"mixed"`.
        per_step: As in `TaskGates`. Defaults to `False`.
        seed: Integer seed of the noise, or `None`. Defaults to `None`.

    Call arguments:
        x: `(batch, ..., features)`.
        task_id: Whose task each row of the answer is. An id outside `[0, num_tasks)` gives
            NaN, where the gate knows the task.
        training: Whether scores are noisy.

    Output shape:
        As of `TaskGates`; exactly `top_k` weights are not 0. A gate that does not know the task
        answers shared rows once.

    Weights:
        scores, noise: kernel `(features, num_experts)`; without `by_task` also a bias.
        task_scores, task_noise: `(num_tasks, num_experts)`, with `by_task`.
        updates: `()`, int32, not trainable: training batches seen.
        balance: `()`, not trainable: latest value of the penalty. Both where there is a weight.

    Raises:
        ValueError: `top_k` outside 1 to `num_experts`, a negative weight, unknown `rows`.

    Example:

    >>> gates = NoisyTopKGates(num_tasks=2, num_experts=4, top_k=2, seed=0)
    >>> weights = gates(keras.random.normal((3, 5)), keras.ops.array([0, 1, 0]))
    >>> keras.ops.convert_to_numpy(keras.ops.sum(weights > 0, axis=-1)).tolist()
    [2, 2, 2]
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        top_k: int = 2,
        noise: bool = True,
        balance_weight: float = 0.1,
        by_task: bool = True,
        rows: str = "mixed",
        per_step: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__({"balance_weight": balance_weight}, **kwargs)
        check_rows(rows)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.num_experts = num_experts = checks.count("num_experts", num_experts)
        self.top_k = top_k
        if top_k is not None:
            self.top_k = checks.count("top_k", top_k, 1, num_experts, ", or None for all")
        self.noise = checks.flag("noise", noise)
        self.by_task = checks.flag("by_task", by_task)
        self.rows = rows
        self.per_step = checks.flag("per_step", per_step)
        self.seed = seed = checks.seed("seed", seed)
        self.supports_masking = True
        settings = {"use_bias": not by_task, "dtype": self.dtype_policy}
        self.linear = {"scores": keras.layers.Dense(num_experts, name="scores", **settings)}
        if noise:
            self.linear["noise"] = keras.layers.Dense(
                num_experts, kernel_initializer="zeros", name="noise", **settings
            )
            self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def same_for_all(self) -> bool:
        """Whether all tasks are bound to have the same weights."""
        return not self.by_task

    @property
    def balanced(self) -> Any:
        """Whether there is a price on idle experts."""
        return is_charged(self.balance_weight)

    def build(self, x_shape: Any, task_id_shape: Shape) -> None:
        self.by_task_rows = {}
        for name, linear in self.linear.items():
            linear.build((*x_shape[: 2 if self.per_step else 1], x_shape[-1]))
            if self.by_task:
                self.by_task_rows[name] = self.add_weight(
                    shape=(self.num_tasks, self.num_experts),
                    initializer="zeros",
                    name=f"task_{name}",
                )
        names = {"balance_penalty": "balance"} if self.balanced else {}
        self.add_penalties(names, counted=self.balanced)

    def call(self, x: Tensor, task_id: Tensor, x_mask: Any = None, training: bool = False) -> Any:
        if not self.per_step:
            x = mean_of_places(x, x_mask)
        scores = noisy = self._linear("scores", x, task_id)
        spread = None
        if self.noise:
            spread = ops.softplus(self._linear("noise", x, task_id))
            if training:
                draws = drawn_by_row(_normal, ops.shape(scores), self.seed_generator)
                noisy = scores + spread * draws
        weights = top_k_weights(noisy, self.top_k)
        weights = ops.where(ops.isnan(noisy), noisy, weights)  # a NaN need not be the largest
        if self.balanced:
            repeats = self.num_tasks if self.rows == "shared" and self.by_task else 1
            valid = valid_rows(x_mask, self.per_step, repeats)
            self._add_penalty(weights, self._chances(scores, noisy, spread), valid)
            self.count_batch(training)
        return ops.cast(weights, self.compute_dtype)

    def _linear(self, name: str, x: Tensor, task_id: Tensor) -> Any:
        """Returns scores or noise logits of each row in float32."""
        by_features = ops.cast(self.linear[name](x), "float32")
        if not self.by_task:
            return by_features
        by_task = ops.cast(self.by_task_rows[name], "float32")
        steps = (1,) * (len(by_features.shape) - 2)
        if self.rows == "shared":
            by_task = ops.reshape(by_task, (self.num_tasks, 1, *steps, self.num_experts))
            return ops.reshape(by_features + by_task, (-1, *ops.shape(by_features)[1:]))
        by_task = take_rows(by_task, ops.cast(task_id, "int32"))
        return by_features + ops.reshape(by_task, (-1, *steps, self.num_experts))

    def _chances(self, scores: Any, noisy: Any, spread: Any) -> Any:
        """Returns the chance that each expert is among the k if its noise is drawn anew."""
        if spread is None or self.top_k in (None, self.num_experts):
            return None
        largest = ops.top_k(noisy, self.top_k + 1)[0]
        last_in, first_out = largest[..., -2:-1], largest[..., -1:]
        bar = ops.where(noisy > first_out, first_out, last_in)  # the k-th largest of the others
        return 0.5 * (1.0 + ops.erf((scores - bar) / spread / np.sqrt(2.0)))

    def _add_penalty(self, weights: Any, chances: Any, valid: Any) -> None:
        parts = (weights,) if chances is None else (weights, chances)
        totals = tuple(totals_of_experts(each, valid) for each in parts)

        def price(*totals):
            return sum(squared_variation(each) for each in totals)

        self.charge("balance_penalty", self.balance_weight, price, totals)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return None

    def compute_output_shape(self, x_shape: Any, task_id_shape: Shape) -> Any:
        steps = x_shape[1:2] if self.per_step else ()
        rows = task_id_shape[0] if self.by_task else x_shape[0]
        return (rows, *steps, self.num_experts)

    def frozen(self, call: FrozenCall, x: Tensor, task_id: Tensor) -> Any:
        """Becomes stock layers that choose without noise."""
        if not self.per_step:
            x = mean_of_places(x, call.mask)
        scores = call.inside(self)(self.linear["scores"], x, name="scores")
        if self.by_task:
            row = self.by_task_rows["scores"].numpy()[task_id].tolist()
            shift = keras.layers.Rescaling(1.0, offset=row, name=f"{self.name}_{task_id + 1}")
            scores = shift(scores)
        return OpenExperts(np.arange(self.num_experts), top_k_weights(scores, self.top_k))

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"task_scores": {0: tasks}, "task_noise": {0: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "top_k": self.top_k,
            "noise": self.noise,
            "by_task": self.by_task,
            "rows": self.rows,
            "per_step": self.per_step,
            "seed": self.seed,
        }


def _normal(shape: Shape, seed: int | None) -> Any:
    """Returns standard normal draws."""
    return keras.random.normal(shape, seed=seed)


def top_k_weights(scores: Any, top_k: Any) -> Tensor:
    """Returns a softmax over the k largest scores, exact zeros elsewhere; of all for `None`."""
    if top_k is not None and top_k < scores.shape[-1]:
        own, others = ops.expand_dims(scores, axis=-1), ops.expand_dims(scores, axis=-2)
        before = np.tri(scores.shape[-1], k=-1, dtype=bool)  # of two that tie, the first counts
        better = ops.logical_or(others > own, ops.logical_and(ops.equal(others, own), before))
        rank = ops.sum(ops.cast(better, "int32"), axis=-1)
        scores = ops.where(rank < top_k, scores, ops.full_like(scores, _CLOSED))
    return ops.softmax(scores, axis=-1)


def totals_of_experts(parts: Any, valid: Any = None) -> Tensor:
    """Returns the sums of `(rows, ..., E)` over rows that are valid."""
    if valid is not None:
        parts = parts * ops.expand_dims(valid, axis=-1)
    return ops.sum(ops.reshape(parts, (-1, parts.shape[-1])), axis=0)


def squared_variation(totals: Any) -> Any:
    """Returns CV**2 of `(E,)` numbers."""
    mean = ops.mean(totals)
    return ops.mean(ops.square(totals - mean)) / (ops.square(mean) + 1e-10)
