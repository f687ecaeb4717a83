"""Optimizers with a learning rate of their own for the allocation."""

import re
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.keras_internals import gradient_accumulator, optimizer_of, trained_variables
from keras_mtl.replicas import over_replicas
from keras_mtl.schedules import check_setting
from keras_mtl.training.optimizers.grouped import GroupedOptimizer

TOWER = r"tower_\d+_(\d+)"  # the layers of a task's own
_ROWS = r"(.*/)?allocation_\d+/(?:logits|scores)(_added_\d+)?"
SHARING = rf"{_ROWS}|(.*/)?stitch_\d+/alpha|(.*/)?mixture_\d+/beta|(.*/)?routing_\d+/logits"
_TASK_AXES = {  # what has a slice per task (or class of a task), and along which axis
    "rows": (_ROWS, 0),
    "heads": (r"(.*/)?heads/(?:kernel|bias)(_added_\d+)?", -1),
    "gaps": (r"(.*/)?heads/gaps(_added_\d+)?", -1),
    "towers": (rf"(.*/)?{TOWER}/(?:kernel|bias)", None),  # is one task's own
}


def allocation_optimizer(
    optimizer: Any, allocation_learning_rate: Any, update_absent_tasks: bool = True
) -> Any:
    """Trains what decides about sharing with a learning rate of its own.

    Allocation logits and scores, the alphas of stitched towers, the betas of their layers and
    the logits of connections between sub-networks get an optimizer of the same kind and
    settings, without weight decay, which would pull
    every probability to one half. For logits a learning rate of (number of tasks) times that
    of the weights is the paper's rule of thumb when every batch holds one task: a task's row
    then gets a gradient in one of T updates. Cross-stitch networks took 100 to 1000 times
    that of the weights; sluice networks the same as the weights.

    Under optimizers with momentum a task that is absent from a batch still moves, on the
    momentum of its last batches. This is what the paper's reference code does.
    `update_absent_tasks=False` leaves the rows and, with separate data, the towers and heads of
    absent tasks and their optimizer state as they are.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section V-B.

    Args:
        optimizer: A `keras.optimizers.Optimizer` for everything else.
        allocation_learning_rate: Number above 0, or a schedule.
        update_absent_tasks: Whether momentum moves tasks that a batch does not hold.
            Defaults to `True`.

    Returns:
        A `keras.optimizers.MultiOptimizer`. Its `global_clipnorm` limits one norm, over all
        variables.

    Raises:
        ValueError: No single Keras optimizer, a learning rate that is not above 0.

    Example:

    >>> optimizer = allocation_optimizer(keras.optimizers.Adam(1e-4), 2e-3)
    >>> sorted(round(float(o.learning_rate), 4) for o in optimizer.optimizers)
    [0.0001, 0.002]
    """
    check_single_optimizer("optimizer", optimizer)
    rate = check_setting("allocation_learning_rate", allocation_learning_rate, above=0)
    checks.flag("update_absent_tasks", update_absent_tasks)
    config = optimizer.get_config()
    config |= {"name": "allocation", "learning_rate": rate if callable(rate) else float(rate)}
    if config.get("weight_decay"):
        config["weight_decay"] = 0.0  # AdamW refuses None
    allocation = type(optimizer).from_config(config)
    optimizer_map = keras.optimizers.OptimizerMap(optimizer, {SHARING: allocation})
    if update_absent_tasks:
        return GroupedOptimizer(optimizer_map)
    return PresentTasksOptimizer(optimizer_map)


def check_single_optimizer(name: str, optimizer: Any) -> None:
    """Raises a `ValueError` unless an argument is one Keras optimizer that wraps no other."""
    wrappers = keras.optimizers.MultiOptimizer | keras.optimizers.LossScaleOptimizer
    if not isinstance(optimizer, keras.optimizers.Optimizer) or isinstance(optimizer, wrappers):
        raise ValueError(
            f"{name} must be a single Keras optimizer, such as keras.optimizers.Adam(1e-3). "
            f"Received: {optimizer!r}"
        )


@keras.saving.register_keras_serializable("keras_mtl")
class PresentTasksOptimizer(GroupedOptimizer):
    """A `MultiOptimizer` that leaves the rows, towers and heads of absent tasks untouched.

    A task is absent when its slices of the gradient are all zeros: its rows of every
    allocation, its tower, its columns of the heads; with `gradient_accumulation_steps`, those of
    the sum. Values and optimizer state of such slices stay bit for bit. Made by
    `allocation_optimizer`.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        variables = trained_variables(self) if trainable_variables is None else trainable_variables
        variables = list(variables)
        if not self.built:
            self.build(variables)
        kept: list[Any] = []
        present: dict[Any, Any] = {}
        for gradient, variable in zip(grads, variables, strict=True):
            group, axis = _task_axis(variable)
            if gradient is None or group is None:
                continue
            others = tuple(other for other in range(len(gradient.shape)) if other != axis)
            moving = ops.not_equal(gradient + self.accumulated(variable), 0)
            moving = over_replicas(ops.cast(ops.any(moving, axis=others), "int32")) > 0
            present[group] = ops.logical_or(present.get(group, False), moving)
            for state in [variable, *self._state_of(variable)]:
                copy = ops.add(state, 0)  # TensorFlow would alias the variable
                kept.append((state, copy, group, axis))
        super().apply(grads, variables)
        for state, old, group, axis in kept:
            shape = [-1 if index == axis else 1 for index in range(len(state.shape))]
            new = ops.convert_to_tensor(state)  # JAX selects no variables
            state.assign(ops.where(ops.reshape(present[group], shape), new, old))

    def _state_of(self, variable: keras.Variable) -> list[Any]:
        """Returns the optimizer's averages for a model variable, by Keras's naming."""
        prefix = variable.path.replace("/", "_") + "_"
        return [
            state
            for optimizer in self.optimizers
            for state in optimizer.variables
            if state.name.startswith(prefix)
            and state.shape == variable.shape
            and state is not gradient_accumulator(optimizer_of(self, variable), variable)
        ]


def _task_axis(variable: keras.Variable) -> tuple[Any, Any]:
    """Returns which slices a variable has, equal for variables that share them, and its axis."""
    for kind, (pattern, axis) in _TASK_AXES.items():
        if match := re.fullmatch(pattern, variable.path):
            return (kind, match[2]), axis and axis % len(variable.shape)
    return None, None
