"""AdaShare finds which tasks need depth, by default, where that is known."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import alternating_batches, synthetic_depths
from keras_mtl.layers import ResidualDense


def learned(seed):
    """Returns who needs depth, and the probabilities of the tasks to execute three blocks."""
    keras.utils.set_random_seed(seed)
    tasks, (x, y), _, deep = synthetic_depths(seed=seed)
    parts = [
        (x[rows], {task: labels[rows] for task, labels in y.items()})
        for rows in (slice(0, 3200), slice(3200, None))
    ]
    phases = keras_mtl.PolicyPhases(warm_up=300, weights=30, policy=30)
    model = keras_mtl.build_adashare(
        keras.Input((8,)), tasks,
        [partial(keras.layers.Dense, 16), *[[partial(ResidualDense, 16)]] * 3],
        phases=phases, seed=seed,
    )  # fmt: skip
    model.compile(
        keras_mtl.alternating_optimizer(
            keras.optimizers.Adam(0.005), keras.optimizers.Adam(0.02), phases
        )
    )
    model.fit(alternating_batches(*parts, phases, 64, seed), epochs=35, verbose=0)
    return list(deep.values()), np.hstack(keras_mtl.allocation_probabilities(model))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_tasks_execute_blocks_where_they_need_depth_and_twins_do_alike(seed):
    deep, probabilities = learned(seed)
    for needs, row in zip(deep, probabilities, strict=True):
        assert row.max() > 0.7 if needs else row.max() < 0.3
    assert np.abs(probabilities[::2] - probabilities[1::2]).max() < 0.4
