"""The pairs that benchmarks.gumbel_matrix.synthetic looks for are found."""

import keras
import numpy as np
import pytest

import keras_mtl
from benchmarks.gumbel_matrix import synthetic


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_synthetic_pairs_are_nearer_within_than_across_after_300_batches(seed):
    tasks, data = keras_mtl.synthetic_pairs(num_pairs=2, relatedness=1.0, seed=seed)
    keras.utils.set_random_seed(seed)
    router = keras_mtl.layers.AllocationMatrix(4, 4, seed=seed, name="allocation_1")
    model = synthetic.headless(router)
    synthetic.fit(model, tasks, data, seed, rounds=300)
    rows = keras_mtl.allocation(model)[0]
    distance = np.abs(rows[:, None] - rows[None]).sum(axis=-1)
    assert (distance[0, 1] + distance[2, 3]) / 2 < distance[:2, 2:].mean()
