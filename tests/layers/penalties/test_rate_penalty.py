import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import RampSchedule
from keras_mtl.layers import TargetRatePenalty
from tests.gradients import gradients
from tests.layers.modular import array

TASK_ID = np.array([0, 0, 0, 0, 1, 1], "int32")
GATES = [np.array(g, "float32")[:, None] for g in ([1, 1, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0])]
FEATURES = np.ones((6, 2), "float32")
EXECUTED = [[1, 1], [1, 0], [1, 1]]  # of three tasks


def value(layer, task_id=TASK_ID, gates=GATES, training=False):
    layer(FEATURES[: len(task_id)], task_id, gates, training=training)
    ((_, latest),) = layer.penalties.items()
    assert float(array(latest)) == float(array(layer.losses[-1]))
    return float(array(latest))


def test_squares_of_what_rates_are_off_by_hand():
    layer = TargetRatePenalty(EXECUTED, [0.5, 0.75], weight=2.0)
    expected = 2 * ((0.75 - 0.5) ** 2 + (0.25 - 0.75) ** 2 + (0.5 - 0.5) ** 2)
    assert value(layer) == pytest.approx(expected, rel=1e-5)


def test_a_block_that_a_task_skips_is_nothing_to_it():
    gates = [GATES[0], GATES[1].copy()]
    gates[1][4:] = 1  # of the task that skips the second
    layers = [TargetRatePenalty(EXECUTED, [0.5, 0.75]) for _ in range(2)]
    assert value(layers[0]) == value(layers[1], gates=gates)


def test_a_task_that_is_absent_from_the_batch_does_not_count():
    layer = TargetRatePenalty(EXECUTED, [0.5, 0.25], weight=1.0)
    assert value(layer, TASK_ID[:4], [g[:4] for g in GATES]) == pytest.approx(0.0625, rel=1e-5)


def test_it_is_0_only_when_all_rates_are_met():
    assert value(TargetRatePenalty([[1, 1], [0, 0]], [0.75, 0.25])) == 0
    assert value(TargetRatePenalty([[1, 1], [0, 1]], [0.75, 0.25])) > 0


def test_a_rate_of_gates_at_steps_is_over_valid_steps_by_hand():
    nan = np.nan  # padding
    steps = np.array(
        [[1, 1, 0, 1], [0, 1, nan, nan], [1, nan, nan, nan], [nan] * 4, [0, 0, 1, nan], [1] * 4]
    )  # the first task: 5 of 7, the second: 5 of 7
    gates = [np.where(np.isnan(steps), 1, steps)[..., None].astype("float32"), GATES[1]]
    masks = [~np.isnan(steps), None]
    layer = TargetRatePenalty(EXECUTED, [0.5, 0.75], weight=1.0)
    layer(FEATURES, TASK_ID, gates, gates_mask=masks)
    expected = 2 * (5 / 7 - 0.5) ** 2 + (0.25 - 0.75) ** 2
    assert float(array(layer.penalties[layer.name])) == pytest.approx(expected, rel=1e-5)

    gates[0] = ops.convert_to_tensor(gates[0])
    gates[0]._keras_mask = ops.convert_to_tensor(masks[0])  # as a layer hands it over
    assert value(layer, gates=gates) == pytest.approx(expected, rel=1e-5)


def test_a_task_with_padding_only_does_not_count():
    gates, masks = [np.ones((6, 3, 1), "float32")], [np.zeros((6, 3), bool)]
    masks[0][:4] = True
    layer = TargetRatePenalty([[1], [1]], [0.5], weight=1.0)
    layer(FEATURES, TASK_ID, gates, gates_mask=masks)
    assert float(array(layer.penalties[layer.name])) == pytest.approx(0.25, rel=1e-5)


def test_gates_at_padding_are_not_pushed():
    layer = TargetRatePenalty([[1]], [0.5], weight=1.0)
    layer.build((2, 2), (2,), [(2, 3, 1)])
    gate = keras.Variable(np.ones((2, 3, 1), "float32"))
    mask = np.array([[True, True, False], [True, False, False]])

    def loss():
        layer._clear_losses()
        layer(FEATURES[:2], np.zeros(2, "int32"), [gate + 0], gates_mask=[mask])
        return layer.losses[0]

    (slope,) = gradients(loss, [gate])
    np.testing.assert_allclose(slope[..., 0], mask * (2 * 0.5 / 3), rtol=1e-5)


def test_normalized_it_is_a_mean_over_gates():
    one, two = (TargetRatePenalty(EXECUTED, [0.5, 0.75], normalize=n) for n in (False, True))
    assert value(one) == pytest.approx(2 * value(two), rel=1e-6)


def test_gates_that_are_open_too_often_are_pushed_down():
    layer = TargetRatePenalty([[1]], [0.5], weight=1.0)
    layer.build((4, 2), (4,), [(4, 1)])
    gate = keras.Variable(np.array([[1.0], [1], [1], [0]], "float32"))

    def loss():
        layer._clear_losses()
        layer(FEATURES[:4], np.zeros(4, "int32"), [gate + 0])
        return layer.losses[0]

    (slope,) = gradients(loss, [gate])
    np.testing.assert_allclose(slope, np.full((4, 1), 2 * 0.25 / 4), rtol=1e-5)


def test_the_weight_may_follow_the_batches():
    layer = TargetRatePenalty([[1], [1]], [1.0], RampSchedule(4.0, 2))
    gates = [np.zeros((6, 1), "float32")]
    assert [value(layer, gates=gates, training=True) for _ in range(3)] == [0, 4, 8]


def test_features_pass_and_a_frozen_network_has_no_penalty():
    layer = TargetRatePenalty(EXECUTED, [0.5, 0.75])
    assert array(layer(FEATURES, TASK_ID, GATES)).tolist() == FEATURES.tolist()
    assert layer.frozen(None, FEATURES, TASK_ID, GATES) is FEATURES


def test_it_survives_the_config_round_trip():
    layer = TargetRatePenalty(EXECUTED, [0.5, 0.75], RampSchedule(2.0, 9), True)
    assert TargetRatePenalty.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([0.5], "a rate for each gate. Received shapes"),
        ([0.0, 0.5], r"target_rates must be rates in \(0, 1\]"),
        ([0.5, 1.1], r"target_rates must be rates in \(0, 1\]"),
    ],
)
def test_rates_are_checked(rates, message):
    with pytest.raises(ValueError, match=message):
        TargetRatePenalty(EXECUTED, rates)
