from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import build_communicating, build_no_sharing
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
    TOKENS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    embed,
    paths_reached,
    reloaded,
)

LSTMS = ["lstm_1", "lstm_2", "lstm_3"]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


@pytest.fixture(params=["complete", "star"])
def graph(request):
    return request.param


def network(tasks=SENTENCES, **settings):
    return built(build_communicating, tasks, **{"units": 3} | settings)


def alone(lstm, x):
    """Returns what a stock LSTM with the weights of another answers to padded sentences."""
    stock = layers.LSTM(3, return_sequences=True)
    stock.build(x.shape)
    stock.set_weights(lstm.get_weights())
    return array(stock(x, mask=PADDED != 0))


# Who hears whom


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_in_a_complete_graph_a_task_hears_the_plain_lstms_of_all_others(place):
    model, task = network(), list(SENTENCES)[place]
    x = reads(model, "stem_1")
    lstms = [model.get_layer(name) for name in LSTMS]
    receiver = lstms.pop(place)
    messages = [alone(sender.lstm, x) for sender in lstms]
    states = array(receiver(x, messages, mask=PADDED != 0))
    expected = predicted(model, task, last(states))
    np.testing.assert_allclose(answered(model)[task], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_in_a_star_all_tasks_hear_the_shared_lstm():
    model = network(graph="star")
    x = reads(model, "stem_1")
    messages = alone(model.get_layer("shared_lstm"), x)
    found = answered(model)
    for name, task in zip(LSTMS, SENTENCES, strict=True):
        states = array(model.get_layer(name)(x, messages, mask=PADDED != 0))
        expected = predicted(model, task, last(states))
        np.testing.assert_allclose(found[task], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_loss_reaches_the_lstms_that_send_and_not_what_they_hear():
    complete, star = network(), network(graph="star")

    def reached(model):
        paths = {tuple(path.split("/")[:2]) for path in paths_reached(model, "topic", PADDED)}
        heard = {name for name, inner in paths if inner in ("message_kernel", "attention_kernel")}
        return {name for name, _ in paths if "lstm" in name}, heard

    assert reached(complete) == (set(LSTMS), {"lstm_2"})
    assert reached(star) == ({"shared_lstm", "lstm_2"}, {"lstm_2"})


@pytest.mark.slow
def test_of_two_tasks_each_has_the_others_whole_attention():
    model = network(TAGS)
    paths = paths_reached(model, "pos", TOKENS)
    assert any("message_kernel" in path for path in paths)
    assert not any("attention" in path for path in paths)
    assert any("attention" in path for path in paths_reached(network(), "topic", TOKENS))


# Limiting cases


@pytest.mark.slow
def test_messages_of_no_weight_leave_an_lstm_per_task(graph, task_data):
    model = network(graph=graph, task_data=task_data)
    apart = build_no_sharing(
        keras.Input((None,), dtype="int32"), SENTENCES, [[partial(layers.LSTM, 3)] * 3],
        stem=[embed], task_data=task_data,
    )  # fmt: skip
    for name in ["stem_1", *(SENTENCES if task_data == "shared" else ["heads"])]:
        apart.get_layer(name).set_weights(model.get_layer(name).get_weights())
    for name, component in zip(LSTMS, apart.get_layer("modular_1").components, strict=True):
        component.set_weights(model.get_layer(name).lstm.get_weights())
    assert np.abs(answered(model)["mood"] - answered(apart)["mood"]).max() > 1e-3
    for name in LSTMS:
        model.get_layer(name).message_kernel.assign(np.zeros((3, 3)))
    assert_equal_answers(answered(model), answered(apart), 1e-5)


def test_one_task_listens_to_the_middle_of_a_star():
    model = network({"topic": 4}, graph="star")
    assert {layer.name for layer in model.layers} >= {"shared_lstm", "lstm_1"}
    assert answered(model)["topic"].shape == (6, 4)


# Both forms of data, steps, padding


@pytest.mark.slow
def test_both_forms_of_data_answer_equally_with_equal_weights(graph):
    shared, separate = network(graph=graph), network(graph=graph, task_data="separate")
    copy_weights(shared, separate)
    assert_equal_answers(answered(shared), answered(separate), 1e-5)


def test_tasks_per_step_and_others_stand_side_by_side():
    model = network(MIXED)
    found = answered(model)
    assert {task: y.shape for task, y in found.items()} == {
        "mood": (6, 1), "pos": (6, 4, 5), "topic": (6, 4)
    }  # fmt: skip
    states = np.stack(
        [found["pos"][row, step - 1] for row, step in enumerate((PADDED != 0).sum(1))]
    )
    assert np.ptp(states, axis=0).min() > 1e-4


@pytest.mark.parametrize(("graph", "task_data"), [("complete", "shared"), ("star", "separate")])
def test_padded_steps_change_nothing(graph, task_data):
    assert_padding_is_ignored(network(TAGS, graph=graph, task_data=task_data))


# Training, files, freezing


@pytest.mark.slow
def test_it_learns(graph, task_data):
    assert_learns(network(graph=graph, task_data=task_data))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "graph", "task_data"),
    [("mixed_float16", "star", "shared"), ("mixed_bfloat16", "complete", "separate")],
)
def test_half_precision_trains(policy, graph, task_data):
    make = partial(network, graph=graph, task_data=task_data)
    assert_trains_in(policy, make, PADDED, LABELS)


@pytest.mark.slow
def test_networks_are_saved(tmp_path, graph, task_data):
    model = network(graph=graph, task_data=task_data)
    assert_equal_answers(answered(reloaded(model, tmp_path)), answered(model), 0)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [SENTENCES, TAGS], ids=["last", "steps"])
def test_frozen_networks_hold_the_lstms_that_a_task_needs(tasks, graph, task_data):
    model = network(tasks, graph=graph, task_data=task_data)
    names = LSTMS[: len(tasks)]
    kept = {
        task: set(names) if graph == "complete" else {name}
        for task, name in zip(tasks, names, strict=True)
    }
    assert_frozen(model, kept)


def test_seeds_reproduce(graph):
    def make(seed):
        return build_communicating(keras.Input((7, 5)), SENTENCES, graph=graph, units=2, seed=seed)

    assert_seeds_reproduce(make)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_an_unknown_graph_is_an_error():
    with refused('graph must be "complete" or "star". Received: \'ring\''):
        network(graph="ring")


def test_one_task_has_nobody_to_hear_in_a_complete_graph():
    with refused(r"\['topic'\] is one task. Give more tasks, or use graph=\"star\""):
        network({"topic": 4})


def test_one_sequence_is_read():
    with refused(r"reads one sequence, \(batch, steps, features\).*Received: \(None, 5\)"):
        build_communicating(keras.Input((5,)), SENTENCES)
