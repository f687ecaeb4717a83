"""Named terms of the loss that keep shared and private states apart."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.charging import ChargingLayer
from keras_mtl.layers.freezing import passes_through
from keras_mtl.layers.penalties.gradient_reversal import GradientReversal
from keras_mtl.replicas import over_replicas
from keras_mtl.types import Shape, Tensor

_TINY = 1e-12  # squared length under which a row is not stretched to length 1


@keras.saving.register_keras_serializable("keras_mtl")
class AdversarialPenalty(ChargingLayer):
    """Makes states tell nothing about their task: a classifier of tasks, to be misled.

    Adds `weight * mean cross-entropy` of a linear classifier, which guesses an example's task
    from its state, to the loss. The classifier learns to guess; behind a `GradientReversal`,
    it teaches what is before it to leave no trace of the task. Passes features through. The
    latest value stands in `penalties`, and the model's logs name it.

    Source: Liu, Qiu and Huang, "Adversarial multi-task learning for text classification", 2017,
    https://arxiv.org/abs/1704.05742, section 4.2. Its unlabelled examples (section 4.3) are
    here examples whose label is missing.

    Args:
        num_tasks: Number of tasks.
        weight: Number of at least 0, or a schedule over training batches. Defaults to 0.05.

    Call arguments:
        features: Returned as they are.
        states: `(batch, units)`, what the task is guessed from.
        task_id: `(batch,)` integers in `[0, num_tasks)`. Outside: no penalty.

    Weights:
        kernel: `(units, num_tasks)`.
        bias: `(num_tasks,)`.
        updates: `()`, int32, not trainable: training batches seen, where the weight is a schedule.
        adversarial_penalty: `()`, not trainable: the latest value.

    Raises:
        ValueError: A negative weight.

    Example:

    >>> layer = AdversarialPenalty(2, weight=1.0)
    >>> states, task_id = keras.ops.zeros((3, 4)), keras.ops.array([0, 1, 1])
    >>> features = layer(states, states, task_id)
    >>> round(float(layer.penalties["adversarial_penalty"].numpy()), 3)  # log 2: no idea
    0.693
    """

    def __init__(self, num_tasks: int, weight: float = 0.05, **kwargs: Any) -> None:
        super().__init__({"weight": weight}, autocast=False, **kwargs)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.reversal = GradientReversal(dtype="float32")
        self.supports_masking = True

    def build(self, features_shape: Shape, states_shape: Any, task_id_shape: Shape) -> None:
        full = {"dtype": "float32", "autocast": False}
        shape = (states_shape[-1], self.num_tasks)
        self.kernel = self.add_weight(shape=shape, name="kernel", **full)
        self.bias = self.add_weight(
            shape=(self.num_tasks,), initializer="zeros", name="bias", **full
        )
        self.add_penalties(
            {"adversarial_penalty": "adversarial_penalty"}, counted=callable(self.weight)
        )

    def call(self, features: Tensor, states: Any, task_id: Tensor, training: bool = False) -> Any:
        states = self.reversal(ops.cast(states, "float32"))
        guesses = ops.log_softmax(ops.matmul(states, self.kernel) + self.bias)
        is_task = ops.equal(ops.reshape(task_id, (-1, 1)), ops.arange(self.num_tasks))
        total = ops.sum(ops.where(is_task, guesses, 0.0))
        rows = ops.sum(ops.ones_like(guesses[:, 0]))

        def price(total, rows):
            return -total / at_least_one(rows)

        self.charge("adversarial_penalty", self.weight, price, (total, rows))
        self.count_batch(training)
        return features

    frozen = passes_through

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return {"kernel": {1: tasks}, "bias": {0: tasks}}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tasks": self.num_tasks}


@keras.saving.register_keras_serializable("keras_mtl")
class OrthogonalityPenalty(ChargingLayer):
    """Makes private states say what the shared ones do not.

    Adds `weight * sum over tasks k of ||S_k^T H_k||_F^2` to the loss: the squared inner products
    of every shared unit (columns of `S_k`, the states of a task's examples) with every private
    unit of the task (columns of `H_k`). Passes features through. The latest value stands in
    `penalties`, and the model's logs name it.

    Reductions:

    - `"sum"`: as it stands; it grows with the square of the number of examples.
    - `"normalised_mean"`: states are centred over a task's examples and scaled to length 1, and
      inner products are means over examples. A task's value is between 0 and 1 whatever the
      batch size and the units. A batch pays for the tasks it holds: the mean over its examples.

    Source: Liu, Qiu and Huang 2017, https://arxiv.org/abs/1704.05742, section 4.4 (`"sum"`);
    normalisation as in a public implementation, `FrankWork/fudan_mtl_reviews`. Differs from
    that code: there inner products are sums over examples and squares are averaged over pairs of
    units, which is this times `(examples / units) ** 2`.

    Args:
        weight: Number of at least 0, or a schedule over training batches. Defaults to 0.01.
        reduction: `"normalised_mean"` or `"sum"`. Defaults to `"normalised_mean"`.

    Call arguments:
        features: Returned as they are.
        shared: `(batch, units)` shared states.
        private: List with the private states of each task, `(batch, units)`.
        task_id: `(batch,)` integers, the task of each example; without it every example
            belongs to every task.

    Weights:
        updates: `()`, int32, not trainable: training batches seen, where the weight is a schedule.
        orthogonality_penalty: `()`, not trainable: the latest value.

    Raises:
        ValueError: A negative weight, an unknown reduction.

    Example:

    >>> layer = OrthogonalityPenalty(weight=1.0, reduction="sum")
    >>> shared, private = keras.ops.array([[1.0, 2.0]]), keras.ops.array([[3.0]])
    >>> features = layer(shared, shared, [private])
    >>> float(layer.penalties["orthogonality_penalty"].numpy())  # 3 ** 2 + 6 ** 2
    45.0
    """

    def __init__(
        self, weight: float = 0.01, reduction: str = "normalised_mean", **kwargs: Any
    ) -> None:
        super().__init__({"weight": weight}, autocast=False, **kwargs)
        self.reduction = checks.word("reduction", reduction, tuple(REDUCTIONS))
        self.supports_masking = True

    def build(
        self,
        features_shape: Shape,
        shared_shape: Any,
        private_shape: Any,
        task_id_shape: Shape | None = None,
    ) -> None:
        self.add_penalties(
            {"orthogonality_penalty": "orthogonality_penalty"}, counted=callable(self.weight)
        )

    def call(
        self,
        features: Tensor,
        shared: Any,
        private: Any,
        task_id: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        shared = ops.cast(shared, "float32")
        parts = []
        for index, states in enumerate(private):
            belongs = ops.ones_like(shared[:, :1])
            if task_id is not None:
                belongs = ops.cast(ops.reshape(task_id, (-1, 1)) == index, "float32")
            parts.append((ops.cast(states, "float32"), belongs))
        sums, price = REDUCTIONS[self.reduction](shared, parts)
        self.charge("orthogonality_penalty", self.weight, price, sums)
        self.count_batch(training)
        return features

    frozen = passes_through

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reduction": self.reduction}


def _product(shared: Any, private: Any, belongs: Any) -> Tensor:
    """Returns `S^T H` over the rows where `belongs`, `(batch, 1)`, is 1."""
    return ops.matmul(ops.transpose(belongs * shared), private)


def _sum(shared: Any, parts: Any) -> tuple[Any, Any]:
    """Returns sums over rows, and the function of them that is the penalty."""
    products = tuple(_product(shared, states, belongs) for states, belongs in parts)
    return products, lambda *products: sum(ops.sum(ops.square(each)) for each in products)


def _normalised_mean(shared: Any, parts: Any) -> tuple[Any, Any]:
    """Returns the same of directions and per row, weighted by the tasks' shares of the batch."""
    rows = ops.sum(ops.ones_like(shared[:, 0]))
    by_task = [
        (ops.sum(belongs), ops.sum(belongs * shared, axis=0), ops.sum(belongs * states, axis=0))
        for states, belongs in parts
    ]

    def price(rows, by_task):
        products = []
        for (states, belongs), (count, of_shared, of_states) in zip(parts, by_task, strict=True):
            count = at_least_one(count)
            directions = (
                _directions(shared, of_shared / count),
                _directions(states, of_states / count),
            )
            products.append(_product(*directions, belongs))
        products = over_replicas(products)  # a second sum, of what rests on the first
        return sum(
            count / at_least_one(rows) * ops.sum(ops.square(product / at_least_one(count)))
            for product, (count, _, _) in zip(products, by_task, strict=True)
        )

    return (rows, by_task), price


def _directions(states: Any, mean: Any) -> Any:
    centred = states - mean
    length = ops.sum(ops.square(centred), axis=-1, keepdims=True)
    return centred / ops.sqrt(ops.maximum(length, _TINY))


REDUCTIONS = {"normalised_mean": _normalised_mean, "sum": _sum}
