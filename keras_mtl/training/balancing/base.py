"""The base of balancing: what weighs tasks while a network trains, whatever its architecture."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_mtl.data import TaskBatches
from keras_mtl.types import Tensor


@dataclasses.dataclass(frozen=True)
class BatchLosses:
    """A batch in training, as balancing sees it.

    Attributes:
        model: The model, for its weights, its forward pass and gradients.
        data: `(x, y, sample_weight)`, the batch or, with several replicas, a part of it.
        means: `(T,)` mean losses over labelled examples.
        shares: `(T,)` by what each counts in the loss; 0 for a task without labels.
        loss: Scalar, `sum(shares * means)`.
        rest: Scalar, what is added to the loss of the tasks, such as penalties.
    """

    model: Any
    data: tuple
    means: Any
    shares: Any
    loss: Any
    rest: Any


class Balancing(keras.layers.Layer):
    """Base of what `compile(balancing=...)` takes, for methods that weigh losses.

    It is a layer only to have state that a model trains, saves and restores; it is no part of
    the network. The `loss` in the logs stays the one without balancing, so that methods, and
    training and validation, can be compared. Task weights of `keras_mtl.Task` and sample weights
    multiply what a method chooses. A task without a labelled example in a batch takes no part.
    `load_weights` restores the state from weights that were saved with the same method, and
    leaves it as it is when they were saved with another one or none.
    """

    within_batches = False  # has nothing to weigh in a batch of one task
    weighs_losses = True  # has a weight per task
    takes_gradients = False  # looks at each task's own gradient
    follows_task_gradients = False  # in the step that the network takes anyway
    splits_batches = False  # looks at a part of the examples after another

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"name": "balancing", "dtype": "float32", **kwargs})
        self.task_names: list[Any] = []

    def build(self, tasks: Any) -> None:
        if self.built:
            raise ValueError(
                f"This {type(self).__name__} holds the state of an earlier compile. Give every "
                "compile a new one."
            )
        self.task_names = list(tasks)
        self.make_state(tasks)

    def get_build_config(self) -> Any:
        return None  # a loaded model builds it when it is compiled

    def make_state(self, tasks: Any) -> None:
        """Makes the variables for a model's tasks."""
        self.latest = self.add_state("task_weights", "ones")

    def add_state(self, name: str, initializer: Any, trainable: bool = False) -> Any:
        """Returns a variable with a number per task."""
        shape = (len(self.task_names),)
        return self.add_weight(shape, initializer, trainable=trainable, name=name)

    @property
    def task_weights(self) -> Any:
        """Dict, task -> number by which its loss is multiplied, as of the last batch."""
        weights = ops.convert_to_numpy(self.current_weights())
        return dict(zip(self.task_names, weights.tolist(), strict=True))

    def current_weights(self) -> Any:
        return self.latest

    def follow(self, batch: Any) -> Any:
        """Returns the loss of a `BatchLosses`, whose gradient is the one to follow."""
        objective = self.objective(batch.means, batch.shares)
        return objective + ops.stop_gradient(batch.loss - objective) + batch.rest

    def objective(self, means: Any, shares: Any) -> Tensor:
        """Returns the number that a batch minimizes instead of `sum(shares * means)`.

        Args:
            means: (T,) mean losses over labelled examples.
            shares: (T,) by what each counts in the loss; 0 for a task without labels.
        """
        return ops.sum(shares * self.next_weights(means, shares > 0) * means)

    def next_weights(self, means: Any, present: Any) -> Any:
        """Returns the (T,) weights of a batch and keeps them as the latest."""
        raise NotImplementedError

    def check_optimizer(self, optimizer: Any) -> None:
        """Raises a `ValueError` for an optimizer that the method cannot work with."""

    def save_own_variables(self, store: Any) -> None:
        for key, variable in self._state_by_key().items():
            store[key] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        saved = set(store.keys())
        for key, variable in self._state_by_key().items():
            if key in saved:
                variable.assign(store[key])

    def _state_by_key(self) -> dict[Any, Any]:
        """Returns its variables and the states of its random generators."""
        method = type(self).__name__
        return {f"{method}_{index}": state for index, state in enumerate(self.variables)}

    def begin_epoch(self) -> None:
        """Looks at what the epoch before left, outside of compiled code."""


class GradientBalancing(Balancing):
    """Base of methods that need each task's own gradient.

    They look at the variables that tasks share. In a batch a variable is shared if some entry of
    it has a gradient from two tasks or more; heads, towers, and rows or gates by task are not.
    Other variables, and the gradient of penalties, are left as they are. A step costs a backward
    pass per task.
    """

    within_batches = True
    weighs_losses = False
    takes_gradients = True
    follows_task_gradients = True

    def make_state(self, tasks: Any) -> None:
        self.shares = self.add_state("shares", "zeros")

    def current_weights(self) -> Tensor:
        return ops.ones((len(self.task_names),))

    def follow(self, batch: Any) -> Any:
        self.shares.assign(batch.shares)
        return batch.model.by_task_gradients(ops.append(batch.shares * batch.means, batch.rest))

    def balanced(self, terms: Any, gradients: Any) -> list[Any]:
        """Returns the gradient to follow of each variable.

        Args:
            terms: `(T + 1,)`: what each task adds to the loss, and what the rest does.
            gradients: List with the gradients `(T + 1, *shape)` of the terms in each variable.
        """
        num_terms = len(self.task_names) + 1
        by_term = [
            ops.stop_gradient(ops.reshape(ops.cast(gradient, "float32"), (num_terms, -1)))
            for gradient in gradients
        ]
        shared = [_tasks_meet(gradient[:-1]) for gradient in by_term]
        gram = sum(
            ops.where(meet, ops.matmul(gradient[:-1], ops.transpose(gradient[:-1])), 0.0)
            for gradient, meet in zip(by_term, shared, strict=True)
        )
        losses = ops.stop_gradient(terms[:-1])
        shares = ops.convert_to_tensor(self.shares)
        for_shared, for_own = self.coefficients(gram, losses, shares)
        coefficients = [ops.append(ops.where(meet, for_shared, for_own), 1.0) for meet in shared]
        return [
            ops.reshape(ops.matmul(factors, flat), gradient.shape[1:])
            for factors, flat, gradient in zip(coefficients, by_term, gradients, strict=True)
        ]

    def coefficients(self, gram: Tensor, losses: Any, shares: Any) -> Any:
        """Returns what the tasks' gradients are multiplied with before they are added up.

        Args:
            gram: (T, T) dot products of the gradients of `losses`, over shared variables.
            losses: (T,) `shares` times mean losses, whose sum is the loss.
            shares: (T,) by what each mean counts; 0 for a task without labels.

        Returns:
            (T,) for shared variables and (T,) for others.
        """
        raise NotImplementedError


def _tasks_meet(gradients: Any) -> Tensor:
    """Returns whether some entry of a variable has a gradient from two of (T, size) or more."""
    reached = ops.sum(ops.cast(ops.not_equal(gradients, 0.0), "int32"), axis=0)
    return ops.any(reached >= 2)


def check_balancing(balancing: Any, loss: Any, optimizer: Any, loss_scaling: Any) -> None:
    """Raises a `ValueError` unless `compile` can use what it was given."""
    if not isinstance(balancing, Balancing):
        raise ValueError(
            "balancing must be an object that balances tasks, such as "
            f"keras_mtl.UncertaintyWeighting(). Received: {balancing!r}"
        )
    if loss is not None:
        raise ValueError(
            "compile(balancing=...) balances the tasks' own losses, and compile(loss=...) replaces "
            "them. Put a task's own loss in keras_mtl.Task instead."
        )
    if loss_scaling and balancing.takes_gradients:
        raise ValueError(
            f"{type(balancing).__name__} needs each task's own gradient, which the loss scaling of "
            "mixed_float16 does not allow. Use mixed_bfloat16, or a method that weighs losses."
        )
    balancing.check_optimizer(optimizer)


def check_batches(balancing: Any, batches: Any, batch_size: Any) -> None:
    """Raises a `ValueError` when batches leave a method nothing to do.

    Args:
        balancing: A `Balancing`.
        batches: What `fit` takes as its `x`.
        batch_size: What `fit` takes as such.
    """
    parts = [
        part for part in getattr(batches, "parts", (batches,)) if isinstance(part, TaskBatches)
    ]
    if balancing.within_batches and not all(part.mixed for part in parts):
        raise ValueError(
            f"{type(balancing).__name__} needs several tasks in a batch, and these batches hold "
            'one task each. Use keras_mtl.task_batches(..., order="mixed").'
        )
    sizes = [batch_size or 32, *(part.batch_size for part in parts)]
    if balancing.splits_batches and min(sizes) < 2:
        raise ValueError(
            f"{type(balancing).__name__} cannot split batches of 1 example in two. Use a "
            "batch_size of at least 2."
        )


def softmax_of_present(scores: Any, present: Any) -> Tensor:
    """Returns (T,) softmax times the number of tasks that are present, 0 for others."""
    scores = ops.where(present, scores, -1e9)
    count = ops.sum(ops.cast(present, scores.dtype))
    return ops.where(present, count * ops.softmax(scores), 0.0)
