"""What no batch visits stays as it is; what one visits moves as with Adam."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.keras_internals import optimizer_state
from keras_mtl.layers import RoutingPolicy


def array(tensor):
    return ops.convert_to_numpy(tensor).copy()


def after(optimizer, gradients):
    """Returns a weight and its averages after each of some gradients, beside another weight."""
    weight, other = keras.Variable([1.0, -2.0]), keras.Variable([1.0])
    optimizer.build([weight, other])
    states = []
    for gradient in gradients:
        optimizer.apply([ops.array(gradient), ops.ones((1,))], [weight, other])
        states.append([array(one) for one in (weight, *optimizer_state(optimizer, weight))])
    return states


@pytest.mark.parametrize("settings", [{}, {"amsgrad": True}, {"clipnorm": 0.3}])
def test_the_first_step_of_a_weight_is_that_of_adam(settings):
    gradients = [[0.0, 0.0], [0.0, 0.0], [0.5, 0.0]]
    start, _, found = after(keras_mtl.VisitedAdam(0.1, **settings), gradients)
    np.testing.assert_array_equal(start[0], [1, -2])
    *_, expected = after(keras.optimizers.Adam(0.1, **settings), gradients)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert found[0][0] < 0.99 and found[0][1] == -2


def test_weights_and_averages_that_are_not_visited_stay_bit_for_bit():
    gradients = [[0.5, 0.3], [0.0, 0.0], [0.0, 0.0], [0.0, -0.2]]
    first, *kept, last = after(keras_mtl.VisitedAdam(0.1), gradients)
    for state in kept:
        for one, other in zip(state, first, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.all(last[0] != first[0])  # one is visited, and moves on its average too
    _, adam, *_ = after(keras.optimizers.Adam(0.1), gradients)
    assert np.all(adam[0] != first[0])


def test_a_gradient_that_is_no_number_is_not_passed_over():
    *_, found = after(keras_mtl.VisitedAdam(0.1), [[np.nan, 0.0]])
    assert np.isnan(found[0][0])


def test_it_is_saved_and_has_no_weight_decay():
    optimizer = keras_mtl.VisitedAdam(0.02, beta_1=0.8)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, keras_mtl.VisitedAdam)
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(ValueError, match="weight_decay moves all. .*Received: 0.1"):
        keras_mtl.VisitedAdam(weight_decay=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["task", "example"])
def test_components_that_a_batch_does_not_visit_stay_in_training(draws):
    def dense():
        return keras.layers.Dense(4, activation="tanh")

    model = keras_mtl.build_routing_network(
        keras.Input((5,)), {"a": 3, "b": 2}, [[dense] * 3, [dense] * 3], task_data="separate",
        draws=draws, seed=0,
    )  # fmt: skip
    model.compile(keras_mtl.VisitedAdam(0.01))
    policies = [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")

    def train(task, route):
        for policy, choice in zip(policies, route, strict=True):
            policy.policy.assign(np.eye(3)[[choice] * 2])
        model.train_on_batch(
            {"inputs": x, "task_id": np.full(6, task, "int32")}, np.arange(6, dtype="int32") % 2
        )

    def states():
        return [
            [array(one) for w in component.weights for one in (w, *optimizer_state(optimizer, w))]
            for number in (1, 2)
            for component in model.get_layer(f"modular_{number}").components
        ]

    optimizer = model.optimizer
    train(0, (0, 1))
    train(1, (2, 1))
    before = states()
    train(0, (0, 2))
    moved = [
        any(np.any(one != other) for one, other in zip(old, new, strict=True))
        for old, new in zip(before, states(), strict=True)
    ]
    assert moved == [True, False, False, False, False, True]
