"""Draws between 0 and 1 that are exactly 0 or 1 with a known chance."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import HardConcrete
from keras_mtl.layers.routers.gumbel import logistic_noise
from tests.gradients import gradient

LOGITS = np.array([-1.0, 0.0, 2.0], "float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, "float64")))


def drawn(number=4000, **settings):
    gate = HardConcrete(seed=3, **settings)
    return array(gate(np.tile(LOGITS, (number, 1)), training=True))


def test_inference_by_hand():
    found = array(HardConcrete()(np.array([-2.5, -1.0, 0.0, 1.0, 2.5], "float32")))
    np.testing.assert_allclose(found, [0, 0.222730, 0.5, 0.777270, 1], atol=1e-6)
    assert found[0] == 0 and found[-1] == 1  # 0.0759 * 1.2 - 0.1 is below 0


@pytest.mark.parametrize("temperature", [0.5, 0.9])
def test_without_a_stretch_draws_are_those_of_the_concrete_distribution(temperature):
    found = drawn(50, temperature=temperature, stretch=(0, 1))
    noise = array(logistic_noise((50, 3), keras.random.SeedGenerator(3)))
    np.testing.assert_allclose(found, sigmoid((LOGITS + noise) / temperature), atol=1e-6)
    assert np.all(found > 0)


@pytest.mark.parametrize(
    ("settings", "zero", "one"),
    [  # the logistic noise is below -logit + t * log(-low / high), or above the like of it
        ({}, [0.239012, 0.103576, 0.015396], [0.040773, 0.103576, 0.460556]),
        (
            {"temperature": 0.5, "stretch": (-0.2, 1.3)},
            [0.516019, 0.281729, 0.050407],
            [0.155362, 0.333333, 0.786986],
        ),
    ],
    ids=["paper", "other"],
)
def test_draws_are_0_and_1_as_often_as_the_formulas_say(settings, zero, one):
    found = drawn(**settings)
    for value, wanted in ((0, zero), (1, one)):
        wanted = np.array(wanted)
        bound = 4 * np.sqrt(wanted * (1 - wanted) / len(found))
        assert np.all(np.abs(np.mean(found == value, axis=0) - wanted) <= bound)
    nonzero = array(HardConcrete(**settings).nonzero_probability(ops.convert_to_tensor(LOGITS)))
    np.testing.assert_allclose(nonzero, 1 - np.array(zero), atol=1e-5)


def test_without_a_stretch_no_draw_is_0():
    gate = HardConcrete(stretch=(0, 1))
    np.testing.assert_array_equal(array(gate.nonzero_probability(ops.ones((2,)))), [1, 1])


def test_what_is_clipped_has_no_gradient():
    scores = keras.Variable(np.array([-4.0, 0.0, 4.0], "float32"))
    gate = HardConcrete()
    slopes = gradient(lambda: ops.sum(gate(ops.convert_to_tensor(scores))), scores)
    np.testing.assert_allclose(slopes, [0, 1.2 / 4, 0], atol=1e-6)


def test_draws_differ_by_call_and_only_while_it_learns():
    gate = HardConcrete(seed=0)
    first, second = (array(gate(LOGITS, training=True)) for _ in range(2))
    assert np.any(first != second)
    gate.trainable = False
    np.testing.assert_array_equal(array(gate(LOGITS, training=True)), array(gate(LOGITS)))


@pytest.mark.parametrize("stretch", [(0.1, 1.1), (-0.1, 0.9), (1.1, -0.1)])
def test_a_stretch_reaches_0_and_1(stretch):
    with pytest.raises(
        ValueError, match="low at most 0 and high at least 1, so that both are drawn"
    ):
        HardConcrete(stretch=stretch)


@pytest.mark.parametrize("temperature", [0, -1.0])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(ValueError, match=f"must be a number above 0. Received: {temperature}"):
        HardConcrete(temperature)
