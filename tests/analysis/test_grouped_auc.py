"""Areas under the ROC curve within groups: by hand, as scikit-learn's, and in the logs of fit."""

import time

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import GroupAUC, Task, grouped_auc
from tests.calibration.data import TASKS, X, Y, answers, network

USERS = np.random.default_rng(3).integers(50, size=len(X))


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_areas_are_weighted_by_examples():
    y = [1, 0, 1, 0, 1, 1, 1]
    p = [0.9, 0.8, 0.2, 0.4, 0.7, 0.1, 0.2]
    users = ["ann", "ann", "bob", "bob", "bob", "cid", "cid"]  # cid has no 0
    np.testing.assert_allclose(grouped_auc(y, p, users), (2 * 1 + 3 * 1 / 2) / 5)


def test_equal_predictions_share_their_ranks():
    assert grouped_auc([0, 1, 0, 1], [0.5] * 4, [1] * 4) == 0.5
    np.testing.assert_allclose(grouped_auc([0, 1, 1], [0.5, 0.5, 0.7], [1, 1, 1]), 0.75)


def test_what_is_not_labelled_does_not_count():
    y, p, users = [1, 0, np.nan, np.nan], [[0.9], [0.8], [np.nan], [0.1]], [1, 1, 1, 2]
    assert grouped_auc(np.array(y)[:, None], p, users) == 1.0


def test_each_area_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    users = rng.integers(40, size=600)
    p = rng.integers(8, size=600) / 8  # many are equal
    y = (rng.random(600) < 0.3).astype(float)
    areas, weights = [], []
    for user in range(40):
        own = users == user
        if 0 < y[own].sum() < own.sum():
            areas.append(metrics.roc_auc_score(y[own], p[own]))
            weights.append(own.sum())
    np.testing.assert_allclose(grouped_auc(y, p, users), np.average(areas, weights=weights))
    one = np.zeros(600, int)
    np.testing.assert_allclose(grouped_auc(y, p, one), metrics.roc_auc_score(y, p))


def test_a_million_examples_take_seconds():
    rng = np.random.default_rng(0)
    y, p = rng.integers(2, size=10**6), rng.random(10**6)
    start = time.process_time()
    area = grouped_auc(y, p, rng.integers(10**5, size=10**6))
    assert time.process_time() - start < 10
    assert abs(area - 0.5) < 0.01


@pytest.mark.parametrize(
    ("y", "p", "groups", "message"),
    [
        ([1, 0], [0.1, 0.2], [1], "one entry for each example. Received: 2, 2 and 1"),
        ([2, 0], [0.1, 0.2], [1, 1], "y must be labels 0 and 1. Received: 2"),
        ([1, 0], [0.1, np.nan], [1, 1], "p holds NaN where y has a label"),
        ([1, 0], [0.1, 0.2], [1, 2], "No group has labels of both kinds"),
        ([1, 0], [[0.1, 0.2]], [1, 1], r"p must be one entry for each example. Received: \(1, 2\)"),
    ],
)
def test_what_has_no_area_is_refused(y, p, groups, message):
    with refused(message):
        grouped_auc(y, p, groups)


# In the logs


@pytest.fixture(scope="module")
def model():
    tasks = {name: TASKS[name] for name in ("click", "kind")} | {"like": Task("binary")}
    tasks["view"] = Task("binary", given="click")
    found = keras_mtl.build_shared_bottom(keras.Input((3,)), tasks, [lambda: keras.layers.Dense(4)])
    found.compile(keras.optimizers.SGD(0.0))
    return found


@pytest.fixture(scope="module")
def labels():
    like, view = np.array(Y["tags"]).T
    like, view = np.where(USERS < 10, np.nan, like), np.where(Y["click"] == 1, view, np.nan)
    return {"click": Y["click"], "kind": Y["kind"], "like": like, "view": view}


def fitted(model, y, *callbacks, x=X, epochs=1):
    logs = model.fit(
        x, y, epochs=epochs, batch_size=1000, verbose=0, callbacks=list(callbacks)
    ).history
    return {name: values for name, values in logs.items() if "gauc" in name}


def test_logs_are_those_of_the_plain_function(model, labels):
    logs = fitted(model, labels, GroupAUC(X, labels, USERS))
    p = answers(model)
    joint = {**labels, "view": np.nan_to_num(labels["view"])}
    expected = {
        name: grouped_auc(joint[name], p[name], USERS) for name in ("click", "like", "view")
    }
    assert set(logs) == {"val_click_gauc", "val_like_gauc", "val_view_gauc", "val_mean_gauc"}
    for name, area in expected.items():
        np.testing.assert_allclose(logs[f"val_{name}_gauc"], [area], rtol=1e-6)
    np.testing.assert_allclose(logs["val_mean_gauc"], [np.mean(list(expected.values()))], rtol=1e-6)


def test_stock_early_stopping_watches_the_mean(model, labels):
    watched = GroupAUC(X, {"click": labels["click"]}, USERS, ["click"])
    stop = keras.callbacks.EarlyStopping("val_mean_gauc", mode="max", patience=1)
    logs = fitted(model, labels, watched, stop, epochs=5)  # nothing is learned
    assert set(logs) == {"val_click_gauc", "val_mean_gauc"}
    assert len(logs["val_mean_gauc"]) == 2


def test_separate_data():
    tasks = {"kind": TASKS["kind"], "click": "binary"}
    model = network(tasks, task_data="separate")
    model.compile(keras.optimizers.SGD(0.0))
    batches = keras_mtl.task_batches(
        tasks, {name: (X[:50], Y[name][:50]) for name in tasks}, batch_size=50
    )
    own = {"click": (X[:900], Y["click"][:900], USERS[:900])}
    x, y, users = ({name: parts[at] for name, parts in own.items()} for at in range(3))
    logs = model.fit(batches, verbose=0, callbacks=[GroupAUC(x, y, users)]).history
    alone = answers(network({"click": "binary"}), X[:900])["click"]
    expected = grouped_auc(y["click"], alone, users["click"])
    np.testing.assert_allclose(logs["val_click_gauc"], [expected], rtol=1e-6)
    with refused("groups must be a dict, name of a task -> .* entry for 'click'"):
        model.fit(batches, verbose=0, callbacks=[GroupAUC(x, y, USERS[:900])])


def test_wrong_arguments_are_refused_before_the_first_epoch(model, labels):
    click = {"click": labels["click"]}
    for arguments, message in [
        (
            (X, labels, USERS, ["kind"]),
            "one label, 0 or 1, .* Received: task 'kind'",
        ),
        ((X, labels, USERS, ["clack"]), "Unknown task 'clack'"),
        ((X, labels, USERS, "click"), "tasks must be a list of names"),
        ((X, click, USERS), "y has no entry for task 'like'"),
        ((X, {**click, "clack": USERS}, USERS, ["click"]), "y has an entry 'clack'"),
        ((X, click, USERS[:-1], ["click"]), "GroupAUC, task 'click': y, p and groups .* 4000"),
        ((X, click, np.arange(4000), ["click"]), "'click': No group has labels of both kinds"),
        ((X[:-1], click, USERS, ["click"]), "GroupAUC, task 'click': .* Received: 4000, 3999"),
    ]:
        with refused(message):
            fitted(model, labels, GroupAUC(*arguments))
    with refused("y must be a dict, name of a task -> its labels"):
        GroupAUC(X, labels["click"], USERS)
    with refused("batch_size must be an integer of at least 1"):
        GroupAUC(X, labels, USERS, batch_size=0)
