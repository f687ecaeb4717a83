import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import DSelectKGates
from keras_mtl.layers.gates.dselect_k_gates import smooth_step
from tests.gradients import gradient, gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 6)).astype("float32")  # B = 5 examples, D = 6
TASK_ID = np.array([2, 0, 1, 1, 2])  # T = 3
BLOCKS = np.repeat(np.arange(3), 5)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def gates_on(x=X, task_id=TASK_ID, num_experts=6, scale=0.3, **settings):
    """Returns gates whose weights are all random."""
    gates = DSelectKGates(3, num_experts, **settings)
    gates.build(np.shape(x), np.shape(task_id))
    rng = np.random.default_rng(5)
    for variable in gates.trainable_variables:
        variable.assign(scale * rng.normal(size=variable.shape))
    return gates


def step(t, gamma):
    cubic = -2 / gamma**3 * t**3 + 1.5 / gamma * t + 0.5
    return np.where(t <= -gamma / 2, 0, np.where(t >= gamma / 2, 1, cubic))


def by_hand(gates, x, task_id):
    """Returns weights and selectors, row by row, digit by digit, from the formulas."""
    number, selected = gates.num_experts, gates.num_selected
    digits = len(np.binary_repr(number - 1))
    code, code_bias, share, share_bias = map(array, gates.trainable_variables)
    selectors = np.ones((len(x), selected, number))
    weights = np.zeros((len(x), number))
    for row, (features, task) in enumerate(zip(x, task_id, strict=True)):
        scores = (features @ code[:, task] + code_bias[task]).reshape(selected, digits)
        steps = step(scores, gates.gamma)
        shares = softmax(features @ share[:, task] + share_bias[task])
        for expert in range(number):
            for digit, wanted in enumerate(np.binary_repr(expert, digits)):
                part = steps[:, digit]
                selectors[row, :, expert] *= part if wanted == "1" else 1 - part
        weights[row] = shares @ selectors[row]
    return weights, selectors


# The step


def test_the_step_is_flat_outside_and_smooth_inside():
    found = array(smooth_step(ops.array([-9.0, -0.5, -0.25, 0.0, 0.25, 0.5, 9.0])))
    # -2 / 64 + 3 / 8 + 1 / 2 = 27 / 32 at a quarter
    np.testing.assert_allclose(found, [0, 0, 5 / 32, 0.5, 27 / 32, 1, 1], rtol=1e-6)
    wide = array(smooth_step(ops.array([-1.0, 0.5, 1.0]), gamma=2.0))
    np.testing.assert_allclose(wide, [0, 27 / 32, 1], rtol=1e-6)


def test_the_slope_of_the_step_is_continuous():
    t = keras.Variable([-0.6, -0.4999, 0.0, 0.4999, 0.6])
    slope = gradient(lambda: ops.sum(smooth_step(ops.convert_to_tensor(t))), t)
    np.testing.assert_allclose(slope, [0, 0, 1.5, 0, 0], atol=2e-3)


# Weights


@pytest.mark.parametrize(
    ("num_experts", "num_selected"), [(2, 1), (3, 1), (3, 2), (4, 2), (6, 2), (8, 1)]
)
def test_weights_are_those_of_the_formulas(num_experts, num_selected):
    gates = gates_on(num_experts=num_experts, num_selected=num_selected, gamma=1.5)
    wanted, _ = by_hand(gates, X, TASK_ID)
    np.testing.assert_allclose(array(gates(X, TASK_ID)), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_experts", [2, 4, 8])
def test_weights_sum_to_one_where_every_code_is_an_experts(num_experts):
    weights = array(gates_on(num_experts=num_experts)(X, TASK_ID))
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(5), rtol=1e-5)
    assert np.all(weights >= 0)


def test_codes_that_nobody_has_leave_less():
    weights = array(gates_on(num_experts=6, scale=0.0)(X, TASK_ID))
    np.testing.assert_allclose(weights, np.full((5, 6), 1 / 8), rtol=1e-6)


def test_hard_codes_select_exactly_k():
    gates = gates_on(num_experts=6, num_selected=3)
    codes = [[0, 1, 1], [1, 0, 1], [0, 0, 0]]  # the experts at 3, 5 and 0
    gates.linear["code"][0].assign(np.zeros((6, 3, 9)))
    gates.linear["code"][1].assign(np.tile(np.ravel(codes) - 0.5, (3, 1)))
    weights = array(gates(X, TASK_ID))
    share, bias = map(array, gates.linear["weight"])
    shares = np.stack(
        [softmax(x @ share[:, task] + bias[task]) for x, task in zip(X, TASK_ID, strict=True)]
    )
    wanted = np.zeros((5, 6))
    wanted[:, [3, 5, 0]] = shares
    np.testing.assert_allclose(weights, wanted, rtol=1e-5)
    assert np.all((weights != 0).sum(axis=1) == 3)


@pytest.mark.parametrize("per_step", [False, True])
def test_shared_rows_have_a_block_for_each_task_and_blocks_keep_theirs(per_step):
    x = RNG.normal(size=(5, 4, 6)).astype("float32") if per_step else X
    tiled = np.tile(x, (3, *[1] * (x.ndim - 1)))
    gates = gates_on(x, BLOCKS, rows="shared", per_step=per_step)
    rows = array(gates(x, BLOCKS))
    blocks = array(gates_on(tiled, BLOCKS, rows="blocks", per_step=per_step)(tiled, BLOCKS))
    steps = x.swapaxes(0, 1) if per_step else [x]
    wanted = [by_hand(gates, np.tile(each, (3, 1)), BLOCKS)[0] for each in steps]
    wanted = np.stack(wanted, axis=1) if per_step else wanted[0]
    for found in (rows, blocks):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_it_starts_as_the_reference_code_does():
    gates = DSelectKGates(30, 8, num_selected=4, gamma=2.0)
    gates.build((None, 70), (None,))
    for name, limit in (("code", 0.02), ("weight", 0.05)):
        kernel, _ = map(array, gates.linear[name])
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)


# Penalties


def penalties(gates, *inputs, **settings):
    gates(*inputs, **settings)
    values = {name: float(array(value)) for name, value in gates.penalties.items()}
    total = float(sum(array(loss) for loss in gates.losses))
    np.testing.assert_allclose(total, sum(values.values()), rtol=1e-5)
    return values


@pytest.mark.parametrize("rows", ["mixed", "shared", "blocks"])
def test_penalties_are_those_of_the_formulas(rows):
    task_id = TASK_ID if rows == "mixed" else BLOCKS
    x = RNG.normal(size=(15, 6)).astype("float32") if rows == "blocks" else X
    gates = gates_on(x, task_id, rows=rows, entropy_weight=0.5)
    seen = np.tile(x, (3, 1)) if rows == "shared" else x
    _, selectors = by_hand(gates, seen, task_id)
    known = selectors[selectors > 0]
    entropy = -(known * np.log(known)).sum() / len(task_id)
    unused = (1 / np.maximum(selectors.sum(axis=-1), 1e-3) - 1).sum() / len(task_id)
    tasks = 1 if rows == "mixed" else 3
    found = penalties(gates, x, task_id)
    np.testing.assert_allclose(found["entropy_penalty"], 0.5 * tasks * entropy, rtol=1e-4)
    np.testing.assert_allclose(found["unused_codes_penalty"], tasks * unused, rtol=1e-3)


def test_two_undecided_selectors_of_four_experts_have_twice_the_entropy_of_a_die_of_four():
    gates = gates_on(num_experts=4, scale=0.0, entropy_weight=1.0)
    assert list(penalties(gates, X, TASK_ID)) == ["entropy_penalty"]  # all codes are experts'
    np.testing.assert_allclose(array(gates.penalties["entropy_penalty"]), 2 * np.log(4), rtol=1e-5)


def test_hard_codes_cost_nothing_and_give_finite_gradients():
    gates = gates_on(num_experts=6)
    gates.linear["code"][0].assign(np.zeros((6, 3, 6)))
    for codes, unused in (([0, 1, 1, 1, 0, 1], 0.0), ([1, 1, 1, 1, 0, 1], 999.0)):  # 7: nobody's
        gates.linear["code"][1].assign(np.tile(np.array(codes) - 0.5, (3, 1)))
        found = penalties(gates, X, TASK_ID)
        np.testing.assert_allclose(list(found.values()), [0.0, unused], rtol=1e-4)
        slopes = gradients(
            lambda: (gates(X, TASK_ID), sum(gates.losses))[1], gates.trainable_variables
        )
        assert all(np.all(np.isfinite(slope)) for slope in slopes)


@pytest.mark.slow
def test_the_penalties_teach_codes_to_be_hard_and_somebodys():
    gates = gates_on(num_experts=6, scale=0.1, entropy_weight=0.3)
    for _ in range(300):
        slopes = gradients(
            lambda: (gates(X, TASK_ID), sum(gates.losses))[1], gates.trainable_variables
        )
        for variable, slope in zip(gates.trainable_variables, slopes, strict=True):
            variable.assign(array(variable) - 0.02 * slope)
    weights = array(gates(X, TASK_ID))
    assert np.all((weights > 1e-3).sum(axis=1) <= 2)
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(5), rtol=1e-3)


def test_padded_steps_cost_nothing():
    x = RNG.normal(size=(5, 4, 6)).astype("float32")
    mask = np.arange(4) < np.array([1, 4, 2, 3, 1])[:, None]
    gates = gates_on(x, BLOCKS, rows="shared", per_step=True)
    found = penalties(gates, x, BLOCKS, x_mask=ops.convert_to_tensor(mask))
    other = np.where(mask[..., None], x, 9 * x).astype("float32")
    other = penalties(gates, other, BLOCKS, x_mask=ops.convert_to_tensor(mask))
    np.testing.assert_allclose(list(found.values()), list(other.values()), rtol=1e-5)


def test_the_weight_may_follow_a_schedule_over_training_batches():
    weight = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 2.0])
    gates = gates_on(entropy_weight=weight)
    costs = [penalties(gates, X, TASK_ID, training=t)["entropy_penalty"] for t in (0, 1, 0)]
    assert costs[0] == costs[1] == 0 and costs[2] > 0


def test_without_a_weight_entropy_costs_nothing():
    gates = gates_on(num_experts=4, entropy_weight=0)
    assert penalties(gates, X, TASK_ID) == {}


# Errors


@pytest.mark.parametrize("number", [0, 6, 1.5])
def test_selectors_are_no_more_than_experts(number):
    wanted = "num_selected must be an integer from 1 to 5"
    with pytest.raises(ValueError, match=f"{wanted}. Received: {number}"):
        DSelectKGates(3, 5, num_selected=number)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0}, r"gamma must be a number in \(0, 1000000.0\]. Received: 0"),
        ({"entropy_weight": -1}, "entropy_weight must be a number of at least 0 or a schedule"),
        ({"num_experts": 1}, "num_experts must be an integer of at least 2. Received: 1"),
    ],
)
def test_settings_out_of_range_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        DSelectKGates(**{"num_tasks": 3, "num_experts": 5, **settings})
