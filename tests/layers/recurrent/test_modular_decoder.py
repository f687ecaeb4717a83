import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import HalvingSchedule
from keras_mtl.layers import ModularDecoder
from tests.gradients import gradients
from tests.layers.frozen import frozen
from tests.layers.modular import (
    GivenNoise,
    array,
    decoder,
    force,
    linear,
    log_odds,
    mean_of,
    mlp,
    normal,
    scrambled,
    seen,
    sigmoid,
    without_preference,
)

X = normal(5, 3, 6, 4)  # B = 5 examples, 3 steps, 3 + 1 + 2 sub-encoders, 4 wide
FEATURES = normal(5, 3, 7, seed=1)  # of the task


def layer_of(features=None, policy_units=(9,), temperature=1.0, **settings):
    """Makes a decoder of three layers with random weights."""
    layer = ModularDecoder((3, 1, 2), (8, 5), policy_units, temperature, seed=0, **settings)
    layer.build((None, None, 6, 4), None if features is None else features.shape)
    return scrambled(layer)


@pytest.fixture(params=[None, FEATURES], ids=["alone", "with_features"])
def features(request):
    return request.param


# Values


def test_the_formulas_hold_in_inference(features):
    layer = layer_of(features)
    outputs, decisions = layer(X, features)
    expected, opened = decoder(layer, X, features)
    assert outputs.shape == (5, 3, 3 * 5) and 0.1 < opened.mean() < 0.9
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_the_formulas_hold_in_training(features, monkeypatch):
    layer = layer_of(features)
    noise = GivenNoise(monkeypatch).draw(layer, 5, 3, 6)
    outputs, decisions = layer(X, features, training=True)
    expected, opened = decoder(layer, X, features, noise)
    assert np.any(opened != decoder(layer, X, features)[1])
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_all_open_is_the_plain_mean_of_each_layer_and_all_closed_a_constant(opened):
    layer = layer_of()
    force([layer], opened)
    outputs, decisions = layer(X, training=True)
    assert np.all(array(decisions) == opened)
    read = [X[:, :, its].mean(axis=2) * opened for its in (slice(3), slice(3, 4), slice(4, 6))]
    expected = [mlp(network, mean) for network, mean in zip(layer.sub_decoders, read, strict=True)]
    np.testing.assert_allclose(
        array(outputs), np.concatenate(expected, axis=-1), rtol=1e-4, atol=1e-4
    )


def test_there_may_be_one_layer_alone():
    layer = ModularDecoder((6,), (8, 5), (9,), seed=0)
    layer.build((None, None, 6, 4))
    outputs, decisions = scrambled(layer)(X)
    expected, opened = decoder(layer, X)
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_a_sub_decoder_reads_its_layer_only():
    layer = layer_of()
    force([layer], True)
    before, changed = array(layer(X)[0]), X.copy()
    changed[:, :, 3] += 1  # the second layer
    differs = np.any(array(layer(changed)[0]) != before, axis=(0, 1)).reshape(3, 5).any(axis=1)
    assert differs.tolist() == [False, True, False]


def test_one_policy_judges_every_sub_encoder():
    layer = layer_of()
    one = np.broadcast_to(X[:, :, :1], X.shape)
    decisions = array(layer(one)[1])
    assert np.all(decisions == decisions[..., :1]) and 0 < decisions.mean() < 1
    assert [v.shape for v in layer.policy.weights] == [(4, 9), (9,), (9, 2), (2,)]


def test_features_are_brought_to_the_width_of_a_sub_encoder_for_the_policy_alone():
    layer = layer_of(FEATURES)
    assert [v.shape for v in layer.projection.weights] == [(7, 4)]
    assert layer.policy.dense[0].kernel.shape == (4 + 4, 9)
    before = array(layer(X, FEATURES)[1])
    assert np.any(array(layer(X, -FEATURES)[1]) != before)
    force([layer], True)
    one, other = (array(layer(X, features)[0]) for features in (FEATURES, -FEATURES))
    np.testing.assert_array_equal(one, other)


def test_steps_know_nothing_of_each_other(features):
    layer, order = layer_of(features), [2, 0, 1]
    mixed = layer(X[:, order], None if features is None else features[:, order])
    for one, two in zip(layer(X, features), mixed, strict=True):
        np.testing.assert_allclose(array(one)[:, order], array(two), rtol=1e-5, atol=1e-6)


# Draws and gradients


def test_a_sub_encoder_is_read_as_often_as_the_sigmoid_of_its_scores():
    number, layer = 4000, layer_of(policy_units=())
    x = np.broadcast_to(0.5 * X[:1, :1], (number, 1, 6, 4)).astype("float32")
    frequency = array(layer(x, training=True)[1]).mean(axis=(0, 1))
    probability = sigmoid(log_odds(layer.policy, seen(layer, x[0, 0])))
    assert 0.01 < probability.min() < 0.2 < 0.8 < probability.max() < 0.99
    bound = 4.5 * np.sqrt(probability * (1 - probability) / number)  # 6 of them, 1 in 20,000
    assert np.all(np.abs(frequency - probability) < bound)


def test_each_example_step_and_sub_encoder_has_a_draw_of_its_own():
    layer = without_preference(layer_of())
    draws = array(layer(np.ones((60, 60, 6, 4), "float32"), training=True)[1])
    assert abs(draws.mean() - 0.5) < 0.015
    for axis in range(3):
        first, second = (np.take(draws, index, axis) - 0.5 for index in (0, 1))
        assert abs((first * second).mean()) < 4.5 * 0.25 / np.sqrt(first.size)


def test_the_gradient_reaches_policy_and_projection(features):
    layer = layer_of(features)
    variables = layer.trainable_variables
    slopes = gradients(lambda: ops.sum(layer(X, features, training=True)[0]), variables)
    for variable, slope in zip(variables, slopes, strict=True):
        assert np.all(np.isfinite(slope)) and np.any(slope != 0), variable.path


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_gradients_are_finite_when_all_is_decided(opened):
    layer = layer_of()
    force([layer], opened)
    slopes = gradients(lambda: ops.sum(layer(X, training=True)[0]), layer.trainable_variables)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


def test_the_slope_doubles_when_a_high_temperature_halves():
    layer, found = layer_of(temperature=HalvingSchedule(1000.0)), []
    for epoch in (0, 1):
        layer.router.epochs.assign(epoch)
        found += gradients(lambda: ops.sum(layer(X)[0]), [layer.policy.dense[-1].bias])
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-3)


# The rest


def test_outputs_and_decisions_have_the_mask_of_the_encoder():
    mask = np.ones((5, 3), bool)
    for its in layer_of().compute_mask(X, mask):
        assert its is mask


def test_stock_layers_decide_the_same(features):
    layer = layer_of(features)
    stock, names = frozen(layer, X, features)
    for one, two in zip(layer(X, features), stock, strict=True):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-5, atol=1e-6)
    twice = features is not None  # what the policy sees is normalized part by part
    assert len(set(names)) == len(names) - twice == 2 + 3 * 2 + 1 + twice
    assert f"{layer.name}_sub_decoder_3_dense_1" in names


# Policies that decide by step


def test_what_is_decided_by_step_is_alike_for_all_examples():
    layer = layer_of(decide_by="step")
    angles = np.arange(3)[:, None] * 2 * np.pi / 2.0 ** np.arange(2, 12)
    clock = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    expected = mlp(layer.policy, clock, linear)  # S = 3, a score for each of 6 sub-encoders
    np.testing.assert_allclose(array(layer.log_odds(X)), [expected] * 5, rtol=1e-4, atol=1e-5)
    outputs, decisions = layer(X)
    np.testing.assert_array_equal(array(decisions), [expected >= 0] * 5)
    first = mlp(layer.sub_decoders[0], mean_of(X[:, :, :3], array(decisions)[:, :, :3]))
    np.testing.assert_allclose(array(outputs)[..., :5], first, rtol=1e-4, atol=1e-5)


def test_what_is_decided_by_step_is_drawn_for_each_example():
    layer = without_preference(layer_of(decide_by="step"))
    draws = array(layer(normal(40, 3, 6, 4), training=True)[1])
    assert draws.shape == (40, 3, 6) and 0.4 < draws.mean() < 0.6
    assert np.any(draws != draws[:1])


def test_stock_layers_decide_the_same_by_step():
    layer = layer_of(decide_by="step")
    stock, _ = frozen(layer, X, None)
    for one, two in zip(layer(X), stock, strict=True):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-5, atol=1e-6)


def test_what_decides_by_step_reads_no_features():
    with pytest.raises(ValueError, match="decides by step, so it takes no features"):
        layer_of(FEATURES, decide_by="step")


def test_the_default_temperature_halves():
    assert ModularDecoder((3,), (5,), (4,)).router.counts == "epochs"


def test_a_temperature_survives_the_config_round_trip():
    layer = ModularDecoder((3, 2), (5,), (4,), HalvingSchedule(8.0, 0.5))
    copy = ModularDecoder.from_config(layer.get_config())
    assert float(copy.router.temperature(2)) == 2.0 and copy.get_config() == layer.get_config()


def test_a_sub_decoder_needs_units():
    with pytest.raises(ValueError, match="units must be a tuple of at least 1 sizes"):
        ModularDecoder((3, 2), (), (4,))


@pytest.mark.parametrize("shape", [(3, 4, 8), (3, 6, 8), (5, 8)])
def test_the_sub_encoders_are_those_it_was_told(shape):
    wanted = r"'reader' reads 3 \+ 2 sub-encoders, \(batch, steps, sub-encoders, width\). Received"
    with pytest.raises(ValueError, match=wanted):
        ModularDecoder((3, 2), (5,), (4,), name="reader")(keras.Input(shape))
