"""Saves a network of every builder and what it answers.

`python -m tests.saved_networks.make new.tar.xz`. The archive beside this file was made so before
layers were copied and frozen in another way. What people have saved must load and answer the same,
so it is never made again; new builders get an archive of their own.
"""

import json
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_mtl
from tests.conformance import registry


def give_state(model):
    """Gives every variable a value of its own: weights near 0, counters and penalties not 0."""
    rng = np.random.default_rng(0)
    for number, variable in enumerate(model.weights, start=1):
        if "int" in variable.dtype:
            variable.assign(np.full(variable.shape, number))
        elif variable.path.endswith("logits"):
            variable.assign(
                30 * rng.choice([-1, 1], variable.shape) + rng.normal(size=variable.shape)
            )
        elif variable.path.endswith(("masks", "policy")):
            continue  # zeros and ones, and probabilities
        elif not variable.shape:
            variable.assign(number / 100)
        elif "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        else:
            variable.assign(0.5 * rng.normal(size=variable.shape))


def answers(model):
    """Returns what a network answers in inference, a list of arrays."""
    outputs = keras.tree.flatten(model(registry.inputs_of(model), training=False))
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def state(model):
    """Returns counters and penalties, a dict, path -> number."""
    scalars = [variable for variable in model.weights if not variable.shape]
    return {variable.path: float(variable.numpy()) for variable in scalars}


def make(folder):
    """Saves every network in both modes with what it answers, and exports it."""
    for name in [*registry.BUILDERS, *registry.BLOCK_BUILDERS, *registry.SEQUENCE_BUILDERS]:
        for task_data in ("shared", "separate"):
            model = registry.build(name, task_data)
            give_state(model)
            place = folder / f"{name}_{task_data}"
            model.save(place.with_suffix(".keras"))
            before = state(model)  # a call writes its penalties anew
            np.savez_compressed(place.with_suffix(".npz"), *answers(model))
            place.with_suffix(".json").write_text(json.dumps(before, indent=1) + "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of networks that nobody trained
            saved = keras.models.load_model(folder / f"{name}_shared.keras")
            keras_mtl.export(saved, folder / "sm" / name / "1")


def main(archive):
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        with tarfile.open(archive, "x:xz") as written:
            written.add(folder, ".")


if __name__ == "__main__":
    main(sys.argv[1])
