"""A comparison of networks with funnels."""

from functools import partial

import keras
import numpy as np

import keras_mtl
from keras_mtl import Task
from keras_mtl.comparison.data import as_data
from keras_mtl.comparison.methods import Given
from keras_mtl.tasks import as_tasks

dense = partial(keras.layers.Dense, 3)
TASKS = as_tasks({"click": "binary", "buy": Task("binary", given="click", estimator="ipw")})
NAN = float("nan")
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = {"click": [1, 1, 0, 0, NAN, 1, 0, 1], "buy": [[1], [0], [NAN], [NAN], [NAN], [0], [0], [1]]}


def test_the_network_of_a_child_alone_has_the_joint_label():
    data = as_data("train", (X, Y), TASKS, "shared").of_task("buy")
    np.testing.assert_array_equal(data.y["buy"], [1, 0, 0, 0, NAN, 0, 0, 1])
    own = Given(keras.Input((3,)), TASKS, [dense], {}).of_task("buy")
    assert own.tasks == {"buy": Task("binary")}


def test_all_methods_are_scored_on_the_joint_label(tmp_path):
    seen = {}

    def score(y, answers):
        seen.setdefault(len(y), []).append(y.tolist())
        return np.mean((y - answers) ** 2)

    data = (X, Y)
    comparison = keras_mtl.compare(
        {"bottom": keras_mtl.build_shared_bottom}, keras.Input((3,)), TASKS, [[dense] * 2],
        train=data, validation=data, test=data, folder=tmp_path, seeds=1, epochs=1, verbose=0,
        scorers={"squared error": score},
    )  # fmt: skip
    assert set(comparison.methods) == {"bottom", "Single task", "No sharing", "Fixed random"}
    assert all(labels in ([1, 1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1]) for labels in seen[7])
