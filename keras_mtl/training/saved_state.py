"""State of a saved network with tasks beside what Keras saves, and its check."""

import json
import zipfile
from typing import Any, Self

import numpy as np

from keras_mtl.keras_internals import ModelPart


class SavedState(ModelPart):
    """Saves and loads what Keras leaves out: states of random generators, names of tasks.

    The tasks stand in the configuration of a `.keras` file and, with this, beside the weights
    too: weights that were trained for others are refused. A damaged `.keras` file is refused,
    also where Python reads its weights without a look at their check sums (from 3.12 on).
    """

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(_no_hdf5(f"Received: filepath={str(filepath)!r}"))
        return super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if any("module" not in layer for layer in config["layers"]):  # how HDF5 is written
            raise ValueError(_no_hdf5("Received: a file in that form"))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        try:
            return super().from_config(config, custom_objects)
        except (AttributeError, IndexError, KeyError) as error:
            raise ValueError(
                "The configuration of this network is damaged: its parts do not fit together "
                f"({type(error).__name__}: {error}). Take a copy of the file, or train again."
            ) from error

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for index, state in enumerate(self._seed_states()):
            store[f"seed_state_{index}"] = state.numpy()
        tasks = json.dumps(_described(self.tasks)).encode()
        store["tasks"] = np.frombuffer(tasks, "uint8")

    def load_own_variables(self, store: Any) -> None:
        if archive := getattr(store, "archive", None):
            _check_sums(archive.filename)
        if "tasks" in store.keys():  # older files do not say
            saved = json.loads(np.array(store["tasks"], "uint8").tobytes())
            _check_tasks(saved, _described(self.tasks))
        for index, state in enumerate(self._seed_states()):
            state.assign(store[f"seed_state_{index}"])

    def _seed_states(self) -> list[Any]:
        """Returns the network's states of random generators, which Keras itself does not save."""
        others = self.non_trainable_weights + (self.balancing.variables if self.balancing else [])
        others = {id(variable) for variable in others}
        return [v for v in self.non_trainable_variables if id(v) not in others]


def _check_sums(file: Any) -> None:
    """Raises a `ValueError` where a part of a `.keras` file is not what was written."""
    with zipfile.ZipFile(file) as archive:  # a view of its own: Keras goes on reading the other
        part = archive.testzip()
    if part:
        raise ValueError(
            f"{file} is damaged: its part {part} has a wrong check sum. Take a copy of it, or "
            "train again."
        )


def _no_hdf5(received: Any) -> str:
    return (
        "A network with tasks cannot be saved as an HDF5 model, an older form that could not be "
        f"loaded again. {received}. Save it as model.save('name.keras'), or the weights alone as "
        "model.save_weights('name.weights.h5')."
    )


def _described(tasks: Any) -> list[Any]:
    return [
        [name, f"{task.kind} given {task.given}" if task.given else task.kind]
        for name, task in tasks.items()
    ]


def _check_tasks(saved: Any, own: Any) -> None:
    """Raises a `ValueError` where a task that both know has another index or kind."""
    known = {name: (index, kind) for index, (name, kind) in enumerate(own)}
    for index, (name, kind) in enumerate(saved):
        if known.get(name, (index, kind)) != (index, kind):
            raise ValueError(
                f"These weights were trained for the tasks {dict(saved)} in this order, but the "
                f"network has {dict(own)}: task {name!r} has another index or another kind. Build "
                "the network as it was, or give tasks of another meaning other names."
            )
