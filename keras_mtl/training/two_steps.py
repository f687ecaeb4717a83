"""The network with other weights, on a part of a batch, inside the training step of Keras."""

import keras
from keras import ops

from keras_mtl.training.first_order_maml import FirstOrderMAML
from keras_mtl.training.gradients import jacobian
from keras_mtl.training.rewards import forget_decisions


class TwoSteps:
    """What a model needs to follow the gradient of `FirstOrderMAML`.

    The weights are never changed: a stateless call of the network takes the stepped ones as
    arguments, on every backend, and what it would write to variables is dropped.
    """

    def two_step_gradients(self, x, y, sample_weight):
        """Returns, for each trainable variable, the sum of the tasks' outer gradients."""
        inner, outer = self.balancing.split((x, y, sample_weight))
        values = [ops.convert_to_tensor(variable) for variable in self.trainable_variables]
        steps = jacobian(lambda values: self._means_and_shares(values, *inner)[0], values)
        rate = ops.stop_gradient(self._inner_learning_rate())
        total = [0.0] * len(values)
        for place in range(len(self.tasks)):

            def outer_loss(values, place=place):
                means, shares = self._means_and_shares(values, *outer)
                return (shares * means)[place : place + 1]

            stepped = [
                value - ops.cast(rate, value.dtype) * step[place]
                for value, step in zip(values, steps, strict=True)
            ]
            gradients = jacobian(outer_loss, stepped)
            total = [known + new[0] for known, new in zip(total, gradients, strict=True)]
        forget_decisions(self.layers)
        return total

    def _means_and_shares(self, values, x, y, sample_weight):
        """Returns each task's mean loss on a part of a batch, and by what it counts there."""
        y_pred, _ = self.stateless_call(values, self.non_trainable_variables, x, training=True)
        batch = self._batch(x, y, y_pred, sample_weight)
        totals, counts = batch.sums(self._loss_measures)
        means = totals / ops.where(counts > 0, counts, 1.0)
        return means, batch.shares(ops.array(self._task_weights, dtype="float32"), counts)

    def _inner_learning_rate(self):
        if self.balancing.inner_learning_rate is not None:
            return ops.convert_to_tensor(self.balancing.inner_learning_rate)
        if keras.backend.backend() == "jax":
            return self._optimizers_rate
        return ops.convert_to_tensor(self.optimizer.learning_rate)

    def compute_loss_and_updates(self, *args, **kwargs):
        if (
            kwargs["training"]
            and isinstance(self.balancing, FirstOrderMAML)
            and self.balancing.inner_learning_rate is None
        ):
            # JAX hands the optimizer's variables to this method and not to compute_loss.
            mapping = zip(self.optimizer.variables, kwargs["optimizer_variables"], strict=True)
            with keras.StatelessScope(mapping):
                self._optimizers_rate = ops.convert_to_tensor(self.optimizer.learning_rate)
        result = super().compute_loss_and_updates(*args, **kwargs)
        self._optimizers_rate = None
        return result
