import numpy as np
import pytest

from keras_mtl.layers import RoutedLSTM
from tests.gradients import gradient
from tests.layers.recurrence import LENGTHS, MASK, PADDED, X, array, assert_close, lstm, randomized

WIDE = np.concatenate([X, X], axis=-1)  # width 12 = 4 * 3 units, for a depth above 1
TASK_ID = np.array([1, 0, 1], "int32")
ROUTES = [[2, 0], [1, 3]]  # of T = 2 tasks, depth 2, among 4 functions


def routed(x=WIDE, routes=ROUTES, **settings):
    """Returns a layer of three units with random weights, whose tasks have the given routes."""
    depth = len(routes[0])
    settings = {"units": 3, "num_tasks": 2, "num_functions": 4, "depth": depth} | settings
    layer = randomized(RoutedLSTM(**settings), x, TASK_ID)
    layer.logits.assign(9.0 * np.eye(settings["num_functions"])[routes])
    return layer


def by_route(layer, x, route):
    """Returns what stock layers make of a route: the functions before the last, then an LSTM."""
    kernel, bias = array(layer.kernel), array(layer.bias)
    *first, last = route
    for function in first:
        x = np.maximum(x @ kernel[function] + bias[function], 0)
    return lstm([kernel[last], array(layer.recurrent_kernel), bias[last]], x)


# Numbers


def test_one_function_of_depth_one_is_an_lstm():
    layer = routed(X, [[0], [0]], num_functions=1)
    weights = [array(layer.kernel)[0], array(layer.recurrent_kernel), array(layer.bias)[0]]
    expected = lstm(weights, mask=MASK)
    for training in (False, True):
        assert_close(array(layer(X, TASK_ID, training=training, x_mask=MASK)), expected)


@pytest.mark.parametrize(
    ("x", "routes"),
    [(X, [[2], [1]]), (WIDE, [[1, 1, 2], [1, 0, 2]])],
    ids=["1", "3"],
)
def test_every_example_takes_the_route_of_its_task(x, routes):
    layer = routed(x, routes)
    found = array(layer(x, TASK_ID))
    for row, task in enumerate(TASK_ID):
        expected = by_route(layer, x[row : row + 1], routes[task])
        assert_close(found[row], expected[0])


def test_inference_takes_the_most_likely_functions_and_the_first_of_equals():
    layer = routed()
    layer.logits.assign([[[0.1, 0.0, 0.2, 0.0], [0.0] * 4], [[0.0] * 4, [-1.0, -1.0, 0.0, 0.0]]])
    found = array(layer(WIDE, TASK_ID))
    np.testing.assert_array_equal(array(layer(WIDE, TASK_ID)), found)
    for row, route in enumerate([[0, 2], [2, 0], [0, 2]]):
        assert_close(found[row], by_route(layer, WIDE[row : row + 1], route)[0])


# Draws


def function_pairs(layer, task, num_examples):
    """Returns how often each pair of functions is drawn in training.

    Functions add 0.1, 0.3 or 0.5 to a tenth of what they read, so that the answer to an input
    of zeros tells the pair.
    """
    sizes = np.array([0.1, 0.3, 0.5])
    layer.kernel.assign(np.tile(0.1 * np.eye(4), (3, 1, 1)))
    layer.bias.assign(np.tile(sizes[:, None], (1, 4)))
    task_id = np.full(num_examples, task, "int32")
    found = array(layer(np.zeros((num_examples, 1, 4), "float32"), task_id, training=True))
    added = (0.1 * sizes[:, None] + sizes).ravel()
    gate = 1 / (1 + np.exp(-added))
    answers = gate * np.tanh(gate * np.tanh(added))
    distance = np.abs(found.reshape(-1, 1) - answers)
    assert distance.min(axis=-1).max() < 1e-5
    return np.bincount(distance.argmin(axis=-1), minlength=9).reshape(3, 3) / num_examples


@pytest.mark.parametrize("task", [0, 1])
def test_draws_follow_the_tables_softmax_independently_at_each_depth(task):
    table = np.array([[[0.0, 1.0, 0.5], [2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, -1.0, 1.0]]])
    layer = RoutedLSTM(1, num_tasks=2, num_functions=3, seed=0)
    layer(np.zeros((3, 1, 4), "float32"), TASK_ID)
    layer.logits.assign(table)
    first, second = (np.exp(row) / np.exp(row).sum() for row in table[task])
    expected = np.outer(first, second)
    found = function_pairs(layer, task, num_examples=20000)
    error = np.sqrt(expected * (1 - expected) / 20000)
    assert np.all(np.abs(found - expected) < 4 * error)


def test_a_layer_that_does_not_train_does_not_draw():
    layer = routed()
    layer.logits.assign(np.zeros((2, 2, 4)))
    settled = array(layer(WIDE, TASK_ID))
    assert np.any(array(layer(WIDE, TASK_ID, training=True)) != settled)
    layer.trainable = False
    np.testing.assert_array_equal(array(layer(WIDE, TASK_ID, training=True)), settled)


# Gradients


def test_only_the_tables_rows_of_the_examples_tasks_have_a_gradient():
    layer = routed()
    task_id = np.ones(3, "int32")
    slope = gradient(lambda: layer(WIDE, task_id)[0, -1, 0], layer.logits)
    assert np.all(slope[0] == 0) and np.all(np.any(slope[1] != 0, axis=-1))
    np.testing.assert_allclose(slope.sum(axis=-1), np.zeros((2, 2)), atol=1e-6)


def test_only_functions_on_a_route_have_a_gradient():
    layer = routed()
    slope = gradient(lambda: layer(WIDE, TASK_ID)[1, -1, 0], layer.kernel)  # a row of task 0
    assert np.any(slope != 0, axis=(1, 2)).tolist() == [True, False, True, False]


# Start, masks, errors


def test_functions_start_as_kernels_of_lstms_that_differ():
    layer = RoutedLSTM(3, 2, 4, depth=1)
    layer(X, TASK_ID)
    kernel, bias = array(layer.kernel), array(layer.bias)
    limit = np.sqrt(6 / (6 + 12))  # Glorot's, of one kernel
    assert np.all(np.abs(kernel) <= limit) and np.all(np.abs(kernel).max(axis=(1, 2)) > 0.8 * limit)
    assert len({one.tobytes() for one in kernel}) == 4
    np.testing.assert_array_equal(bias, np.tile([0.0] * 3 + [1.0] * 3 + [0.0] * 6, (4, 1)))
    np.testing.assert_array_equal(array(layer.logits), np.zeros((2, 1, 4)))


def test_padding_changes_nothing_at_the_steps_before_it():
    layer = routed()
    padded = np.concatenate([PADDED, PADDED], axis=-1)
    found = array(layer(padded, TASK_ID, x_mask=MASK))
    for row, length in enumerate(LENGTHS):
        alone = array(layer(WIDE[row : row + 1, :length], TASK_ID[row : row + 1]))
        assert_close(found[row, :length], alone[0])


def test_a_task_id_out_of_range_has_no_answer():
    found = array(routed()(WIDE, np.array([0, -1, 2], "int32")))
    assert np.isfinite(found[0]).all() and np.isnan(found[1:]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_functions": 0}, "num_functions must be an integer of at least 1. Received: 0"),
        ({"num_functions": 2, "depth": 0}, "depth must be an integer of at least 1. Received: 0"),
        (
            {"num_functions": 2, "temperature": 0.0},
            "temperature must be a number above 0. Received: 0.0",
        ),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        RoutedLSTM(3, 2, **settings)


def test_recursion_needs_features_of_the_width_of_the_answers():
    wanted = (
        r"'routed' of depth 2 applies its functions to what they answer, so its features must have "
        r"width 4 \* units = 12. Received: \(3, 5, 6\).*Dense\(12\), or use depth=1"
    )
    with pytest.raises(ValueError, match=wanted):
        RoutedLSTM(3, 2, 4, name="routed")(X, TASK_ID)


def test_an_input_that_is_no_sequence_is_an_error():
    wanted = r"'routed' reads sequences, \(batch, steps, features\). Received: \(3, 12\)"
    with pytest.raises(ValueError, match=wanted):
        RoutedLSTM(3, 2, 4, name="routed")(WIDE[:, 0], TASK_ID)
