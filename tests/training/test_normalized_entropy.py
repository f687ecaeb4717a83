"""Judges of ranking: normalized entropy, and areas under curves of precision and recall."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import NormalizedEntropy, Task
from keras_mtl.comparison.directions import lower_is_better
from tests.calibration.data import TASKS, X, Y, answers, network

PR = keras.metrics.AUC(curve="PR")


def entropy_of(y, p, weight=None):
    """Returns the normalized entropy, as the paper writes it."""
    loss = np.average(y * np.log(p) + (1 - y) * np.log(1 - p), weights=weight)
    rate = np.average(y, weights=weight)
    return loss / (rate * np.log(rate) + (1 - rate) * np.log(1 - rate))


def measured(*batches):
    metric = NormalizedEntropy()
    for batch in batches:
        metric.update_state(*map(np.asarray, batch))
    return float(metric.result())


def test_the_mean_label_has_1_and_better_answers_less():
    y = np.array([0.0, 1.0, 0.0, 0.0])
    assert measured((y, [0.25] * 4)) == pytest.approx(1.0)
    p = np.array([0.5, 0.5, 0.25, 0.25])
    by_hand = -(2 * np.log(0.5) + 2 * np.log(0.75)) / 4
    by_hand /= -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert measured((y, p)) == pytest.approx(by_hand, rel=1e-6)
    assert entropy_of(y, p) == pytest.approx(by_hand)


def test_batches_and_weights_are_those_of_all_examples():
    rng = np.random.default_rng(0)
    y, p, weight = rng.integers(2, size=20), rng.random(20), rng.random(20)
    parts = [slice(0, 7), slice(7, 20)]
    found = measured(*((y[part][:, None], p[part][:, None], weight[part]) for part in parts))
    assert found == pytest.approx(entropy_of(y, p, weight), rel=1e-5)
    assert measured((y[:, None], p)) == pytest.approx(entropy_of(y, p), rel=1e-5)


def test_it_is_finite_of_sure_errors_and_nan_of_one_class():
    assert np.isfinite(measured(([0.0, 1.0], [1.0, 0.0])))
    assert np.isnan(measured(([1.0, 1.0], [0.9, 0.9])))
    assert np.isnan(measured())


def test_it_begins_anew_and_survives_its_config():
    metric = NormalizedEntropy(name="ne")
    metric.update_state(np.ones(3), np.zeros(3))
    metric.reset_state()
    metric.update_state(np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert float(metric.result()) == pytest.approx(1.0)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is NormalizedEntropy and copy.name == "ne"


def test_less_is_better():
    assert lower_is_better("click_normalized_entropy")
    assert keras_mtl.TaskMonitor("normalized_entropy").mode == "min"
    assert keras_mtl.TaskMonitor("auc_pr").mode == keras_mtl.TaskMonitor("gauc").mode == "max"


# Of tasks


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_it_is_a_metric_of_a_task(task_data):
    tasks = {
        "kind": TASKS["kind"],
        "click": Task("binary", metrics=["auc", PR, NormalizedEntropy()]),
    }
    model = network(tasks, task_data=task_data)
    model.compile("sgd")
    click = np.where(np.arange(len(X)) % 3 == 0, np.nan, Y["click"])
    data = {"x": X, "y": {"kind": Y["kind"], "click": click}, "batch_size": 1000}
    if task_data == "separate":
        own = {"kind": (X, Y["kind"]), "click": (X, click)}
        data = {"x": keras_mtl.task_batches(tasks, own, batch_size=1000, order="sequential")}
    logs = model.evaluate(**data, return_dict=True, verbose=0)
    p = answers(network({"click": "binary"}))["click"][:, 0].astype("float64")
    known = ~np.isnan(click)
    expected = entropy_of(click[known], p[known])
    assert logs["click_normalized_entropy"] == pytest.approx(expected, rel=1e-4)
    assert logs["mean_normalized_entropy"] == logs["click_normalized_entropy"]
    assert 0.5 < logs["click_auc_pr"] < logs["click_auc"] < 0.9
    area = pytest.importorskip("sklearn.metrics").average_precision_score(click[known], p[known])
    assert logs["click_auc_pr"] == pytest.approx(area, abs=0.01)


def test_it_is_for_binary_tasks_alone():
    for task in (Task("classes", 3), Task("multilabel", 2), Task("regression")):
        tasks = {"kind": Task(task.kind, task.size, metrics=[NormalizedEntropy()])}
        model = keras_mtl.build_shared_bottom(
            keras.Input((3,)), tasks, [lambda: keras.layers.Dense(2)]
        )
        with pytest.raises(ValueError, match="metric NormalizedEntropy does not fit task 'kind'"):
            model.compile("sgd")
