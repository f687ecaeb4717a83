import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import Modular, TaskGates
from tests.gradients import gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 6)).astype("float32")  # B = 5 examples, D = 6
KERNEL = RNG.normal(size=(6, 3, 4))  # T = 3 tasks, E = 4 experts
BIAS = RNG.normal(size=(3, 4))
TASK_ID = np.array([2, 0, 1, 1, 2])
BLOCKS = np.repeat(np.arange(3), 5)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def gates_on(x, task_id, **settings):
    """Returns gates with the weights above."""
    gates = TaskGates(3, 4, **settings)
    gates.build(np.shape(x), np.shape(task_id))
    gates.set_weights([KERNEL, BIAS])
    return gates


def expected(x, task_id):
    """Returns each row's softmax, with the columns of its task."""
    rows = [
        softmax(row @ KERNEL[:, task] + BIAS[task]) for row, task in zip(x, task_id, strict=True)
    ]
    return np.stack(rows)


# Layouts of rows


def test_each_row_has_the_weights_of_its_task():
    weights = array(gates_on(X, TASK_ID)(X, TASK_ID))
    np.testing.assert_allclose(weights, expected(X, TASK_ID), rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones(5), rtol=1e-6)


def test_shared_rows_have_a_block_of_weights_for_each_task():
    weights = array(gates_on(X, BLOCKS, rows="shared")(X, BLOCKS))
    np.testing.assert_allclose(weights, expected(np.tile(X, (3, 1)), BLOCKS), rtol=1e-5)


def test_each_block_of_rows_has_the_weights_of_its_task():
    x = RNG.normal(size=(15, 6)).astype("float32")
    weights = array(gates_on(x, BLOCKS, rows="blocks")(x, BLOCKS))
    np.testing.assert_allclose(weights, expected(x, BLOCKS), rtol=1e-5)


@pytest.mark.parametrize("rows", ["mixed", "shared", "blocks"])
def test_every_step_may_have_weights_of_its_own(rows):
    task_id = TASK_ID if rows == "mixed" else BLOCKS
    x = RNG.normal(size=(15 if rows == "blocks" else 5, 7, 6)).astype("float32")
    weights = array(gates_on(x, task_id, rows=rows, per_step=True)(x, task_id))
    x = np.tile(x, (3, 1, 1)) if rows == "shared" else x
    assert weights.shape == (len(task_id), 7, 4)
    for step in range(7):
        np.testing.assert_allclose(weights[:, step], expected(x[:, step], task_id), rtol=1e-5)


def test_an_unknown_task_gives_nan():
    weights = array(gates_on(X, TASK_ID)(X, np.array([0, -1, 3, 2, 99])))
    np.testing.assert_array_equal(np.isnan(weights).all(axis=1), [False, True, True, False, True])
    assert np.isfinite(weights[[0, 3]]).all()


# What gates read


def test_images_are_averaged_over_space():
    x = RNG.normal(size=(5, 2, 3, 6)).astype("float32")
    weights = array(gates_on(x, TASK_ID)(x, TASK_ID))
    np.testing.assert_allclose(weights, expected(x.mean(axis=(1, 2)), TASK_ID), rtol=1e-4)


def test_sequences_are_averaged_over_steps_that_are_no_padding():
    x = RNG.normal(size=(5, 7, 6)).astype("float32")
    lengths = np.array([7, 1, 3, 5, 2])
    mask = np.arange(7) < lengths[:, None]
    means = np.stack([row[:length].mean(axis=0) for row, length in zip(x, lengths, strict=True)])
    weights = array(gates_on(x, TASK_ID)(x, TASK_ID, x_mask=ops.convert_to_tensor(mask)))
    np.testing.assert_allclose(weights, expected(means, TASK_ID), rtol=1e-4)


def test_the_mask_comes_with_the_features():
    tokens = np.array([[4, 2, 0], [1, 0, 0], [3, 3, 3], [2, 0, 0], [1, 1, 0]])
    ids, task_id = keras.Input((3,), dtype="int32"), keras.Input((), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)
    gates = TaskGates(3, 4)
    model = keras.Model([ids, task_id], gates(embedded(ids), task_id))
    gates.set_weights([KERNEL, BIAS])
    lengths = (tokens > 0).sum(axis=1)
    vectors = array(embedded(tokens))
    means = np.stack(
        [row[:length].mean(axis=0) for row, length in zip(vectors, lengths, strict=True)]
    )
    answer = array(model([tokens, TASK_ID]))
    np.testing.assert_allclose(answer, expected(means, TASK_ID), rtol=1e-4)


# Closed gates

CLOSED = np.array([[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("rows", ["mixed", "shared", "blocks"])
def test_closed_experts_weigh_exactly_nothing_and_the_others_sum_to_one(rows):
    task_id = TASK_ID if rows == "mixed" else BLOCKS
    x = 50 * RNG.normal(size=(15 if rows == "blocks" else 5, 6)).astype("float32")
    weights = array(gates_on(x, task_id, rows=rows, closed=CLOSED)(x, task_id))
    assert np.all(weights[CLOSED[task_id] == 1] == 0)
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones(len(task_id)), rtol=1e-6)


def test_open_experts_weigh_as_if_the_closed_were_not_there():
    weights = array(gates_on(X, np.ones(5), closed=CLOSED)(X, np.ones(5, "int32")))
    open_to_it = softmax(X @ KERNEL[:, 1, 1:3] + BIAS[1, 1:3])
    np.testing.assert_allclose(weights[:, 1:3], open_to_it, rtol=1e-5)


def test_a_closed_expert_gets_no_gradient_from_the_task_and_its_gate_none_at_all():
    gates = gates_on(X, BLOCKS, rows="shared", closed=CLOSED)
    experts = [keras.layers.Dense(2, activation="tanh") for _ in range(4)]
    layer = Modular(experts, "sum", num_repeats=3)
    layer(X, gates(X, BLOCKS))

    def loss_of(task):
        return ops.sum(layer(X, gates(X, BLOCKS))[task * 5 : task * 5 + 5] ** 2)

    for task in range(3):
        for expert, closed in zip(experts, CLOSED[task], strict=True):
            slopes = gradients(lambda task=task: loss_of(task), expert.trainable_variables)
            assert all(np.any(slope != 0) == (not closed) for slope in slopes)
            assert all(np.all(np.isfinite(slope)) for slope in slopes)
    for slope in gradients(lambda: sum(map(loss_of, range(3))), gates.trainable_variables):
        np.testing.assert_array_equal((slope == 0).reshape(-1, 3, 4)[0], CLOSED == 1)


# The start


def test_each_gate_starts_as_a_dense_layer_of_its_own():
    gates = TaskGates(40, 50)
    gates.build((None, 70), (None,))
    limit = np.sqrt(6 / (70 + 50))
    kernel = array(gates.kernel)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.01)
    assert np.all(array(gates.bias) == 0)


def test_weights_of_zero_are_the_plain_mean_of_the_experts():
    gates = TaskGates(3, 4, rows="shared")
    experts = [keras.layers.Dense(2, activation="tanh") for _ in range(4)]
    layer = Modular(experts, "sum", num_repeats=3)
    gates.build((5, 6), (15,))
    gates.set_weights([np.zeros((6, 3, 4)), np.zeros((3, 4))])
    mixture = array(layer(X, gates(X, BLOCKS)))
    mean = np.mean([array(expert(X)) for expert in experts], axis=0)
    np.testing.assert_allclose(mixture, np.tile(mean, (3, 1)), rtol=1e-5, atol=1e-6)


# Errors


def test_unknown_rows_are_an_error():
    with pytest.raises(ValueError, match='rows must be "mixed" .*, "shared" .* or "blocks"'):
        TaskGates(3, 4, rows="tiled")


@pytest.mark.parametrize("closed", [[[0, 1]], [[0, 0.5, 1, 0]] * 3, [[0, 1, 1]] * 4])
def test_closed_is_zeros_and_ones_for_each_task_and_expert(closed):
    wanted = "closed must be zeros and ones, a row for each of 3 tasks .* a column for each of 4"
    with pytest.raises(ValueError, match=wanted):
        TaskGates(3, 4, closed=closed)


def test_a_task_without_an_open_expert_is_an_error():
    with pytest.raises(
        ValueError, match=r"closed leaves no expert to the tasks at indices \[0, 2\]"
    ):
        TaskGates(3, 2, closed=[[1, 1], [0, 1], [1, 1]])
