"""Optimizers with a learning rate of their own for the allocation."""

import re

import keras
from keras import ops

_ALLOCATION = r"(.*/)?allocation_\d+/logits(_added_\d+)?"
_TASK_AXIS = (  # what has a slice per task, and along which axis
    (_ALLOCATION, 0),
    (r"(.*/)?heads/(kernel|bias)(_added_\d+)?", -1),
)


def allocation_optimizer(optimizer, allocation_learning_rate, update_absent_tasks=True):
    """Trains allocation logits with a learning rate of their own.

    The logits get an optimizer of the same kind and settings, without weight decay, which
    would pull every probability to one half. A learning rate of (number of tasks) times
    that of the weights is the paper's rule of thumb when every batch holds one task: a
    task's row then gets a gradient in one of T updates.

    Under optimizers with momentum a task that is absent from a batch still moves, on the
    momentum of its last batches. This is what the paper's reference code does.
    `update_absent_tasks=False` leaves the rows and heads of absent tasks, and their
    optimizer state, as they are.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-B.

    Args:
        optimizer: A `keras.optimizers.Optimizer` for everything else.
        allocation_learning_rate: Number above 0, or a schedule.
        update_absent_tasks: Whether momentum moves tasks that a batch does not hold.
            Defaults to `True`.

    Returns:
        A `keras.optimizers.MultiOptimizer`.

    Example:

    >>> optimizer = allocation_optimizer(keras.optimizers.Adam(1e-4), 2e-3)
    >>> sorted(float(keras.ops.round(o.learning_rate, 4)) for o in optimizer.optimizers)
    [0.0001, 0.002]
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "optimizer must be a Keras optimizer, such as keras.optimizers.Adam(1e-3). "
            f"Received: {optimizer!r}"
        )
    config = optimizer.get_config()
    config |= {"name": "allocation", "learning_rate": allocation_learning_rate}
    if config.get("weight_decay"):
        config["weight_decay"] = None
    allocation = type(optimizer).from_config(config)
    optimizer_map = keras.optimizers.OptimizerMap(optimizer, {_ALLOCATION: allocation})
    if update_absent_tasks:
        return keras.optimizers.MultiOptimizer(optimizer_map)
    return PresentTasksOptimizer(optimizer_map)


@keras.saving.register_keras_serializable("keras_mtl")
class PresentTasksOptimizer(keras.optimizers.MultiOptimizer):
    """A `MultiOptimizer` that leaves the rows and heads of absent tasks untouched.

    A task is absent when its slice of the gradient is all zeros. Values and optimizer
    state of such slices stay bit for bit. Made by `allocation_optimizer`.
    """

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        variables = list(variables)
        if not self.built:
            self.build(variables)
        kept = [
            (state, ops.add(state, 0), absent)  # a copy: TensorFlow would alias the variable
            for gradient, variable in zip(grads, variables, strict=True)
            if gradient is not None and (axis := _task_axis(variable)) is not None
            for absent in [_zero_slices(gradient, axis)]
            for state in [variable, *self._state_of(variable)]
        ]
        super().apply(grads, variables)
        for state, old, absent in kept:
            state.assign(ops.where(absent, old, state))

    def _state_of(self, variable):
        """Returns the optimizer's own variables for a model variable, by Keras's naming."""
        prefix = variable.path.replace("/", "_") + "_"
        return [
            state
            for optimizer in self.optimizers
            for state in optimizer.variables
            if state.name.startswith(prefix) and state.shape == variable.shape
        ]


def _task_axis(variable):
    for pattern, axis in _TASK_AXIS:
        if re.fullmatch(pattern, variable.path):
            return axis % len(variable.shape)
    return None


def _zero_slices(gradient, axis):
    others = tuple(other for other in range(len(gradient.shape)) if other != axis)
    return ops.all(gradient == 0, axis=others, keepdims=True)
