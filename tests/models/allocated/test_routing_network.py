"""Each task takes one route through the components, and learns which."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.data import synthetic_bandits
from keras_mtl.layers import RoutingPolicy
from tests.gradients import gradients
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    force_routes,
    network,
)

ROUTES = [[2, 0], [1, 1], [1, 2]]  # T = 3 tasks, 2 routed layers of C = 3


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


@pytest.fixture(params=["example", "task"])
def draws(request):
    return request.param


one_of_each = pytest.mark.parametrize(
    ("task_data", "draws"), [("shared", "task"), ("separate", "example")]
)


def routed(layers=None, routes=None, **settings):
    model = network(keras_mtl.build_routing_network, layers, **{"seed": 0, **settings})
    if routes is not None:
        force_routes(model, routes)
    return model


def policies(model):
    return [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]


def test_a_sure_policy_is_the_composition_of_its_components(task_data, draws):
    model = routed(routes=ROUTES, task_data=task_data, draws=draws)
    found, drawn = answers(model), answers(model, training=True)
    for place, (name, size) in enumerate(TASKS.items()):
        features = X
        for index, choice in enumerate(ROUTES[place], start=1):
            features = model.get_layer(f"modular_{index}").components[choice](features)
        if task_data == "shared":
            expected = array(model.get_layer(name)(features))
        else:
            heads = model.get_layer("heads")
            expected = array(heads(features, np.full(6, place)))[:, :size]
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(drawn[name], expected, rtol=1e-5, atol=1e-6)


def test_batches_of_many_tasks_are_answered_as_those_of_one(draws):
    model = routed(routes=ROUTES, task_data="separate", draws=draws)
    task_id = np.array([2, 0, 1, 1, 0, 2], "int32")
    mixed = array(model({"inputs": X, "task_id": task_id}))
    for row, (task, answer) in enumerate(zip(task_id, mixed, strict=True)):
        size = list(TASKS.values())[task]
        alone = answers(model)[list(TASKS)[task]][row]
        np.testing.assert_allclose(answer[:size], alone, rtol=1e-5, atol=1e-6)


@one_of_each
def test_one_component_is_the_shared_bottom_and_equal_routes_too(task_data, draws):
    shared = network(keras_mtl.build_shared_bottom, [[dense], [dense]], task_data=task_data)
    alone = routed([[dense], [dense]], task_data=task_data, draws=draws)
    copy_weights(shared, alone)
    assert_equal_answers(answers(shared), answers(alone), 1e-5)
    several = routed(routes=[[0, 0]] * 3, task_data=task_data, draws=draws)
    for layer in shared.layers:
        if layer.name.startswith("component"):
            index = layer.name.split("_")[1]
            several.get_layer(f"modular_{index}").components[0].set_weights(layer.get_weights())
        elif layer.weights:
            several.get_layer(layer.name).set_weights(layer.get_weights())
    for training in (True, False):
        assert_equal_answers(answers(shared), answers(several, training=training), 1e-5)


@one_of_each
def test_routes_of_ones_own_are_no_sharing(task_data, draws):
    apart = network(keras_mtl.build_no_sharing, task_data=task_data)
    model = routed(routes=[[0, 0], [1, 1], [2, 2]], task_data=task_data, draws=draws)
    copy_weights(apart, model)
    for training in (True, False):
        assert_equal_answers(answers(apart), answers(model, training=training), 1e-5)


def test_components_nobody_visits_get_no_gradient(draws):
    model = routed(routes=ROUTES, task_data="separate", draws=draws)
    task_id = np.full(6, 1, "int32")
    components = [
        component
        for layer in ("modular_1", "modular_2")
        for component in model.get_layer(layer).components
    ]
    kernels = [component.kernel for component in components]
    found = gradients(
        lambda: ops.sum(model({"inputs": X, "task_id": task_id}, training=True)[:, 0]), kernels
    )
    visited = [bool(np.any(slope != 0)) for slope in found]
    assert visited == [False, True, False, False, True, False]


def test_the_policy_is_not_in_the_hands_of_the_optimizer():
    model = routed()
    assert not any("allocation" in variable.path for variable in model.trainable_variables)
    softmax = routed(projection="softmax")
    paths = [v.path for v in softmax.trainable_variables if "allocation" in v.path]
    assert paths == ["allocation_1/scores", "allocation_2/scores"]


def fitted(task_data, **settings):
    model = routed(task_data=task_data, policy_learning_rate=0.5, **settings)
    model.compile("adam")
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    if task_data == "separate":
        batches = keras_mtl.task_batches(TASKS, {n: (X, y[n]) for n in y}, batch_size=3, seed=0)
        model.fit(batches, epochs=3, verbose=0)
    else:
        model.fit(X, y, batch_size=3, epochs=3, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("projection", "draws"), [("clip", "example"), ("euclidean", "task"), ("softmax", "example")]
)
def test_a_trained_network_is_saved_with_its_routes_and_frozen_to_them(
    task_data, draws, projection, tmp_path
):
    model = fitted(task_data, draws=draws, projection=projection, collaboration=0.2)
    for probabilities in keras_mtl.allocation_probabilities(model):
        assert np.any(np.abs(probabilities - 1 / 3) > 1e-4)
        np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(3), rtol=1e-5)
    expected = answers(model)
    model.save(tmp_path / "routed.keras")
    loaded = keras.models.load_model(tmp_path / "routed.keras")
    assert_equal_answers(answers(loaded), expected)
    for one, other in zip(policies(model), policies(loaded), strict=True):
        for before, after in zip(one.weights, other.weights, strict=True):
            np.testing.assert_array_equal(array(before), array(after))
        assert one.get_config() == other.get_config()
    frozen = keras_mtl.freeze(model)
    outputs = {name: array(frozen(X)[name]) for name in TASKS}
    assert_equal_answers(outputs, expected, 1e-6)


@pytest.mark.slow
def test_the_best_of_noisy_arms_is_found():
    """Also by heads that answer the wrong way round at first, for which it is the worst."""
    tasks, train, _, chances = synthetic_bandits(8)
    arms = [partial(keras.layers.Cropping1D, (arm, 9 - arm)) for arm in range(10)]
    model = keras_mtl.build_routing_network(
        keras.Input((10, 1)), tasks, [arms, keras.layers.Flatten], task_data="separate", seed=0
    )
    kernel, _ = model.get_layer("heads").weights
    kernel.assign(np.array([[-1.0, 1.0] * 4], "float32"))
    model.compile(keras.optimizers.Adam(0.01))
    batches = keras_mtl.task_batches(tasks, train, batch_size=128, seed=0)
    model.fit(batches, epochs=60, verbose=0)
    (learned,) = keras_mtl.allocation_probabilities(model)
    assert np.all(learned[np.arange(8), chances.argmax(axis=1)] > 0.8)


def test_freezing_leaves_the_components_on_a_route():
    frozen = keras_mtl.freeze(routed(routes=ROUTES))
    names = {layer.name for layer in frozen.layers if layer.name.startswith("component")}
    assert names == {f"component_1_{n}" for n in (2, 3)} | {f"component_2_{n}" for n in (1, 2, 3)}
    alone = keras_mtl.freeze(routed(routes=ROUTES), "shape")
    names = {layer.name for layer in alone.layers if layer.name.startswith("component")}
    assert names == {"component_1_2", "component_2_3"}


def test_settings_reach_every_routed_layer():
    settings = {
        "projection": "euclidean", "learner": "reinforce", "wpl_form": "swapped",
        "baseline": "action", "reward": "loss", "epsilon": 0.05, "draws": "task", "warm_up": 7,
    }  # fmt: skip
    layers = [[dense] * 3, [dense], dense, [dense] * 4]
    model = routed(layers, policy_learning_rate=0.4, collaboration=0.6, seed=5, **settings)
    configs = [policy.get_config() for policy in policies(model)]
    for config, seed, components in zip(configs, (6, 8), (3, 4), strict=True):
        expected = settings | {"learning_rate": 0.4, "collaboration": 0.3, "seed": seed}
        expected |= {"num_tasks": 3, "num_components": components}
        assert expected.items() <= config.items()


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="draws must be .example. or .task."):
        routed(draws="batch")
    with pytest.raises(ValueError, match="layers must be a list"):
        routed(partial(dense))


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_routing_network_takes_no_further_task(task_data):
    with pytest.raises(ValueError, match="made for its own tasks only"):
        keras_mtl.add_task(routed(task_data=task_data), "braille", 3)
