"""Cross-stitch networks: a tower per task, whose layers read each other's outputs."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import CrossStitch
from keras_mtl.models.towers.parallel import build_towers
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits


def build_cross_stitch(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    alpha: str = "imbalanced",
    per_channel: bool = False,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower per task that learns how much to read of the others.

    After every list of `layers` a `CrossStitch` replaces each tower's features by a weighted
    sum of all towers' features.

    Source: Misra et al., "Cross-stitch networks for multi-task learning", 2016,
    https://arxiv.org/abs/1604.03539. Differs from the paper: towers start from random weights,
    not from trained single-task networks, and learn at the rate of the units; for another
    rate see `keras_mtl.allocation_optimizer`. The last layer is stitched too.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these with
            one component per task. A bare callable is a layer that all towers pass.
        alpha: As in `keras_mtl.layers.CrossStitch`. Defaults to `"imbalanced"`.
        per_channel: Whether every channel has its own weights. Defaults to `False`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `stitch_1`, `stitch_2`,
        ... are the layers that mix, with their weights as `.alpha`.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_cross_stitch(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 2, [dense] * 2])
    >>> model.get_layer("stitch_2").alpha
    array([[0.9, 0.1],
           [0.1, 0.9]], dtype=float32)
    """

    def stitch(index):
        return CrossStitch(alpha, per_channel, name=f"stitch_{index}")

    return build_towers(
        inputs, tasks, layers, stitch,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
    )  # fmt: skip
