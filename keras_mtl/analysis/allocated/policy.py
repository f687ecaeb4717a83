"""The policy of a network whose tasks learned which blocks they execute."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers import BlockPolicy


def sample_policy(model: keras.Model, discretize: str = "sample", seed: int | None = None) -> Any:
    """Returns which blocks each task shall execute, from what a network learned.

    Blocks that no task may skip yet, early in training, are executed by all. Take a policy when
    all of them may be skipped and draws are nearly 0 or 1, else it warns: what is drawn was never
    trained. `keras_mtl.BestPolicy` goes back to the best of these epochs.

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

    Warns:
        UserWarning: Blocks that no task may skip yet, relaxed draws at a temperature above 0.2.

    Example:

    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_adashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"},
    ...     [lambda: keras.layers.Dense(8), [lambda: keras.layers.Dense(8)]], temperature=0.1)
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
    _warn_of_early(policies)
    probability = np.concatenate(
        [ops.convert_to_numpy(layer.probabilities()) for layer in policies], axis=1
    )
    threshold: float | np.ndarray = 0.5
    if discretize == "sample":
        threshold = np.random.default_rng(seed).uniform(size=probability.shape)
    return (probability >= threshold).astype("float32")


def _warn_of_early(policies: Any) -> None:
    names: dict[str, list[str]] = {}
    for policy in policies:
        if why := policy.why_not_yet():
            names.setdefault(why, []).append(policy.name)
    if names:
        early = "; ".join(f"of {', '.join(map(repr, early))} {why}" for why, early in names.items())
        warnings.warn(
            f"The policy is taken early: {early}. Fit for all cycles first: by default the "
            "temperature ends at 0.1 with the last epoch that fit was told of.",
            stacklevel=3,
        )
