"""The policy of a network whose tasks learned which blocks they execute."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers import BlockPolicy


def sample_policy(model: keras.Model, discretize: str = "sample", seed: int | None = None) -> Any:
    """Returns which blocks each task shall execute, from what a network learned.

    Blocks that no task may skip yet, early in training, are executed by all.

    Source: Sun et al., "AdaShare", NeurIPS 2020, section 3: the policy is drawn, not the most
    likely one. Its code trains eight draws and reports the best on the data it reports:
    choose among draws on validation data only.

    Args:
        model: A model of `keras_mtl.build_adashare`.
        discretize: `"sample"` draws each choice by its probability, `"argmax"` takes the
            likely one; an even chance executes. Defaults to `"sample"`.
        seed: Integer seed of the draw, or `None`. Defaults to `None`.

    Returns:
        `(num_tasks, num_blocks)` array of zeros and ones, tasks in the order of `tasks`.

    Raises:
        ValueError: A model without a policy over blocks, an unknown `discretize`.

    Example:

    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_adashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"},
    ...     [lambda: keras.layers.Dense(8), [lambda: keras.layers.Dense(8)]])
    >>> sample_policy(model, "argmax").tolist()
    [[1.0], [1.0]]
    """
    checks.word("discretize", discretize, ("sample", "argmax"))
    checks.seed("seed", seed)
    policies = [layer for layer in model.layers if isinstance(layer, BlockPolicy)]
    if not policies:
        raise ValueError(
            f"Model {model.name!r} learns no policy over blocks. Give a model of "
            "keras_mtl.build_adashare."
        )
    probability = np.concatenate(
        [ops.convert_to_numpy(layer.probabilities()) for layer in policies], axis=1
    )
    threshold: float | np.ndarray = 0.5
    if discretize == "sample":
        threshold = np.random.default_rng(seed).uniform(size=probability.shape)
    return (probability >= threshold).astype("float32")
