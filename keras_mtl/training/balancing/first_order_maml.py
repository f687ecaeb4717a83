"""Two steps a batch: each task tries a step, and counts by what it is worth after it."""

import fractions
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.training.balancing.base import Balancing
from keras_mtl.training.gradients import jacobian, with_gradient
from keras_mtl.types import Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class FirstOrderMAML(Balancing):
    """Learns from where each task's own step would lead: `compile(balancing=...)`.

    A batch is split: its first examples are the inner part, the others the outer part. From the
    same weights every task takes a step of plain gradient descent on its mean loss over the
    inner part, for itself alone; the gradient of its loss over the outer part is taken there.
    The sum of these gradients is what the optimizer gets, at the weights before. A task without
    labels in the inner part takes no step; one without labels in the outer part adds nothing.
    Weights of tasks count in the outer part only, sample weights in both. Penalties, and what
    policies learn from rewards, keep their usual gradient.

    The logs, the statistics of normalization layers, counters of batches and the state of random
    generators come from the usual pass over the whole batch; the passes of the two steps leave
    them alone. In these, all tasks see the same random draws. A last batch of a single example
    is both parts. `fit` has to shuffle, as it does by default, data that are sorted. With
    separate data it needs batches of several tasks (`task_batches(order="mixed")`). A step costs
    a backward pass per task over the inner part, and a forward and backward pass per task over the
    outer part.

    Source: Aoki, Tung and Oliveira, "Heterogeneous Multi-task Learning with Expert Diversity",
    2021, https://arxiv.org/abs/2106.10595, its two-step optimization, MAML-MTL, for `MMoEEx`;
    Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning", ICML 2017, section 5.2, for the first
    order. Differs from the paper: gradients of second order, which its code does not follow
    either, are left out.

    Args:
        inner_part: Share of a batch that is the inner part, above 0 and below 1; both parts have
            an example at least. Defaults to 0.8.
        inner_learning_rate: Number of at least 0, of the tasks' own steps. `None` takes that of
            the optimizer, as it is in the batch. Defaults to `None`.

    Raises:
        ValueError: A share or a learning rate out of range.

    Example:

    >>> FirstOrderMAML(inner_part=0.5).inner_part
    0.5
    """

    within_batches = True
    weighs_losses = False
    takes_gradients = True
    splits_batches = True

    def __init__(
        self, inner_part: float = 0.8, inner_learning_rate: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.inner_part = float(checks.probability("inner_part", inner_part))
        self.inner_learning_rate = inner_learning_rate
        if inner_learning_rate is not None:
            rate = checks.number("inner_learning_rate", inner_learning_rate, least=0)
            self.inner_learning_rate = float(rate)

    def make_state(self, tasks: Any) -> None:
        pass  # a batch says it all

    def current_weights(self) -> Tensor:
        return ops.ones((len(self.task_names),))

    def check_optimizer(self, optimizer: Any) -> None:
        if self.inner_learning_rate is None and isinstance(
            optimizer, keras.optimizers.MultiOptimizer
        ):
            raise ValueError(
                f"{type(optimizer).__name__} has several learning rates, and FirstOrderMAML takes "
                "its inner steps with one. Give it: FirstOrderMAML(inner_learning_rate=...)."
            )

    def follow(self, batch: Any) -> Any:
        variables = batch.model.trainable_variables
        gradients = self._outer_gradients(batch, [ops.convert_to_tensor(v) for v in variables])
        return with_gradient(batch.loss, variables, gradients) + batch.rest

    def _outer_gradients(self, batch: Any, values: Any) -> Any:
        """Returns, for each value of a variable, the sum of the tasks' outer gradients.

        The weights are never changed: a stateless call of the network takes the stepped ones as
        arguments, on every backend, and what it would write to variables is dropped.
        """
        inner, outer = self.split(batch.data)
        steps = jacobian(lambda values: batch.model.means_and_shares(values, *inner)[0], values)
        rate = ops.stop_gradient(self._rate(batch.model))
        total = [0.0] * len(values)
        for index in range(len(self.task_names)):

            def outer_loss(values, index=index):
                means, shares = batch.model.means_and_shares(values, *outer)
                return (shares * means)[index : index + 1]

            stepped = [
                value - ops.cast(rate, value.dtype) * step[index]
                for value, step in zip(values, steps, strict=True)
            ]
            gradients = jacobian(outer_loss, stepped)
            total = [known + new[0] for known, new in zip(total, gradients, strict=True)]
        return total

    def _rate(self, model: keras.Model) -> Any:
        if self.inner_learning_rate is None:
            return model.optimizer_learning_rate()
        return ops.convert_to_tensor(self.inner_learning_rate)

    def split(self, batch: Any) -> tuple[Any, Any]:
        """Returns the inner and the outer part of a structure of arrays, by their first axis."""
        size = ops.shape(keras.tree.flatten(batch)[0])[0]
        # Whole numbers, so that a size that only TensorFlow's step knows gives the same parts.
        share = fractions.Fraction(self.inner_part).limit_denominator(1000)
        least, most = (min, max) if isinstance(size, int) else (ops.minimum, ops.maximum)
        inner = most(least(size * share.numerator // share.denominator, size - 1), 1)
        outer = least(inner, size - 1)
        return (
            keras.tree.map_structure(lambda array: _rows(array, slice(inner)), batch),
            keras.tree.map_structure(lambda array: _rows(array, slice(outer, None)), batch),
        )

    def get_config(self) -> dict[str, Any]:
        config = {
            "inner_part": self.inner_part,
            "inner_learning_rate": self.inner_learning_rate,
        }
        return {**super().get_config(), **config}


def _rows(array: Any, rows: Any) -> Any:
    return None if array is None else array[rows]
