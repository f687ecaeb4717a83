"""Networks of experts learn what one linear layer cannot. Seconds of training, fixed seeds."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

pytestmark = pytest.mark.slow
TASKS = {"same_sign": "binary", "far": "binary"}
dense = partial(keras.layers.Dense, 8, activation="relu")


def examples(number, seed):
    """Returns points of the plane, whether their signs agree and whether they are far out."""
    x = np.random.default_rng(seed).uniform(-1, 1, (number, 2)).astype("float32")
    far = np.sum(x**2, axis=1) > 2 / np.pi  # one half of them
    return x, {"same_sign": (x[:, 0] * x[:, 1] > 0) * 1.0, "far": far * 1.0}


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (keras_mtl.build_mmoe, {}),
        (keras_mtl.build_mmoeex, {}),
        (keras_mtl.build_ple, {}),
        (keras_mtl.build_moe, {}),
        (keras_mtl.build_dselect_k, {}),
    ],
)
def test_both_tasks_are_learned(build, settings, task_data):
    keras.utils.set_random_seed(0)
    model = build(
        keras.Input((2,)), TASKS, [[dense] * 4], tower_units=(8,), task_data=task_data, seed=0,
        **settings,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01))
    (x, y), (x_test, y_test) = examples(1000, 0), examples(500, 1)
    if task_data == "separate":
        data = {task: (x, y[task]) for task in TASKS}
        model.fit(keras_mtl.task_batches(TASKS, data, 50, seed=0), epochs=30, verbose=0)
    else:
        model.fit(x, y, batch_size=50, epochs=30, verbose=0)
    for task, found in keras_mtl.freeze(model)(x_test).items():
        chosen = keras.ops.convert_to_numpy(found)[:, 0] > 0.5
        assert np.mean(chosen == y_test[task]) > 0.9, task  # half of them by chance
