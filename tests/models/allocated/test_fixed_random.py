import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.networks import TASKS, X, answers, assert_equal_answers, copy_weights, dense
from tests.models.networks import network as network_of

LAYERS = [[dense] * 3, [dense], dense, [dense] * 4]


def network(layers=LAYERS, **settings):
    return network_of(keras_mtl.build_fixed_random, layers, **settings)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def test_routes_say_which_component_a_task_uses(task_data):
    model = network(routes=[[2, 3], [0, 0], [0, 1]], task_data=task_data)
    first, second = keras_mtl.allocation(model)
    np.testing.assert_array_equal(first, np.eye(3)[[2, 0, 0]])
    np.testing.assert_array_equal(second, np.eye(4)[[3, 0, 1]])


def test_routes_of_zeros_are_a_shared_bottom_and_others_are_not(task_data):
    shared = network_of(keras_mtl.build_shared_bottom, [[dense]], task_data=task_data)
    routed = network([[dense] * 3], routes=np.zeros((3, 1), int), task_data=task_data)
    component = shared.get_layer("component_1_1")
    routed.get_layer("modular_1").components[0].set_weights(component.get_weights())
    for layer in shared.layers:
        if layer.weights and layer is not component:
            routed.get_layer(layer.name).set_weights(layer.get_weights())
    assert_equal_answers(answers(shared), answers(routed), 1e-5)


def test_routes_of_ones_own_are_no_sharing(task_data):
    apart = network_of(keras_mtl.build_no_sharing, task_data=task_data)
    routed = network([[dense] * 3] * 2, routes=[[0, 0], [1, 1], [2, 2]], task_data=task_data)
    copy_weights(apart, routed)
    assert_equal_answers(answers(apart), answers(routed), 1e-5)


def test_balanced_components_serve_equally_many_tasks_and_differ_by_seed():
    tasks = {f"t{number}": 2 for number in range(11)}
    matrices = [
        keras_mtl.allocation(network([[dense] * 4], tasks=tasks, balanced=True, seed=seed))[0]
        for seed in range(5)
    ]
    for matrix in matrices:
        assert sorted(matrix.sum(axis=0)) == [2, 3, 3, 3]
        np.testing.assert_array_equal(matrix.sum(axis=1), np.ones(11))
    assert len({matrix.tobytes() for matrix in matrices}) == 5
    assert len({tuple(matrix.sum(axis=0)) for matrix in matrices}) > 1


@pytest.mark.slow
def test_components_on_no_route_are_not_trained_and_the_rest_is_trained_in_peace():
    model = network(routes=[[2, 3], [0, 0], [0, 1]])
    model.compile("adam")
    before = model.get_layer("modular_1").get_weights()
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    model.fit(X, y, verbose=0)  # warnings are errors
    after = model.get_layer("modular_1").get_weights()
    changed = [bool(np.any(one != two)) for one, two in zip(before, after, strict=True)]
    assert changed == [True, True, False, False, True, True]


def test_statistics_of_a_batch_are_those_of_the_tasks_that_are_sent_to_it():
    def block():
        return keras.Sequential(
            [keras.layers.Dense(4), keras.layers.BatchNormalization(momentum=0.0)]
        )

    model = network([[block] * 3] * 2, routes=[[0, 0], [1, 1], [2, 2]])
    model(X, training=True)
    features = keras.Model(model.input, model.get_layer("modular_1").output)(X, training=True)
    features = keras.ops.convert_to_numpy(features).reshape(3, 6, 4)
    for task, component in enumerate(model.get_layer("modular_2").components):
        linear, statistics = component.layers
        expected = keras.ops.convert_to_numpy(linear(features[task])).mean(axis=0)
        np.testing.assert_allclose(statistics.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("settings", "message"), [
    ({"routes": [[0, 0], [1, 1]]}, r"each of 3 tasks and a column for each of 2 lists of several"),
    ({"routes": [[0.0, 0], [1, 1], [1, 1]]}, "must be whole numbers, indices of components from 0"),
    ({"routes": [[0, 0], [1, 4], [1, 1]]},
     "sends task 'animal' to component 4 of modular layer 3, which has 4 components: 0 to 3"),
    ({"routes": [[0, 0], [1, 1], [-1, 1]]},
     "sends task 'shape' to component -1 of modular layer 1"),
    ({"routes": [[0, 0]] * 3, "balanced": True}, "With routes nothing is drawn"),
    ({"balanced": True, "components_per_task": 2}, "one component of a layer. Received: compo"),
    ({"routes": [[0, 0]] * 3, "components_per_task": 2}, "one component of a layer"),
])  # fmt: skip
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        network(**settings)
