"""Weights and the policy over blocks learn in turns, each with an optimizer of its own."""

import re
from typing import Any, Self

import keras
from keras import ops

from keras_mtl.data import AlternatingBatches
from keras_mtl.keras_internals import optimizer_of, trained_variables
from keras_mtl.layers import BlockPolicy
from keras_mtl.phases import checked_phases
from keras_mtl.training.optimizers.grouped import GroupedOptimizer
from keras_mtl.training.optimizers.present_tasks import check_single_optimizer

_POLICY = r"(.*/)?policy_\d+/logits(_added_\d+)?"


def alternating_optimizer(weights: Any, policy: Any, phases: Any) -> Any:
    """Trains weights and the policy over blocks in turns.

    A batch moves one group: the variables of the other and all of its optimizer's state,
    its count of iterations too, stay bit for bit. Learning rate schedules therefore count the
    batches of their own phase. The statistics of batch normalization are no part of this: they
    follow every batch, as in the reference code.

    Source: Sun et al., "AdaShare", NeurIPS 2020, section 3, whose code has SGD with a momentum
    of 0.9 for the weights and Adam at 0.01 for the policy.

    Args:
        weights: `keras.optimizers.Optimizer` of everything but the policy.
        policy: The same of the policy. Its weight decay pulls probabilities to one half.
        phases: `keras_mtl.PolicyPhases`, those of the builder.

    Returns:
        A `keras.optimizers.MultiOptimizer`. Its `global_clipnorm`, that of both, limits one norm,
        over all variables.

    Raises:
        ValueError: Anything but two single Keras optimizers, of one `global_clipnorm`, without
            `gradient_accumulation_steps`; in `compile`, other phases than those of the network, or
            a network without a policy that learns; in `fit`, batches of other phases.

    Example:

    >>> from keras_mtl import PolicyPhases
    >>> optimizer = alternating_optimizer(
    ...     keras.optimizers.SGD(0.001, momentum=0.9), keras.optimizers.Adam(0.01),
    ...     PolicyPhases(warm_up=400))
    >>> sorted(type(o).__name__ for o in optimizer.optimizers)
    ['Adam', 'SGD']
    """
    check_single_optimizer("weights", weights)
    check_single_optimizer("policy", policy)
    checked_phases(phases)
    for optimizer in (weights, policy):
        if optimizer.gradient_accumulation_steps:
            raise ValueError(
                "alternating_optimizer counts the batches of its phases, and cannot wait for "
                "several of them before it takes a step. Leave gradient_accumulation_steps out of "
                f"{type(optimizer).__name__} and use larger batches."
            )
    optimizer_map = keras.optimizers.OptimizerMap(weights, {_POLICY: policy})
    return AlternatingOptimizer(optimizer_map, phases=phases)


def check_network(optimizer: Any, layers: Any) -> None:
    """Raises a `ValueError` where an optimizer alternates and the network does not, or otherwise.

    A task that was added later learns in phases that its network was not built for: they may be
    any.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(optimizer, AlternatingOptimizer):
        return
    policies = [layer for layer in layers if isinstance(layer, BlockPolicy)]
    if not any(layer.trainable for layer in policies):
        raise ValueError(
            "alternating_optimizer trains weights and a policy over blocks in turns, but this "
            "network has no policy that learns. Give compile the optimizer of the weights alone."
        )
    for layer in policies:
        if layer.phases is not None and not layer.num_added_tasks:
            _check_same("The network was built", layer.phases, optimizer)


def check_batches_in_turns(optimizer: Any, batches: Any) -> None:
    """Raises a `ValueError` where batches alternate otherwise than the optimizer does."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if isinstance(optimizer, AlternatingOptimizer) and isinstance(batches, AlternatingBatches):
        _check_same("The batches were made", batches.phases, optimizer)


def _check_same(made: Any, phases: Any, optimizer: Any) -> None:
    if phases.get_config() != optimizer.phases.get_config():
        raise ValueError(
            f"{made} with {phases}, alternating_optimizer with {optimizer.phases}. Give the same "
            "keras_mtl.PolicyPhases to builder, optimizer and batches."
        )


@keras.saving.register_keras_serializable("keras_mtl")
class AlternatingOptimizer(GroupedOptimizer):
    """A `MultiOptimizer` that moves one group of variables at a time.

    Made by `alternating_optimizer`.
    """

    def __init__(self, optimizer_map: Any, *, phases: Any, **kwargs: Any) -> None:
        super().__init__(optimizer_map, **kwargs)
        self.phases = phases

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        variables = list(trainable_variables or trained_variables(self))
        if not self.built:
            self.build(variables)
        policy_learns = self.phases.policy_learns(self.iterations)
        kept = []
        for optimizer in self.optimizers:
            its_own = [v for v in variables if optimizer_of(self, v) is optimizer]
            if not its_own:
                continue
            is_policy = bool(re.fullmatch(_POLICY, its_own[0].path))
            learns = policy_learns if is_policy else ops.logical_not(policy_learns)
            kept += [
                (variable, ops.add(variable, 0), learns)  # TensorFlow would alias the variable
                for variable in [*its_own, *optimizer.variables]
            ]
        super().apply(grads, variables)
        for variable, old, learns in kept:
            variable.assign(ops.where(learns, ops.convert_to_tensor(variable), old))

    def get_config(self) -> dict[str, Any]:
        phases = keras.saving.serialize_keras_object(self.phases)
        return {**super().get_config(), "phases": phases}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        phases = keras.saving.deserialize_keras_object(config["phases"])
        return super().from_config({**config, "phases": phases}, custom_objects)
