"""Uses an export as a server would: by the names of tasks, without the code of the model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_mtl.serving.manifest import (
    MANIFEST,
    check_files,
    read_allocation,
    read_manifest,
)
from keras_mtl.serving.saved_model import ASSETS, STREAM


def load_served(path):
    """Loads a SavedModel that `keras_mtl.export` wrote, after a check of every file.

    Needs TensorFlow, whatever the Keras backend.

    Args:
        path: The folder that was exported to.

    Returns:
        A `ServedModel`.

    Raises:
        ValueError: `path` holds no such export, or one of its files is missing or damaged.

    Example:

    ```python
    served = keras_mtl.load_served("saved_models/digits/1")
    served.tasks                      # ["upright", "rotated"]
    served.predict("upright", x)      # (batch, 10)
    ```
    """
    path = Path(path)
    if not (path / ASSETS / MANIFEST).is_file():
        raise ValueError(
            f"{path} is no SavedModel written by keras_mtl: it has no {ASSETS}/{MANIFEST}. "
            "Expected: a folder made by keras_mtl.export(model, path). ONNX and LiteRT files are "
            "loaded by their own runtimes."
        )
    manifest = read_manifest(path / ASSETS)
    check_files(manifest, path)
    return ServedModel(
        path,
        [task["name"] for task in manifest["tasks"]],
        read_allocation(path / ASSETS),
        manifest.get("states", []),
    )


class ServedModel:
    """An exported network. `load_served` makes these.

    Attributes:
        tasks: List of the names of the tasks, in order.
        allocation: List of `(num_tasks, num_components)` arrays, as `keras_mtl.allocation` of
            the model that was exported; empty when it allocates nothing.
        states: List of the names of the states that `stream` hands over; empty when the export
            cannot stream.
    """

    def __init__(self, path, tasks, allocation, states):
        import tensorflow as tf

        self.tasks = tasks
        self.allocation = allocation
        self.states = states
        self._network = tf.saved_model.load(str(path))  # its signatures do not keep it alive

    def predict(self, task, x):
        """Returns the answers to one task.

        Args:
            task: Name of the task.
            x: Array, or dict of arrays if the model has several inputs.

        Returns:
            `(batch, size)` array; for tasks per step `(batch, steps, size)`.

        Raises:
            ValueError: An unknown task, or `x` with other names, shapes or types than the
                model's inputs.
        """
        if task not in self.tasks:
            raise ValueError(f"Unknown task {task!r}. Tasks of this export: {self.tasks}")
        signature = self._network.signatures[task]
        tensors = _as_tensors(x, signature.structured_input_signature[1])
        return signature(**tensors)[task].numpy()

    def stream(self, x, states=None):
        """Returns the answers to the next steps of sequences, and the states after them.

        Needs an export with `streaming=True`; see `keras_mtl.streaming`.

        Args:
            x: Array of the next steps, at least one, or dict of arrays if the model has several
                inputs.
            states: The states that `stream` returned for the steps before, or `None` where
                sequences begin. Defaults to `None`.

        Returns:
            Pair: dict, task -> answers, `(batch, steps, size)` for tasks per step,
            `(batch, size)` as of the last step for others; and dict, name -> state.

        Raises:
            ValueError: An export that cannot stream; `x` or `states` with other names, shapes
                or types than the model's.
        """
        if not self.states:
            raise ValueError(
                "This export cannot stream. Export the model with "
                "keras_mtl.export(model, path, streaming=True)."
            )
        signature = self._network.signatures[STREAM]
        specs = dict(signature.structured_input_signature[1])
        of_states = {name: specs.pop(name) for name in self.states}
        tensors = _as_tensors(x, specs)
        if any(0 in tensor.shape for tensor in tensors.values()):
            shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
            raise ValueError(f"x must hold at least one step. Received: shapes {shapes}")
        batch_size = len(next(iter(tensors.values())))
        outputs = signature(**tensors, **_as_states(states, of_states, batch_size))
        answers = {task: outputs[task].numpy() for task in self.tasks}
        return answers, {name: outputs[name].numpy() for name in self.states}


def _as_tensors(x, specs):
    """Returns the tensors of a request, by name."""
    if not isinstance(x, Mapping) and set(specs) == {"inputs"}:
        return {"inputs": _as_tensor("x", x, specs["inputs"])}
    if isinstance(x, Mapping) and set(x) == set(specs):
        return {name: _as_tensor(f"x[{name!r}]", x[name], specs[name]) for name in specs}
    wanted = "an array" if set(specs) == {"inputs"} else f"a dict of {sorted(specs)}"
    came = sorted(x) if isinstance(x, Mapping) else type(x).__name__
    raise ValueError(f"x must be {wanted}. Received: {came}")


def _as_states(states, specs, batch_size):
    """Returns the tensors of states, which are zeros at first."""
    if states is None:
        states = {name: np.zeros((batch_size, spec.shape[1])) for name, spec in specs.items()}
    if not isinstance(states, Mapping) or set(states) != set(specs):
        came = sorted(states) if isinstance(states, Mapping) else type(states).__name__
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


def _as_tensor(name, value, spec):
    import tensorflow as tf

    is_text = spec.dtype == tf.string
    value = np.asarray(value, object if is_text else None)
    if not spec.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"{name} must have shape {tuple(spec.shape)}, with None for any size. "
            f"Received: {value.shape}"
        )
    if is_text:
        misfits = [type(item).__name__ for item in value.flat if not isinstance(item, str | bytes)]
    else:
        fits = np.can_cast(value.dtype, spec.dtype.as_numpy_dtype, casting="same_kind")
        misfits = [] if fits else [value.dtype]
    if misfits:
        raise ValueError(f"{name} must hold {spec.dtype.name} values. Received: {misfits[0]}")
    return tf.convert_to_tensor(value.astype(spec.dtype.as_numpy_dtype), spec.dtype)
