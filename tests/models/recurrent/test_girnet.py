from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import build_girnet
from tests.models.networks import array, assert_equal_answers, copy_weights
from tests.models.recurrent_networks import (
    LABELS,
    MIXED,
    PADDED,
    SENTENCES,
    answered,
    assert_frozen,
    assert_learns,
    last,
    predicted,
    reads,
)
from tests.models.recurrent_networks import network as built
from tests.models.tower_networks import (
    TAGS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    called,
    paths_reached,
    reloaded,
)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(tasks=SENTENCES, primary="topic", **settings):
    """Builds a small network; of three tasks the second is the primary one."""
    return built(build_girnet, tasks, **{"units": 3, "gate_units": 2} | settings, primary=primary)


def alone(model, index):
    """Returns the states of an auxiliary LSTM that runs alone."""
    stock = keras.layers.LSTM(3, return_sequences=True)
    x = reads(model, "stem_1")
    stock.build(x.shape)
    stock.set_weights(model.get_layer("composite").lstms[index].get_weights())
    return array(stock(x, mask=PADDED != 0))


def open_gate(model, gate):
    """Makes one gate 1 at every step."""
    kernel, bias = model.get_layer("gates").get_weights()
    model.get_layer("gates").set_weights([0 * kernel, 100 * np.eye(len(bias))[gate]])
    return model


# Who reads what


def test_auxiliary_tasks_read_lstms_of_their_own():
    model = network()
    found = answered(model)
    for index, task in enumerate(["mood", "stars"]):
        expected = predicted(model, task, last(alone(model, index)))
        np.testing.assert_allclose(found[task], expected, rtol=1e-5, atol=1e-6)


def test_the_primary_task_reads_the_lstm_whose_gate_is_open():
    model = network()
    for gate in (1, 2):
        open_gate(model, gate)
        expected = predicted(model, "topic", last(alone(model, gate - 1)))
        found = array(called(model, PADDED)["topic"])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_primary_task_reads_the_composite_state():
    model = network()
    gates = reads(model, "gates")
    np.testing.assert_allclose(gates.sum(axis=-1), np.ones((6, 4)), rtol=1e-6)
    assert np.ptp(gates) > 0.1
    states = model.get_layer("composite")(reads(model, "stem_1"), gates, mask=PADDED != 0)
    expected = predicted(model, "topic", last(array(states)))
    np.testing.assert_allclose(answered(model)["topic"], expected, rtol=1e-5, atol=1e-6)


def test_a_state_that_stands_still_knows_nothing():
    model = open_gate(network(), 0)
    expected = predicted(model, "topic", np.zeros((6, 3)))
    np.testing.assert_allclose(answered(model)["topic"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_primary_loss_reaches_auxiliary_lstms_and_an_auxiliary_loss_its_own():
    model = network()

    def parts(task):
        paths = paths_reached(model, task, PADDED)
        return {part for part in ("lstm_1", "lstm_2", "gate") if any(part in p for p in paths)}

    assert parts("topic") == {"lstm_1", "lstm_2", "gate"}
    assert parts("mood") == {"lstm_1"}
    assert parts("stars") == {"lstm_2"}


# Both forms of data, steps, padding


@pytest.mark.slow
def test_both_forms_of_data_answer_equally_with_equal_weights():
    shared, separate = network(), network(task_data="separate")
    copy_weights(shared, separate)
    assert_equal_answers(answered(shared), answered(separate), 1e-5)


def test_tasks_per_step_and_others_stand_side_by_side():
    model = network(MIXED, primary="pos")
    found = answered(model)
    assert {task: y.shape for task, y in found.items()} == {
        "mood": (6, 1), "pos": (6, 4, 5), "topic": (6, 4)
    }  # fmt: skip
    states = model.get_layer("composite")(
        reads(model, "stem_1"), reads(model, "gates"), mask=PADDED != 0
    )
    expected = predicted(model, "pos", array(states))
    np.testing.assert_allclose(found["pos"], expected, rtol=1e-5, atol=1e-6)


def test_padded_steps_change_nothing():
    assert_padding_is_ignored(network(TAGS, primary="pos", task_data="separate"))


# Training, files, freezing


@pytest.mark.slow
def test_it_learns(task_data):
    assert_learns(network(task_data=task_data))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "task_data"), [("mixed_float16", "shared"), ("mixed_bfloat16", "separate")]
)
def test_half_precision_trains(policy, task_data):
    assert_trains_in(policy, partial(network, task_data=task_data), PADDED, LABELS)


@pytest.mark.slow
def test_networks_are_saved(tmp_path, task_data):
    model = network(task_data=task_data)
    assert_equal_answers(answered(reloaded(model, tmp_path)), answered(model), 0)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [SENTENCES, TAGS], ids=["last", "steps"])
def test_frozen_auxiliary_tasks_are_stock_lstms(tasks, task_data):
    primary = list(tasks)[1]
    model = network(tasks, primary=primary, task_data=task_data)
    assert_frozen(model, {task: {"composite"} if task == primary else set() for task in tasks})
    auxiliary = keras_mtl.freeze(model, list(tasks)[0])
    lstms = [layer.name for layer in auxiliary.layers if isinstance(layer, keras.layers.LSTM)]
    assert lstms == ["composite_lstm_1"]


def test_seeds_reproduce():
    def make(seed):
        tokens = keras.Input((7, 5))
        return build_girnet(tokens, SENTENCES, primary="topic", units=3, seed=seed)

    assert_seeds_reproduce(make)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_the_primary_task_is_one_of_the_tasks():
    with refused("primary names 'pos', which is no task. Tasks: mood, topic, stars"):
        network(primary="pos")


def test_there_is_an_auxiliary_task():
    with refused("GIRNet needs auxiliary tasks beside the primary task 'topic'"):
        network({"topic": 4})


@pytest.mark.parametrize(
    ("inputs", "received"),
    [
        (keras.Input((5,)), r"\(None, 5\)"),
        ({"left": keras.Input((7, 5)), "right": keras.Input((7, 5))}, r"\(None, 7, 5\), \(None"),
    ],
    ids=["vector", "two"],
)
def test_one_sequence_is_read(inputs, received):
    with refused(rf"reads one sequence, \(batch, steps, features\).*Received: {received}"):
        build_girnet(inputs, SENTENCES, primary="topic")
