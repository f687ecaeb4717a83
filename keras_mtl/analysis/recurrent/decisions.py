"""Counts of the connections that a recurrent modular network opens for data, at every step."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mtl.analysis.task_answers import task_answers
from keras_mtl.keras_internals import mask_of
from keras_mtl.layers import RecurrentModular


class OpenCounts(NamedTuple):
    """Of one task's examples, how many have a connection open at a step.

    `encoder` is `(steps, connections)`, `decoder` `(steps, sub-encoders)`; `examples`, `(steps,)`,
    says how many there are, without padding.
    """

    encoder: np.ndarray
    decoder: np.ndarray
    examples: np.ndarray

    @property
    def shares(self) -> Any:
        """Share of the examples that the task's connections are open for, as `decoder`."""
        return ratio(self.decoder, self.examples[:, None])


def ratio(part: Any, whole: Any, of_nothing: Any = np.nan) -> Any:
    """Returns `part / whole`, and `of_nothing` where the whole is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    filled = np.array(np.broadcast_to(of_nothing, shape))
    return np.divide(part, whole, out=filled, where=np.not_equal(whole, 0))


def required_encoder(model: keras.Model) -> Any:
    """Returns the modular encoder of a model that must have one."""
    for layer in getattr(model, "layers", []):
        if isinstance(layer, RecurrentModular):
            return layer
    raise ValueError(
        f"Model {getattr(model, 'name', model)!r} has no recurrent modular encoder, so its tasks "
        "choose nothing at a time step. Give a model made by keras_mtl.build_recurrent_modular, "
        "before it is frozen."
    )


def decision_network(model: keras.Model) -> Any:
    """Returns the part of a model that decides, on the model's own inputs.

    Its outputs are named as the layers that decide; `mask`, where there is one, is `False` where
    there is only padding.
    """
    return _network(model, lambda layer: layer.output[1])


def probability_network(model: keras.Model) -> Any:
    """Returns the same with the probabilities that connections are open, not the likelier."""
    return _network(
        model,
        lambda layer: _Probabilities(layer, name=f"{layer.name}_p")(*_as_list(layer.input)),
    )


class _Probabilities(keras.layers.Layer):
    """What the draws of a layer that decides would be, on average."""

    def __init__(self, layer: keras.Layer, **kwargs: Any) -> None:
        super().__init__(dtype=layer.dtype_policy, **kwargs)
        self.layer = layer
        self.supports_masking = True

    def call(self, *inputs: Any) -> Any:
        return ops.sigmoid(self.layer.log_odds(*inputs))


def _network(model: keras.Model, output_of: Any) -> keras.Model:
    encoder = required_encoder(model)
    decoders = [model.get_layer(f"decoder_{number + 1}") for number in range(len(model.tasks))]
    outputs = {layer.name: output_of(layer) for layer in [encoder, *decoders]}
    mask = mask_of(encoder.output[1])
    return keras.Model(model.input, outputs if mask is None else outputs | {"mask": mask})


def _as_list(inputs: Any) -> list[Any]:
    return inputs if isinstance(inputs, list) else [inputs]


def open_counts(model: keras.Model, network: Any, x: Any) -> Any:
    """Returns a dict, task -> `OpenCounts` of its examples.

    Args:
        model: A model made by `keras_mtl.build_recurrent_modular`.
        network: Its `decision_network`.
        x: As for `keras_mtl.routing_over_time`.
    """
    return {task: counts for task, counts, _ in counted_answers(model, network, x)}


def counted_answers(model: keras.Model, network: Any, x: Any) -> Iterator[Any]:
    """Yields for each task its name, its `OpenCounts`, and its decoder's answers.

    The answers are those of places that are no padding, `(places, sub-encoders)`. Arguments are
    those of `open_counts`.
    """
    encoder = required_encoder(model).name
    for number, (task, answer) in enumerate(task_answers(model, network, x), start=1):
        parts = (answer[encoder], answer[f"decoder_{number}"])
        valid = answer.get("mask", np.ones(parts[0].shape[:2])).astype("float64")
        encoder_sums, sums = (np.einsum("bsc,bs->sc", part, valid) for part in parts)
        yield task, OpenCounts(encoder_sums, sums, valid.sum(axis=0)), parts[1][valid > 0]
