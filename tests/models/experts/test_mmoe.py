"""Experts that every task weighs for each example."""

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

mmoe = partial(network, keras_mtl.build_mmoe)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def set_gates(model, kernel=0.0, bias=0.0):
    """Gives the gates of every list the same kernel and bias."""
    for layer in model.layers:
        if isinstance(layer, keras_mtl.layers.TaskGates):
            layer.kernel.assign(np.broadcast_to(kernel, layer.kernel.shape))
            layer.bias.assign(np.broadcast_to(bias, layer.bias.shape))


def copy_by_name(source, target):
    for layer in target.layers:
        if layer.weights and not layer.name.startswith(("gates", "allocation")):
            layer.set_weights(source.get_layer(layer.name).get_weights())


# Values


def test_a_tower_reads_what_the_gate_makes_of_the_experts():
    model = mmoe([[dense] * 4], tower_units=(7, 6))
    experts = [array(e(X)) for e in model.get_layer("modular_1").components]
    kernel, bias = model.get_layer("gates_1").get_weights()
    for task, name in enumerate(TASKS):
        weights = softmax(X @ kernel[:, task] + bias[task])
        features = sum(w[:, None] * e for w, e in zip(weights.T, experts, strict=True))
        for depth in (1, 2):
            tower, start = model.get_layer(f"tower_{depth}_{task + 1}").get_weights()
            features = np.maximum(features @ tower + start, 0)
        head = softmax(features @ model.get_layer(name).get_weights()[0])
        np.testing.assert_allclose(answers(model)[name], head, rtol=1e-5, atol=1e-6)


def test_gates_of_a_later_list_read_what_the_task_has_come_to(task_data):
    model = mmoe([[dense] * 4, [dense] * 2], task_data=task_data)
    first, second = (model.get_layer(f"modular_{i}").components for i in (1, 2))
    gates = [model.get_layer(f"gates_{i}").get_weights() for i in (1, 2)]
    for task, name in enumerate(TASKS):
        features = X
        for experts, (kernel, bias) in zip((first, second), gates, strict=True):
            weights = softmax(features @ kernel[:, task] + bias[task])
            outputs = [array(expert(features)) for expert in experts]
            features = sum(w[:, None] * o for w, o in zip(weights.T, outputs, strict=True))
        if task_data == "shared":
            head = softmax(features @ model.get_layer(name).get_weights()[0])
            np.testing.assert_allclose(answers(model)[name], head, rtol=1e-5, atol=1e-6)
        else:
            kernel = model.get_layer("heads").get_weights()[0]
            start = [0, 2, 9, 13][task : task + 2]
            head = softmax(features @ kernel[:, slice(*start)])
            np.testing.assert_allclose(answers(model)[name], head, rtol=1e-5, atol=1e-6)


def test_the_same_input_is_weighed_differently_by_tasks():
    model = mmoe([[dense] * 4])
    features = keras.Model(model.input, model.get_layer("split_tasks").output)(X)
    first, second, _ = map(array, features)
    assert np.abs(first - second).max() > 1e-3


# Limiting cases


def test_uniform_gates_are_the_mean_of_the_experts():
    layers = [[dense] * 3, dense, [dense] * 2]
    model = mmoe(layers)
    mean = network(keras_mtl.build_shared_bottom, layers)
    set_gates(model)
    copy_by_name(model, mean)
    assert_equal_answers(answers(model), answers(mean), 1e-5)


def test_one_expert_is_a_shared_bottom():
    layers = [[dense], dense, [dense]]
    model = mmoe(layers)
    bottom = network(keras_mtl.build_shared_bottom, layers)
    copy_by_name(model, bottom)
    assert_equal_answers(answers(model), answers(bottom), 1e-5)
    assert not any(isinstance(layer, keras_mtl.layers.TaskGates) for layer in model.layers)


def test_gates_that_choose_one_expert_per_task_share_nothing():
    layers = [[dense] * 3, [dense] * 3]
    model = mmoe(layers)
    own = network(keras_mtl.build_no_sharing, layers)
    set_gates(model, bias=1000 * np.eye(3))
    copy_by_name(model, own)
    assert_equal_answers(answers(model), answers(own), 1e-5)


# Images and sequences


def test_images_and_experts_of_several_kinds():
    conv = partial(keras.layers.Conv2D, 4, 3, padding="same")
    block = lambda: keras.Sequential([conv(), keras.layers.ReLU()])  # noqa: E731
    layers = [[conv, block, conv], keras.layers.GlobalAveragePooling2D]
    model = keras_mtl.build_mmoe(keras.Input((8, 7, 2)), TASKS, layers)
    x = np.random.default_rng(1).normal(size=(6, 8, 7, 2)).astype("float32")
    kernel, bias = model.get_layer("gates_1").get_weights()
    experts = [array(e(x)).mean(axis=(1, 2)) for e in model.get_layer("modular_1").components]
    for task, name in enumerate(TASKS):
        weights = softmax(x.mean(axis=(1, 2)) @ kernel[:, task] + bias[task])
        features = sum(w[:, None] * e for w, e in zip(weights.T, experts, strict=True))
        expected = softmax(features @ model.get_layer(name).get_weights()[0])
        np.testing.assert_allclose(answers(model, x)[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("task_data", "steps"), [("shared", None), ("separate", 5)])
def test_experts_that_answer_every_step_have_a_gate_at_every_step(task_data, steps):
    lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
    layers = [[lstm] * 2, [partial(keras.layers.LSTM, 3)] * 2]
    model = keras_mtl.build_mmoe(keras.Input((steps, 5)), TASKS, layers, task_data=task_data)
    assert model.get_layer("gates_1").per_step and not model.get_layer("gates_2").per_step
    x = np.random.default_rng(1).normal(size=(6, 5, 5)).astype("float32")
    assert {name: y.shape for name, y in answers(model, x).items()} == {
        name: (6, size) for name, size in TASKS.items()
    }


@pytest.mark.parametrize("steps", [None, 5])
def test_experts_that_shorten_sequences_have_one_gate(steps):
    shorter = partial(keras.layers.Conv1D, 4, 3)
    model = keras_mtl.build_mmoe(
        keras.Input((steps, 5)), TASKS, [[shorter] * 2, keras.layers.GlobalAveragePooling1D]
    )
    assert not model.get_layer("gates_1").per_step


@pytest.mark.parametrize(("task_data", "keeps"), [("shared", True), ("separate", False)])
def test_padded_steps_are_ignored(task_data, keeps):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=keeps)
    layers = [[lstm] * 2, *([keras.layers.GlobalAveragePooling1D] if keeps else [])]
    tokens = keras.Input((None,), dtype="int32")
    model = keras_mtl.build_mmoe(tokens, TASKS, layers, stem=[embed], task_data=task_data)
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    short, long = answers(model, rows), answers(model, np.pad(rows, ((0, 0), (0, 2))))
    assert_equal_answers(short, long, 1e-5)
    frozen = keras_mtl.freeze(model)
    for x in (rows, np.pad(rows, ((0, 0), (0, 2)))):
        found = {name: array(y) for name, y in frozen(x).items()}
        assert_equal_answers({name: found[name] for name in TASKS}, short, 1e-5)


# Freezing, reports, later tasks


def test_a_frozen_network_has_a_dense_gate_for_each_task():
    model = mmoe([[dense] * 4, dense, [dense] * 2], tower_units=(5,))
    frozen = keras_mtl.freeze(model, "animal")
    gates = {layer.name: layer for layer in frozen.layers if layer.name.startswith("gates")}
    assert list(gates) == ["gates_1_2", "gates_2_2"]
    assert all(type(layer) is keras.layers.Dense for layer in gates.values())
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    np.testing.assert_allclose(array(frozen(X)), answers(model)["animal"], rtol=1e-5, atol=1e-6)


def test_the_report_agrees_with_freezing():
    model = mmoe([[dense] * 4], tower_units=(5,))
    report = keras_mtl.sharing_report(model)
    assert report.components == dict.fromkeys(TASKS, 4) and report.unused == ()
    for task, size in TASKS.items():
        assert report.parameters[task] == keras_mtl.freeze(model, task).count_params()
        multiply_adds = 4 * 5 * 4 + 5 * 4 + 4 * 5 + 5 * size  # experts, gate, tower, head
        assert report.flops[task] == 2 * multiply_adds
    assert report.kept_parameters == report.trained_parameters


def test_gates_know_their_own_tasks_only(task_data):
    with pytest.raises(ValueError, match="Layer 'gates_1' of this one is made for its own tasks"):
        keras_mtl.add_task(mmoe([[dense] * 4], task_data=task_data), "new", 3)


@pytest.mark.slow
def test_training_moves_the_gates(task_data):
    tasks = {"a": "binary", "b": "regression"}
    model = keras_mtl.build_mmoe(
        keras.Input((5,)), tasks, [[dense] * 3], tower_units=(6,), task_data=task_data, seed=0
    )
    before = array(model.get_layer("gates_1").kernel)
    model.compile(keras.optimizers.Adam(0.01))
    y = {"a": np.array([0, 1, np.nan, 1, 0, 1.0]), "b": np.arange(6.0)}
    if task_data == "shared":
        history = model.fit(X, y, epochs=2, verbose=0).history
    else:
        data = {task: (X, np.nan_to_num(labels)) for task, labels in y.items()}
        history = model.fit(
            keras_mtl.task_batches(tasks, data, batch_size=3), epochs=2, verbose=0
        ).history
    assert np.all(np.isfinite(history["loss"]))
    assert np.all(array(model.get_layer("gates_1").kernel) != before)
