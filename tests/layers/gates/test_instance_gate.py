import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import InstanceGate
from keras_mtl.layers.averages import mean_of_places, mean_so_far
from tests.gradients import gradients
from tests.layers.frozen import frozen
from tests.layers.modular import array, sigmoid

IMAGES = np.random.default_rng(0).normal(size=(6, 4, 3, 5)).astype("float32")
STEPS = np.random.default_rng(2).normal(size=(6, 7, 5)).astype("float32")
MASK = np.arange(7) < np.array([[7], [3], [1], [2], [5], [0]])
MASK[0, 2] = MASK[4, :2] = False  # padding anywhere


def gate_of(shape=IMAGES.shape, seed=0, **settings):
    """Makes a gate with random weights and statistics."""
    gate = InstanceGate(8, seed=seed, **settings)
    gate.build(shape)
    rng = np.random.default_rng(1)
    for variable in gate.weights:
        if variable.dtype == "float32":
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return gate


def odds_of(gate, mean):
    """Returns the log-odds of opening, by hand, in inference."""
    hidden = mean @ array(gate.hidden.kernel) + array(gate.hidden.bias)
    norm = gate.normalization
    scale = array(norm.gamma) / np.sqrt(array(norm.moving_variance) + norm.epsilon)
    hidden = (hidden - array(norm.moving_mean)) * scale + array(norm.beta)
    scores = np.maximum(hidden, 0) @ array(gate.scores.kernel) + array(gate.scores.bias)
    return scores[..., 1] - scores[..., 0]


def test_the_formula_holds_in_inference():
    gate, mean = gate_of(), IMAGES.mean(axis=(1, 2))
    gate.scores.bias.assign([0, 0])
    gate.scores.bias.assign([array(gate.scores.bias)[0] + np.median(odds_of(gate, mean)), 0])
    odds = odds_of(gate, mean)
    assert (odds > 0).sum() == (odds < 0).sum() == 3
    np.testing.assert_array_equal(array(gate(IMAGES))[:, 0], odds >= 0)


@pytest.mark.parametrize("shape", [(6, 5), (6, 7, 5), (6, 2, 2, 2, 5)])
def test_it_reads_features_of_any_number_of_places(shape):
    x = np.random.default_rng(2).normal(size=shape).astype("float32")
    gate = gate_of(shape)
    mean = x.reshape(6, -1, 5).mean(axis=1)
    np.testing.assert_array_equal(array(gate(x))[:, 0], odds_of(gate, mean) >= 0)


def test_padding_is_left_out_of_the_mean():
    x = np.random.default_rng(2).normal(size=(6, 7, 5)).astype("float32")
    mask = np.arange(7) < np.array([[7], [3], [1], [2], [5], [0]])
    gate = gate_of(x.shape)
    mean = np.array([row[valid].mean(axis=0) if valid.any() else np.zeros(5)
                     for row, valid in zip(x, mask, strict=True)])  # fmt: skip
    np.testing.assert_array_equal(array(gate(x, mask=mask))[:, 0], odds_of(gate, mean) >= 0)


def test_at_the_start_most_gates_are_open():
    gate = InstanceGate(seed=0)
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype("float32")
    assert array(gate(x)).min() == 1
    assert abs(array(gate(x, training=True)).mean() - sigmoid(1.9)) < 0.025  # 0.87


def test_each_example_has_a_draw_of_its_own_in_training_only():
    gate = gate_of()
    same = np.repeat(IMAGES[:1], 400, axis=0)
    draws = array(gate(same, training=True))
    assert set(draws.flatten()) == {0, 1}
    assert len(set(array(gate(same)).flatten())) == 1
    assert len(set(array(gate_of(stochastic=True)(same)).flatten())) == 2


def test_every_weight_learns_through_the_decision():
    gate = gate_of()
    weight = ops.convert_to_tensor(np.arange(6, dtype="float32")[:, None])
    slopes = gradients(
        lambda: ops.sum(gate(IMAGES, training=True) * weight), gate.trainable_variables
    )
    for variable, slope in zip(gate.trainable_variables, slopes, strict=True):
        assert np.all(np.isfinite(slope)), variable.path
        assert np.any(slope) or variable is gate.hidden.bias, variable.path  # normalized away


def test_a_gate_needs_a_hidden_unit():
    with pytest.raises(ValueError, match="units must be an integer of at least 1. Received: 0"):
        InstanceGate(0)


def test_stock_layers_decide_the_same():
    gate = gate_of()
    stock, names = frozen(gate, IMAGES)
    np.testing.assert_array_equal(array(stock), array(gate(IMAGES)))
    assert [name.removeprefix(f"{gate.name}_") for name in names] == [
        "hidden", "normalization", "scores"
    ]  # fmt: skip


# At every step


def prefix_means(x, mask):
    """Returns the mean of the valid steps up to each, by hand."""
    means = np.zeros_like(x)
    for row in range(len(x)):
        for step in range(x.shape[1]):
            valid = x[row, : step + 1][mask[row, : step + 1]]
            means[row, step] = valid.mean(axis=0) if len(valid) else 0
    return means


def gate_of_steps(mask=None, **settings):
    """Makes a gate that is open at about half of the steps, and returns its log-odds too."""
    gate = gate_of(STEPS.shape, per_step=True, **settings)
    means = prefix_means(STEPS, np.ones_like(MASK) if mask is None else mask)
    gate.scores.bias.assign([0, 0])
    gate.scores.bias.assign([np.median(odds_of(gate, means)) + 1e-3, 0])
    return gate, odds_of(gate, means)


def test_the_running_mean_by_hand():
    x = np.array([[1, 3, 8], [2, 4, 6]], "float32")[..., None]
    mask = np.array([[True, False, True], [False, True, True]])
    assert array(mean_so_far(x))[..., 0].tolist() == [[1, 2, 4], [2, 3, 4]]
    assert array(mean_so_far(x, mask))[..., 0].tolist() == [[1, 1, 4.5], [0, 4, 5]]


def test_many_steps_are_counted_in_16_bits_too():
    x = ops.ones((1, 1000, 2), "bfloat16")
    assert array(mean_so_far(x)).min() == array(mean_so_far(x)).max() == 1


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
def test_each_step_decides_by_the_steps_so_far(mask):
    gate, odds = gate_of_steps(mask)
    assert 10 < (odds > 0).sum() < 32
    found = array(gate(STEPS, mask=mask))
    assert found.shape == (6, 7, 1) == gate.compute_output_shape(STEPS.shape)
    np.testing.assert_array_equal(found[..., 0], odds >= 0)

    stock, _ = frozen(gate, STEPS, mask=mask)
    np.testing.assert_array_equal(array(stock), found)


def test_later_steps_change_no_decision():
    gate, _ = gate_of_steps()
    changed = STEPS.copy()
    changed[:, 4:] = -9
    one, two = array(gate(STEPS)), array(gate(changed))
    np.testing.assert_array_equal(one[:, :4], two[:, :4])
    assert not np.array_equal(one, two)


def test_strides_decide_at_the_steps_that_a_block_answers():
    (every, _), (third, _) = (gate_of_steps(MASK, strides=number) for number in (1, 3))
    found = array(third(STEPS, mask=MASK))
    assert found.shape == (6, 3, 1) == third.compute_output_shape(STEPS.shape)
    assert third.compute_output_shape((None, None, 5)) == (None, None, 1)
    np.testing.assert_array_equal(found, array(every(STEPS, mask=MASK))[:, ::3])
    np.testing.assert_array_equal(third.compute_mask(STEPS, MASK), MASK[:, ::3])


def test_only_gates_of_steps_pass_a_mask_on():
    assert InstanceGate().compute_mask(STEPS, MASK) is None
    assert InstanceGate(per_step=True).compute_mask(STEPS, MASK) is MASK


def test_each_step_has_a_draw_of_its_own():
    x = np.ones((1, 400, 5), "float32")
    gate = gate_of(x.shape, per_step=True)
    assert set(array(gate(x, training=True)).flatten()) == {0, 1}
    assert len(set(array(gate(x)).flatten())) == 1


def test_batch_statistics_leave_padding_out():
    gate = gate_of(STEPS.shape, per_step=True)
    before = array(gate.normalization.moving_mean)
    hidden = prefix_means(STEPS, MASK) @ array(gate.hidden.kernel) + array(gate.hidden.bias)
    gate(STEPS, mask=MASK, training=True)
    expected = 0.99 * before + 0.01 * hidden[MASK].mean(axis=0)
    np.testing.assert_allclose(array(gate.normalization.moving_mean), expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_counts_the_steps_of_long_sequences(dtype):
    mask = np.arange(9000) < np.array([[9000], [3000]])
    steps = ops.cast(np.repeat(np.where(mask, 1.5, 7.0)[..., None], 3, axis=-1), dtype)
    means = mean_of_places(steps, ops.convert_to_tensor(mask))
    assert keras.backend.standardize_dtype(means.dtype) == dtype
    np.testing.assert_array_equal(array(ops.cast(means, "float32")), np.full((2, 3), 1.5))


def test_it_survives_the_config_round_trip():
    gate = InstanceGate(8, 2.0, True, 3, per_step=True, strides=2, name="gate_2")
    assert gate.get_config()["per_step"] and gate.get_config()["strides"] == 2
    assert InstanceGate.from_config(gate.get_config()).get_config() == gate.get_config()


@pytest.mark.parametrize("x", [IMAGES, STEPS[:, 0]], ids=["images", "tables"])
def test_there_must_be_steps_to_decide_at(x):
    wanted = r"'gate_1' decides at every step, .*\(batch, steps, features\).*gates_per_step=False"
    with pytest.raises(ValueError, match=wanted):
        InstanceGate(per_step=True, name="gate_1")(x)


def test_strides_are_at_least_1():
    with pytest.raises(ValueError, match="strides must be an integer of at least 1. Received: 0"):
        InstanceGate(per_step=True, strides=0)
