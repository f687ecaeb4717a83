"""The check before freezing: how much an allocation leaves to chance."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers import (
    InstanceGate,
    ModularDecoder,
    NoisyTopKGates,
    RecurrentModular,
    RoutedLSTM,
    SubNetworkRouting,
)
from keras_mtl.layers.penalties.allocation_penalty import binary_entropy
from keras_mtl.serving.freezing.drawn_allocations import (
    drawn_layers,
    force,
    one_draw,
    variable_of,
)
from keras_mtl.serving.freezing.freeze import frozen_network
from keras_mtl.serving.freezing.freeze_check import Doubt, FreezeCheck
from keras_mtl.serving.freezing.frozen_score import judged

_DECIDE = (
    InstanceGate,
    ModularDecoder,
    NoisyTopKGates,
    RecurrentModular,
    RoutedLSTM,
    SubNetworkRouting,
)


def check_freeze(
    model: keras.Model, validation_data: Any = None, num_samples: int = 5, seed: int | None = 0
) -> Any:
    """Tells whether freezing keeps what was trained.

    In training every batch draws an allocation, in routing networks even every example may;
    freezing keeps the most likely one. The two agree when probabilities are near 0 or 1. Where
    they are not, the score on validation data tells whether that matters: components with equal
    merits may stay undecided. The frozen network itself is scored, of every method: it must be
    as good as the model in inference. `keras_mtl.export` runs it.

    Args:
        model: A model made by a builder, compiled if there are validation data.
        validation_data: What `evaluate` takes: `(x, y)`, `(x, y, sample_weight)` or task
            batches, best `order="sequential"`, so that all scores see the same examples.
            Defaults to `None`, no score.
        num_samples: How many allocations to draw for comparison, at least 2. Defaults to 5.
        seed: Integer seed of these draws. Defaults to 0.

    Returns:
        A `FreezeCheck`. The model is left as it was, bit for bit.

    Raises:
        ValueError: `num_samples` below 2.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"income": "binary"}, [[dense] * 4], init_probability=0.5)
    >>> round(check_freeze(model).bits, 3)
    4.0
    """
    if num_samples < 2:
        raise ValueError(
            f"num_samples must be at least 2, to tell chance from quality. Received: {num_samples}"
        )
    drawn = list(drawn_layers(model))
    check = _entropy(drawn) if drawn else FreezeCheck()
    draws = tuple(layer.name for layer in model.layers if isinstance(layer, _DECIDE))
    check = dataclasses.replace(check, draws=draws)
    if validation_data is None:
        return check
    score, trained = _score(model, validation_data)
    _, frozen = _score(judged(model, frozen_network(model)), validation_data)
    sampled = _sampled_scores(model, validation_data, drawn, num_samples if drawn else 0, seed)
    return dataclasses.replace(check, score=score, trained=trained, frozen=frozen, sampled=sampled)


def _entropy(drawn: Any) -> Any:
    bits = 0.0
    doubts: list[tuple[float, Doubt]] = []
    agreement: dict[str, Any] = {}
    for layer, tasks, probability in drawn:
        if layer.chooses_one:
            nats = -np.sum(probability * np.log(np.maximum(probability, 1e-30)))
            certainty = np.where(probability == probability.max(1, keepdims=True), probability, 1)
            certain = probability.max(axis=1)
        else:
            nats = ops.convert_to_numpy(binary_entropy(ops.convert_to_tensor(probability))).sum()
            frozen = layer.matrix()[-len(tasks) :]
            certainty = np.where(frozen > 0, probability, 1 - probability)
            certain = np.prod(certainty, axis=1)
        bits += float(nats / np.log(2))
        row, column = np.unravel_index(np.argmin(certainty), certainty.shape)
        doubt = Doubt(tasks[row], layer.name, int(column) + 1, float(probability[row, column]))
        doubts.append((float(certainty[row, column]), doubt))
        for task, chance in zip(tasks, certain, strict=True):
            agreement[task] = agreement.get(task, 1.0) * float(chance)
    return FreezeCheck(bits, min(doubts)[1], agreement)


def _sampled_scores(
    model: keras.Model, data: Any, drawn: Any, num_samples: Any, seed: int | None
) -> Any:
    """Returns the scores of drawn allocations."""
    rng = np.random.default_rng(seed)
    variables = [variable_of(layer) for layer, _, _ in drawn]
    learned = [np.array(ops.convert_to_numpy(ops.convert_to_tensor(v))) for v in variables]
    scores = []
    try:
        for _ in range(num_samples):
            for layer, _, probability in drawn:
                force(layer, one_draw(layer, probability, rng))
            scores.append(_score(model, data)[1])
    finally:
        for variable, values in zip(variables, learned, strict=True):
            variable.assign(values)
    return tuple(scores)


def _score(model: keras.Model, data: Any) -> tuple[Any, Any]:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    logs = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
    if "mean_accuracy" in logs and all(f"{task}_accuracy" in logs for task in model.tasks):
        return "mean_accuracy", logs["mean_accuracy"]
    penalties = {name for layer in model.layers for name in getattr(layer, "penalties", ())}
    regularized = sum(
        float(ops.convert_to_numpy(weight.regularizer(weight)))
        for weight in model.trainable_variables
        if weight.regularizer is not None
    )
    penalty = sum(logs[name] for name in penalties if name in logs)
    return "loss", logs["loss"] - penalty - regularized
