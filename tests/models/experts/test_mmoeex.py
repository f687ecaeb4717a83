"""Experts that serve one task only, or all but one."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.gradients import gradients
from tests.models.networks import TASKS, X, answers, array, assert_equal_answers, dense, network

mmoeex = partial(network, keras_mtl.build_mmoeex)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def closed(model, index=1):
    return model.get_layer(f"gates_{index}").closed.astype(int)


# Who serves whom


@pytest.mark.parametrize(("exclusivity", "marked"), [(0.0, 0), (0.3, 2), (0.5, 4), (1.0, 8)])
def test_marked_experts_serve_one_task_or_all_but_one(exclusivity, marked):
    settings = {"exclusivity": exclusivity, "seed": 0}
    only = closed(mmoeex([[dense] * 8], **settings))
    assert sorted(only.sum(axis=0)) == [0] * (8 - marked) + [2] * marked
    but_one = closed(mmoeex([[dense] * 8], mode="exclusion", **settings))
    assert sorted(but_one.sum(axis=0)) == [0] * (8 - marked) + [1] * marked


def test_tasks_are_dealt_out_evenly():
    own = 1 - closed(mmoeex([[dense] * 8], exclusivity=1))
    assert sorted(own.sum(axis=1)) == [2, 3, 3]


def test_lists_and_seeds_draw_apart_and_equal_seeds_alike():
    layers = [[dense] * 12] * 2
    model, same, other = (mmoeex(layers, seed=seed) for seed in (0, 0, 1))
    assert np.any(closed(model, 1) != closed(model, 2))
    np.testing.assert_array_equal(closed(model, 2), closed(same, 2))
    assert np.any(closed(model, 1) != closed(other, 1))


def test_what_was_drawn_is_saved(tmp_path, task_data):
    model = mmoeex([[dense] * 5], task_data=task_data)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert closed(model).any()
    np.testing.assert_array_equal(closed(loaded), closed(model))


# Limiting cases


def test_no_exclusivity_is_an_mmoe(task_data):
    layers = [[dense] * 4, [dense] * 3]
    model = mmoeex(layers, exclusivity=0, task_data=task_data)
    mmoe = network(keras_mtl.build_mmoe, layers, task_data=task_data)
    mmoe.set_weights(model.get_weights())
    assert_equal_answers(answers(model), answers(mmoe))


def test_an_exclusive_expert_for_each_task_is_no_sharing(task_data):
    model = mmoeex([[dense] * 3], exclusivity=1, task_data=task_data)
    owners = [list(TASKS)[task] for task in np.argmin(closed(model), axis=0)]
    own = network(keras_mtl.build_no_sharing, [[dense] * 3], partition=owners, task_data=task_data)
    for layer in own.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_equal_answers(answers(model), answers(own), 1e-5)
    frozen = keras_mtl.freeze(model, "animal")
    assert [layer.name for layer in frozen.layers if "gates" in layer.name] == []
    np.testing.assert_allclose(array(frozen(X)), answers(own)["animal"], rtol=1e-5, atol=1e-6)


# Learning


@pytest.mark.parametrize("mode", ["exclusivity", "exclusion"])
def test_an_expert_learns_nothing_from_tasks_that_it_is_closed_to(mode):
    model = mmoeex([[dense] * 5], mode=mode, exclusivity=0.7, seed=1)
    matrix = closed(model)
    for task, name in enumerate(TASKS):
        for expert, shut in zip(model.get_layer("modular_1").components, matrix[task], strict=True):
            slopes = gradients(
                lambda name=name: keras.ops.sum(model(X)[name] ** 2), expert.trainable_variables
            )
            assert all(np.any(slope != 0) == (not shut) for slope in slopes)


@pytest.mark.slow
def test_closed_gates_stay_closed_in_training():
    model = mmoeex([[dense] * 5], exclusivity=1, seed=0)
    model.compile(keras.optimizers.AdamW(0.1))
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    before, matrix = answers(model), closed(model)
    model.fit(X, y, epochs=3, verbose=0)
    assert np.any(answers(model)["animal"] != before["animal"])
    np.testing.assert_array_equal(closed(model), matrix)
    gates = keras.Model(model.input, model.get_layer("gates_1").output)
    weights = array(gates(X)).reshape(3, 6, 5)
    assert np.all(weights[matrix.astype(bool)[:, None].repeat(6, axis=1)] == 0)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((3, 6)), rtol=1e-5)


# Freezing


def test_a_frozen_task_goes_without_closed_experts(task_data):
    model = mmoeex([[dense] * 6], exclusivity=0.7, seed=2, task_data=task_data)
    report = keras_mtl.sharing_report(model)
    np.testing.assert_array_equal(report.usage, closed(model) == 0)
    for task, row in zip(TASKS, closed(model), strict=True):
        frozen = keras_mtl.freeze(model, task)
        left = [layer.name for layer in frozen.layers if layer.name.startswith("component")]
        assert sorted(left) == [f"component_1_{place + 1}" for place in np.flatnonzero(row == 0)]
        assert report.parameters[task] == frozen.count_params()
        np.testing.assert_allclose(array(frozen(X)), answers(model)[task], rtol=1e-5, atol=1e-6)


# Errors


@pytest.mark.parametrize("exclusivity", [-0.1, 1.5, float("nan")])
def test_exclusivity_is_a_fraction(exclusivity):
    with pytest.raises(ValueError, match=r"exclusivity must be a number in \[0, 1\]"):
        mmoeex([[dense] * 5], exclusivity=exclusivity)


def test_the_mode_is_one_of_two_words():
    with pytest.raises(ValueError, match='mode must be "exclusivity" .* or "exclusion" .*\'both\''):
        mmoeex([[dense] * 5], mode="both")


@pytest.mark.parametrize(("mode", "tasks"), [("exclusivity", TASKS), ("exclusion", {"animal": 7})])
def test_every_task_keeps_an_expert(mode, tasks):
    wanted = f"Task '.*' is left without an expert in list 2 of `layers`: the {mode} of its 2"
    with pytest.raises(ValueError, match=wanted + ".*Lower exclusivity, or give more experts"):
        mmoeex([[dense], [dense] * 2], tasks=tasks, mode=mode, exclusivity=1)
