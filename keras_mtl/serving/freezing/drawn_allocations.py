"""Allocations that layers draw in training, drawn here and made to stay."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.analysis.allocated.allocation import allocation_layers
from keras_mtl.layers import RoutingPolicy
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation

_SURE = 30.0  # log-odds whose probability is 0 or 1 in float32, but for 1e-13


def drawn_layers(model: keras.Model) -> Iterator[Any]:
    """Gives the layers that draw in training, the tasks they draw for, and probabilities."""
    for layer in allocation_layers(model):
        if isinstance(layer, LearnedAllocation | RoutingPolicy) and layer.trainable:
            # the tasks before the last added are settled
            num_rows = variable_of(layer).shape[0]
            probability = ops.convert_to_numpy(layer.probabilities())[-num_rows:]
            yield layer, list(model.tasks)[-num_rows:], probability


def variable_of(layer: keras.Layer) -> Any:
    """Returns what a layer's probabilities are made of."""
    if isinstance(layer, LearnedAllocation):
        return layer.row_blocks[-1]
    return layer.scores if layer.projection == "softmax" else layer.policy


def one_draw(layer: keras.Layer, probability: Any, rng: np.random.Generator) -> Any:
    """Returns zeros and ones drawn from probabilities, one 1 in a row where one is chosen."""
    if not layer.chooses_one:
        return rng.random(probability.shape) < probability
    share = rng.random((len(probability), 1)) * probability.sum(axis=1, keepdims=True)
    chosen = (np.cumsum(probability, axis=1) <= share).sum(axis=1)
    return np.eye(probability.shape[1])[np.minimum(chosen, probability.shape[1] - 1)]


def force(layer: keras.Layer, matrix: Any) -> None:
    """Makes `matrix` the most likely allocation, through variables alone: nothing retraces."""
    if layer.chooses_one:
        variable_of(layer).assign(matrix)  # probabilities, or scores of which the 1 is the largest
        return
    # a draw may leave a task without a component: min_components keeps none of probability 0
    never = -np.inf if layer.min_components else -_SURE
    log_odds = np.where(matrix, _SURE, never)
    if layer.parameterization == "two_logits":
        log_odds = np.stack([log_odds, -log_odds], axis=-1) / 2
    variable_of(layer).assign(log_odds)
