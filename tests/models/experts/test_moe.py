"""A sparse gate for each example, which all tasks share."""

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
    network,
    softmax,
)

moe = partial(network, keras_mtl.build_moe)
PLAIN = {"top_k": None, "noise": False, "balance_weight": 0}


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


# Limiting cases


def test_one_gate_that_knows_the_task_is_an_mmoe_with_one_kernel(task_data):
    layers = [[dense] * 4, [dense] * 3]
    model = moe(layers, task_data=task_data, **PLAIN)
    mmoe = network(keras_mtl.build_mmoe, layers, task_data=task_data)
    for layer in mmoe.layers:
        if layer.name.startswith("gates"):
            one = model.get_layer(layer.name)
            one.by_task_rows["scores"].assign(
                np.random.default_rng(1).normal(size=one.by_task_rows["scores"].shape)
            )
            kernel = np.repeat(array(one.linear["scores"].kernel)[:, None], 3, axis=1)
            layer.set_weights([kernel, array(one.by_task_rows["scores"])])
        elif layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_equal_answers(answers(model), answers(mmoe), 1e-5)


def test_a_gate_without_the_task_gives_all_tasks_the_same_features():
    model = moe([[dense] * 4, dense, [dense] * 3], by_task=False, **PLAIN)
    assert not any(layer.name == "split_tasks" for layer in model.layers)
    experts = [array(e(X)) for e in model.get_layer("modular_1").components]
    kernel, bias = model.get_layer("gates_1").linear["scores"].get_weights()
    weights = softmax(X @ kernel + bias)
    wanted = sum(w[:, None] * e for w, e in zip(weights.T, experts, strict=True))
    found = keras.Model(model.input, model.get_layer("modular_1").output)(X)
    np.testing.assert_allclose(array(found), wanted, rtol=1e-5, atol=1e-6)


# Settings


def test_each_list_has_its_own_k():
    model = moe([[dense] * 4, dense, [dense], [dense] * 5], top_k=[3, None])
    assert [model.get_layer(f"gates_{i}").top_k for i in (1, 3)] == [3, None]


def test_lists_draw_apart():
    model = moe([[dense] * 40, [dense] * 40], seed=0, top_k=None)
    draws = []
    for width, name in ((5, "gates_1"), (4, "gates_2")):
        gates = model.get_layer(name)
        gates.set_weights([np.zeros(v.shape, v.dtype) for v in gates.weights])
        x = np.zeros((2, width), "float32")
        draws.append(array(gates(x, np.zeros(2, "int32"), training=True))[:2])
    first, second = draws
    assert np.all(first != second)


@pytest.mark.parametrize("top_k", [[], [2], [2, 2, 2]])
def test_a_list_of_k_has_an_entry_for_each_list_of_several_experts(top_k):
    wanted = f"top_k has {len(top_k)} entries, but `layers` has 2 lists of several experts"
    with pytest.raises(ValueError, match=wanted):
        moe([[dense] * 4, dense, [dense], [dense] * 5], top_k=top_k)


def test_k_is_a_number_that_the_list_has():
    with pytest.raises(ValueError, match="top_k must be an integer from 1 to 3"):
        moe([[dense] * 4, [dense] * 3], top_k=4)


# Training


@pytest.mark.slow
def test_logs_name_the_penalty_of_all_lists(task_data):
    model = moe([[dense] * 4, [dense] * 3], task_data=task_data, balance_weight=0.5, seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    rng = np.random.default_rng(0)
    y = {name: rng.integers(0, size, 6) for name, size in TASKS.items()}
    data = x = X
    if task_data == "separate":
        data = keras_mtl.task_batches(TASKS, {name: (X, y[name]) for name in y}, batch_size=6)
        history = model.fit(data, epochs=2, verbose=0).history
    else:
        history = model.fit(x, y, epochs=2, verbose=0).history
    assert np.all(np.array(history["balance_penalty"]) > 0)
    assert np.all(np.isfinite(history["loss"]))


# Freezing and later tasks


@pytest.mark.parametrize("by_task", [True, False])
def test_a_frozen_network_chooses_without_noise(task_data, by_task):
    model = moe([[dense] * 5, [dense] * 4], by_task=by_task, task_data=task_data)
    for layer in model.layers:
        if layer.name.startswith("gates"):
            rng = np.random.default_rng(3)
            layer.set_weights([rng.normal(size=v.shape).astype(v.dtype) for v in layer.weights])
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    found = {name: array(y) for name, y in frozen(X).items()}
    assert_equal_answers({name: found[name] for name in TASKS}, answers(model), 1e-5)
    gates = [layer for layer in frozen.layers if layer.name == "gates_1_scores"]
    assert len(gates) == 1  # one gate serves all tasks
    alone = keras_mtl.freeze(model, "animal")
    np.testing.assert_allclose(array(alone(X)), answers(model)["animal"], rtol=1e-5, atol=1e-6)


def test_gates_know_their_own_tasks_only():
    with pytest.raises(ValueError, match="Layer 'gates_1' of this one is made for its own tasks"):
        keras_mtl.add_task(moe([[dense] * 4]), "new", 3)


@pytest.mark.slow
def test_padded_steps_are_ignored(task_data):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    layers = [[lstm] * 3, [partial(keras.layers.LSTM, 3)] * 3]
    tokens = keras.Input((None,), dtype="int32")
    model = keras_mtl.build_moe(tokens, TASKS, layers, stem=[embed], task_data=task_data)
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    padded = np.pad(rows, ((0, 0), (0, 2)))
    short, short_penalties = answers(model, rows), list(map(array, model.losses))
    long, long_penalties = answers(model, padded), list(map(array, model.losses))
    assert_equal_answers(short, long, 1e-5)
    np.testing.assert_allclose(short_penalties, long_penalties, rtol=1e-4)
    found = {name: array(y) for name, y in keras_mtl.freeze(model)(padded).items()}
    assert_equal_answers({name: found[name] for name in TASKS}, short, 1e-5)
