"""Tensors of a request, or the reason why it cannot be answered."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def as_tensors(x: Any, specs: Any, vocabularies: Any) -> Any:
    """Returns the tensors of a request, by name of the input.

    Args:
        x: Array, or dict of arrays if there are several inputs.
        specs: Dict, input -> `tf.TensorSpec`.
        vocabularies: Dict, input -> how many ids it knows, of those inputs that are ids.

    Raises:
        ValueError: Other names, shapes or types than those of the inputs, no step, inputs of
            different numbers of examples, an id that is not known.
    """
    if not isinstance(x, Mapping) and set(specs) == {"inputs"}:
        given = {"inputs": ("x", x)}
    elif isinstance(x, Mapping) and set(x) == set(specs):
        given = {name: (f"x[{name!r}]", x[name]) for name in specs}
    else:
        wanted = "an array" if set(specs) == {"inputs"} else f"a dict of {sorted(specs)}"
        came = sorted(x, key=str) if isinstance(x, Mapping) else type(x).__name__
        raise ValueError(f"x must be {wanted}. Received: {came}")
    tensors = {}
    for name, (called, value) in given.items():
        tensors[name] = _as_tensor(called, value, specs[name])
        if name in vocabularies and not specs[name].dtype.is_bool:
            _check_ids(called, tensors[name].numpy(), vocabularies[name])
    if any(0 in tensor.shape[1:] for tensor in tensors.values()):
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise ValueError(f"x must hold at least one step. Received: shapes {shapes}")
    counts = {called: len(tensors[name]) for name, (called, _) in given.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"All inputs must be of the same examples. Received: {counts}")
    return tensors


def as_states(states: Any, specs: Any, batch_size: int) -> Any:
    """Returns the tensors of states, which are zeros at first."""
    if states is None:
        states = {name: np.zeros((batch_size, spec.shape[1])) for name, spec in specs.items()}
    if not isinstance(states, Mapping) or set(states) != set(specs):
        came = sorted(states, key=str) if isinstance(states, Mapping) else type(states).__name__
        raise ValueError(
            "states must be what stream returned for the steps before, or None at the first. "
            f"Expected: a dict of {sorted(specs)}. Received: {came}"
        )
    tensors = {name: _as_tensor(f"states[{name!r}]", states[name], specs[name]) for name in specs}
    for name, tensor in tensors.items():
        if len(tensor) != batch_size:
            raise ValueError(
                f"states[{name!r}] is of {len(tensor)} sequences, but x is of {batch_size}. States "
                "belong to the sequences that they come from, in their order."
            )
    return tensors


def answered(signature: Any, tensors: Any) -> Any:
    """Returns what a signature answers; what only the network knows is wrong is said in words.

    Raises:
        ValueError: The network refuses values that its specification permits.
    """
    import tensorflow as tf

    try:
        return signature(**tensors)
    except tf.errors.InvalidArgumentError as error:
        reason = error.message.split("\n\t [[")[0].splitlines()[-1]  # the rest is of its graph
        raise ValueError(
            "The network cannot answer this x. Expected: values that its layers can read, such as "
            f"ids of their vocabularies, in arrays of fitting sizes. TensorFlow says: {reason}"
        ) from error


def _as_tensor(name: str, value: Any, spec: Any) -> Any:
    import tensorflow as tf

    is_text, wanted = spec.dtype == tf.string, spec.dtype.as_numpy_dtype
    try:
        value = np.asarray(value, object if is_text else None)
    except ValueError as error:
        raise ValueError(f"{name} must be an array. It cannot become one: {error}") from error
    if not spec.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"{name} must have shape {tuple(spec.shape)}, with None for any size. "
            f"Received: {value.shape}"
        )
    if is_text:
        misfits = [type(item).__name__ for item in value.flat if not isinstance(item, str | bytes)]
    else:
        fits = np.can_cast(value.dtype, wanted, casting="same_kind")
        misfits = [] if fits else [value.dtype]
    if misfits:
        raise ValueError(f"{name} must hold {spec.dtype.name} values. Received: {misfits[0]}")
    if value.size and not is_text:
        _check_range(name, value, np.dtype(wanted))
    return tf.convert_to_tensor(value.astype(wanted), spec.dtype)


def _check_range(name: str, value: Any, wanted: Any) -> None:
    """Raises a `ValueError` where a number would become another one."""
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        outside = [v for v in (value.min(), value.max()) if not limits.min <= int(v) <= limits.max]
    else:
        with np.errstate(over="ignore"):
            outside = value[np.isfinite(value) & ~np.isfinite(value.astype(wanted))]
    if len(outside):
        raise ValueError(f"{name} must hold numbers that {wanted} can hold. Received: {outside[0]}")


def _check_ids(name: str, ids: Any, size: Any) -> None:
    unknown = ids[~((ids >= 0) & (ids < size))]
    if len(unknown):
        raise ValueError(
            f"{name} must hold ids from 0 to {size - 1}, which the network has learned. "
            f"Received: {unknown[0]}"
        )
