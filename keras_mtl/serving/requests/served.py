"""Uses an export as a server would: by the names of tasks, without the code of the model."""

import os
from pathlib import Path
from typing import Any

from keras_mtl.kinds import KINDS
from keras_mtl.serving.manifest import ASSETS, MANIFEST, STREAM
from keras_mtl.serving.requests.columns import as_columns
from keras_mtl.serving.requests.read_export import (
    check_files,
    damaged,
    read_allocation,
    read_manifest,
)
from keras_mtl.serving.requests.tensors import answered, as_states, as_tensors


def load_served(path: Any) -> Any:
    """Loads a SavedModel that `keras_mtl.export` wrote, after a check of every file.

    Needs TensorFlow, whatever the Keras backend.

    Args:
        path: The folder that was exported to.

    Returns:
        A `ServedModel`.

    Raises:
        ValueError: `path` is no folder of such an export, one of its files is missing or
            damaged, or they do not belong together.

    Example:

    ```python
    served = keras_mtl.load_served("saved_models/digits/1")
    served.tasks                      # ["upright", "rotated"]
    served.predict("upright", x)      # (batch, 10)
    ```
    """
    path = _export_at(path)
    manifest = read_manifest(path / ASSETS)
    check_files(manifest, path)
    tasks = [task["name"] for task in manifest["tasks"]]
    allocation = read_allocation(path / ASSETS, tasks)
    return ServedModel(_loaded(path), manifest, allocation, path / ASSETS / MANIFEST)


def _export_at(path: Any) -> Any:
    """Returns the `Path` of an export, after a look at what is there."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise ValueError(
            f"path must be a string or a pathlib.Path, the folder of an export. Received: {path!r}"
        )
    path = Path(path)
    try:
        is_there = (path / ASSETS / MANIFEST).is_file()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}. May this user read it?") from error
    if not is_there:
        raise ValueError(
            f"{path} is no SavedModel written by keras_mtl: it has no {ASSETS}/{MANIFEST}. "
            "Expected: a folder made by keras_mtl.export(model, path). ONNX and LiteRT files are "
            "loaded by their own runtimes."
        )
    return path


def _loaded(path: Any) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(path))
    except Exception as error:  # of many kinds, none of them in the user's words
        raise ValueError(
            f"{path} holds the files that its manifest lists, but TensorFlow cannot load them "
            f"({error}). Export the model again, with the versions that load it."
        ) from error


class ServedModel:
    """An exported network. `load_served` makes these.

    Attributes:
        tasks: List of the names of the tasks, in order.
        allocation: List of `(num_tasks, num_components)` arrays, as `keras_mtl.allocation` of
            the model that was exported; empty when it allocates nothing.
        states: List of the names of the states that `stream` hands over; empty when the export
            cannot stream.
    """

    def __init__(self, network: Any, manifest: Any, allocation: Any, file: Any) -> None:
        _check_signatures(network, manifest, file)
        self.tasks = [task["name"] for task in manifest["tasks"]]
        self.allocation = allocation
        self.states, self._columns = manifest["states"], manifest["columns"]
        self._vocabularies = {
            task["name"]: task.get("vocabularies", {}) for task in manifest["tasks"]
        }
        self._network = network  # its signatures do not keep it alive

    def predict(self, task: Any, x: Any) -> Any:
        """Returns the answers to one task.

        Args:
            task: Name of the task.
            x: Array, or dict of arrays if the model has several inputs; of an export that encodes
                a table a dict of its columns or a DataFrame, with `None` or NaN where a value is
                missing, and lists of any length.

        Returns:
            `(batch, size)` array; for tasks per step `(batch, steps, size)`.

        Raises:
            ValueError: An unknown task; `x` with other names, shapes or types than the
                model's inputs, without a step, or with values that the network cannot read,
                such as ids outside its vocabulary.
        """
        if task not in self.tasks:
            raise ValueError(f"Unknown task {task!r}. Tasks of this export: {self.tasks}")
        signature = self._network.signatures[task]
        specs = signature.structured_input_signature[1]
        if self._columns:
            x = as_columns(x, self._columns, specs)
        tensors = as_tensors(x, specs, self._vocabularies[task])
        return answered(signature, tensors)[task].numpy()

    def stream(self, x: Any, states: Any = None) -> tuple[Any, Any]:
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
                or types than the model's, or with values that the network cannot read.
        """
        if not self.states:
            raise ValueError(
                "This export cannot stream. Export the model with "
                "keras_mtl.export(model, path, streaming=True)."
            )
        signature = self._network.signatures[STREAM]
        specs = dict(signature.structured_input_signature[1])
        of_states = {name: specs.pop(name) for name in self.states}
        vocabularies = {
            name: min(sizes[name] for sizes in self._vocabularies.values() if name in sizes)
            for name in set().union(*self._vocabularies.values())
        }
        tensors = as_tensors(x, specs, vocabularies)
        batch_size = len(next(iter(tensors.values())))
        states = as_states(states, of_states, batch_size)
        outputs = answered(signature, {**tensors, **states})
        answers = {task: outputs[task].numpy() for task in self.tasks}
        return answers, {name: outputs[name].numpy() for name in self.states}


def _check_signatures(network: Any, manifest: Any, file: Any) -> None:
    """Raises a `ValueError` where a network does not answer what the manifest says it does."""
    tasks, states = {task["name"]: task for task in manifest["tasks"]}, manifest["states"]
    conditional = {
        f"{name}_given_{task['given']}" for name, task in tasks.items() if task.get("given")
    }
    wanted = {task: {task} for task in tasks} | {"serving_default": {*tasks, *conditional}}
    if states:
        wanted[STREAM] = {*tasks, *conditional, *states}
    found = {
        name: set(signature.structured_outputs) for name, signature in network.signatures.items()
    }
    if found != wanted:
        raise damaged(
            file,
            f"it is of the tasks {list(tasks)} and the states {states}, but the network answers "
            f"{ {name: sorted(outputs) for name, outputs in found.items()} }",
        )
    for name, task in tasks.items():
        signature = network.signatures[name]
        steps = [None] if task.get("per_step", KINDS[task["kind"]].always_per_step) else []
        shape = signature.structured_outputs[name].shape
        if not shape.is_compatible_with([None, *steps, task["size"]]):
            raise damaged(
                file,
                f"it says that task {name!r} has kind={task['kind']!r} and size={task['size']}, "
                f"but the network answers with shape {tuple(shape)}",
            )
        inputs = signature.structured_input_signature[1]
        if not set(task.get("vocabularies", {})) <= set(inputs):
            raise damaged(
                file, f"task {name!r} has vocabularies of other inputs than {sorted(inputs)}"
            )
    if states and not set(states) < set(network.signatures[STREAM].structured_input_signature[1]):
        raise damaged(file, f"the network takes other states than {states}")
