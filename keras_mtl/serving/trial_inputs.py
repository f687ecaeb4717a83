"""Examples made from what a network takes, where nobody gave any."""

from typing import Any

import keras
import numpy as np

from keras_mtl.serving.vocabularies import vocabulary_sizes

NUM_STEPS = 3  # where a network reads any number


def trial_inputs(network: Any, number: int = 8, seed: int | None = 0, least_id: int = 0) -> Any:
    """Returns random examples in the structure of a frozen network's input.

    Floats are normal, ids are below the vocabulary where embeddings tell it, texts are letters.

    Args:
        network: A frozen network.
        number: How many examples. Defaults to 8.
        seed: Integer seed. Defaults to 0.
        least_id: Smallest id; with 1 none is padding, as far as there are ids enough. Defaults to
            0.
    """
    rng = np.random.default_rng(seed)
    sizes = vocabulary_sizes(network)

    def examples(tensor):
        shape = (number, *(size or NUM_STEPS for size in tensor.shape[1:]))
        if "float" in tensor.dtype:
            return rng.normal(size=shape).astype(tensor.dtype)
        if tensor.dtype == "string":
            return rng.choice(list("abcdefgh"), shape).astype(object)
        size = sizes.get(tensor.name, 2)
        return rng.integers(max(0, min(least_id, size - 2)), size, shape).astype(tensor.dtype)

    return keras.tree.map_structure(examples, network.input)


def first_examples(data: Any, number: int = 8) -> Any:
    """Returns the inputs of the first examples of what `evaluate` takes, without task ids.

    Raises:
        ValueError: There is no example, with which nothing could be compared.
    """
    if isinstance(data, list | tuple):
        x = data[0]
    elif isinstance(data, keras.utils.PyDataset):
        x = data[0][0]
    else:
        x = next(iter(data))[0]
    if isinstance(x, dict) and "task_id" in x:
        x = x["inputs"]
    if not len(keras.tree.flatten(x)[0]):
        raise ValueError(
            "validation_data has no examples, so the export could not be compared with the model. "
            "Give some, or leave it out: examples are made from the model's inputs then."
        )
    return keras.tree.map_structure(lambda part: np.asarray(part)[:number], x)
