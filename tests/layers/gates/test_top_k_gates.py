import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import NoisyTopKGates
from keras_mtl.layers.gates.top_k_gates import squared_variation, totals_of_experts
from tests.gradients import gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 6)).astype("float32")  # B = 7 examples, D = 6
TASK_ID = np.array([2, 0, 1, 1, 2, 0, 0])  # T = 3
BLOCKS = np.repeat(np.arange(3), 7)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def gates_on(x=X, task_id=TASK_ID, num_experts=5, **settings):
    """Returns gates whose weights are all random."""
    gates = NoisyTopKGates(3, num_experts, **{"seed": 1, **settings})
    gates.build(np.shape(x), np.shape(task_id))
    rng = np.random.default_rng(5)
    for variable in gates.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return gates


def linear(gates, x, task_id, name="scores"):
    kernel, *bias = gates.linear[name].get_weights()
    by_task = array(gates.by_task_rows[name])[task_id] if gates.by_task else bias[0]
    return x @ kernel + by_task


def normal_cdf(values):
    return 0.5 * (1 + np.vectorize(math.erf)(values / np.sqrt(2)))


def squared_cv(totals):
    return np.var(totals) / np.mean(totals) ** 2


# Weights


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_exactly_k_experts_of_a_row_weigh_something(top_k, training):
    weights = array(gates_on(top_k=top_k)(X, TASK_ID, training=training))
    assert np.all((weights != 0).sum(axis=1) == top_k)
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(7), rtol=1e-6)


def test_ties_leave_exactly_k_too():
    gates = gates_on(top_k=3, by_task=False, noise=False)
    gates.set_weights([np.zeros(v.shape) for v in gates.weights])
    assert np.all((array(gates(X, TASK_ID)) != 0).sum(axis=1) == 3)


def test_the_largest_scores_share_by_a_softmax():
    gates = gates_on(top_k=2)
    scores = linear(gates, X, TASK_ID)
    chosen = np.argsort(scores, axis=1)[:, -2:]
    wanted = np.zeros((7, 5))
    shares = softmax(np.take_along_axis(scores, chosen, axis=1))
    np.put_along_axis(wanted, chosen, shares, axis=1)
    np.testing.assert_allclose(array(gates(X, TASK_ID)), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("top_k", [None, 5])
def test_all_experts_without_noise_are_a_plain_softmax(top_k):
    gates = gates_on(top_k=top_k, noise=False)
    wanted = softmax(linear(gates, X, TASK_ID))
    for training in (True, False):
        weights = array(gates(X, TASK_ID, training=training))
        np.testing.assert_allclose(weights, wanted, rtol=1e-5)


@pytest.mark.slow
def test_noise_is_normal_and_as_wide_as_the_layer_says():
    gates = gates_on(top_k=None)
    draws = np.stack([np.log(array(gates(X, TASK_ID, training=True))) for _ in range(1000)])
    found = draws - draws.mean(axis=-1, keepdims=True)  # a softmax forgets what all have
    scores = linear(gates, X, TASK_ID)
    np.testing.assert_allclose(
        found.mean(axis=0), scores - scores.mean(axis=1, keepdims=True), atol=0.5
    )
    variance = np.log1p(np.exp(linear(gates, X, TASK_ID, "noise"))) ** 2
    wanted = variance * (1 - 2 / 5) + variance.sum(axis=1, keepdims=True) / 25
    np.testing.assert_allclose(found.var(axis=0), wanted, rtol=0.25)


def test_there_is_no_noise_in_inference():
    gates = gates_on()
    first, second = (array(gates(X, TASK_ID)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.any(array(gates(X, TASK_ID, training=True)) != first)


# Layouts of rows


@pytest.mark.parametrize("per_step", [False, True])
def test_shared_rows_have_a_block_for_each_task_and_blocks_keep_theirs(per_step):
    x = RNG.normal(size=(7, 4, 6)).astype("float32") if per_step else X
    settings = {"top_k": None, "noise": False, "per_step": per_step}
    tiled = np.tile(x, (3, *[1] * (x.ndim - 1)))
    gates = gates_on(x, BLOCKS, rows="shared", **settings)
    rows = array(gates(x, BLOCKS))
    blocks = array(gates_on(tiled, BLOCKS, rows="blocks", **settings)(tiled, BLOCKS))
    mixed = array(gates_on(tiled, BLOCKS, **settings)(tiled, BLOCKS))
    steps = x.swapaxes(0, 1) if per_step else [x]
    wanted = [softmax(linear(gates, np.tile(step, (3, 1)), BLOCKS)) for step in steps]
    wanted = np.stack(wanted, axis=1) if per_step else wanted[0]
    for found in (rows, blocks, mixed):
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_a_gate_that_does_not_know_the_task_answers_shared_rows_once():
    gates = gates_on(task_id=np.arange(7), by_task=False, rows="shared", noise=False, top_k=None)
    weights = array(gates(X, np.zeros(7, "int32")))
    np.testing.assert_allclose(weights, softmax(linear(gates, X, 0)), rtol=1e-5)


def test_an_unknown_task_gives_nan():
    weights = array(gates_on()(X, np.array([0, -1, 3, 2, 99, 1, 1])))
    nothing = np.isnan(weights).all(axis=1)
    np.testing.assert_array_equal(nothing, [False, True, True, False, True, False, False])


# The penalty


def penalty(gates, *inputs, **settings):
    gates(*inputs, **settings)
    (name, value), *others = gates.penalties.items()
    assert name == "balance_penalty" and not others
    np.testing.assert_allclose(float(sum(array(loss) for loss in gates.losses)), array(value))
    return float(array(value))


def test_the_squared_variation_is_that_of_the_sums_over_rows():
    parts = ops.array([[1, 0, 2], [1, 4, 4.0]])  # sums 2, 4, 6: mean 4, variance 8 / 3
    np.testing.assert_allclose(
        array(squared_variation(totals_of_experts(parts))), (8 / 3) / 16, rtol=1e-6
    )
    valid = ops.array([0, 1.0])  # sums 1, 4, 4: mean 3, variance 2
    np.testing.assert_allclose(
        array(squared_variation(totals_of_experts(parts, valid))), 2 / 9, rtol=1e-6
    )


def test_uniform_use_costs_nothing():
    gates = gates_on(top_k=None, balance_weight=3.0)
    gates.linear["scores"].kernel.assign(np.zeros((6, 5)))
    gates.by_task_rows["scores"].assign(np.zeros((3, 5)))
    assert penalty(gates, X, TASK_ID) < 1e-10


def test_all_rows_at_one_of_five_experts_cost_four():
    gates = gates_on(top_k=1, noise=False, balance_weight=3.0)
    gates.linear["scores"].kernel.assign(np.zeros((6, 5)))
    gates.by_task_rows["scores"].assign(np.tile([0, 0, 9.0, 0, 0], (3, 1)))
    np.testing.assert_allclose(penalty(gates, X, TASK_ID), 3.0 * 4, rtol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_the_load_is_the_chance_to_be_chosen_with_other_noise(top_k):
    gates = gates_on(top_k=top_k, balance_weight=1.0)
    scores = linear(gates, X, TASK_ID)
    spread = np.log1p(np.exp(linear(gates, X, TASK_ID, "noise")))
    load = np.zeros(5)
    for row, wide in zip(scores, spread, strict=True):
        for expert in range(5):
            bar = np.sort(np.delete(row, expert))[-top_k]
            load[expert] += normal_cdf((row[expert] - bar) / wide[expert])
    importance = array(gates(X, TASK_ID)).sum(axis=0)
    wanted = squared_cv(importance) + squared_cv(load)
    np.testing.assert_allclose(penalty(gates, X, TASK_ID), wanted, rtol=1e-4)


def test_padded_steps_cost_nothing():
    x = RNG.normal(size=(7, 4, 6)).astype("float32")
    mask = np.arange(4) < np.array([1, 4, 2, 3, 1, 2, 4])[:, None]
    settings = {"rows": "shared", "per_step": True, "balance_weight": 1.0}
    gates = gates_on(x, BLOCKS, **settings)
    found = penalty(gates, x, BLOCKS, x_mask=ops.convert_to_tensor(mask))
    other = np.where(mask[..., None], x, 100 * x).astype("float32")
    other = penalty(gates, other, BLOCKS, x_mask=ops.convert_to_tensor(mask))
    np.testing.assert_allclose(found, other, rtol=1e-5)
    assert abs(penalty(gates, x, BLOCKS) - found) > 1e-4


def test_the_weight_may_follow_a_schedule_over_training_batches():
    ramp = keras.optimizers.schedules.PiecewiseConstantDecay([0], [2.0, 0.0])
    gates = gates_on(balance_weight=ramp)
    costs = [penalty(gates, X, TASK_ID, training=training) for training in (False, True, False)]
    assert costs[0] > 0 and costs[1] > 0 and costs[2] == 0


def test_without_a_weight_there_is_no_penalty():
    gates = gates_on(balance_weight=0)
    gates(X, TASK_ID)
    assert gates.penalties == {} and gates.losses == []


def test_the_penalty_teaches_the_width_of_the_noise():
    gates = gates_on(balance_weight=1.0)
    slopes = gradients(lambda: (gates(X, TASK_ID), sum(gates.losses))[1], gates.trainable_variables)
    assert all(np.any(slope != 0) and np.all(np.isfinite(slope)) for slope in slopes)


# Errors


@pytest.mark.parametrize("top_k", [0, 6, 1.5, -1])
def test_top_k_is_a_number_of_experts(top_k):
    wanted = "top_k must be an integer from 1 to 5, or None for all"
    with pytest.raises(ValueError, match=f"{wanted}.* Received: {top_k}"):
        NoisyTopKGates(3, 5, top_k)


def test_a_weight_is_not_negative():
    with pytest.raises(
        ValueError, match="balance_weight must be a number of at least 0 or a schedule"
    ):
        NoisyTopKGates(3, 5, balance_weight=-1)
