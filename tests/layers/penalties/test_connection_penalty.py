import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import RampSchedule
from keras_mtl.layers import ConnectionPenalty
from tests.gradients import gradient

# B = 2 examples, 3 steps, 4 connections, of which 4, 2, 0 and 3, 1, 4 are open.
COUNTS = np.array([[4, 2, 0], [3, 1, 4]])
DECISIONS = (np.arange(4) < COUNTS[..., None]).astype("float32")
MASK = np.array([[True, True, False], [False, True, False]])
FEATURES = np.arange(12, dtype="float32").reshape(2, 3, 2)


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def value(layer, *inputs, **settings):
    """Returns what a layer adds to the loss, after a check that logs are told the same."""
    layer(FEATURES, *inputs, **settings)
    (loss,) = layer.losses
    layer._clear_losses()
    ((name, latest),) = layer.penalties.items()
    assert name == layer.name and float(array(latest.value)) == float(array(loss))
    return float(array(loss))


BY_HAND = {  # with 2 connections free: with all steps, and without padding
    "step": ((2 + 0 + 0 + 1 + 0 + 2) / 6, (2 + 0 + 0) / 3),
    "sequence": ((0 + (8 / 3 - 2)) / 2, ((3 - 2) + 0) / 2),
    "batch": (14 / 6 - 2, 7 / 3 - 2),
}


@pytest.mark.parametrize("scope", BY_HAND)
def test_what_is_above_the_limit_costs(scope):
    whole, padded = BY_HAND[scope]
    layer = ConnectionPenalty(0.5, weight=3.0, scope=scope)
    np.testing.assert_allclose(value(layer, DECISIONS), 3 * whole, rtol=1e-5)
    found = value(layer, DECISIONS, decisions_mask=MASK)
    np.testing.assert_allclose(found, 3 * padded, rtol=1e-5)


def test_a_task_does_not_pay_for_another_one():
    """Of 6 connections 4.5 are free: two examples open all, the others none."""
    decisions = np.zeros((5, 2, 6), "float32")
    decisions[:2] = 1
    layer = ConnectionPenalty(0.75, weight=2.0, num_tasks=3)
    found = [value(layer, decisions, np.array(ids)) for ids in ([0, 0, 2, 2, 2], [1] * 5)]
    np.testing.assert_allclose(found, [2 * (6 - 4.5) * 2 / 5, 0], rtol=1e-6)
    mask = np.array([[True, True], [True, False], [True, True], [False, False], [False, False]])
    found = value(layer, decisions, np.array([0, 0, 0, 0, 2]), decisions_mask=mask)
    np.testing.assert_allclose(found, 0, atol=1e-6)  # 3 of 5 steps open 6
    found = value(layer, decisions, np.array([0, 2, 2, 2, 0]), decisions_mask=mask)
    np.testing.assert_allclose(found, 2 * (6 - 4.5) * 1 / 3, rtol=1e-6)  # 3 examples have steps


@pytest.mark.parametrize("scope", BY_HAND)
def test_a_batch_of_no_examples_costs_nothing(scope):
    layer = ConnectionPenalty(0.75, scope=scope, num_tasks=3)
    assert value(layer, np.zeros((0, 2, 6), "float32"), np.zeros(0, "int32")) == 0


@pytest.mark.parametrize("scope", BY_HAND)
def test_padding_does_not_count(scope):
    layer = ConnectionPenalty(0.5, scope=scope)
    rows, steps = ((0, 2), (0, 0), (0, 0)), ((0, 0), (0, 3), (0, 0))
    for more in (rows, steps):  # examples that are padding from the start, and longer ones
        found = value(
            layer,
            np.pad(DECISIONS, more, constant_values=1.0),
            decisions_mask=np.pad(MASK, more[:2]),
        )
        np.testing.assert_allclose(found, BY_HAND[scope][1], rtol=1e-5)


@pytest.mark.parametrize("scope", BY_HAND)
def test_the_mask_comes_with_the_decisions(scope):
    inputs = keras.Input((3, 4))
    masked = keras.layers.Masking()(inputs)
    features = keras.layers.Dense(2)(masked)
    layer = ConnectionPenalty(0.25, scope=scope)
    model = keras.Model(inputs, layer(features, masked))
    x = np.where(MASK[..., None], DECISIONS, 0.0)
    model(x)
    found = float(array(layer.penalties[layer.name].value))
    valid = COUNTS[MASK] - 1  # 3, 1, 0
    expected = {"step": 4 / 3, "sequence": (2 + 0) / 2, "batch": 4 / 3}[scope]
    assert valid.tolist() == [3, 1, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("scope", BY_HAND)
def test_nothing_but_padding_costs_nothing(scope):
    layer = ConnectionPenalty(0.5, scope=scope)
    assert value(layer, DECISIONS, decisions_mask=np.zeros((2, 3), bool)) == 0


@pytest.mark.parametrize("scope", BY_HAND)
def test_a_share_of_one_never_costs(scope):
    assert value(ConnectionPenalty(1.0, scope=scope), np.ones((2, 3, 4), "float32")) == 0


def slopes_of(decisions, mask=None, **settings):
    variable = keras.Variable(decisions)
    layer = ConnectionPenalty(0.5, **settings)
    layer.build(FEATURES.shape, decisions.shape)

    def loss():
        layer(FEATURES, ops.convert_to_tensor(variable), decisions_mask=mask)
        (loss,) = layer.losses
        layer._clear_losses()
        return loss

    return gradient(loss, variable)


@pytest.mark.parametrize(
    ("mask", "num_valid"), [(None, 6), (MASK, 3)], ids=["all_steps", "valid_steps"]
)
def test_above_the_limit_every_connection_has_the_slope_and_below_none(mask, num_valid):
    above = (COUNTS > 2) & (True if mask is None else mask)
    expected = np.broadcast_to(above[..., None] * 3.0 / num_valid, DECISIONS.shape)
    np.testing.assert_allclose(
        slopes_of(DECISIONS, mask, weight=3.0, scope="step"), expected, rtol=1e-5
    )


@pytest.mark.parametrize("scope", BY_HAND)
def test_below_the_limit_there_is_no_gradient(scope):
    one_open = np.zeros_like(DECISIONS)
    one_open[..., 0] = 1
    assert np.all(slopes_of(one_open, scope=scope) == 0)


def test_a_sequence_pays_with_all_its_steps():
    expected = np.zeros((2, 3, 4))
    expected[0, :2] = 1 / 2 / 2  # a mean of 3 above 2: two examples, two steps
    np.testing.assert_allclose(slopes_of(DECISIONS, MASK, scope="sequence"), expected, rtol=1e-5)


# Weights, features, precision


def test_a_schedule_as_weight_follows_the_training_batches():
    layer = ConnectionPenalty(0.5, RampSchedule(6.0, 2))  # 14 / 6 open on average, 2 free
    found = [value(layer, DECISIONS, training=training) for training in (True, False, True, True)]
    np.testing.assert_allclose(found, np.array([0, 3, 3, 6]) / 3, rtol=1e-5)
    assert int(layer.updates.value) == 3


def test_features_of_every_structure_pass_through_as_they_are():
    layer = ConnectionPenalty(0.5)
    streams = [FEATURES, -FEATURES.astype("float16")]
    for one, two in zip(layer(streams, DECISIONS), streams, strict=True):
        assert keras.backend.standardize_dtype(one.dtype) == str(two.dtype)
        np.testing.assert_array_equal(array(one), two.astype("float32"))


def test_half_precision_decisions_are_counted_in_full():
    decisions = ops.cast(np.ones((1, 1, 2001)), "bfloat16")
    layer = ConnectionPenalty(1e-9)
    layer(FEATURES[:1, :1], decisions)
    np.testing.assert_allclose(array(layer.losses[0]), 2001.0, rtol=1e-6)


def test_a_frozen_network_has_no_penalty():
    layer = ConnectionPenalty(0.5)
    assert layer.frozen(None, FEATURES, DECISIONS) is FEATURES


def test_a_schedule_survives_the_config_round_trip():
    layer = ConnectionPenalty(0.5, RampSchedule(2.0, 9), "step")
    assert ConnectionPenalty.from_config(layer.get_config()).get_config() == layer.get_config()


# Errors


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_the_free_share_is_in_0_and_1(share):
    wanted = r"open_fraction must be a number in \(0, 1\].* Received: "
    with pytest.raises(ValueError, match=wanted):
        ConnectionPenalty(share)


@pytest.mark.parametrize("weight", [-1.0, float("inf"), None])
def test_the_weight_is_a_number_of_at_least_0(weight):
    with pytest.raises(ValueError, match="weight must be a number of at least 0 or a schedule"):
        ConnectionPenalty(0.5, weight)


def test_the_scope_is_known():
    wanted = "scope must be .step., .sequence. or .batch.. Received: 'epoch'"
    with pytest.raises(ValueError, match=wanted):
        ConnectionPenalty(0.5, scope="epoch")
