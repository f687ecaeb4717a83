import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import HalvingSchedule
from keras_mtl.layers import SubEncoders
from keras_mtl.layers.recurrent.sub_encoders import mean_of_open, side_by_side
from tests.gradients import gradient, gradients
from tests.layers.frozen import frozen
from tests.layers.modular import (
    GivenNoise,
    array,
    force,
    log_odds,
    mean_of,
    mlp,
    normal,
    scrambled,
    seen,
    sigmoid,
    sub_encoders,
    without_preference,
)

SOURCES = normal(5, 3, 4, 6)  # B = 5 examples, 3 steps, 4 sources of 6 features


def layer_of(policy_units=(7,), temperature=1.0, num_sub_encoders=2):
    """Makes sub-encoders that read four sources, with random weights."""
    layer = SubEncoders(num_sub_encoders, (8, 9), policy_units, temperature, seed=0)
    layer.build((None, None, 4, 6))
    return scrambled(layer)


# The mean of what is connected

U = np.array([[1, 2], [3, 4], [8, 0]], "float32")  # of 3 sources
Z = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]], "float32")  # by 4 destinations
MEANS = np.array([[4, 2], [0, 0], [3, 4], [4.5, 1]])
SLOPE = normal(4, 2)


def mean(opened, sources):
    return mean_of_open(*(ops.convert_to_tensor(values) for values in (opened, sources)))


def test_the_mean_is_over_open_connections_and_zero_without_any():
    np.testing.assert_allclose(array(mean(Z, U)), MEANS)


def test_each_example_and_step_has_its_own_mean():
    opened = np.random.default_rng(0).integers(0, 2, (5, 3, 2, 4)).astype("float32")
    expected = np.stack([mean_of(SOURCES, opened[..., j, :]) for j in range(2)], axis=-2)
    np.testing.assert_allclose(array(mean(opened, SOURCES)), expected, rtol=1e-5, atol=1e-6)


def test_a_closed_source_has_no_gradient_and_open_ones_share_it():
    sources = keras.Variable(U)
    found = gradient(lambda: ops.sum(ops.multiply(SLOPE, mean(Z, sources))), sources)
    third, half = SLOPE[0] / 3, SLOPE[3] / 2
    np.testing.assert_allclose(found, [third + half, third + SLOPE[2], third + half], rtol=1e-5)
    without = Z * np.array([1, 0, 1], "float32")
    found = gradient(lambda: ops.sum(ops.multiply(SLOPE, mean(without, sources))), sources)
    assert np.all(found[1] == 0) and np.all(found[[0, 2]] != 0)


def test_a_decision_moves_the_mean_towards_its_source_also_through_the_number():
    decisions = keras.Variable(Z)
    found = gradient(lambda: ops.sum(ops.multiply(SLOPE, mean(decisions, U))), decisions)
    number = np.maximum(Z.sum(axis=1), 1)[:, None, None]  # 3, 1 where there is none, 1, 2
    expected = np.einsum("jd,jid->ji", SLOPE, (U - MEANS[:, None]) / number)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_last_two_axes_are_joined_in_order():
    x = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(array(side_by_side(ops.array(x))), x.reshape(2, 12))


# Values


def test_the_formulas_hold_in_inference():
    layer = layer_of()
    outputs, decisions = layer(SOURCES)
    expected, opened = sub_encoders(layer, SOURCES)
    assert 0.2 < opened.mean() < 0.8 and np.any(opened.sum(axis=-1) == 0)
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_the_formulas_hold_in_training(monkeypatch):
    layer = layer_of()
    noise = GivenNoise(monkeypatch).draw(layer, 5, 3, 2, 4)
    outputs, decisions = layer(SOURCES, training=True)
    expected, opened = sub_encoders(layer, SOURCES, noise)
    assert np.any(opened != sub_encoders(layer, SOURCES)[1])
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_a_policy_is_its_destinations_own_and_sees_one_source():
    layer = layer_of()
    before = array(layer(SOURCES)[1])
    changed = SOURCES.copy()
    changed[:, :, 2] *= -1
    differs = array(layer(changed)[1]) != before
    assert differs[..., 2].any() and not differs[..., [0, 1, 3]].any()
    layer.policies[1].dense[-1].bias.assign([3, -3])
    differs = array(layer(SOURCES)[1]) != before
    assert differs[..., 1, :].any() and not differs[..., 0, :].any()


def test_without_preference_every_connection_is_open():
    assert np.all(array(without_preference(layer_of())(SOURCES)[1]) == 1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_all_open_is_the_plain_mean_and_all_closed_a_constant(opened, training):
    layer = layer_of()
    force([layer], opened)
    outputs, decisions = layer(SOURCES, training=training)
    assert np.all(array(decisions) == opened)
    read = SOURCES.mean(axis=2) if opened else np.zeros((5, 3, 6))
    expected = np.stack([mlp(network, read) for network in layer.networks], axis=-2)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


# Draws


def test_a_connection_is_open_as_often_as_the_sigmoid_of_its_scores():
    number, layer = 4000, layer_of(policy_units=())
    for policy in layer.policies:
        policy.dense[0].kernel.assign(0.3 * policy.dense[0].kernel)
    sources = np.broadcast_to(0.3 * SOURCES[:1, :1], (number, 1, 4, 6)).astype("float32")
    frequency = array(layer(sources, training=True)[1]).mean(axis=(0, 1))
    shown = seen(layer, sources[0, 0])
    probability = sigmoid([log_odds(policy, shown) for policy in layer.policies])
    assert 0.05 < probability.min() < 0.35 < 0.65 < probability.max() < 0.96
    bound = 4.5 * np.sqrt(probability * (1 - probability) / number)  # 8 of them, 1 in 10,000
    assert np.all(np.abs(frequency - probability) < bound)


def test_each_connection_example_and_step_has_a_draw_of_its_own():
    layer = without_preference(layer_of(num_sub_encoders=3))
    draws = array(layer(np.ones((40, 40, 4, 6), "float32"), training=True)[1])
    assert draws.shape == (40, 40, 3, 4) and abs(draws.mean() - 0.5) < 0.015
    for axis in range(4):  # neighbours have nothing to do with each other
        first, second = (np.take(draws, index, axis) - 0.5 for index in (0, 1))
        assert abs((first * second).mean()) < 4.5 * 0.25 / np.sqrt(first.size)


def test_a_layer_that_does_not_train_decides_as_in_inference():
    layer = layer_of()
    layer.trainable = False
    decisions = array(layer(SOURCES, training=True)[1])
    np.testing.assert_array_equal(decisions, array(layer(SOURCES)[1]))


# Gradients


def test_the_gradient_of_a_policy_by_hand():
    layer = SubEncoders(1, (1,), (), temperature=2.0, normalize_policies=False)
    sources = np.array([[[1.0], [3.0]]], "float32")
    layer.build(sources.shape)
    policy = layer.policies[0].dense[0]
    layer.networks[0].dense[0].set_weights([np.array([[5.0]]), np.array([0.0])])
    policy.set_weights([np.array([[0.5, -1.0]]), np.array([0.25, 2.0])])
    # Log-odds are 1.75 - 1.5 u: 0.25 and -2.75, so the first is open and the mean is 1.
    soft = sigmoid(np.array([0.25, -2.75]) / 2.0)
    slope = 5 * (np.array([1.0, 3.0]) - 1.0) * soft * (1 - soft) / 2.0
    kernel, bias = gradients(lambda: ops.sum(layer(sources)[0]), [policy.kernel, policy.bias])
    np.testing.assert_allclose(bias, [-slope.sum(), slope.sum()], rtol=1e-5)
    of_kernel = (slope * [1.0, 3.0]).sum()
    np.testing.assert_allclose(kernel, [[-of_kernel, of_kernel]], rtol=1e-5)


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_gradients_are_finite_when_all_is_decided(opened):
    layer = layer_of()
    force([layer], opened)
    variables = layer.trainable_variables
    slopes = gradients(lambda: ops.sum(layer(SOURCES, training=True)[0]), variables)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)
    reached = {v.path for v, slope in zip(variables, slopes, strict=True) if slope.any()}
    first = layer.networks[0].dense[0]
    assert first.bias.path in reached
    assert (first.kernel.path in reached) == opened  # who reads zeros learns biases only


def test_a_step_of_training_reaches_every_policy():
    layer = layer_of()
    variables = [variable for policy in layer.policies for variable in policy.trainable_variables]
    slopes = gradients(lambda: ops.sum(layer(SOURCES, training=True)[0]), variables)
    assert len(slopes) == 2 * 4
    assert all(np.all(np.isfinite(slope)) and np.any(slope != 0) for slope in slopes)


def test_the_slope_doubles_when_a_high_temperature_halves():
    layer, found = layer_of(temperature=HalvingSchedule(1000.0, 0.1)), []
    for epoch in (0, 1, 2):
        layer.router.epochs.assign(epoch)
        found.append(gradient(lambda: ops.sum(layer(SOURCES)[0]), layer.policies[0].dense[-1].bias))
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-3)
    np.testing.assert_allclose(found[2], 4 * found[0], rtol=1e-3)


# The rest


def test_the_default_temperature_halves():
    layer = SubEncoders(2, (3,), (4,))
    assert layer.temperature.get_config() == HalvingSchedule().get_config()
    assert layer.router.counts == "epochs"


def test_a_temperature_survives_the_config_round_trip():
    layer = SubEncoders(2, (3,), (4,), HalvingSchedule(8.0, 0.5))
    copy = SubEncoders.from_config(layer.get_config())
    assert float(copy.temperature(2)) == 2.0 and float(copy.router.temperature(9)) == 0.5


@pytest.mark.parametrize("prepare", [lambda layer: layer, without_preference], ids=["", "tie"])
def test_stock_layers_decide_the_same(prepare):
    layer = prepare(layer_of())
    stock, names = frozen(layer, SOURCES)
    for one, two in zip(layer(SOURCES), stock, strict=True):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-5, atol=1e-6)
    # networks and policies of two layers each, and what policies see
    assert len(set(names)) == len(names) == 2 * 2 * 2 + 1
    assert f"{layer.name}_policy_2_dense_1" in names


def test_a_temperature_is_above_0():
    with pytest.raises(ValueError, match="temperature must be a number above 0 or a schedule"):
        SubEncoders(2, (3,), (4,), temperature=0.0)


def test_a_sub_encoder_needs_units():
    with pytest.raises(ValueError, match="units must be a tuple of at least 1 sizes"):
        SubEncoders(2, (), (4,))


# What policies see


def test_policies_see_sources_on_one_scale():
    """States of an encoder are small; what they decide must not depend on that."""
    layer = layer_of()
    small = array(layer(SOURCES * 10)[1])
    np.testing.assert_array_equal(array(layer(SOURCES * 100)[1]), small)
    literal = SubEncoders(2, (8, 9), (7,), 1.0, normalize_policies=False)
    literal.build((None, None, 4, 6))
    scrambled(literal)
    assert np.any(array(literal(SOURCES)[1]) != array(literal(SOURCES * 0.01)[1]))


def test_the_paper_form_is_a_setting():
    layer = SubEncoders(2, (8, 9), (7,), 1.0, seed=0, normalize_policies=False)
    layer.build((None, None, 4, 6))
    scrambled(layer)
    outputs, decisions = layer(SOURCES)
    expected, opened = sub_encoders(layer, SOURCES)
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_a_config_that_does_not_say_is_of_the_paper_form():
    config = SubEncoders(2, (3,), (4,)).get_config()
    assert config.pop("normalize_policies") is True
    assert SubEncoders.from_config(config).normalize_policies is False


def test_one_unit_cannot_be_normalized():
    with pytest.raises(ValueError, match="sources of one unit.*normalize_policies=False"):
        SubEncoders(2, (3,), (4,)).build((None, None, 4, 1))
