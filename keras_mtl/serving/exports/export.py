"""Writes a network in the form that servers and devices read."""

import importlib.util
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_mtl.serving.check_answers import check_answers
from keras_mtl.serving.exports.drafts import complete_or_nothing
from keras_mtl.serving.exports.preprocessing import as_encoder, check_preprocessing
from keras_mtl.serving.exports.saved_model import write_saved_model
from keras_mtl.serving.exports.single_files import (
    litert_answers,
    onnx_answers,
    write_litert,
    write_onnx,
)
from keras_mtl.serving.freezing.check_freeze import check_freeze
from keras_mtl.serving.freezing.freeze import freeze
from keras_mtl.serving.manifest import ASSETS, STREAM, write_allocation, write_manifest
from keras_mtl.serving.networks import state_names
from keras_mtl.serving.requests.served import load_served
from keras_mtl.serving.streams.streaming import streaming as streaming_form
from keras_mtl.serving.trial_inputs import first_examples, trial_inputs
from keras_mtl.serving.trial_requests import trial_requests
from keras_mtl.serving.vocabularies import task_vocabularies

_FROZEN, _WRITTEN = "The frozen network", "The export"


class _Format(NamedTuple):
    """A format: its writer, its reader, the packages that both need, the place of extras."""

    write: Callable
    answers: Callable  # of a folder; a function of a task and examples, or `None`
    packages: dict
    extras: str = "."


_FORMATS = {
    "tf_saved_model": _Format(
        write_saved_model,
        lambda folder: load_served(folder).predict,
        {"tensorflow": [], "jax": ["tensorflow"]},
        extras=ASSETS,
    ),
    "onnx": _Format(
        write_onnx, onnx_answers, {"tensorflow": ["onnx", "tf2onnx"], "torch": ["onnx"]}
    ),
    "litert": _Format(write_litert, litert_answers, {"tensorflow": []}),
}


def export(
    model: keras.Model,
    path: Any,
    *,
    format: str = "tf_saved_model",
    validation_data: Any = None,
    preprocessing: Any = None,
    cut_below: float = 0.0,
    streaming: bool = False,
    skip_closed: bool = True,
) -> str:
    """Freezes a model and writes it for serving, into a new folder.

    - `"tf_saved_model"` (TensorFlow and JAX backends): a signature for each task, named as
      the task, that returns `{task: output}`, and `serving_default`, which returns all
      tasks. A weight that tasks share is stored once. TensorFlow Serving answers one example
      of zeros per signature while it loads (sizes that are `None` are 1 there).
    - `"onnx"` (TensorFlow and torch backends): a file `<task>.onnx` for each task.
    - `"litert"` (TensorFlow backend): a file `<task>.tflite` for each task. Only its
      signature knows names: the output tensor itself has lost that of the task.

    Inputs are named as the model's: `inputs`, or the names of a dict of inputs; there is no
    `task_id`. The batch size is free. With a `SentenceEncoder` as `preprocessing` the input is
    `inputs`, sentences as strings of shape `(batch,)`, and tags come as `(batch, steps, size)`, a
    step for each word of the longest sentence, at least one. With a `TableEncoder` inputs are the
    columns as they are: strings, int64 and float32 of shape `(batch,)`, lists `(batch, length)`;
    missing values are the empty string, the smallest int64 and NaN, with which lists are filled
    up, too. A `keras.utils.FeatureSpace`, whose encoded features are the model's inputs, takes
    columns likewise; it knows missing categories as unknown ones and no missing numbers, whose
    answers are NaN. Beside the network stand `allocation.json`, which
    components each task uses, and `manifest.json`, the tasks and a fingerprint of every
    file; in a SavedModel both are in `assets.extra`. The folder appears when it is complete:
    a failure leaves nothing behind.

    Before it is, what was written is loaded and asked: its answers are those of the model in
    inference, on the first examples of `validation_data`, else on examples made from what the
    model takes. They may differ by 1e-6 of themselves, or of 1; by 5e-3 in 16 bits or quantized;
    by what rounding makes of a deep network. Of ONNX and LiteRT that needs their runtimes;
    without, the frozen network is asked.

    With `streaming=True` a SavedModel of a recurrent network has a signature `stream` too, which
    goes on where a sequence stopped: it takes the next steps and the states of the network,
    `(batch, units)` each, zeros at first, and returns all tasks and the new states. Its
    weights are those of the other signatures, stored once.

    Args:
        model: A model made by a builder of this package.
        path: Folder to write. Parents are made; the folder itself must not exist, or be
            empty. TensorFlow Serving wants a number as the last part: the version.
        format: `"tf_saved_model"`, `"onnx"` or `"litert"`. Defaults to `"tf_saved_model"`.
        validation_data: What `evaluate` takes, to compare the frozen network with what was
            trained; see `keras_mtl.serving.check_freeze`. Defaults to `None`.
        preprocessing: The `keras_mtl.data.SentenceEncoder` or `TableEncoder`, or the adapted
            `keras.utils.FeatureSpace`, whose ids or numbers the model reads; it becomes part of a
            SavedModel (TensorFlow backend). Defaults to `None`.
        cut_below: As in `keras_mtl.freeze`; `keras_mtl.cut_report` says what it changes.
            Defaults to 0.0.
        streaming: Whether a SavedModel gets a signature for `keras_mtl.streaming`. Defaults to
            `False`.
        skip_closed: Whether blocks of a SavedModel (TensorFlow backend) leave out the examples
            whose gate is closed, as in `keras_mtl.freeze`. Without, every example passes every
            block, which takes as long for all inputs. Defaults to `True`.

    Returns:
        The path as a string.

    Raises:
        ValueError: An unknown format, a backend that cannot write it, a path that is in
            use, a model without tasks, an encoder of other inputs than the model's, a network
            or a format that cannot stream; what was written answers otherwise than the model.
        ImportError: A package that the format needs is missing.

    Warns:
        UserWarning: The allocation is undecided, or the frozen network is not as good as
            what was trained; a task has no component in some layer.

    Example:

    ```python
    path = keras_mtl.export(model, "saved_models/digits/1")
    keras_mtl.load_served(path).predict("upright", x)
    ```
    """
    _check_format(format)
    chosen, folder = _FORMATS[format], Path(os.path.abspath(path))
    _check_unused(folder)
    preprocessing = as_encoder(preprocessing)
    skips = format == "tf_saved_model" and keras.backend.backend() == "tensorflow"
    frozen, write = freeze(model, skip_closed=skip_closed and skips), chosen.write
    if preprocessing is not None:
        check_preprocessing(preprocessing, frozen, format, streaming)
        write = partial(write, preprocessing=preprocessing)
    states = []
    if streaming:
        _check_streaming(model, format)
        stream = streaming_form(frozen)
        states, write = state_names(stream), partial(write, stream=stream)
    examples = trial_inputs(frozen) if validation_data is None else first_examples(validation_data)
    for problem in check_freeze(model, validation_data).problems():
        warnings.warn(problem, stacklevel=2)
    with complete_or_nothing(folder) as draft:
        write(frozen, list(model.tasks), draft)
        write_allocation(model, draft / chosen.extras)
        ids = {} if preprocessing else task_vocabularies(frozen, model.tasks)  # words are no ids
        forms = getattr(preprocessing, "forms", {})
        write_manifest(model, format, draft, draft / chosen.extras, states, ids, forms)
        _check_written(model, frozen, chosen, draft, examples, preprocessing)
    return str(path)


def _check_written(
    model: keras.Model,
    frozen: keras.Model,
    format: _Format,
    draft: Any,
    examples: Any,
    encoder: Any,
) -> None:
    """Raises a `ValueError` where what was written answers otherwise than the model."""
    given = x = examples
    if encoder is not None:
        given = trial_requests(encoder)
        x = encoder.encode(given)
    answer = format.answers(draft)
    if answer is None:  # nothing here runs such files
        answers = frozen(keras.tree.map_structure(keras.ops.convert_to_tensor, x))
        check_answers(model, x, lambda task: keras.ops.convert_to_numpy(answers[task]), _FROZEN)
    else:
        check_answers(model, x, lambda task: answer(task, given), _WRITTEN)


def _check_format(format: str) -> None:
    if format not in _FORMATS:
        raise ValueError(f"Unknown format {format!r}. Formats: {', '.join(map(repr, _FORMATS))}")
    packages, backend = _FORMATS[format].packages, keras.backend.backend()
    if backend not in packages:
        raise ValueError(
            f"Format {format!r} cannot be written on the {backend} backend. Save the model, set "
            f"KERAS_BACKEND to {' or '.join(packages)} and load it there to export."
        )
    missing = [name for name in packages[backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Format {format!r} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        )


def _check_streaming(model: keras.Model, format: str) -> None:
    if format != "tf_saved_model":
        raise ValueError(
            "streaming=True adds a signature beside those of the tasks, which only "
            f'format="tf_saved_model" can hold. Received: format={format!r}'
        )
    if STREAM in model.tasks:
        raise ValueError(
            f"With streaming=True a signature is named {STREAM!r}, and so is a task. Give the task "
            "another name, or leave streaming out."
        )


def _check_unused(folder: Any) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} exists already, and nothing is overwritten. Give a new path, such as the "
            "next version number."
        )
