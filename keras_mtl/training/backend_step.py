"""The training step of each backend, in which a loss may ask for gradients of its parts."""

import contextlib
import threading
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import ModelPart
from keras_mtl.replicas import ReplicaStep, mean_over_replicas, num_replicas
from keras_mtl.training.gradients import with_gradient
from keras_mtl.types import Tensor

_running = threading.local()  # the step of this thread: replicas have one each


class BackendStep(ModelPart):
    """The training step of a model, which may follow a gradient that balancing makes.

    `compute_loss` returns a number whose value is the loss and whose gradient is the balanced
    one: `sum(gradient * variable)`, with the gradient held fixed. So the training step and all
    that follows a gradient (optimizers, clipping, accumulation, logs) stay Keras's own. Where a
    backend cannot differentiate inside `compute_loss`, the step is wrapped.
    """

    def train_step(self, *args: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().train_step(*args)
        import tensorflow as tf

        with _shared_by_replicas(*args):
            if not self._follows_task_gradients():
                return super().train_step(*args)
            with tf.GradientTape(persistent=True) as _running.tape:
                logs = super().train_step(*args)
            _running.tape = None
            return logs

    def test_step(self, *args: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().test_step(*args)
        with _shared_by_replicas(*args):
            return super().test_step(*args)

    def compute_loss_and_updates(self, trainable_variables: Any, *args: Any, **kwargs: Any) -> Any:
        """JAX only: sees the variables of the optimizer, and what `compute_loss` left to do."""
        stock = super().compute_loss_and_updates
        if not kwargs["training"]:
            return stock(trainable_variables, *args, **kwargs)
        optimizer = zip(self.optimizer.variables, kwargs["optimizer_variables"], strict=True)
        _running.optimizer = [*optimizer]
        try:
            if self._follows_task_gradients():
                return self._by_task_gradients_of_jax(stock, trainable_variables, *args, **kwargs)
            return stock(trainable_variables, *args, **kwargs)
        finally:
            _running.optimizer = None  # JAX must not keep what it traces

    def _by_task_gradients_of_jax(
        self, stock: Any, trainable_variables: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
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
            loss = self._with_balanced_gradient(terms, gradients)
        states = [scope.get_current_value(state) for state in self.non_trainable_variables]
        return self.optimizer.scale_loss(loss), (loss, y_pred, states, metrics)

    def _follows_task_gradients(self) -> Any:
        return self.balancing is not None and self.balancing.follows_task_gradients

    def by_task_gradients(self, terms: Any) -> Any:
        """Returns the loss of a batch, which has the gradient that balancing makes of the tasks'.

        Args:
            terms: `(T + 1,)`, what each task adds to the loss, and what the rest does, such as
                penalties, whose gradient stays as it is.
        """
        if keras.backend.backend() == "jax":
            return terms  # for compute_loss_and_updates
        values = [variable.value for variable in self.trainable_variables]
        by_term = [_gradients(term, values) for term in ops.unstack(terms)]
        gradients = [ops.stack(gradient) for gradient in zip(*by_term, strict=True)]
        return self._with_balanced_gradient(terms, mean_over_replicas(gradients))

    def _with_balanced_gradient(self, terms: Any, gradients: Any) -> Any:
        """Returns the sum of the terms with a gradient that is balanced.

        Args:
            gradients: For each trainable variable the gradients of all terms, one after another.
        """
        balanced = self.balancing.balanced(terms, gradients)
        return with_gradient(ops.sum(terms), self.trainable_variables, balanced)

    def optimizer_learning_rate(self) -> Tensor:
        """Returns the learning rate of the optimizer, inside a training step."""
        if keras.backend.backend() != "jax":
            return ops.convert_to_tensor(self.optimizer.learning_rate)
        with keras.StatelessScope(_running.optimizer):
            return ops.convert_to_tensor(self.optimizer.learning_rate)


def _shared_by_replicas(data: Any) -> Any:
    """Returns the context of a step that shares its batch with other replicas, if it does."""
    if num_replicas() == 1:
        return contextlib.nullcontext()
    return ReplicaStep(ops.shape(keras.tree.flatten(data)[0])[0])


def _gradients(term: Any, values: Any) -> Any:
    """Returns one term's gradient of each value, zeros where there is none."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.autograd.grad(term, values, retain_graph=True, materialize_grads=True)
    with _running.tape.stop_recording():
        gradients = _running.tape.gradient(term, values, unconnected_gradients="zero")
    return [ops.convert_to_tensor(gradient) for gradient in gradients]
