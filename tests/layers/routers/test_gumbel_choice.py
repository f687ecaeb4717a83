import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers.routers.gumbel_choice import gumbel_noise, straight_through_choice
from tests.gradients import gradient
from tests.layers.recurrence import array


def softmax(x):
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def test_the_largest_is_chosen_and_the_first_of_equals():
    logits = [[[0.1, 0.3, 0.2], [5.0, 5.0, 5.0]], [[-9.0, -8.0, -8.0], [0.0, 1e-3, 0.0]]]
    chosen = array(straight_through_choice(ops.array(logits), temperature=50.0))
    np.testing.assert_array_equal(np.argmax(chosen, axis=-1), [[1, 0], [1, 1]])
    assert set(np.unique(chosen)) == {0.0, 1.0}
    np.testing.assert_array_equal(chosen.sum(axis=-1), np.ones((2, 2)))


def test_noise_decides_too():
    noise = ops.array([[0.0, 0.0, 2.0], [0.0, -2.0, 0.0]])
    chosen = array(straight_through_choice(ops.array([[0.0, 1.0, 0.0]] * 2), noise=noise))
    np.testing.assert_array_equal(chosen, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_gradient_is_that_of_the_softmax(temperature):
    rng = np.random.default_rng(0)
    start, noise, slope = rng.normal(size=(3, 4, 5)).astype("float32")
    logits = keras.Variable(start)

    def loss():
        chosen = straight_through_choice(
            ops.convert_to_tensor(logits), temperature, ops.array(noise)
        )
        return ops.sum(chosen * ops.array(slope))

    soft = softmax((start + noise) / temperature)
    expected = soft * (slope - (soft * slope).sum(axis=-1, keepdims=True)) / temperature
    np.testing.assert_allclose(gradient(loss, logits), expected, rtol=1e-4, atol=1e-6)


def test_draws_follow_the_softmax():
    logits = np.array([0.0, 1.0, -1.0, 2.0], "float32")
    draws = 40000
    noise = gumbel_noise((draws, 4), keras.random.SeedGenerator(0))
    chosen = array(straight_through_choice(ops.array(np.tile(logits, (draws, 1))), noise=noise))
    expected = softmax(logits)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert np.all(np.abs(chosen.mean(axis=0) - expected) < 4 * error)


def test_one_choice_is_taken_without_a_warning():
    chosen = straight_through_choice(ops.array([[0.3], [-2.0]]))
    np.testing.assert_array_equal(array(chosen), [[1.0], [1.0]])
