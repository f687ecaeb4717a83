"""Counts: Poisson likelihood, deviance and what is a label, by hand."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.data.labels import check_labels
from keras_mtl.kinds.count import poisson, poisson_deviance
from keras_mtl.layers import TaskHead
from keras_mtl.training.inputs.judges import check_fit

NAN, INF = float("nan"), float("inf")
Y = np.array([[3.0], [0.0], [2.0]], "float32")
ANSWERS = np.array([[1.0], [2.0], [math.e]], "float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_the_loss_is_the_expected_count_minus_the_log_times_the_label():
    values = array(poisson(ops.convert_to_tensor(Y), ops.convert_to_tensor(ANSWERS)))
    np.testing.assert_allclose(values, [1.0, 2.0, math.e - 2.0], rtol=1e-6)


def test_the_loss_is_that_of_keras():
    expected = keras.losses.poisson(ops.convert_to_tensor(Y), ops.convert_to_tensor(ANSWERS))
    values = poisson(ops.convert_to_tensor(Y), ops.convert_to_tensor(ANSWERS))
    np.testing.assert_allclose(array(values), array(expected), rtol=1e-5)


def test_a_tiny_answer_still_learns():
    assert float(poisson(ops.array([[1.0]]), ops.array([[1e-20]]))[0]) == pytest.approx(
        20 * math.log(10)
    )
    assert float(poisson(ops.array([[0.0]]), ops.array([[0.0]]))[0]) == 0.0


def test_the_deviance_is_0_for_the_label_itself_and_twice_the_answer_for_none():
    y, answers = np.array([[2.0, 0.0], [4.0, 0.0]]), np.array([[2.0, 0.0], [1.0, 3.0]])
    values = array(poisson_deviance(ops.array(y, "float32"), ops.array(answers, "float32")))
    expected = (2 * (4 * math.log(4) - 3) + 2 * 3) / 2  # of two counts, the mean
    np.testing.assert_allclose(values, [0.0, expected], rtol=1e-5, atol=1e-6)


def test_a_head_answers_with_the_exponential_of_a_dense_layer():
    head = TaskHead(Task("count", 2), 0)
    x = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
    head.build((None, 2))
    head.set_weights([np.array([[0.0, 1.0], [1.0, -1.0]]), np.array([0.5, 0.0])])
    np.testing.assert_allclose(array(head(x)), np.exp([[0.5, 1.0], [2.5, -2.0]]), rtol=1e-5)


def test_labels_are_whole_numbers_of_at_least_0():
    labels = check_labels("visits", Task("count"), [0, 7, NAN])
    assert labels.dtype == "float32"
    np.testing.assert_array_equal(labels, [0, 7, NAN])
    assert check_labels("visits", Task("count", 2, per_step=True), np.ones((3, 4, 2))).ndim == 3


@pytest.mark.parametrize("wrong", [-1.0, 2.5, INF, -INF])
def test_other_labels_are_refused(wrong):
    message = f"whole numbers of at least 0 .NaN: not labelled.. Received: {wrong} at index"
    with pytest.raises(ValueError, match=message):
        check_labels("visits", Task("count"), [0, wrong])


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("wrong", [-1.0, 2.5, INF])
def test_in_a_compiled_step_they_make_the_loss_nan(wrong, task_data):
    tasks = {"visits": Task("count"), "falls": Task("count")}
    loss, logs = loss_and_logs(tasks, task_data, [[1.0], [wrong]])
    assert math.isnan(loss) and math.isnan(logs["visits_poisson_deviance"])
    loss, _ = loss_and_logs(tasks, task_data, [[1.0], [NAN]])
    assert loss == pytest.approx(2.0 - math.log(2.0))


def loss_and_logs(tasks, task_data, labels):
    """Returns what a task's labels cost where all expect a count of 2."""
    model = keras_mtl.build_shared_bottom(
        keras.Input((2,)), tasks, [lambda: keras.layers.Dense(3)], task_data=task_data
    )
    model.compile("sgd")
    y, answers = ops.array(labels, "float32"), ops.full((2, 1), 2.0)
    if task_data == "shared":
        y = {"visits": y, "falls": ops.full((2, 1), NAN)}
        answers = dict.fromkeys(tasks, answers)
    x = {"task_id": ops.zeros((2,), "int32")}
    loss = float(model.compute_loss(x, y, answers))
    return loss, {name: float(value) for name, value in model.get_metrics_result().items()}


def test_other_metrics_go_by_their_names_and_skip_what_is_missing():
    tasks = {"visits": Task("count", metrics=["poisson_deviance", "mae", "mse"])}
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [lambda: keras.layers.Dense(3)])
    model.compile("sgd")
    y, answers = ops.array([[4.0], [NAN]]), ops.array([[1.0], [9.0]])
    model.compute_loss({}, {"visits": y}, {"visits": answers})
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert logs["visits_mae"] == 3.0 and logs["visits_mse"] == 9.0
    assert logs["visits_poisson_deviance"] == pytest.approx(2 * (4 * math.log(4) - 3))
    assert logs["visits_loss"] == pytest.approx(1.0)


@pytest.mark.parametrize("judge", ["poisson", "mse", keras.losses.Poisson()])
def test_losses_of_numbers_fit(judge):
    check_fit("visits", Task("count", loss=judge))


def test_a_loss_of_probabilities_does_not():
    with pytest.raises(ValueError, match='has counts .*and answers with expected.*Use "poisson"'):
        check_fit("visits", Task("count", loss="binary_crossentropy"))
    with pytest.raises(ValueError, match='The metric .*Use "poisson_deviance"'):
        check_fit("visits", Task("count", metrics=["accuracy"]))
