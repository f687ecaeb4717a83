"""Values that are no labels or no weights: refused where Python sees them, NaN where it cannot."""

import itertools
import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task

LN2 = math.log(2.0)
NAN, INF = float("nan"), float("inf")
FEATURES = 2
TASKS = {
    "sick": Task("binary", metrics=["accuracy", "auc"]),
    "tired": Task("binary", metrics=["accuracy", "auc"]),
    "height": "regression",
}
X = np.random.default_rng(0).normal(size=(4, FEATURES)).astype("float32")
SICK, TIRED, HEIGHT = [0, 1, 0, 1], [1, 0, NAN, 1], [2.0, NAN, 1.0, 0.0]
P = {  # accuracies 3/4 and 2/3, errors 1, 4 and 0
    "sick": [[0.25], [0.75], [0.75], [0.75]],
    "tired": [[0.75], [0.25], [0.75], [0.25]],
    "height": [[1.0], [0.0], [3.0], [0.0]],
}

dense = partial(keras.layers.Dense, 3)


def model_of(tasks=TASKS, task_data="shared", **options):
    model = keras_mtl.build_shared_bottom(
        keras.Input((FEATURES,)), tasks, [dense], task_data=task_data
    )
    model.compile("sgd", **options)
    return model


def labels(**changes):
    y = {"sick": SICK, "tired": TIRED, "height": HEIGHT} | changes
    return {name: np.array(values, "float32") for name, values in y.items()}


def changed(values, place, value):
    return [value if index == place else old for index, old in enumerate(values)]


def tensors(given):
    if isinstance(given, dict):
        return {name: tensors(values) for name, values in given.items()}
    return None if given is None else ops.convert_to_tensor(np.asarray(given, "float32"))


def loss_and_logs(model, y, y_pred=P, ids=None, sample_weight=None):
    model.reset_metrics()
    if model.task_data == "separate":
        y_pred = next(iter(y_pred.values()))
    x = {} if ids is None else {"task_id": ops.convert_to_tensor(np.array(ids, "int32"))}
    loss = float(model.compute_loss(x, tensors(y), tensors(y_pred), tensors(sample_weight)))
    return loss, {name: float(value) for name, value in model.get_metrics_result().items()}


def unknown(logs):
    return {name for name, value in logs.items() if math.isnan(value)}


# What is wrong is not what is absent.


def test_without_anything_wrong_all_is_known():
    loss, logs = loss_and_logs(model_of(), labels())
    assert logs["mean_accuracy"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert not unknown({"loss": loss} | {k: v for k, v in logs.items() if k != "loss"})


def test_a_wrong_label_makes_the_means_over_tasks_nan():
    loss, logs = loss_and_logs(model_of(), labels(sick=changed(SICK, 1, 2)))
    del logs["loss"]
    assert math.isnan(loss)
    own = {"sick_loss", "sick_accuracy", "sick_auc"}
    assert unknown(logs) == own | {"mean_loss", "mean_accuracy", "mean_auc"}


def test_a_task_without_labels_is_left_out_of_the_means():
    loss, logs = loss_and_logs(model_of(), labels(sick=[NAN] * 4))
    del logs["loss"]
    assert unknown(logs) == {"sick_loss", "sick_accuracy", "sick_auc"}
    assert logs["mean_accuracy"] == pytest.approx(2 / 3)
    assert logs["mean_auc"] == pytest.approx(logs["tired_auc"])
    assert logs["mean_loss"] == pytest.approx((logs["tired_loss"] + 5 / 3) / 2)
    assert loss == pytest.approx(logs["tired_loss"] + 5 / 3)


def test_metrics_of_other_tasks_know_nothing_of_a_wrong_number():
    _, logs = loss_and_logs(model_of(), labels(height=[INF, NAN, 1, 0]))
    del logs["loss"]
    assert unknown(logs) == {"height_loss", "height_mae", "mean_loss", "mean_mae"}


@pytest.mark.parametrize(
    "wrong, ids",
    [(2.0, [0, 0, 1, 1]), (1.0, [0, 2, 1, 1]), (1.0, [0, -1, 1, 1])],
    ids=["label", "task id", "negative id"],
)
def test_wrong_labels_and_ids_of_separate_data_make_means_nan(wrong, ids):
    tasks = {name: TASKS[name] for name in ("sick", "tired")}
    model = model_of(tasks, "separate")
    y_pred = {"binary": [[0.25], [0.75], [0.75], [0.75]]}
    for value, task_ids in ((1.0, [0, 0, 1, 1]), (wrong, ids)):
        _, logs = loss_and_logs(model, [0, value, 1, 0], y_pred, task_ids)
        del logs["loss"]
        if value == 1.0 and task_ids == [0, 0, 1, 1]:
            assert not unknown(logs)
    assert {"sick_auc", "sick_loss", "mean_auc", "mean_accuracy", "mean_loss"} <= unknown(logs)


def test_another_tasks_label_is_not_wrong():
    """A class of the wider task is no class of the narrow one."""
    top = keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")
    tasks = {"wide": Task("classes", 4, metrics=[top]), "narrow": Task("classes", 2, metrics=[top])}
    y_pred = {"classes": [[0.1, 0.1, 0.1, 0.7], [0.9, 0.1, 0.0, 0.0]]}
    _, logs = loss_and_logs(model_of(tasks, "separate"), [3, 0], y_pred, [0, 1])
    assert logs["wide_top"] == logs["narrow_top"] == logs["mean_top"] == 1.0


# Infinite labels


def test_infinite_numbers_of_an_array_are_refused():
    model = model_of()
    for wrong in (INF, -INF, 1e39):
        y = labels() | {"height": np.array(changed(HEIGHT, 2, wrong))}
        message = '"height" expects labels that are finite .*Received: -?(inf|1e.39) at index 2'
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, verbose=0)
        with pytest.raises(ValueError, match=message):
            keras_mtl.task_batches({"height": "regression"}, {"height": (X, y["height"])}, 2)
    y = np.zeros((4, 3))
    y[2, 1] = INF
    with pytest.raises(ValueError, match=r"Received: inf at index \(2, 1\)"):
        model_of({"place": Task("regression", 3)}).fit(X, {"place": y}, verbose=0)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("wrong", [INF, -INF])
def test_infinite_numbers_make_a_loss_nan(wrong, task_data):
    model = model_of({"height": "regression"}, task_data)
    for value in (2.0, wrong):
        y = np.array([value, NAN, 1.0, 0.0])
        if task_data == "shared":
            loss, _ = loss_and_logs(model, {"height": y}, {"height": P["height"]})
        else:
            y_pred = {"regression": P["height"]}
            loss, _ = loss_and_logs(model, y, y_pred, [0] * 4)
        assert math.isnan(loss) == (value == wrong)


# Weights

GOOD_WEIGHT, WRONG_WEIGHTS = [1.0, 0.0, 3.0, 0.5], [NAN, -0.25, INF, -INF]


@pytest.mark.parametrize("wrong", WRONG_WEIGHTS)
def test_wrong_weights_of_an_array_are_refused(wrong):
    model = model_of()
    weight = np.array(changed(GOOD_WEIGHT, 2, wrong))
    by_task = dict.fromkeys(TASKS, np.ones(4)) | {"tired": weight}
    for given, name in ((weight, "sample_weight"), (by_task, r"sample_weight\['tired'\]")):
        message = f"{name} must be finite numbers of at least 0. Received: {wrong} at index 2"
        with pytest.raises(ValueError, match=message):
            model.fit(X, labels(), sample_weight=given, verbose=0)
        with pytest.raises(ValueError, match=message):
            model.evaluate(X, labels(), sample_weight=given, verbose=0)
        with pytest.raises(ValueError, match=message):
            model.fit(X, labels(), validation_data=(X, labels(), given), verbose=0)
        with pytest.raises(ValueError, match=message):
            model.train_on_batch(X, labels(), given)
    message = 'sample weights of task "sick" must be finite numbers of at least 0.*at index 2'
    with pytest.raises(ValueError, match=message):
        keras_mtl.task_batches(TASKS, {"sick": (X, SICK, weight)}, batch_size=2)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_wrong_weights_make_a_loss_nan(task_data):
    """Even that of an example that has no label."""
    tasks = {"tired": Task("binary", metrics=["accuracy", "auc"])}
    model = model_of(tasks, task_data)
    for wrong, place in itertools.product(WRONG_WEIGHTS, (1, 2)):
        weight = changed(GOOD_WEIGHT, place, wrong)
        if task_data == "shared":
            loss, logs = loss_and_logs(
                model, {"tired": TIRED}, {"tired": P["tired"]}, None, {"tired": weight}
            )
        else:
            loss, logs = loss_and_logs(model, TIRED, {"binary": P["tired"]}, [0] * 4, weight)
        del logs["loss"]
        assert math.isnan(loss) and unknown(logs) == set(logs)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_weights_in_a_column_are_weights(task_data):
    tasks = {"tired": Task("binary", metrics=["accuracy", "auc"])}
    model, column = model_of(tasks, task_data), np.array(GOOD_WEIGHT)[:, None]
    found = []
    for weight in (column[:, 0], column):
        if task_data == "shared":
            found.append(loss_and_logs(model, {"tired": TIRED}, P, None, weight))
        else:
            found.append(loss_and_logs(model, TIRED, {"binary": P["tired"]}, [0] * 4, weight))
    assert found[0][0] == found[1][0] and found[0][1] == found[1][1]
    # -log .75 has weights 1 and 0, -log .25 has 0.5; the third has no label
    assert found[0][0] == pytest.approx((2 * LN2 - math.log(3) + 0.5 * 2 * LN2) / 1.5, rel=1e-5)


# Hidden entries


def hidden(values, *places):
    return np.ma.array(values, mask=[place in places for place in range(len(values))])


@pytest.mark.slow
def test_hidden_labels_are_missing():
    model = model_of({"animal": 3, "height": "regression"})
    masked = {"animal": hidden([0, 7, 2, 1], 1), "height": hidden([INF, 1.0, 2.0, 3.0], 0, 2)}
    plain = {"animal": np.array([0, -1, 2, 1]), "height": np.array([NAN, 1.0, NAN, 3.0])}
    expected = model.evaluate(X, plain, verbose=0, return_dict=True)
    assert model.evaluate(X, masked, verbose=0, return_dict=True) == pytest.approx(expected)
    found = model.test_on_batch(X, masked, return_dict=True)
    assert found == pytest.approx({name: expected[name] for name in found})
    assert masked["animal"].dtype.kind == "i" and masked["animal"].mask.sum() == 1


def test_hidden_labels_of_task_batches_are_missing():
    batches = keras_mtl.task_batches({"animal": 3}, {"animal": (X, hidden([0, 7, 2, 1], 1))}, 4)
    assert sorted(batches[0][1]) == [-1, 0, 1, 2]


def test_hidden_weights_and_inputs_are_refused():
    model = model_of()
    with pytest.raises(ValueError, match="sample_weight have hidden entries: 1 of .*filled"):
        model.fit(X, labels(), sample_weight=hidden([1.0, 2.0, 3.0, 4.0], 2), verbose=0)
    x = np.ma.array(X, mask=X > 1)
    with pytest.raises(ValueError, match=r"values of x have hidden entries: . of .*\(4, 2\)"):
        model.fit(x, labels(), verbose=0)
    with pytest.raises(ValueError, match='inputs of task "sick" have hidden entries'):
        keras_mtl.task_batches(TASKS, {"sick": (x, SICK)}, batch_size=2)


# class_weight


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_class_weight_of_a_batch_is_refused(task_data):
    model = model_of({"sick": "binary"}, task_data)
    x = X if task_data == "shared" else {"inputs": X, "task_id": np.zeros(4, "int32")}
    y = {"sick": np.array(SICK)} if task_data == "shared" else np.array(SICK, "float32")
    with pytest.raises(ValueError, match="class_weight is refused.*Use sample_weight, or Task"):
        model.train_on_batch(x, y, class_weight={0: 1.0, 1: 5.0})
