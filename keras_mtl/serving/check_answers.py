"""The check that a network answers as the one that it was made of."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_mtl.keras_internals import with_inner_layers

_EXACT = 1e-6  # of an answer, or of 1 where it is smaller
_IN_HALVES = 5e-3
_AT_MOST = 1e-3  # that rounding may come to in a deep network


def task_answers_of(model: keras.Model, x: Any) -> Any:
    """Returns a dict, task -> array, of what a trained network answers in inference.

    Args:
        model: A model made by a builder of this package.
        x: Examples as the frozen network takes them, without `task_id`.
    """
    call = model.predict_on_batch if keras.backend.backend() == "jax" else _call(model)
    if model.task_data == "shared":
        outputs = call(x)
        return {task: keras.ops.convert_to_numpy(outputs[task]) for task in model.tasks}
    number, answers = len(keras.tree.flatten(x)[0]), {}
    for index, (name, task) in enumerate(model.tasks.items()):
        outputs = call({"inputs": x, "task_id": np.full(number, index, "int32")})
        outputs = outputs[task.kind] if isinstance(outputs, dict) else outputs
        answers[name] = keras.ops.convert_to_numpy(outputs)[..., : task.size]
    return answers


def _call(model: keras.Model) -> Callable[..., Any]:
    return lambda x: model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)


def check_answers(model: keras.Model, x: Any, answer: Any, what: str) -> None:
    """Raises a `ValueError` where a network answers otherwise than the model it was made of.

    Answers may differ by 1e-6 of themselves, or of 1; by 5e-3 where layers compute in 16 bits or
    with quantized weights. Where rounding alone makes more of a deep network, answers may differ
    by ten times what the model's own do then, one example at a time or in the last bits of inputs.

    Args:
        model: A model made by a builder of this package.
        x: Examples as the frozen network takes them.
        answer: Function of a task that returns what the network answers.
        what: What the network is, for the message.
    """
    expected, tolerance = task_answers_of(model, x), _tolerance(model)
    rounding = None
    for task, answers in expected.items():
        off = _largest_difference(answer(task), answers)
        if off <= tolerance:
            continue
        rounding = _rounding(model, x, expected) if rounding is None else rounding
        if not off <= min(10 * rounding, _AT_MOST):
            raise ValueError(
                f"{what} answers task {task!r} otherwise than the model in inference: by {off:.2g} "
                f"of the answer, where {tolerance:.2g} is allowed. A layer of the model answers "
                "otherwise after it is made anew from its config and given its weights: give what "
                "it knows beside them a place in its get_config, weights, or save_assets."
            )


def _tolerance(model: keras.Model) -> Any:
    inner = with_inner_layers(model)[1:]
    in_halves = any(
        layer.compute_dtype in ("float16", "bfloat16") or layer.quantization_mode is not None
        for layer in inner
    )
    return _IN_HALVES if in_halves else _EXACT


def _rounding(model: keras.Model, x: Any, expected: Any) -> Any:
    """Returns how far the model's own answers are from themselves, by rounding alone.

    Asked one example at a time, and with inputs that differ in their last bits.
    """
    rows = range(len(keras.tree.flatten(x)[0]))
    each = [keras.tree.map_structure(lambda part, n=n: part[n : n + 1], x) for n in rows]
    apart = [task_answers_of(model, one) for one in each]
    alone = {task: np.concatenate([one[task] for one in apart]) for task in expected}
    nearby = task_answers_of(model, keras.tree.map_structure(_last_bits, x))
    return max(
        _largest_difference(found[task], answers)
        for found in (alone, nearby)
        for task, answers in expected.items()
    )


def _last_bits(part: Any) -> Any:
    if part.dtype.kind != "f":
        return part
    change = np.random.default_rng(0).uniform(-1, 1, part.shape) * np.finfo(part.dtype).eps
    return (part * (1 + change)).astype(part.dtype)


def _largest_difference(found: Any, expected: Any) -> Any:
    """Returns the largest difference, of an answer or of 1; infinite for other shapes or NaN."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    if found.shape != expected.shape or np.any(np.isnan(found) != np.isnan(expected)):
        return np.inf
    off = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    return float(np.nanmax(off, initial=0.0))
