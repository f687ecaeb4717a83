"""The losses of funnels, worked out by hand in the numbers of `test_losses.py`."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.tasks import as_tasks
from keras_mtl.training.batches import SharedBatch
from keras_mtl.training.losses import loss_measure, means_of
from tests.conftest import two_replicas
from tests.gradients import gradients

LN2 = math.log(2.0)
NAN = float("nan")
ESTIMATORS = ("entire", "given", "ipw", "dr")
dense = partial(keras.layers.Dense, 3, activation="tanh")

# who clicks and buys, who clicks only, who does not click (seldom), of whom it is not known
CLICK_Y, BUY_Y = [1, 1, 0, NAN, 1, NAN], [1, 0, NAN, 1, NAN, NAN]
CLICK_P = [[0.5], [0.5], [0.25], [0.5], [0.5], [0.5]]
CONDITIONAL_P = [[0.25], [0.5], [0.5], [0.25], [0.9], [0.9]]
IMPUTED = [[0.5], [0.75], [0.75], [0.5], [0.5], [0.5]]
ENTIRE = 3 * LN2 - math.log(0.75) - math.log(0.875) + 3 * LN2  # of four labelled examples
ON_TWO = 2 * LN2 - math.log(0.75)  # what 0.25 costs if all goes both ways, twice over
GUESS = ON_TWO / 2
CORRECTED = (  # where p = 1/2 a click counts twice
    GUESS + 2 * (2 * LN2 - GUESS) + 2 * (2 * LN2 - GUESS) ** 2,
    LN2 + 2 * 0 + 0,
    LN2,  # nobody saw it: what is imputed
)
LOSSES = {
    "entire": ENTIRE / 4,
    "given": (2 * LN2 + LN2) / 2,
    "ipw": (ENTIRE + 2 * 2 * LN2 + 2 * LN2) / 4,
    "dr": (ENTIRE + sum(CORRECTED)) / 4,
}


def batch_of(estimator, sample_weight=None, loss=None, imputed=IMPUTED, **changes):
    tasks = as_tasks(
        {"click": "binary", "buy": Task("binary", given="click", estimator=estimator, loss=loss)}
    )
    given = {"click": CLICK_P, "conditional": CONDITIONAL_P, "y": (CLICK_Y, BUY_Y)} | changes
    click, conditional = (
        ops.convert_to_tensor(given[name], "float32") for name in ("click", "conditional")
    )
    y_pred = {"click": click, "buy": click * conditional, "buy_given_click": conditional}
    y = {
        name: ops.convert_to_tensor(labels, "float32")
        for name, labels in zip(tasks, given["y"], strict=True)
    }
    imputed = {} if imputed is None else {"buy": ops.convert_to_tensor(imputed, "float32")}
    return SharedBatch(tasks, None, y, y_pred, sample_weight, imputed)


def loss_of(batch):
    totals, counts = batch.sums({"buy": loss_measure(batch.tasks["buy"])})
    return means_of(totals, counts)[1]


def value_of(batch):
    return float(ops.convert_to_numpy(loss_of(batch)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_estimator_has_its_loss(estimator):
    assert value_of(batch_of(estimator)) == pytest.approx(LOSSES[estimator], rel=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_loss_of_the_tasks_own_is_told_of_the_same_probabilities(estimator):
    loss = keras.losses.BinaryCrossentropy(reduction="none")
    assert value_of(batch_of(estimator, loss=loss)) == pytest.approx(LOSSES[estimator], rel=1e-5)


def test_without_imputation_dr_is_ipw():
    assert value_of(batch_of("dr", imputed=None)) == pytest.approx(LOSSES["ipw"], rel=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights_of_examples_count(estimator):
    twice = {"y": (CLICK_Y + CLICK_Y[:2], BUY_Y + BUY_Y[:2]), "imputed": IMPUTED + IMPUTED[:2]}
    twice |= {"click": CLICK_P + CLICK_P[:2], "conditional": CONDITIONAL_P + CONDITIONAL_P[:2]}
    weighted = batch_of(estimator, sample_weight=ops.array([2.0, 2, 1, 1, 1, 1]))
    assert value_of(weighted) == pytest.approx(value_of(batch_of(estimator, **twice)), rel=1e-5)


@pytest.mark.parametrize("estimator", ["given", "ipw", "dr"])
def test_without_the_parents_label_only_the_entire_space_says_something(estimator):
    found = batch_of(estimator, y=([NAN] * 6, [1, 0, 0, 1, NAN, NAN]))
    totals, counts = found.sums({"buy": loss_measure(found.tasks["buy"])})
    if estimator == "given":
        assert float(ops.convert_to_numpy(counts[1])) == 0
    else:
        assert float(ops.convert_to_numpy(totals[1])) == pytest.approx(ENTIRE, rel=1e-5)


def test_a_task_that_is_1_where_its_parent_is_0_counts_as_it_is():
    impossible = {"y": ([0], [1]), "click": [[0.5]], "conditional": [[0.25]], "imputed": [[0.5]]}
    assert value_of(batch_of("entire", **impossible)) == pytest.approx(3 * LN2, rel=1e-5)
    assert value_of(batch_of("ipw", **impossible)) == pytest.approx(3 * LN2, rel=1e-5)


def test_propensities_are_not_below_a_thousandth():
    rare = {"y": ([1], [1]), "click": [[1e-6]], "conditional": [[0.5]]}
    entire = value_of(batch_of("entire", **rare))
    assert value_of(batch_of("ipw", **rare)) - entire == pytest.approx(1000 * LN2, rel=1e-3)


def test_a_wrong_label_is_never_a_plausible_number():
    assert math.isnan(value_of(batch_of("ipw", y=(CLICK_Y, [2, *BUY_Y[1:]]))))


# Gradients


def moved(estimator, log_odds, labels=(1.0, 1.0)):
    """Returns the gradients in the log-odds of the parent, the conditional, and the imputed."""
    variables = [keras.Variable([[odds]]) for odds in log_odds]

    def loss():
        click, conditional, imputed = map(ops.sigmoid, variables)
        y = {"click": ops.array([labels[0]]), "buy": ops.array([labels[1]])}
        tasks = as_tasks(
            {"click": "binary", "buy": Task("binary", given="click", estimator=estimator)}
        )
        y_pred = {"click": click, "buy": click * conditional, "buy_given_click": conditional}
        return loss_of(SharedBatch(tasks, None, y, y_pred, None, {"buy": imputed}))

    return [float(found[0, 0]) for found in gradients(loss, variables)]


def test_gradients_of_a_bought_click():
    # p = 1/2, c = 1/4, r = 1/2: d log p / d log-odds = 1 - p, and of c 1 - c
    odds, entire = (0.0, -math.log(3), 0.0), (-0.5, -0.75, 0.0)
    assert moved("entire", odds) == pytest.approx(entire, rel=1e-5)
    assert moved("given", odds) == pytest.approx([0.0, -0.75, 0.0], rel=1e-5)
    assert moved("ipw", odds) == pytest.approx([-0.5, -0.75 - 2 * 0.75, 0.0], rel=1e-5)
    # (c - r) + (r - y) / p; 2 / p (e - e') d e' / d r r (1 - r), where e - e' = (1 - r) log 3
    imputation = -2 * 2 * (0.5 * math.log(3)) * math.log(3) * 0.25
    dr = [-0.5, -0.75 + (0.25 - 0.5) + 2 * (0.5 - 1), imputation]
    assert moved("dr", odds) == pytest.approx(dr, rel=1e-5)


def test_imputed_labels_teach_where_there_is_no_click():
    *_, conditional, imputation = moved("dr", (0.0, -math.log(3), 0.0), labels=(0.0, NAN))
    entire = moved("entire", (0.0, -math.log(3), 0.0), labels=(0.0, NAN))[1]
    assert conditional - entire == pytest.approx(0.25 - 0.5, rel=1e-5)
    assert imputation == 0


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("log_odds", [(-300.0, -300.0, -300.0), (300.0, 300.0, 300.0)])
@pytest.mark.parametrize("labels", [(1.0, 1.0), (1.0, 0.0), (0.0, NAN)])
def test_gradients_of_saturated_probabilities_are_finite(estimator, log_odds, labels):
    assert np.all(np.isfinite(moved(estimator, log_odds, labels)))


def test_a_product_below_all_floats_still_learns():
    found = moved("entire", (-60.0, -60.0, 0.0))  # exp(-120) is 0
    assert found[:2] == pytest.approx([-1.0, -1.0], rel=1e-5)


# Networks


def network(estimator, optimizer=None, **options):
    tasks = {"click": "binary", "buy": Task("binary", given="click", estimator=estimator)}
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [dense], seed=1)
    model.compile(optimizer or keras.optimizers.SGD(0.1), **options)
    return model


RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 2)).astype("float32")
CLICK = np.array([1, 1, 0, 0, 1, NAN, 1, 0, 1], "float32")
BUY = np.array([1, 0, NAN, 0, NAN, 1, 1, NAN, 0], "float32")
Y = {"click": CLICK, "buy": BUY}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_logs_are_of_the_task(estimator):
    model = network(estimator)
    logs = model.fit(X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y)).history
    assert {"click_loss", "buy_loss", "buy_accuracy", "val_buy_loss", "mean_loss"} <= set(logs)
    assert not [name for name in logs if "given" in name]
    assert np.all(np.isfinite([values[-1] for values in logs.values()]))


@pytest.mark.parametrize(
    ("estimator", "balancing"), [("dr", keras_mtl.PCGrad), ("entire", keras_mtl.GradNorm)]
)
def test_balancing_sees_the_losses_of_a_funnel(estimator, balancing):
    model = network(estimator, balancing=balancing())
    logs = model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history
    assert np.all(np.isfinite([values[-1] for values in logs.values()]))


def test_metrics_are_of_the_joint_probability_and_the_joint_label():
    model = network("given")
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    joint = model.predict(X, verbose=0)["buy"][:, 0]
    known = [0, 1, 2, 3, 5, 6, 7, 8]
    right = (joint > 0.5) == (np.nan_to_num(BUY) == 1)
    assert logs["buy_accuracy"] == pytest.approx(right[known].mean())


def test_the_conditional_probability_has_no_labels():
    model = network("entire")
    with pytest.raises(ValueError, match="'buy_given_click', which is no task of this model"):
        model.fit(X, {**Y, "buy_given_click": BUY}, verbose=0)


def test_fit_counts_what_cannot_be():
    model = network("entire")
    y = {"click": np.zeros(9), "buy": np.array([1, 1, 0, 0, NAN, 0, 0, 0, 0])}
    with pytest.warns(UserWarning, match="'buy' is 1 in 2 of 9 examples whose 'click'.*is 0"):
        model.fit(X, y, verbose=0)


def test_stock_losses_are_of_the_joint_probability():
    model = network("entire", loss="binary_crossentropy")
    y = {"click": np.nan_to_num(CLICK), "buy": np.nan_to_num(BUY)}
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    joint = model.predict(X, verbose=0)["buy"][:, 0]
    expected = -np.mean(np.log(np.where(y["buy"] == 1, joint, 1 - joint)))
    assert logs["buy_loss"] == pytest.approx(expected, rel=1e-5)


def test_stock_losses_know_no_estimator():
    with pytest.raises(ValueError, match="no estimator='ipw' of task 'buy'"):
        network("ipw", loss="binary_crossentropy")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
@pytest.mark.parametrize("estimator", ["given", "dr"])
def test_two_replicas_train_as_one_device(estimator):
    keras.utils.set_random_seed(5)
    one = network(estimator)
    data = {"x": X, "y": Y, "batch_size": 4, "shuffle": False, "epochs": 4, "verbose": 0}
    logs = one.fit(**data).history
    keras.utils.set_random_seed(5)
    with two_replicas().scope():
        two = network(estimator)
    for name, values in two.fit(**data).history.items():
        np.testing.assert_allclose(values, logs[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for ours, theirs in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=1e-5, atol=1e-5)
