"""The loss of a batch, worked out by hand.

Predictions are chosen so that an example's loss is a small multiple of LN2: the
cross-entropy of a probability 1/2 is LN2, of 1/4 it is 2 LN2, of 1/8 it is 3 LN2.
"""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task

LN2 = math.log(2.0)
NAN = float("nan")
FEATURES = 2

dense = partial(keras.layers.Dense, 3, activation="tanh")

CLASSES_P = [[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]
CLASSES_P += [[0.125, 0.5, 0.375]]
CLASSES_Y = [0, -1, 1, NAN, 0]  # LN2, missing, 2 LN2, missing, 3 LN2: mean 2 LN2
BINARY_P = [[0.25], [0.9], [0.5], [0.1], [0.7]]
BINARY_Y = [1, NAN, 0, NAN, NAN]  # 2 LN2 and LN2: mean 1.5 LN2
MULTILABEL_P = [[0.5, 0.9], [0.3, 0.3], [0.75, 0.25], [0.2, 0.6], [0.1, 0.1]]
MULTILABEL_Y = [[1, NAN], [NAN, NAN], [0, 1], [NAN, NAN], [NAN, NAN]]  # LN2, (2 + 2) / 2 LN2
REGRESSION_P = [[1.0, 2.0], [0.0, 0.0], [5.0, 5.0], [1.0, 1.0], [2.0, 4.0]]
REGRESSION_Y = [[2, 4], [NAN, NAN], [NAN, 8], [NAN, NAN], [2, 4]]  # (1 + 4) / 2, 9, 0
TAGGING_P = [[[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]], [[0.9, 0.1], [0.125, 0.875], [0.5, 0.5]]]
TAGGING_Y = [[1, 0, -1], [NAN, 0, -1]]  # LN2, 2 LN2; 3 LN2
COUNT_P = [[1.0, 5.0], [9.0, 9.0], [1.0, 2.0], [5.0, 5.0], [4.0, 4.0]]
COUNT_Y = [[3, NAN], [NAN, NAN], [0, 0], [NAN, NAN], [NAN, NAN]]  # 1, (1 + 2) / 2
AMOUNT_P = [[4.0, 5.0], [9.0, 9.0], [1.0, 16.0], [5.0, 5.0], [4.0, 4.0]]
AMOUNT_Y = [[8, NAN], [NAN, NAN], [0, 16], [NAN, NAN], [NAN, NAN]]  # 8 + 4, (2 + 16) / 2

SHARED = {  # name: (task, labels, predictions, loss)
    "animal": (Task("classes", 3), CLASSES_Y, CLASSES_P, 2 * LN2),
    "sick": (Task("binary"), BINARY_Y, BINARY_P, 1.5 * LN2),
    "topics": (Task("multilabel", 2), MULTILABEL_Y, MULTILABEL_P, 1.5 * LN2),
    "place": (Task("regression", 2), REGRESSION_Y, REGRESSION_P, 11.5 / 3),
    "words": (Task("tagging", 2), TAGGING_Y, TAGGING_P, 2 * LN2),
    "visits": (Task("count", 2), COUNT_Y, COUNT_P, 1.25),
    "spend": (Task("amount", 2), AMOUNT_Y, AMOUNT_P, 10.5),
    "stage": (Task("ordinal", 3), CLASSES_Y, CLASSES_P, 2 * LN2),
}


def model_of(tasks, task_data="shared", optimizer="sgd", **compile_options):
    steps = (
        (None,) if any(keras_mtl.tasks.as_task(t).kind == "tagging" for t in tasks.values()) else ()
    )
    model = keras_mtl.build_shared_bottom(
        keras.Input((*steps, FEATURES)), tasks, [dense], task_data=task_data
    )
    model.compile(optimizer, **compile_options)
    return model


def tensors(structure):
    """Arrays of a nest of lists; whole numbers become int32."""

    def array(value):
        value = np.asarray(value)
        return ops.convert_to_tensor(
            value.astype("int32" if value.dtype.kind == "i" else "float32")
        )

    if isinstance(structure, dict):
        return {key: tensors(value) for key, value in structure.items()}
    return array(structure)


def loss_and_logs(model, y, y_pred, ids=None, sample_weight=None):
    model.reset_metrics()
    x = {} if ids is None else {"task_id": tensors(ids)}
    weight = None if sample_weight is None else tensors(sample_weight)
    loss = model.compute_loss(x, tensors(y), tensors(y_pred), weight)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    return float(loss), logs


# Shared data: sum over tasks of weight times the mean over labelled examples.


@pytest.mark.parametrize("name", SHARED)
def test_shared_loss_is_the_mean_over_labelled_examples(name):
    task, y, y_pred, expected = SHARED[name]
    loss, logs = loss_and_logs(model_of({name: task}), {name: y}, {name: y_pred})
    assert loss == pytest.approx(expected, rel=1e-5)
    assert logs[f"{name}_loss"] == pytest.approx(expected, rel=1e-5)


def test_shared_loss_is_the_weighted_sum_over_tasks():
    tasks = {
        "animal": Task("classes", 3, weight=2.0),
        "sick": "binary",
        "topics": Task("multilabel", 2, weight=0.0),
        "place": Task("regression", 2, weight=0.5),
    }
    y = {name: SHARED[name][1] for name in tasks}
    y_pred = {name: SHARED[name][2] for name in tasks}
    loss, logs = loss_and_logs(model_of(tasks), y, y_pred)
    assert loss == pytest.approx(2 * 2 * LN2 + 1.5 * LN2 + 0.5 * 11.5 / 3, rel=1e-5)
    assert logs["topics_loss"] == pytest.approx(1.5 * LN2, rel=1e-5)  # logged without weights


@pytest.mark.parametrize("name", ["animal", "sick", "topics", "place"])
def test_sample_weight_of_one_array_serves_every_task(name):
    task, y, y_pred, _ = SHARED[name]
    expected = {  # the labelled examples are 0, 2 and 4, of sick and topics 0 and 2
        "animal": (1 * 1 + 3 * 2 + 4 * 3) / 8 * LN2,
        "sick": (1 * 2 + 3 * 1) / 4 * LN2,
        "topics": (1 * 1 + 3 * 2) / 4 * LN2,
        "place": (1 * 2.5 + 3 * 9 + 4 * 0) / 8,
    }[name]
    model = model_of({name: task})
    loss, _ = loss_and_logs(
        model, {name: y}, {name: y_pred}, sample_weight=[1.0, 7.0, 3.0, 7.0, 4.0]
    )
    assert loss == pytest.approx(expected, rel=1e-5)


def test_sample_weight_of_a_sentence_weighs_its_words():
    model = model_of({"words": Task("tagging", 2)})
    loss, _ = loss_and_logs(
        model, {"words": TAGGING_Y}, {"words": TAGGING_P}, sample_weight=[1.0, 3.0]
    )
    assert loss == pytest.approx((1 + 2 + 3 * 3) / (1 + 1 + 3) * LN2, rel=1e-5)


def test_sample_weight_of_a_dict_has_one_array_for_each_task():
    tasks = {"animal": 3, "sick": "binary"}
    y = {name: SHARED[name][1] for name in tasks}
    y_pred = {name: SHARED[name][2] for name in tasks}
    weight = {"sick": [1.0, 7.0, 3.0, 7.0, 7.0], "animal": [0.0, 7.0, 1.0, 7.0, 1.0]}
    loss, logs = loss_and_logs(model_of(tasks), y, y_pred, sample_weight=weight)
    assert logs["sick_loss"] == pytest.approx(1.25 * LN2, rel=1e-5)
    assert logs["animal_loss"] == pytest.approx(2.5 * LN2, rel=1e-5)
    assert loss == pytest.approx(3.75 * LN2, rel=1e-5)


def test_task_without_labels_adds_nothing_and_logs_nan():
    tasks = {"animal": 3, "sick": "binary"}
    y = {"animal": CLASSES_Y, "sick": [NAN] * 5}
    loss, logs = loss_and_logs(model_of(tasks), y, {"animal": CLASSES_P, "sick": BINARY_P})
    assert loss == pytest.approx(2 * LN2, rel=1e-5)
    assert math.isnan(logs["sick_loss"]) and math.isnan(logs["sick_accuracy"])
    # predicted classes are 0, 2, 0, 0, 1, the labelled ones 0, 1 and 0
    assert logs["animal_accuracy"] == logs["mean_accuracy"] == pytest.approx(1 / 3)


def test_batch_without_any_label_costs_nothing():
    tasks = {name: SHARED[name][0] for name in ("animal", "sick", "topics", "place")}
    y = {name: np.full_like(np.asarray(SHARED[name][1], "float32"), NAN) for name in tasks}
    loss, logs = loss_and_logs(model_of(tasks), y, {name: SHARED[name][2] for name in tasks})
    assert loss == 0.0
    assert math.isnan(logs["mean_accuracy"])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_labels_of_every_dtype_are_read(dtype):
    model = model_of({"animal": 3})
    y = {"animal": ops.convert_to_tensor(np.array([0, 1, 1], dtype))}
    y_pred = {"animal": ops.convert_to_tensor(np.array(CLASSES_P[:3], "float32"))}
    # losses: LN2, -log 0.1, 2 LN2
    assert float(model.compute_loss({}, y, y_pred)) == pytest.approx(
        LN2 + math.log(10) / 3, rel=1e-5
    )


@pytest.mark.parametrize("name", ["animal", "sick", "topics", "words"])
def test_labels_with_an_axis_of_size_one_are_squeezed(name):
    task, y, y_pred, expected = SHARED[name]
    y = np.asarray(y, "float32")
    y = y if name == "topics" else y[..., None]
    loss, _ = loss_and_logs(model_of({name: task}), {name: y}, {name: y_pred})
    assert loss == pytest.approx(expected, rel=1e-5)


# Separate data: weighted mean over the labelled examples of the batch.


@pytest.mark.parametrize("name", SHARED)
def test_separate_loss_of_one_task_is_the_same_mean(name):
    task, y, y_pred, expected = SHARED[name]
    other = Task(task.kind, task.size if task.kind == "binary" else task.size + 2)
    model = model_of({"other": other, name: task}, "separate")
    y, y_pred = np.asarray(y, "float32"), np.asarray(y_pred, "float32")
    if task.kind != "binary":  # as wide as the larger task
        y_pred = np.pad(y_pred, [(0, 0)] * (y_pred.ndim - 1) + [(0, 2)])
    if not task.has_classes and y.ndim > 1:
        y = np.pad(y, [(0, 0), (0, 2)], constant_values=NAN)
    loss, logs = loss_and_logs(model, y, y_pred, ids=[1] * len(y))
    assert loss == pytest.approx(expected, rel=1e-5)
    assert logs[f"{name}_loss"] == pytest.approx(expected, rel=1e-5)
    assert math.isnan(logs["other_loss"])


def test_separate_loss_is_the_weighted_mean_over_labelled_examples():
    model = model_of({"a": Task("classes", 3, weight=2.0), "b": 2}, "separate")
    y_pred = [[0.5, 0.25, 0.25], [0.25, 0.75, 0.0], [0.25, 0.5, 0.25], [0.125, 0.875, 0.0]]
    y_pred += [[0.9, 0.05, 0.05]]
    loss, logs = loss_and_logs(model, [0, 0, 0, 0, -1], y_pred, ids=[0, 1, 0, 1, 0])
    # a: LN2 and 2 LN2, with weight 2; b: 2 LN2 and 3 LN2
    assert loss == pytest.approx((2 * (1 + 2) + 2 + 3) / 4 * LN2, rel=1e-5)
    assert logs["a_loss"] == pytest.approx(1.5 * LN2, rel=1e-5)
    assert logs["b_loss"] == pytest.approx(2.5 * LN2, rel=1e-5)


def test_separate_sample_weight_weighs_examples():
    model = model_of({"a": 3, "b": 2}, "separate")
    y_pred = [[0.5, 0.25, 0.25], [0.25, 0.75, 0.0], [0.25, 0.5, 0.25]]
    loss, logs = loss_and_logs(
        model, [0, 0, 0], y_pred, ids=[0, 1, 0], sample_weight=[1.0, 5.0, 2.0]
    )
    assert loss == pytest.approx((1 * 1 + 5 * 2 + 2 * 2) / 8 * LN2, rel=1e-5)
    assert logs["a_loss"] == pytest.approx((1 + 4) / 3 * LN2, rel=1e-5)


def test_an_example_counts_once_however_many_labels_it_has():
    model = model_of({"few": Task("multilabel", 2), "many": Task("multilabel", 4)}, "separate")
    y = [[1, NAN, NAN, NAN], [0, 1, NAN, 0], [NAN] * 4, [1, 0, NAN, NAN]]
    y_pred = [[0.25, 0.5, 0, 0], [0.5, 0.5, 0.9, 0.5], [0.3] * 4, [0.25, 0.75, 0, 0]]
    loss, logs = loss_and_logs(model, y, y_pred, ids=[0, 1, 1, 0])
    assert logs["few_loss"] == pytest.approx(2 * LN2, rel=1e-5)
    assert logs["many_loss"] == pytest.approx(LN2, rel=1e-5)
    assert loss == pytest.approx((2 + 1 + 2) / 3 * LN2, rel=1e-5)


def test_kinds_meet_in_one_separate_batch():
    tasks = {"animal": 3, "sick": "binary", "place": Task("regression", 2), "sort": 2}
    model = model_of(tasks, "separate")
    none = [NAN, NAN]
    y = {
        "classes": [0, -1, -1, 1, -1],
        "binary": [NAN, 0, NAN, NAN, NAN],
        "regression": [none, none, [2.0, 4.0], none, none],
    }
    y_pred = {
        "classes": [[0.5, 0.5, 0], [0] * 3, [0] * 3, [0.75, 0.25, 0], [0.9, 0.1, 0]],
        "binary": [[0.0], [0.5], [0.0], [0.0], [0.0]],
        "regression": [[0, 0], [0, 0], [1.0, 2.0], [0, 0], [0, 0]],
    }
    loss, logs = loss_and_logs(model, y, y_pred, ids=[0, 1, 2, 3, 0])
    assert loss == pytest.approx((LN2 + LN2 + 2.5 + 2 * LN2) / 4, rel=1e-5)
    losses = {name: logs[f"{name}_loss"] for name in tasks}
    expected = {"animal": LN2, "sick": LN2, "place": 2.5, "sort": 2 * LN2}
    assert losses == pytest.approx(expected, rel=1e-5)


def test_separate_batch_without_any_label_costs_nothing():
    loss, logs = loss_and_logs(
        model_of({"a": 3, "b": 2}, "separate"), [-1, -1], CLASSES_P[:2], ids=[0, 1]
    )
    assert loss == 0.0
    assert math.isnan(logs["mean_accuracy"])


# What a missing label costs: nothing.


def step(task_data, tasks, x, y):
    keras.utils.set_random_seed(1)
    model = model_of(tasks, task_data, keras.optimizers.SGD(1.0), run_eagerly=True)
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    model.train_on_batch(x, y)
    after = [ops.convert_to_numpy(weight) for weight in model.weights]
    moved = [new - old for new, old in zip(after, before, strict=True)]
    assert all(np.isfinite(change).all() for change in moved)
    return moved


def assert_same(moves, others):
    for move, other in zip(moves, others, strict=True):
        np.testing.assert_allclose(move, other, atol=1e-6)


X = np.random.default_rng(0).normal(size=(6, FEATURES)).astype("float32")


def test_missing_labels_give_the_gradient_of_the_batch_without_them():
    tasks = {"animal": 3, "topics": Task("multilabel", 2), "place": Task("regression", 2)}
    y = {
        "animal": np.array([0, -1, 2, 1, NAN, -1], "float32"),
        "topics": np.array([[1, 0], [NAN] * 2, [0, 0], [1, 1], [NAN] * 2, [NAN] * 2], "float32"),
        "place": np.array([[1, 0], [NAN] * 2, [0, 3], [1, 2], [NAN] * 2, [NAN] * 2], "float32"),
    }
    kept = [0, 2, 3]
    moves = step("shared", tasks, X, y)
    assert_same(moves, step("shared", tasks, X[kept], {name: a[kept] for name, a in y.items()}))
    assert all(np.abs(move).max() > 1e-4 for move in moves)


def test_missing_tags_give_the_gradient_of_shorter_sentences():
    tasks = {"words": Task("tagging", 2)}
    x = X.reshape(2, 3, FEATURES)
    y = np.array([[1, 0, -1], [0, 1, -1]], "int32")
    moves = step("shared", tasks, x, {"words": y})
    assert_same(moves, step("shared", tasks, x[:, :2], {"words": y[:, :2]}))


def test_missing_labels_cost_nothing_in_separate_batches():
    tasks = {"animal": 3, "sick": "binary", "sort": 2}
    x = {"inputs": X, "task_id": np.array([0, 1, 2, 0, 1, 2], "int32")}
    y = {
        "classes": np.array([2, -1, 1, -1, -1, -1], "int32"),
        "binary": np.array([NAN, 1, NAN, NAN, NAN, NAN], "float32"),
    }
    kept = slice(0, 3)
    moves = step("separate", tasks, x, y)
    less = keras.tree.map_structure(lambda array: array[kept], (x, y))
    assert_same(moves, step("separate", tasks, *less))
    assert np.abs(moves[0]).max() > 1e-4


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_weights_stay_put_when_nothing_is_labelled(task_data):
    y = np.array([-1, -1, -1], "int32")
    if task_data == "shared":
        moves = step("shared", {"a": 3}, X[:3], {"a": y})
    else:
        x = {"inputs": X[:3], "task_id": np.array([0, 1, 0], "int32")}
        moves = step("separate", {"a": 3, "b": 2}, x, y)
    assert all((move == 0).all() for move in moves)


# Losses of one's own.


def pinball(y_true, y_pred):
    error = y_true - y_pred
    return ops.mean(ops.maximum(0.75 * error, -0.25 * error), axis=-1)


def smoothed(y_true, y_pred):
    """Cross-entropy with a label smoothing of 0.5, which depends on the number of classes."""
    num_classes = y_pred.shape[-1]
    wanted = 0.5 * ops.one_hot(y_true, num_classes) + 0.5 / num_classes
    return -ops.sum(wanted * ops.log(y_pred), axis=-1)


# errors 1 and 2 in the first row; the half-labelled second row does not count; 0 in the third
OWN_LOSSES = {
    "name": ("mean_absolute_error", (1.5 + 0) / 2),
    "object": (keras.losses.Huber(delta=0.5), ((0.375 + 0.875) / 2 + 0) / 2),
    "function": (pinball, ((0.75 + 1.5) / 2 + 0) / 2),
}


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("form", OWN_LOSSES)
def test_own_loss_judges_whole_labels(form, task_data):
    loss, expected = OWN_LOSSES[form]
    y, y_pred = [REGRESSION_Y[i] for i in (0, 2, 4)], [REGRESSION_P[i] for i in (0, 2, 4)]
    if task_data == "shared":
        model, ids = model_of({"place": Task("regression", 2, loss=loss)}), None
        y, y_pred = {"place": y}, {"place": y_pred}
    else:  # beside a larger task
        tasks = {"wide": Task("regression", 3), "place": Task("regression", 2, loss=loss)}
        model, ids = model_of(tasks, "separate"), [1, 1, 1]
        y = np.pad(y, [(0, 0), (0, 1)], constant_values=NAN)
        y_pred = np.pad(y_pred, [(0, 0), (0, 1)])
    assert loss_and_logs(model, y, y_pred, ids)[0] == pytest.approx(expected, rel=1e-5)


def test_tasks_with_different_losses_meet_in_one_separate_batch():
    tasks = {
        "squared": Task("regression", 2),
        "absolute": Task("regression", 1, loss="mae"),
        "robust": Task("regression", 2, loss=keras.losses.Huber(delta=0.5), weight=4.0),
        "tilted": Task("regression", 1, loss=pinball),
    }
    y = [[2.0, 4.0], [3.0, NAN], [2.0, 4.0], [1.0, NAN], [NAN, NAN]]
    y_pred = [[1.0, 2.0], [1.0, 9.0], [1.0, 2.0], [3.0, 9.0], [1.0, 1.0]]
    loss, logs = loss_and_logs(model_of(tasks, "separate"), y, y_pred, ids=[0, 1, 2, 3, 2])
    expected = {"squared": 2.5, "absolute": 2.0, "robust": 0.625, "tilted": 0.5}
    assert {name: logs[f"{name}_loss"] for name in tasks} == pytest.approx(expected)
    assert loss == pytest.approx((2.5 + 2.0 + 4 * 0.625 + 0.5) / 4, rel=1e-5)


def test_own_loss_sees_a_tasks_own_classes_only():
    tasks = {"wide": 4, "narrow": Task("classes", 2, loss=smoothed)}
    y_pred = [[0.25] * 4, [0.5, 0.5, 0.0, 0.0]]
    loss, logs = loss_and_logs(model_of(tasks, "separate"), [3, 0], y_pred, ids=[0, 1])
    assert logs["narrow_loss"] == pytest.approx(LN2, rel=1e-5)
    assert loss == pytest.approx(1.5 * LN2, rel=1e-5)


@pytest.mark.parametrize("place", ["loss", "metrics"])
def test_function_must_give_one_value_per_example(place):
    def total(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred))

    options = {place: [total] if place == "metrics" else total}
    model = model_of({"place": Task("regression", 2, **options)})
    with pytest.raises(ValueError, match="'total' must return one value per example"):
        loss_and_logs(model, {"place": REGRESSION_Y}, {"place": REGRESSION_P})


# Wrong labels and ids where Python cannot look: NaN, never a plausible number.

WRONG_LABELS = {
    "class too large": ("animal", 3),
    "class below -1": ("animal", -2),
    "class between two": ("animal", 1.5),
    "infinite class": ("animal", math.inf),
    "class beyond 32 bits": ("animal", 2.0**32),
    "half a binary label": ("sick", 0.5),
    "binary -1": ("sick", -1),
    "binary 2": ("sick", 2),
    "infinite binary": ("sick", math.inf),
}


class Batches(keras.utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self._batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch


def label_pair(name, wrong):
    good = np.zeros(3, "float32")
    bad = good.copy()
    bad[1] = wrong
    return {"animal": good, "sick": good, name: bad}


@pytest.mark.parametrize("case", WRONG_LABELS)
def test_wrong_label_makes_the_loss_nan(case):
    name, wrong = WRONG_LABELS[case]
    model = model_of({"animal": 3, "sick": "binary"})
    y_pred = {"animal": CLASSES_P[:3], "sick": BINARY_P[:3]}
    y = label_pair(name, wrong)
    assert math.isnan(loss_and_logs(model, y, y_pred)[0])
    other = "sick" if name == "animal" else "animal"
    _, logs = loss_and_logs(model, y, y_pred)
    assert math.isnan(logs[f"{name}_loss"]) and math.isfinite(logs[f"{other}_loss"])
    assert math.isnan(logs[f"{name}_accuracy"])


def test_wrong_integer_label_makes_the_loss_nan():
    model = model_of({"animal": 3})
    for wrong in (3, -2, -(2**31)):
        y = {"animal": np.array([0, wrong, 1], "int32")}
        assert math.isnan(loss_and_logs(model, y, {"animal": CLASSES_P[:3]})[0])


def test_label_of_another_tasks_size_makes_a_separate_loss_nan():
    model = model_of({"a": 3, "b": 2}, "separate")
    y_pred = [[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]]
    assert math.isfinite(loss_and_logs(model, [2, 1], y_pred, ids=[0, 1])[0])
    assert math.isnan(loss_and_logs(model, [2, 2], y_pred, ids=[0, 1])[0])


@pytest.mark.parametrize("wrong", [-1, 2, 99])
def test_task_id_out_of_range_makes_the_loss_nan(wrong):
    model = model_of({"a": 3, "b": 2}, "separate")
    assert math.isnan(loss_and_logs(model, [0, 0], CLASSES_P[:2], ids=[0, wrong])[0])


@pytest.mark.slow
def test_compiled_shared_steps_answer_wrong_labels_with_nan():
    model = model_of({"animal": 3, "sick": "binary"})
    for name, wrong in WRONG_LABELS.values():
        logs = model.evaluate(Batches(X[:3], label_pair(name, wrong)), verbose=0, return_dict=True)
        assert math.isnan(logs["loss"]), (name, wrong)
    history = keras.Model.fit(model, X[:3], label_pair("sick", 0.5), verbose=0).history
    assert math.isnan(history["loss"][0])


@pytest.mark.slow
def test_compiled_separate_steps_answer_wrong_labels_and_ids_with_nan():
    model = model_of({"a": 3, "b": 2}, "separate")

    def loss(ids, y):
        x = {"inputs": X[:3], "task_id": np.array(ids, "int32")}
        batches = Batches(x, np.array(y, "int32"))
        return model.evaluate(batches, verbose=0, return_dict=True)["loss"]

    assert math.isfinite(loss([0, 1, 0], [2, 1, -1]))
    for ids, y in [
        ([0, 1, 0], [2, 2, 0]),
        ([0, 1, 0], [3, 1, 0]),
        ([0, 1, 0], [-2, 1, 0]),
        ([0, -1, 0], [0, 0, 0]),
        ([0, 2, 0], [0, 0, 0]),
        ([0, 2, 0], [0, -1, 0]),
    ]:
        assert math.isnan(loss(ids, y)), (ids, y)
