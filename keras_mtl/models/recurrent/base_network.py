"""The network that a recurrent modular network extends, and what is built on it."""

import random
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.keras_internals import call_outputs
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network, streams_before_heads
from keras_mtl.models.recurrent.sequences import sequence_after
from keras_mtl.tasks import Task
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks


def lstm_per_task(
    inputs: Any,
    tasks: Tasks,
    *,
    task_data: str,
    stem: Sequence[NewLayer],
    seed: int | None,
    units: Any,
) -> Any:
    """Builds an LSTM for each task, which share nothing but the stem (NS-MTL)."""
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        features = sequence_after(stem, network.inputs)
        streams = [
            keras.layers.LSTM(units, return_sequences=True, name=f"component_1_{number}")(features)
            for number in range(1, len(network.tasks) + 1)
        ]
        return network.finish(streams, None, seed)


def extended(
    base: Any, inputs: Any, tasks: Tasks, task_data: str, stem: Sequence[NewLayer], seed: int | None
) -> tuple[Any, Any, Any]:
    """Builds the base network and returns what is built on it.

    That is a `Network`, what the stem returns, and each task's features at every step.
    """
    tags = {task: Task("tagging", 2) for task in tasks}  # so that it has features at every step
    its_seed = None if seed is None else random.getrandbits(31)  # else its LSTMs start as ours do
    if isinstance(base, keras.Model) or not callable(base):
        raise ValueError(
            "base must be a function with the arguments of a builder, such as "
            f"functools.partial(keras_mtl.build_sluice, layers=...). Received: {base!r}"
        )
    model = base(inputs, tags, task_data=task_data, stem=stem, seed=its_seed)
    if not isinstance(model, MultiTaskModel):
        raise ValueError(f"base must return a network of keras_mtl. It returned: {model!r}")
    network = Network.on(model.input, tasks, task_data)
    last_of_stem = f"stem_{len(stem)}"
    if stem and last_of_stem not in {layer.name for layer in model.layers}:
        raise ValueError(
            "The base network must keep the stem as it is, because the encoder reads it too, but "
            f"it has no layer {last_of_stem!r}. Use keras_mtl.build_no_sharing for networks that "
            "share nothing else."
        )
    features = network.inputs
    if stem:  # of a nested model, `.output` is a tensor inside it
        (features,) = call_outputs(model.get_layer(last_of_stem))
    streams = streams_before_heads(model)
    for task, stream in zip(tasks, streams, strict=True):
        if len(stream.shape) != 3:
            raise ValueError(
                f"The base network must have features (batch, steps, features) for task {task!r}. "
                f"Received: {stream.shape}"
            )
    return network, features, streams
