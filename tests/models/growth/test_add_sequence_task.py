"""A new task on a star of LSTMs (IC-MTL) and on a recursive routing network (RRN)."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.growth.test_add_recurrent_task import TASKS, X, answer, train_on

EMBED = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
WORDS = np.array([[3, 5, 0], [7, 0, 0], [2, 2, 6], [1, 4, 0], [5, 6, 7], [8, 8, 8]])
BUILD = {
    "star": partial(keras_mtl.build_communicating, graph="star", units=4),
    "routed": partial(
        keras_mtl.build_recursive_routing, units=4, num_functions=3,
        stem=[partial(keras.layers.Dense, 16)],
    ),
}  # fmt: skip
OWN = {"star": {"lstm_3"}, "routed": {"routed_lstm"}}


@pytest.fixture(params=BUILD)
def name(request):
    return request.param


@pytest.fixture(params=[pytest.param("shared", marks=pytest.mark.slow), "separate"])
def task_data(request):
    return request.param


def network(name, task_data, inputs=None, **settings):
    inputs = keras.Input((3, 5)) if inputs is None else inputs
    model = BUILD[name](inputs, TASKS, task_data=task_data, seed=1, **settings)
    if name == "routed":
        model.get_layer("routed_lstm").logits.assign(8.0 * np.eye(3)[[[0, 1], [2, 0]]])
    return model


def test_old_tasks_answer_as_before(name):
    model = network(name, "separate")
    grown = keras_mtl.add_task(model, "language", 5)
    assert list(grown.tasks) == ["gambling", "motor", "language"]
    for task in TASKS:
        np.testing.assert_allclose(answer(grown, task), answer(model, task), atol=1e-6)


@pytest.mark.slow
def test_old_tasks_answer_as_before_also_after_training(name, task_data):
    model = network(name, task_data)
    old = {task: answer(model, task) for task in TASKS}
    grown = keras_mtl.add_task(model, "language", 5)
    before = answer(grown, "language")
    train_on(grown, "language")
    assert np.abs(answer(grown, "language") - before).max() > 1e-3
    for task in TASKS:
        np.testing.assert_allclose(answer(grown, task), old[task], atol=1e-6)


def test_the_new_task_trains_what_is_its_own(name, task_data):
    grown = keras_mtl.add_task(network(name, task_data), "language", 5)
    owners = {variable.path.split("/")[0] for variable in grown.trainable_variables}
    assert owners == OWN[name] | {"language" if task_data == "shared" else "heads"}
    num_own = {"star": 3 + 4, "routed": 1}  # an LSTM and its messages; routes
    assert len(grown.trainable_variables) == num_own[name] + 2


@pytest.mark.slow
def test_old_weights_stay_bit_for_bit(name, task_data):
    grown = keras_mtl.add_task(network(name, task_data), "language", 5)
    old = [v for v in grown.non_trainable_variables if "seed" not in v.path]
    before = [np.array(v.numpy()) for v in old]
    train_on(grown, "motor", epochs=1)  # also when an old task has labels
    train_on(grown, "language")
    for variable, value in zip(old, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


@pytest.mark.slow
def test_a_grown_network_is_saved_grown_again_and_frozen(name, task_data, tmp_path):
    grown = keras_mtl.add_task(network(name, task_data), "language", 5)
    train_on(grown, "language")
    grown.save(tmp_path / "grown.keras")
    loaded = keras.models.load_model(tmp_path / "grown.keras")
    assert len(loaded.trainable_variables) == len(grown.trainable_variables)
    again = keras_mtl.add_task(loaded, "social", 2)
    assert len(again.trainable_variables) == len(grown.trainable_variables)
    for task in grown.tasks:
        expected = answer(grown, task)
        np.testing.assert_allclose(answer(again, task), expected, atol=1e-6)
        frozen = keras.ops.convert_to_numpy(keras_mtl.freeze(again, task)(X))
        np.testing.assert_allclose(frozen, expected, atol=1e-6)


def test_padding_is_no_part_of_a_grown_star():
    model = network("star", "separate", keras.Input((None,), dtype="int32"), stem=[EMBED])
    grown = keras_mtl.add_task(model, "language", 5)
    found = answer(grown, "language", WORDS)
    longer = answer(grown, "language", np.pad(WORDS, ((0, 0), (0, 2))))
    np.testing.assert_allclose(longer, found, rtol=1e-6, atol=1e-6)


def test_only_routes_of_the_new_task_are_drawn():
    grown = keras_mtl.add_task(network("routed", "separate"), "language", 5)
    layer = grown.get_layer("routed_lstm")
    layer.row_blocks[0].assign(0.01 * layer.row_blocks[0])  # as good as undecided
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 3, 16)), 64, axis=0)
    for task, num_routes in ((0, 1), (1, 1), (2, 9)):
        states = layer(x, np.full(64, task), training=True)
        routes = np.unique(np.round(keras.ops.convert_to_numpy(states)[:, -1, 0], 5))
        assert (len(routes) == 1) == (num_routes == 1), task


def test_a_route_for_all_has_no_rows_for_a_new_task():
    model = BUILD["routed"](keras.Input((3, 5)), {"alone": 2})
    with pytest.raises(ValueError, match='no rows of its own for a second one.*"separate"'):
        keras_mtl.add_task(model, "language", 5)
