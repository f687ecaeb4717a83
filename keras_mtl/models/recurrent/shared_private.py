"""Shared-private networks: an LSTM that all tasks share, and one of each task's own."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.layers import AdversarialPenalty, LastStep, LayerConcat, OrthogonalityPenalty
from keras_mtl.layers.penalties.shared_private import REDUCTIONS
from keras_mtl.models.construction import made_layers, seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.schedules import check_setting
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, Tensor

_ADVERSARIAL_WEIGHT = 0.05


def build_shared_private(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    units: int = 50,
    adversarial_weight: Any = None,
    orthogonality_weight: float = 0.01,
    orthogonality_reduction: str = "normalised_mean",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network with an LSTM for all tasks and an LSTM of each task's own.

    A task's head reads its private states and the shared ones side by side: at every step if
    its labels are per step, else at the last step that is no padding. Two penalties on the last
    states keep the two apart: `AdversarialPenalty` takes what tells the tasks apart out of the
    shared states, and `OrthogonalityPenalty` what is shared out of the private ones. With both
    weights 0 the network is plain shared-private; with one LSTM alone, fully shared, it is
    `build_shared_bottom`.

    With shared data every task reads every example, so there is no task to guess from the
    shared states: the adversarial penalty is for separate data only.

    Source: Liu, Qiu and Huang, "Adversarial multi-task learning for text classification", 2017,
    https://arxiv.org/abs/1704.05742, sections 3 and 4. Differs from the paper: the orthogonality
    penalty is normalised, unless
    `orthogonality_reduction="sum"`; batches may hold several tasks.

    Args:
        units: Units of every LSTM. Defaults to 50.
        adversarial_weight: Weight of the classifier that guesses the task: a number of at least 0
            or a schedule over training batches. Defaults to `None`: 0.05 with separate data, none
            with shared data.
        orthogonality_weight: Weight of the inner products of shared and private states: a number
            of at least 0 or a schedule over training batches. Defaults to 0.01.
        orthogonality_reduction: As in `keras_mtl.layers.OrthogonalityPenalty`. Defaults to
            `"normalised_mean"`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `shared` and `private_1`,
        `private_2`, ... are its LSTMs.

    Raises:
        ValueError: Inputs that are no sequence after the stem, a negative weight, an adversarial
            weight with shared data.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> embed = partial(keras.layers.Embedding, 1000, 16, mask_zero=True)
    >>> model = keras_mtl.build_shared_private(
    ...     keras.Input((None,), dtype="int32"), {"books": "binary", "films": "binary"},
    ...     stem=[embed], task_data="separate")
    >>> model.get_layer("heads").input[0].shape  # private and shared, 50 each
    (None, 100)
    """
    units = checks.count("units", units)
    if adversarial_weight is not None:
        adversarial_weight = check_setting("adversarial_weight", adversarial_weight)
    orthogonality_weight = check_setting("orthogonality_weight", orthogonality_weight)
    checks.word("orthogonality_reduction", orthogonality_reduction, tuple(REDUCTIONS))
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        if adversarial_weight is None:
            adversarial_weight = _ADVERSARIAL_WEIGHT if network.separate else 0
        if adversarial_weight and not network.separate:
            raise ValueError(
                "adversarial_weight is for separate data: with shared data every task reads "
                "every example, so the shared states cannot tell whose they are. Leave it out, or "
                f'use task_data="separate". Received: adversarial_weight={adversarial_weight}'
            )
        stream = TaskStream(network)
        for _, [layer] in made_layers(stem, []):
            stream.apply(layer)
        _check_sequence(stream.features)
        shared = _lstm(units, "shared")(stream.features)
        private = [
            _lstm(units, f"private_{number}")(stream.features)
            for number in range(1, len(network.tasks) + 1)
        ]
        last = LastStep(name="last_state")
        last_shared, last_private = last(shared), [last(states) for states in private]
        if adversarial_weight:
            penalty = AdversarialPenalty(
                len(network.tasks), adversarial_weight, name="adversarial_penalty"
            )
            shared = penalty(shared, last_shared, network.task_id)
        if orthogonality_weight:
            penalty = OrthogonalityPenalty(
                orthogonality_weight, orthogonality_reduction, name="orthogonality_penalty"
            )
            whose = [network.task_id] if network.separate else []
            shared = penalty(shared, last_shared, last_private, *whose)
        streams = [
            LayerConcat(name=f"private_shared_{number}")([states, shared])
            for number, states in enumerate(private, start=1)
        ]
        return network.finish(streams, name, seed, sequences=True)


def _lstm(units: Any, name: str) -> Any:
    return keras.layers.LSTM(units, return_sequences=True, name=name)


def _check_sequence(features: Tensor) -> None:
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) != 3:
        raise ValueError(
            "build_shared_private reads sequences: after the stem the features must have the shape "
            f"(batch, steps, features). Received: {shape or sorted(features)}. End the stem with "
            "a layer that makes one sequence."
        )
