"""State of components, such as batch statistics: only rows that use a component move it."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.types import Tensor


def has_state(layer: keras.Layer) -> bool:
    """Returns whether a built layer has weights that no gradient moves."""
    return bool(layer.non_trainable_weights)


def rows_in_use(weights: Any) -> Any:
    """Returns where weights, `(..., C)`, use components: booleans, `False` for a NaN."""
    return ops.abs(weights) > 0


@contextlib.contextmanager
def moved_by(rows: Any, *layers: Any) -> Iterator[Any]:
    """Lets some rows of a batch alone move the state of layers that are called inside, in training.

    A batch normalization takes its statistics from these rows, and normalizes them with these.
    Other rows, whose answer matters for the gradient of their weight at most, are normalized with
    the statistics of all, as if they used it too. Any other state is put back where no row is in
    use. Random generators are no such state.

    Args:
        rows: `(batch,)` booleans, for steps of sequences also `(batch, steps)`; or `None`, which
            leaves the layers alone.
        layers: What is called inside, with layers of their own.
    """
    if rows is None:
        yield
        return
    inner = [each for layer in layers for each in with_inner_layers(layer)]
    normalizations = [
        each
        for each in inner
        if each.trainable and isinstance(each, keras.layers.BatchNormalization)
    ]
    with kept_where(ops.logical_not(ops.any(rows)), *layers):
        for layer in normalizations:
            vars(layer)["call"] = partial(_normalized, layer, rows)
        try:
            yield
        finally:
            for layer in normalizations:
                vars(layer).pop("call", None)


@contextlib.contextmanager
def kept_where(unused: Any, *layers: Any) -> Iterator[Any]:
    """Puts the state of layers that are called inside back as it was, where `unused` says so."""
    frozen = [x for layer in layers for x in with_inner_layers(layer) if not x.trainable]
    fixed = {id(weight) for layer in frozen for weight in layer.weights}
    state = [w for layer in layers for w in layer.non_trainable_weights if id(w) not in fixed]
    before = _values(state)
    yield
    _put_back(before, state, unused)


def _normalized(
    layer: keras.Layer, rows: Any, inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    """Answers for a batch normalization, of whose batch only some rows count."""
    call = partial(type(layer).call, layer, inputs, training=training)
    if not training:
        return call(mask=mask)
    rows = _for_places(rows, inputs)
    valid = rows if mask is None else ops.logical_and(rows, ops.cast(mask, "bool"))
    state = layer.non_trainable_weights
    before = _values(state)
    by_all = call(mask=mask)
    _put_back(before, state)
    by_rows = call(mask=valid)
    _put_back(before, state, ops.logical_not(ops.any(valid)))
    return ops.where(ops.expand_dims(rows, axis=-1), by_rows, by_all)


def _for_places(rows: Any, inputs: Any) -> Tensor:
    """Returns rows for each place of inputs `(batch, ..., features)`, without the last axis."""
    by_step = len(rows.shape) > 1
    if by_step and (len(inputs.shape) < 3 or inputs.shape[1] != rows.shape[1]):
        rows = ops.any(rows, axis=1)
    shape, number = ops.shape(inputs)[:-1], 1
    for size in shape:
        number = number * size
    rows = ops.reshape(rows, (-1, 1))
    num_rows = ops.shape(rows)[0]
    return ops.reshape(ops.broadcast_to(rows, (num_rows, number // num_rows)), shape)


def _values(variables: Any) -> list[Any]:
    return [ops.copy(variable) for variable in variables]  # variables themselves move on


def _put_back(before: Any, variables: Any, where: bool = True) -> None:
    for old, variable in zip(before, variables, strict=True):
        now = ops.convert_to_tensor(variable)
        variable.assign(old if where is True else ops.where(where, old, now))
