"""Sub-networks with learned connections between them."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    dense,
    force_codes,
    head_of,
    network,
    softmax,
)

snr = partial(network, keras_mtl.build_snr)
one_of_each = pytest.mark.parametrize(
    ("connection", "task_data"), [("transform", "separate"), ("sum", "shared")]
)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def read(model, index, streams):
    """Returns what targets read of streams by the formulas of the paper."""
    routing = model.get_layer(f"routing_{index}")
    weights = {w.name: w.get_weights()[0] for w in routing.transforms}
    return [
        sum(
            code * x @ weights.get(f"transform_{target}_{source}", np.eye(x.shape[-1]))
            for source, (code, x) in enumerate(zip(row, streams, strict=True), start=1)
        )
        for target, row in enumerate(routing.matrix(), start=1)
    ]


def scrambled(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        scale = 3.0 if variable.path.endswith("logits") else 0.5
        variable.assign(scale * rng.normal(size=variable.shape))
    return model


@one_of_each
def test_two_lists_are_what_the_paper_says(task_data, connection):
    layers = [[dense] * 3, dense, [dense] * 2]
    model = snr(layers, connection=connection, task_data=task_data, tower_units=(5,))
    force_codes(scrambled(model), [[1, 0, 0.52], [0.5, 1, 0]], [[1, 0.48], [0, 1], [0.5, 0]])
    streams = [model.get_layer(f"component_1_{number}")(X) for number in (1, 2, 3)]
    streams = read(model, 1, [array(model.get_layer("layer_2")(x)) for x in streams])
    streams = [model.get_layer(f"component_2_{n}")(x) for n, x in enumerate(streams, start=1)]
    streams = read(model, 2, [array(x) for x in streams])
    found = answers(model)
    for task, (name, x) in enumerate(zip(TASKS, streams, strict=True)):
        kernel, bias = model.get_layer(f"tower_1_{task + 1}").get_weights()
        logits = np.maximum(x @ kernel + bias, 0) @ head_of(model, task, name)
        head = model.get_layer(name if task_data == "shared" else "heads")
        bias = head.get_weights()[1]
        bias = bias if task_data == "shared" else bias[[0, 2, 9, 13][task] :][: TASKS[name]]
        np.testing.assert_allclose(found[name], softmax(logits + bias), rtol=1e-5, atol=1e-6)


def same_weights(model, other):
    """Gives another network the sub-networks and heads of an SNR."""
    layers = [c for layer in other.layers for c in getattr(layer, "components", [layer])]
    for layer in layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())


def test_open_connections_are_a_shared_bottom_that_adds():
    model = force_codes(snr([[dense] * 4], connection="sum"))
    bottom = network(keras_mtl.build_shared_bottom, [[dense] * 4], combine="sum")
    same_weights(model, bottom)
    for training in (False, True):
        assert_equal_answers(answers(model, training=training), answers(bottom), 1e-5)


def test_a_connection_for_each_task_is_no_sharing():
    layers = [[dense] * 3, [dense] * 3]
    model = snr(layers, connection="sum")
    force_codes(model, np.eye(3), np.eye(3))
    alone = network(keras_mtl.build_no_sharing, layers)
    same_weights(model, alone)
    for training in (False, True):
        assert_equal_answers(answers(model, training=training), answers(alone), 1e-5)


# Training


@pytest.mark.slow
def test_it_learns_and_logs_the_penalty():
    model = snr(seed=0)
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    model.compile(keras.optimizers.Adam(0.03))
    history = model.fit(X, y, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    open_at_first = 1 / (1 + 11**-0.9)  # of every connection: 9 there, and 9 to the tasks
    assert history["l0_penalty"][0] == pytest.approx(1e-3 * 18 * open_at_first, rel=1e-3)


@pytest.mark.slow
def test_what_costs_too_much_is_closed_at_a_rate_of_its_own():
    model = snr([[dense] * 2], connection="sum", seed=0, penalty_weight=10.0)
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    before = array(model.get_layer("component_1_1").kernel)
    model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(1e-6), 0.2))
    model.fit(X, y, epochs=30, verbose=0)
    assert not model.get_layer("routing_1").matrix().any()
    np.testing.assert_allclose(array(model.get_layer("component_1_1").kernel), before, atol=1e-4)


# Freezing


@one_of_each
def test_a_frozen_task_goes_without_closed_connections_and_what_they_led_to(connection, task_data):
    model = snr([[dense] * 3, [dense] * 2], connection=connection, task_data=task_data)
    scrambled(model)
    force_codes(model, [[1, 0, 0], [0, 1, 0]], [[1, 0], [0.5, 1], [1, 0]])
    frozen = keras_mtl.freeze(model, "color")
    names = {layer.name for layer in frozen.layers}
    assert {n for n in names if n.startswith("component")} == {"component_1_1", "component_2_1"}
    kept = {"routing_1_transform_1_1", "routing_2_transform_1_1"}
    assert {n for n in names if "transform" in n} == (kept if connection == "transform" else set())
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    np.testing.assert_allclose(array(frozen(X)), answers(model)["color"], rtol=1e-5, atol=1e-6)
    report = keras_mtl.sharing_report(model)
    assert report.components == {"color": 2, "animal": 4, "shape": 2}
    assert report.unused == ("component_1_3",)
    assert report.parameters["color"] == frozen.count_params()
    assert report.kept_parameters == keras_mtl.freeze(model).count_params()


@one_of_each
def test_all_tasks_frozen_together_share_and_answer_as_evaluation_does(connection, task_data):
    model = scrambled(snr(connection=connection, task_data=task_data, tower_units=(5,)))
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    components = [layer for layer in frozen.layers if layer.name.startswith("component")]
    assert all(len(layer._inbound_nodes) == 1 for layer in components)
    found = {name: array(y) for name, y in frozen(X).items()}
    assert_equal_answers({name: found[name] for name in TASKS}, answers(model), 1e-5)


def test_a_task_that_reads_nothing_answers_the_same_to_all():
    model = force_codes(snr([[dense] * 2]), [[1, 0], [0, 0], [1, 1]])
    found = answers(model)["animal"]
    np.testing.assert_array_equal(found, np.tile(found[:1], (6, 1)))
    frozen = array(keras_mtl.freeze(model, "animal")(X))
    np.testing.assert_allclose(frozen, found, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_data", "connection"), [("shared", "transform"), ("separate", "sum")]
)
def test_padded_steps_are_ignored(task_data, connection):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    layers = [[lstm] * 2, [lstm] * 3, keras.layers.GlobalAveragePooling1D]
    model = keras_mtl.build_snr(
        keras.Input((None,), dtype="int32"), TASKS, layers,
        stem=[embed], connection=connection, task_data=task_data,
    )  # fmt: skip
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    short, long = answers(model, rows), answers(model, np.pad(rows, ((0, 0), (0, 2))))
    assert_equal_answers(short, long, 1e-5)
    frozen = keras_mtl.freeze(model)
    for x in (rows, np.pad(rows, ((0, 0), (0, 2)))):
        found = {name: array(y) for name, y in frozen(x).items()}
        assert_equal_answers({name: found[name] for name in TASKS}, short, 1e-5)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("layers", [[], [dense]])
def test_there_is_something_to_connect(layers):
    with refused("layers has no list of sub-networks, so there is nothing to connect"):
        snr(layers)


def test_settings_out_of_range_are_errors():
    with refused('connection must be "transform" or "sum". Received: \'aver\''):
        snr(connection="aver")
    with refused("penalty_weight must be a number of at least 0"):
        snr(penalty_weight=-1)
    with refused("stretch must be a pair"):
        snr(stretch=(0.1, 1.1))


def test_connections_know_their_own_tasks_only(task_data):
    with refused("Layer 'routing_1' of this one is made for its own tasks only"):
        keras_mtl.add_task(snr([[dense] * 4], task_data=task_data), "new", 3)
