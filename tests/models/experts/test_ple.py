"""Experts of tasks of their own beside shared ones, level by level."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.models.experts.ple import closed_to
from tests.gradients import gradients
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    dense,
    head_of,
    network,
    softmax,
)

ple = partial(network, keras_mtl.build_ple)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def level(model, index, streams, own):
    """Returns the streams after a list of experts by the formulas of the paper.

    Args:
        own: How many experts each of 3 tasks has; those that are left are shared.
    """
    experts = model.get_layer(f"experts_{index}").components
    reads = [number // own if number < 3 * own else 3 for number in range(len(experts))]
    outputs = [array(e(streams[read])) for e, read in zip(experts, reads, strict=True)]
    after = []
    for place, gate in enumerate(model.get_layer(f"gates_{index}").gates):
        seen = [
            o for o, read in zip(outputs, reads, strict=True) if place == 3 or read in (place, 3)
        ]
        kernel, bias = gate.get_weights()
        weights = softmax(streams[place] @ kernel + bias)
        after.append(sum(w[:, None] * o for w, o in zip(weights.T, seen, strict=True)))
    return after


@pytest.mark.parametrize(("task_data", "own"), [("shared", 2), ("separate", 1)])
def test_two_levels_are_what_the_paper_says(task_data, own):
    layers = [[dense] * (3 * own + 2), dense, [dense] * (3 * own + 1)]
    model = ple(layers, task_experts=own, task_data=task_data)
    streams = level(model, 1, [X] * 4, own)
    assert len(streams) == 4
    streams = level(model, 2, [array(model.get_layer("layer_2")(s)) for s in streams], own)
    assert len(streams) == 3  # what is shared ends with the last list
    found = answers(model)
    for task, name in enumerate(TASKS):
        expected = softmax(streams[task] @ head_of(model, task, name))
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_one_level_is_an_mmoe_whose_gates_are_closed_to_others_experts():
    one_level = ple([[dense] * 5], tower_units=(6,))
    names = ["color", "animal", "shape"]
    gates = keras_mtl.layers.TaskGates(3, 5, closed_to(names, 5, 1, 1)[:3], rows="shared")
    gates(X, np.repeat(np.arange(3), 6))
    kernel, bias = np.zeros((5, 3, 5)), np.zeros((3, 5))
    for task, gate in enumerate(one_level.get_layer("gates_1").gates):
        kernel[:, task, [task, 3, 4]], bias[task, [task, 3, 4]] = gate.get_weights()
    gates.set_weights([kernel, bias])
    experts = one_level.get_layer("experts_1").components
    modular = keras_mtl.layers.Modular(experts, "sum", num_repeats=3)
    wanted = np.split(array(modular(X, gates(X, np.repeat(np.arange(3), 6)))), 3)
    found = keras.Model(one_level.input, one_level.get_layer("experts_1").output)(X)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array(one), other, rtol=1e-5, atol=1e-6)


def test_a_list_of_one_is_passed_by_all_tasks():
    layers = [[dense], dense]
    model = ple(layers)
    bottom = network(keras_mtl.build_shared_bottom, layers)
    for layer in bottom.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights()) if layer.weights else None
    assert_equal_answers(answers(model), answers(bottom))


def learning(model, component, task):
    """Returns whether an expert learns from a task."""
    slopes = gradients(lambda: keras.ops.sum(model(X)[task] ** 2), component.trainable_variables)
    return all(np.any(slope != 0) for slope in slopes)


@pytest.mark.slow
def test_a_tasks_own_experts_learn_from_it_alone_unless_what_is_shared_passes_them_on():
    model = ple([[dense] * 4, [dense] * 4])
    first, second = (model.get_layer(f"experts_{i}").components for i in (1, 2))
    for task, name in enumerate(TASKS):
        for number in range(4):
            assert learning(model, second[number], name) == (number in (task, 3))
            assert learning(model, first[number], name)


# Freezing


def test_a_frozen_task_goes_without_the_others_experts_and_gates():
    model = ple([[dense] * 4], tower_units=(5,))
    frozen = keras_mtl.freeze(model, "animal")
    names = {layer.name for layer in frozen.layers}
    assert {"component_1_2", "component_1_4", "gates_1_2"} <= names
    assert not {"component_1_1", "component_1_3", "gates_1_1", "gates_1_3"} & names
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    np.testing.assert_allclose(array(frozen(X)), answers(model)["animal"], rtol=1e-5, atol=1e-6)


def test_what_tasks_share_is_computed_once_when_frozen():
    model = ple([[dense] * 5, [dense] * 4])
    frozen = keras_mtl.freeze(model)
    assert frozen.count_params() == model.count_params()
    layers = [layer for layer in frozen.layers if layer.name.startswith(("component", "gates"))]
    assert len(layers) == 5 + 4 + 4 + 3
    assert all(len(layer._inbound_nodes) == 1 for layer in layers)
    report = keras_mtl.sharing_report(model)
    assert report.kept_parameters == report.trained_parameters == model.count_params()
    assert report.components == dict.fromkeys(TASKS, 5 + 2)
    for task in TASKS:
        assert report.parameters[task] == keras_mtl.freeze(model, task).count_params()


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
def test_padded_steps_are_ignored(task_data, keeps):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    last = partial(keras.layers.LSTM, 3, return_sequences=keeps)
    layers = [[lstm] * 4, [last] * 4, *([keras.layers.GlobalAveragePooling1D] if keeps else [])]
    tokens = keras.Input((None,), dtype="int32")
    model = keras_mtl.build_ple(tokens, TASKS, layers, stem=[embed], task_data=task_data)
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    short, long = answers(model, rows), answers(model, np.pad(rows, ((0, 0), (0, 2))))
    assert_equal_answers(short, long, 1e-5)
    frozen = keras_mtl.freeze(model)
    for x in (rows, np.pad(rows, ((0, 0), (0, 2)))):
        found = {name: array(y) for name, y in frozen(x).items()}
        assert_equal_answers({name: found[name] for name in TASKS}, short, 1e-5)


def test_images():
    conv = partial(keras.layers.Conv2D, 4, 3, padding="same", activation="relu")
    layers = [[conv] * 4, partial(keras.layers.AveragePooling2D, 2), [conv] * 5]
    layers += [keras.layers.GlobalAveragePooling2D]
    model = keras_mtl.build_ple(keras.Input((8, 6, 2)), TASKS, layers)
    x = np.random.default_rng(1).normal(size=(6, 8, 6, 2)).astype("float32")
    frozen = {name: array(y) for name, y in keras_mtl.freeze(model)(x).items()}
    assert_equal_answers(answers(model, x), {name: frozen[name] for name in TASKS}, 1e-5)


# Errors


@pytest.mark.parametrize(("number", "own"), [(3, 1), (2, 1), (6, 2)])
def test_a_list_has_an_expert_for_each_task_and_a_shared_one(number, own):
    wanted = f"List 2 of `layers` has {number} experts, but 3 tasks with {own} of their own each .*"
    with pytest.raises(ValueError, match=f"{wanted}need {3 * own}, and at least one shared"):
        ple([[dense] * 7, [dense] * number], task_experts=own)


def test_tasks_have_an_expert():
    with pytest.raises(
        ValueError, match="task_experts must be an integer of at least 1. Received: 0"
    ):
        ple([[dense] * 4], task_experts=0)


def test_experts_know_their_own_tasks_only():
    with pytest.raises(ValueError, match="Layer 'gates_1' of this one is made for its own tasks"):
        keras_mtl.add_task(ple([[dense] * 4]), "new", 3)
