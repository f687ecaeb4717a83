"""Each task's own gradient, inside the training step that Keras has for a backend."""

import keras
from keras import ops

from keras_mtl.training.balancing import GradientBalancing
from keras_mtl.training.gradients import with_gradient


class TaskGradients:
    """What a model needs to follow a gradient that balancing makes of those of its tasks.

    `compute_loss` returns a number whose value is the loss and whose gradient is the balanced
    one: `sum(gradient * variable)`, with the gradient held fixed. So the training step and all
    that follows a gradient (optimizers, clipping, accumulation, logs) stay Keras's own. Where a
    backend cannot differentiate inside `compute_loss`, the step is wrapped, in training with
    such a balancing only.
    """

    def by_task_gradients(self, losses, rest):
        """Returns the loss of a batch, which has the balanced gradient.

        Args:
            losses: (T,) what each task adds to the loss.
            rest: What else does, such as penalties.
        """
        terms = ops.append(losses, rest)
        if keras.backend.backend() == "jax":
            return terms  # for compute_loss_and_updates below
        values = [variable.value for variable in self.trainable_variables]
        by_term = [self._gradients(term, values) for term in ops.unstack(terms)]
        return self._with_gradient(terms, [ops.stack(g) for g in zip(*by_term, strict=True)])

    def _with_gradient(self, terms, gradients):
        """Returns the sum of (T + 1,) terms with a gradient that is balanced.

        Args:
            gradients: For each trainable variable the gradients of all terms, one after another.
        """
        num_tasks = len(self.balancing.task_names)
        gradients = [
            ops.stop_gradient(ops.reshape(ops.cast(gradient, "float32"), (num_tasks + 1, -1)))
            for gradient in gradients
        ]
        by_task = [gradient[:num_tasks] for gradient in gradients]
        shared = [_meet(gradient) for gradient in by_task]
        gram = sum(
            ops.where(meet, ops.matmul(gradient, ops.transpose(gradient)), 0.0)
            for gradient, meet in zip(by_task, shared, strict=True)
        )
        losses = ops.stop_gradient(terms[:num_tasks])
        shares = ops.convert_to_tensor(self.balancing.shares)
        for_shared, for_own = self.balancing.coefficients(gram, losses, shares)
        balanced = []
        for variable, gradient, meet in zip(
            self.trainable_variables, gradients, shared, strict=True
        ):
            coefficients = ops.append(ops.where(meet, for_shared, for_own), 1.0)
            balanced.append(ops.reshape(ops.matmul(coefficients, gradient), variable.shape))
        return with_gradient(ops.sum(terms), self.trainable_variables, balanced)

    def _gradients(self, term, values):
        """Returns one term's gradient of each value, zeros where there is none."""
        if keras.backend.backend() == "torch":
            import torch

            return torch.autograd.grad(term, values, retain_graph=True, materialize_grads=True)
        with self._tape.stop_recording():
            gradients = self._tape.gradient(term, values, unconnected_gradients="zero")
        return [ops.convert_to_tensor(gradient) for gradient in gradients]

    def train_step(self, *args):
        if keras.backend.backend() != "tensorflow" or not self._balances_gradients():
            return super().train_step(*args)
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as self._tape:
            logs = super().train_step(*args)
        self._tape = None
        return logs

    def compute_loss_and_updates(self, trainable_variables, *args, **kwargs):
        stock = super().compute_loss_and_updates
        if not (kwargs["training"] and self._balances_gradients()):
            return stock(trainable_variables, *args, **kwargs)
        import jax

        def forward(values):
            _, (terms, *updated) = stock(values, *args, **kwargs)
            return terms, updated

        terms, pull_back, (y_pred, states, metrics) = jax.vjp(
            forward, jax.lax.stop_gradient(trainable_variables), has_aux=True
        )
        (gradients,) = jax.vmap(pull_back)(jax.numpy.eye(len(terms)))
        state_mapping = [
            *zip(self.trainable_variables, trainable_variables, strict=True),
            *zip(self.non_trainable_variables, states, strict=True),
        ]
        with keras.StatelessScope(state_mapping) as scope:
            loss = self._with_gradient(terms, gradients)
        states = [scope.get_current_value(state) for state in self.non_trainable_variables]
        return self.optimizer.scale_loss(loss), (loss, y_pred, states, metrics)

    def _balances_gradients(self):
        return isinstance(self.balancing, GradientBalancing)


def _meet(gradients):
    """Returns whether some entry of a variable has a gradient from two of (T, size) or more."""
    reached = ops.sum(ops.cast(ops.not_equal(gradients, 0.0), "int32"), axis=0)
    return ops.any(reached >= 2)
