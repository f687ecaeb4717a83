"""Comparisons of tasks that have examples of their own, and of networks that make their layers."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.comparison.data import as_data
from keras_mtl.tasks import as_tasks

dense = partial(keras.layers.Dense, 4, activation="tanh")
TASKS = {
    "animal": 3,
    "height": "regression",
    "place": keras_mtl.Task("regression", 2),
}


def examples(seed, number=10):
    rng, data = np.random.default_rng(seed), {}
    for index, name in enumerate(TASKS):
        x = rng.normal(size=(number + 4 * index, 3)).astype("float32")
        data[name] = (x, [rng.integers(-1, 3, len(x)), x[:, 0], x[:, 1:]][index])
    return data


def batches(seed, order="shuffled"):
    return keras_mtl.task_batches(TASKS, examples(seed), batch_size=4, seed=0, order=order)


def test_networks_of_one_task_see_its_examples_as_often():
    train = batches(0)
    own = train.of_task("place")
    assert len(train) == 3 * 5 and len(own) == 5
    seen = np.concatenate([own[index][0]["inputs"] for index in range(5)])
    expected = examples(0)["place"][0]
    assert {row.tobytes() for row in seen} == {row.tobytes() for row in expected}
    assert all(not own[index][0]["task_id"].any() for index in range(5))
    sequential = batches(0, "sequential").of_task("place")
    assert np.concatenate([y for _, y in sequential]).tolist() == expected[:, 1:].tolist()


def test_all_tasks_must_have_examples():
    few = keras_mtl.task_batches(TASKS, {"animal": examples(0)["animal"]}, batch_size=4, seed=0)
    with pytest.raises(ValueError, match="train must have labels of all.*has those of animal"):
        as_data("train", few, as_tasks(TASKS), "separate")


def test_scorers_see_each_tasks_own_columns():
    data = as_data("test", batches(1, "sequential"), as_tasks(TASKS), "separate")
    model = keras_mtl.build_shared_bottom(
        keras.Input((3,)), TASKS, [dense], task_data="separate", seed=0
    )
    frozen = keras_mtl.freeze(model)
    for name, y, answers in data.answers(frozen, model.tasks, 4):
        x, labels = examples(1)[name]
        known = labels >= 0 if name == "animal" else slice(None)
        assert y == pytest.approx(labels[known])
        expected = keras.ops.convert_to_numpy(frozen(x)[name])[known]
        assert answers == pytest.approx(expected.reshape(answers.shape), rel=1e-5, abs=1e-6)
        assert answers.shape == (len(y), 3) if name == "animal" else y.shape


@pytest.mark.slow
@pytest.mark.parametrize("scorers", [None, {"mean": lambda y, answers: answers.mean()}])
def test_tasks_with_examples_of_their_own(tmp_path, scorers):
    methods = {
        "bottom": keras_mtl.build_shared_bottom,
        "apart": keras_mtl.build_no_sharing,
        "random": keras_mtl.build_fixed_random,
    }
    found = keras_mtl.compare(
        methods, keras.Input((3,)), TASKS, [[dense] * 3],
        train=batches(0), validation=batches(1, "sequential"), test=batches(2, "sequential"),
        task_data="separate", seeds=1, epochs=1, folder=tmp_path, scorers=scorers, verbose=0,
    )  # fmt: skip
    assert found.methods == (*methods, "Single task")
    expected = {"animal": "accuracy", "height": "mae", "place": "mae"}
    assert found.metrics == (dict.fromkeys(TASKS, "mean") if scorers else expected)


@pytest.mark.slow
def test_networks_that_make_their_own_layers(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 4, 3)).astype("float32")
    data = (x, {"animal": np.arange(6) % 3, "height": x[:, 0, 0]})
    found = keras_mtl.compare(
        {"MT-RMN": partial(keras_mtl.build_recurrent_modular, num_cells=2, cell_units=3)},
        keras.Input((None, 3)), {"animal": 3, "height": "regression"},
        train=data, validation=data, test=data, seeds=1, epochs=1, folder=tmp_path, verbose=0,
    )  # fmt: skip
    assert found.methods == ("MT-RMN",)
    assert found.not_built["Single task"] == "'Single task' needs layers, but layers is None."
