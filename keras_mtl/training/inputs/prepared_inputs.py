"""Inputs of `fit` in the form that the backend reads fastest."""

import random
from typing import Any

import keras
import numpy as np

from keras_mtl.data import ArrayBatches, TaskBatches
from keras_mtl.training.inputs.distribution import num_replicas_of


def with_batches(model: keras.Model, given: Any) -> Any:
    """Returns what `fit` is called with, on TensorFlow with batches in place of NumPy arrays.

    Keras's own reading of arrays tunes itself from the beginning in each epoch, and small
    networks wait for it. What asks for more than batches in random or in their own order is
    left to Keras: a validation split, a number of steps, several replicas, words, tensors.
    """
    if keras.backend.backend() != "tensorflow":
        return given
    if num_replicas_of(model) > 1 or given.get("validation_split"):
        return given
    batch_size = given.get("batch_size") or 32
    found = dict(given)
    arrays = _packed(*(given.get(name) for name in ("x", "y", "sample_weight")))
    shuffle = given.get("shuffle", True)
    if _are_plain(arrays) and not given.get("steps_per_epoch") and shuffle in (True, False):
        seed = [random.getrandbits(32)] if shuffle else None  # keras.utils.set_random_seed decides
        found |= {"x": ArrayBatches(arrays, batch_size, seed), "y": None, "sample_weight": None}
    validation = given.get("validation_data")
    if isinstance(validation, tuple) and not given.get("validation_steps"):
        arrays = _packed(*validation)
        if _are_plain(arrays):
            batch_size = given.get("validation_batch_size") or batch_size
            found["validation_data"] = ArrayBatches(arrays, batch_size)
    return found


def prepared(data: Any) -> Any:
    """Returns batches in the form that the backend reads fastest."""
    if isinstance(data, ArrayBatches | TaskBatches) and keras.backend.backend() == "tensorflow":
        return data.as_tf_dataset()
    return data


def _packed(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Returns the parts that are there; one weight of an example is that of all its labels."""
    if sample_weight is None:
        return x, y
    if isinstance(y, dict) and not isinstance(sample_weight, dict):
        sample_weight = dict.fromkeys(y, sample_weight)
    return x, y, sample_weight


def _are_plain(arrays: Any) -> Any:
    """Returns whether these are NumPy arrays of numbers, an entry for each example."""
    leaves = keras.tree.flatten(arrays)
    return (
        all(isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biuf" for leaf in leaves)
        and all(leaf.ndim for leaf in leaves)
        and len({len(leaf) for leaf in leaves}) == 1
        and len(leaves[0]) > 0
    )
