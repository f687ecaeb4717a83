"""Amounts: Tweedie likelihood and deviance, and what is a label, by hand and by scikit-learn."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import mean_tweedie_deviance

import keras_mtl
from keras_mtl import Task, Tweedie
from keras_mtl.data.labels import check_labels
from keras_mtl.kinds.tweedie import tweedie, tweedie_deviance
from keras_mtl.layers import TaskHead
from keras_mtl.training.inputs.judges import check_fit

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(0)
Y = np.where(RNG.random(50) < 0.4, 0.0, RNG.gamma(2.0, 3.0, 50)).astype("float32")[:, None]
ANSWERS = RNG.gamma(2.0, 2.0, (50, 1)).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_the_loss_of_power_one_and_a_half_is_a_sum_of_roots():
    values = tweedie(ops.array([[4.0], [0.0], [9.0]]), ops.array([[4.0], [9.0], [1.0]]))
    np.testing.assert_allclose(array(values), [2 * 2 + 2 * 2, 2 * 3, 2 * 9 + 2 * 1], rtol=1e-6)


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_the_loss_exceeds_that_of_the_label_by_half_the_deviance(power):
    loss = Tweedie(power)
    above_0 = np.maximum(Y, 0.01)
    excess = array(loss.call(above_0, ANSWERS)) - array(loss.call(above_0, above_0))
    expected = [
        mean_tweedie_deviance(y, answer, power=power)
        for y, answer in zip(above_0, ANSWERS, strict=True)
    ]
    np.testing.assert_allclose(2 * excess, expected, rtol=1e-3, atol=2e-4)
    mean = float(loss(ops.array(Y), ops.array(ANSWERS)))
    assert mean == pytest.approx(array(loss.call(Y, ANSWERS)).mean(), rel=1e-5)


def test_the_deviance_is_that_of_scikit_learn():
    values = array(tweedie_deviance(ops.array(Y), ops.array(ANSWERS)))
    expected = mean_tweedie_deviance(Y[:, 0], ANSWERS[:, 0], power=1.5)
    assert values.mean() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(array(tweedie_deviance(Y, np.maximum(Y, 1e-9))), 0.0, atol=2e-4)


def test_an_answer_of_0_costs_a_finite_number():
    values = array(tweedie(ops.array([[0.0], [1.0]]), ops.array([[0.0], [0.0]])))
    assert values[0] < 1e-6 and 1e6 < values[1] < INF


def test_a_power_is_between_1_and_2_and_is_saved():
    for wrong in (1, 2, 0.5, "x"):
        with pytest.raises(ValueError, match=r"power must be a number in \(1, 2\)"):
            Tweedie(wrong)
    assert Tweedie.from_config(Tweedie(1.2).get_config()).power == 1.2


def test_a_head_answers_with_the_exponential_of_a_dense_layer():
    head = TaskHead(Task("amount", 2), 0)
    x = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
    head.build((None, 2))
    head.set_weights([np.array([[0.0, 1.0], [1.0, -1.0]]), np.array([0.5, 0.0])])
    np.testing.assert_allclose(array(head(x)), np.exp([[0.5, 1.0], [2.5, -2.0]]), rtol=1e-5)


def test_labels_are_numbers_of_at_least_0():
    labels = check_labels("spend", Task("amount"), [0, 7.25, NAN])
    np.testing.assert_array_equal(labels, np.array([0, 7.25, NAN], "float32"))
    for wrong in (-0.5, INF):
        message = f"finite and at least 0 .NaN: not labelled.. Received: {wrong} at index"
        with pytest.raises(ValueError, match=message):
            check_labels("spend", Task("amount"), [0, wrong])


def test_logs_have_the_deviance_and_skip_what_is_missing():
    dense = partial(keras.layers.Dense, 3)
    tasks = {
        "spend": Task("amount", metrics=["tweedie_deviance", "mae", "mse"]),
        "watch": Task("amount", loss=Tweedie(1.2)),
    }
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [dense])
    model.compile("sgd")
    y = {"spend": ops.array([[9.0], [NAN]]), "watch": ops.array([[0.0], [-1.0]])}
    answers = {"spend": ops.array([[4.0], [1.0]]), "watch": ops.array([[1.0], [1.0]])}
    model.compute_loss({}, y, answers)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert logs["spend_mae"] == 5.0 and logs["spend_mse"] == 25.0
    assert logs["spend_loss"] == pytest.approx(2 * 9 / 2 + 2 * 2)
    assert logs["spend_tweedie_deviance"] == pytest.approx(
        mean_tweedie_deviance([9.0], [4.0], power=1.5)
    )
    assert math.isnan(logs["watch_loss"]) and "watch_mae" not in logs  # -1 is no amount


def test_a_loss_says_which_kinds_it_fits():
    for kind in ("amount", "count"):
        check_fit("spend", Task(kind, loss=Tweedie(1.2)))
    with pytest.raises(ValueError, match="Tweedie does not fit task 'spend'.* kind 'regression'"):
        check_fit("spend", Task("regression", loss=Tweedie(1.2)))
    with pytest.raises(ValueError, match='has amounts .*and answers with expected.*Use "poisson"'):
        check_fit("spend", Task("amount", loss="binary_crossentropy"))
    with pytest.raises(ValueError, match='The metric .*Use "tweedie_deviance"'):
        check_fit("spend", Task("amount", metrics=["accuracy"]))
