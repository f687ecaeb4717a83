"""The ways that a network goes after it was trained, and how far its answers are from before."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import Task
from keras_mtl.calibration.copies import rescaled_copy
from keras_mtl.funnels import conditional_names
from keras_mtl.kinds import KINDS
from keras_mtl.layers import FixedAllocation
from tests.conformance.matrix import kinds_of, network

NEW = Task("classes", 4)  # what grown networks learn too
_EXACT, _ROUNDED = 1e-6, 5e-3  # of an answer, or of 1 where it is smaller
_FACTOR = 0.6  # of the logits of calibrated networks
ROWS = {  # of a new task, in each layer with a given allocation, where tasks have rows of their own
    "build_dynashare": [1],
    "build_fixed_random": [0, 1, 1],
    "build_no_sharing": [0, 1, 1],
    "build_single_tasks": [0, 1, 1],
}


def off(cell, folder, model=None):
    """Returns the largest difference of what came a cell's way, in parts of what is allowed.

    Padded sequences are asked with more padding than the network before. What grew is asked after
    it is frozen too. What is quantized is compared with the network that was. A calibrated network
    is compared with one that answers as its logits say, and with itself, frozen.
    """
    builder, mode, kind, way = cell
    model = network(builder, mode, kind) if model is None else model
    x = kinds_of(builder)[kind].x
    allowed = _ROUNDED if kind == "half precision" or way == "quantized" else _EXACT
    if way == "quantized":
        model.quantize("int8")
    before = answers(model, x)
    assert all(np.all(np.isfinite(answer)) for answer in before.values())
    longer = keras.tree.map_structure(_with_more_padding, x)
    found = []
    if way in ("reloaded", "quantized"):
        found.append((before, answers(_reloaded(model, folder), longer)))
    if way in ("frozen", "quantized"):
        found.append((before, _frozen_answers(model, longer)))
    if way == "exported":
        served = keras_mtl.load_served(keras_mtl.export(model, folder / "export"))
        exported = {task: served.predict(task, longer) for task in model.tasks}
        compiled = answers(model, x, _compiled(model))
        found.append(({task: compiled[task] for task in model.tasks}, exported))
    if way == "grown":
        given = sum(isinstance(layer, FixedAllocation) for layer in model.layers)
        rows = [ROWS[builder]] * given if builder in ROWS else None
        grown = keras_mtl.add_task(model, "extra", NEW, allocation=rows)
        after = answers(grown, longer)
        assert after["extra"].shape == (_rows(x), NEW.size)
        assert list(grown.tasks) == [*model.tasks, "extra"] and set(after) == {*before, "extra"}
        found += [(before, after), (after, _frozen_answers(grown, x))]
    if way == "calibrated":
        calibrated = rescaled_copy(model, dict.fromkeys(_priced(model), (_FACTOR, 0.0)))
        after = answers(calibrated, longer)
        found += [(_calibrated(model, before), after), (after, _frozen_answers(calibrated, x))]
        found.append((before, answers(model, x)))
    return max(_distance(*pair, model.tasks) for pair in found) / allowed


def answers(model, x, call=None):
    """Returns what a network answers in inference, a dict, task -> float32 array.

    Of a task that is given another there is its conditional probability too.
    """
    call = model if call is None else call
    if model.task_data == "shared":
        outputs = call(_tensor(x), training=False)
        return {name: _array(output) for name, output in outputs.items()}
    number = _rows(x)
    task_id = keras.ops.repeat(keras.ops.arange(len(model.tasks), dtype="int32"), number)
    every = keras.tree.map_structure(lambda part: np.concatenate([part] * len(model.tasks)), x)
    outputs = call({"inputs": _tensor(every), "task_id": task_id}, training=False)
    found = {}
    for index, (name, task) in enumerate(model.tasks.items()):
        answer = outputs[task.kind] if isinstance(outputs, dict) else outputs
        found[name] = _array(answer)[index * number : (index + 1) * number, ..., : task.size]
    return found


def _priced(model):
    """Returns the names of the tasks whose answers are probabilities."""
    return [name for name, task in model.tasks.items() if KINDS[task.kind].slope]


def _calibrated(model, before):
    """Returns what a network answers with all logits of probabilities times a factor."""
    found, tasks = dict(before), model.tasks
    odds = {name: _odds(task, before[conditional_names(tasks).get(name, name)])
            for name, task in tasks.items() if name in _priced(model)}  # fmt: skip
    for name, own in odds.items():
        task = tasks[name]
        if task.kind == "ordinal":
            above = 1 / (1 + np.exp(-_FACTOR * own))
            edges = np.ones_like(above[..., :1])
            found[name] = -np.diff(np.concatenate([edges, above, 0 * edges], axis=-1))
            continue
        shares = np.exp(_FACTOR * own)
        found[name] = shares / (1 + shares if own.shape[-1] == 1 else shares.sum(-1, keepdims=True))
        if task.given:
            found[conditional_names(tasks)[name]] = found[name]
            found[name] = found[name] * found[task.given]
    return found


def _odds(task, p):
    """Returns logits of probabilities: of a yes, of classes, or of being above a rank."""
    p = p.astype("float64")
    if task.kind == "ordinal":
        above = 1 - np.cumsum(p, axis=-1)[..., :-1]
        return np.log(above / (1 - above))
    return np.log(p / (1 - p)) if task.size == 1 else np.log(p)


def _compiled(model):
    """Returns a network as `predict` runs it: compiled convolutions round otherwise."""
    if keras.backend.backend() != "tensorflow":
        return model
    import tensorflow as tf

    return tf.function(model)


def _rows(x):
    return len(keras.tree.flatten(x)[0])


def _with_more_padding(x):
    if x.dtype == "float32" or x.ndim < 2:
        return x
    nothing = np.full((len(x), 2), x[1, -1], x.dtype)  # example 1 has one step
    return np.concatenate([x, nothing], axis=1)


def _frozen_answers(model, x):
    outputs = keras_mtl.freeze(model)(_tensor(x))
    return {name: _array(output) for name, output in outputs.items()}


def _reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def _tensor(x):
    return keras.tree.map_structure(
        lambda part: keras.ops.convert_to_tensor(part.tolist() if part.dtype == object else part), x
    )


def _array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def scale_of(task, answer):
    """Returns what a difference of answers is measured in: the answer, or 1 where it is smaller.

    A count or amount is `exp(score)`: what is measured is the score, whose difference the answer
    multiplies.
    """
    scale = np.maximum(1, np.abs(answer))
    if task.kind in ("count", "amount"):
        scale = np.maximum(scale, answer * np.log(np.maximum(answer, 1)))
    return scale


def _distance(expected, found, tasks):
    """Returns the largest difference, of an answer or of 1; infinite for NaN or another shape."""
    largest = 0.0
    for task, answer in expected.items():
        if found[task].shape != answer.shape:
            return np.inf
        scale = scale_of(tasks.get(task, NEW), answer)
        each = np.abs(np.asarray(found[task], "float32") - answer) / scale
        largest = max(largest, np.nan_to_num(each, nan=np.inf).max())
    return float(largest)
