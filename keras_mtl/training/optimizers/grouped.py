"""An optimizer of groups of variables, whose gradient is clipped as that of one network."""

from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import gradient_accumulator, optimizer_of, trained_variables
from keras_mtl.replicas import over_replicas


@keras.saving.register_keras_serializable("keras_mtl")
class GroupedOptimizer(keras.optimizers.MultiOptimizer):
    """A `MultiOptimizer` in which `global_clipnorm` limits one norm, over the variables of all.

    Keras limits that of each optimizer's own variables, so that the norm of the whole step grows
    with the number of groups. With gradient accumulation it is the norm of the accumulated mean.

    Args:
        optimizer_map: `keras.optimizers.OptimizerMap`.

    Raises:
        ValueError: Optimizers of different `global_clipnorm`.
    """

    def __init__(self, optimizer_map: Any, **kwargs: Any) -> None:
        super().__init__(optimizer_map, **kwargs)
        norms = {optimizer.name: optimizer.global_clipnorm for optimizer in self.optimizers}
        if len(set(norms.values())) > 1:
            raise ValueError(
                "global_clipnorm limits the norm of one gradient, that of all variables, and must "
                f"be the same for all optimizers. Received: {norms}"
            )
        self.largest_norm = next(iter(norms.values()))

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        variables = list(trainable_variables or trained_variables(self))
        if not self.built:
            self.build(variables)
        if self.largest_norm:
            grads = self._clipped(grads, variables)
        super().apply(grads, variables)

    def _clipped(self, grads: Any, variables: Any) -> Any:
        """Returns gradients with which no step, accumulated or not, is longer than the limit."""
        indices = [index for index, gradient in enumerate(grads) if gradient is not None]
        waiting = [self.accumulated(variables[index]) for index in indices]
        new = [ops.cast(ops.convert_to_tensor(grads[index]), "float32") for index in indices]
        steps = self.optimizers[0].gradient_accumulation_steps or 1
        whole = over_replicas([(a + b) / steps for a, b in zip(new, waiting, strict=True)])
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in whole))
        limit = self.largest_norm * (self.loss_scale_factor or 1.0)
        factor = ops.minimum(1.0, limit / norm) + (norm - norm)  # NaN where the norm is no number
        takes_step = (self.iterations + 1) % steps == 0
        clipped = list(grads)
        for index, gradient, known in zip(indices, new, waiting, strict=True):
            shorter = factor * (gradient + known) - known  # what waits is going to be added
            clipped[index] = ops.where(takes_step, shorter, gradient)
        return clipped

    def accumulated(self, variable: keras.Variable) -> Any:
        """Returns the sum of the gradients of a variable that wait for its step; 0 without any."""
        state = gradient_accumulator(optimizer_of(self, variable), variable)
        return 0.0 if state is None else ops.cast(ops.convert_to_tensor(state), "float32")
