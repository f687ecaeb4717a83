"""What each label counts in the loss, and labels that are smoothed, worked out by hand."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import losses, metrics

import keras_mtl
from keras_mtl import Task
from tests.training.test_losses import (
    BINARY_P,
    BINARY_Y,
    CLASSES_P,
    LN2,
    MULTILABEL_P,
    MULTILABEL_Y,
    TAGGING_P,
    TAGGING_Y,
    loss_and_logs,
    model_of,
)

RANKS_Y = [0, -1, 2, float("nan"), 1]  # LN2, missing, 2 LN2, missing, LN2
NAN = float("nan")
WEIGHED = {  # task, labels, answers, loss in LN2
    "classes": (Task("classes", 3, class_weight={2: 4}), RANKS_Y, CLASSES_P, 10 / 6),
    "ranks": (Task("ordinal", 3, class_weight=[1, 1, 4]), RANKS_Y, CLASSES_P, 10 / 6),
    "tags": (Task("tagging", 2, class_weight=(1, 4)), TAGGING_Y, TAGGING_P, 9 / 6),
    "sick": (Task("binary", class_weight={1: 3}), BINARY_Y, BINARY_P, 7 / 4),
    "own loss": (
        Task("binary", loss="binary_crossentropy", class_weight={1: 3}), BINARY_Y, BINARY_P, 7 / 4,
    ),
    "alike": (Task("multilabel", 2, class_weight=[1, 3]), MULTILABEL_Y, MULTILABEL_P, 7 / 5),
    "each": (
        Task("multilabel", 2, class_weight=[{1: 3}, [1, 0]]), MULTILABEL_Y, MULTILABEL_P, 4 / 3.5,
    ),
    "no": (Task("classes", 3, class_weight=[1, 1, 0]), RANKS_Y, CLASSES_P, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHED)
def test_labels_count_by_their_weight(name):
    task, y, y_pred, expected = WEIGHED[name]
    loss, logs = loss_and_logs(model_of({"t": task}), {"t": y}, {"t": y_pred})
    assert loss == pytest.approx(expected * LN2, rel=1e-5)
    assert logs["t_loss"] == pytest.approx(expected * LN2, rel=1e-5)
    plain = Task(task.kind, task.size, loss=task.loss)
    _, plain_logs = loss_and_logs(model_of({"t": plain}), {"t": y}, {"t": y_pred})
    assert logs["t_accuracy"] == plain_logs["t_accuracy"]


def test_weights_of_labels_and_of_examples_multiply():
    task = Task("classes", 3, class_weight={2: 2})
    loss, _ = loss_and_logs(
        model_of({"t": task}), {"t": RANKS_Y}, {"t": CLASSES_P}, sample_weight=[1, 7, 3, 7, 4]
    )
    assert loss == pytest.approx((1 + 3 * 2 * 2 + 4) / (1 + 3 * 2 + 4) * LN2, rel=1e-5)


def test_in_separate_data_each_task_has_its_own():
    tasks = {"a": Task("classes", 3, class_weight={2: 4}), "b": 3, "c": Task("classes", 2)}
    model = model_of(tasks, "separate")
    y, p = [2, 2, 1, 0], [CLASSES_P[0]] * 3 + [[0.25, 0.75, 0.0]]  # 2, 2, 2 and 2 LN2
    p[1] = CLASSES_P[4]  # of which class 2 has 0.375
    loss, logs = loss_and_logs(model, y, p, ids=[0, 1, 0, 2])
    other = -math.log(0.375)
    assert loss == pytest.approx((4 * 2 * LN2 + other + 2 * LN2 + 2 * LN2) / 7, rel=1e-5)
    assert logs["b_loss"] == pytest.approx(other, rel=1e-5)


def test_smoothed_labels():
    y, y_pred = {"t": [0]}, {"t": [CLASSES_P[0]]}
    loss, _ = loss_and_logs(model_of({"t": Task("classes", 3, label_smoothing=0.3)}), y, y_pred)
    assert loss == pytest.approx((0.7 + 0.3 * (1 + 2 + 2) / 3) * LN2, rel=1e-5)
    stock = losses.CategoricalCrossentropy(label_smoothing=0.3)([[1.0, 0.0, 0.0]], y_pred["t"])
    assert loss == pytest.approx(float(stock), rel=1e-5)
    task = Task("binary", label_smoothing=0.4)
    loss, logs = loss_and_logs(model_of({"t": task}), {"t": [1, NAN]}, {"t": [[0.25], [0.5]]})
    assert loss == pytest.approx(0.8 * 2 * LN2 - 0.2 * math.log(0.75), rel=1e-5)
    assert logs["t_accuracy"] == 0.0


def test_smoothing_is_of_a_tasks_own_classes_in_separate_data():
    tasks = {"a": Task("classes", 2, label_smoothing=0.4), "b": 3}
    loss, _ = loss_and_logs(
        model_of(tasks, "separate"), [0, 1], [[0.5, 0.5, 0.0], [0.2, 0.5, 0.3]], ids=[0, 1]
    )
    assert loss == pytest.approx(LN2, rel=1e-5)


def test_a_task_with_weights_is_saved_and_trained(tmp_path):
    tasks = {"a": Task("multilabel", 2, class_weight=[[1, 2], [3, 4]], label_smoothing=0.1)}
    dense = partial(keras.layers.Dense, 3)
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [dense])
    model.compile("sgd")
    model.fit(np.ones((4, 2), "float32"), {"a": np.eye(4)[:, :2]}, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").tasks == tasks


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("class_weight weighs classes, .* numbers as labels", partial(
            Task, "regression", class_weight=[1])),
        ("class_weight names label 3, but labels are .* from 0 to 2", partial(
            Task, "classes", 3, class_weight={3: 1.0})),
        ("class_weight must be a dict, label -> weight, or a list of 3 weights", partial(
            Task, "classes", 3, class_weight=[1.0, 2.0])),
        ("or a list of these for each of 4 labels", partial(
            Task, "multilabel", 4, class_weight=[[1, 2], [1, 2]])),
        ("finite numbers of at least 0, one of them above 0", partial(
            Task, "binary", class_weight=[0, 0])),
        ("finite numbers of at least 0", partial(Task, "binary", class_weight={0: -1})),
        ("weighs each of several labels, but a loss of one's own", partial(
            Task, "multilabel", 2, loss="binary_crossentropy", class_weight=[1, 2])),
        ("label_smoothing must be a number in \\[0, 1\\)", partial(
            Task, "binary", label_smoothing=1)),
        ("label_smoothing is of classes .* has ranks", partial(
            Task, "ordinal", 3, label_smoothing=0.1)),
        ("Give it to your loss instead", partial(
            Task, "binary", loss="binary_crossentropy", label_smoothing=0.1)),
    ],
)  # fmt: skip
def test_what_no_label_has_is_refused(message, make):
    with pytest.raises(ValueError, match=message):
        make()


Y, P = np.array([0, 2, 1, 2, -1, 0]), np.random.default_rng(0).dirichlet(np.ones(3), 6)
HOT = np.eye(3)[Y[Y >= 0]]
ONE_HOT = [
    partial(metrics.F1Score, average="macro"),
    partial(metrics.FBetaScore, average="weighted", beta=0.5),
    metrics.AUC,
    partial(metrics.AUC, multi_label=True, num_labels=3),
    partial(metrics.Precision, class_id=2),
    partial(metrics.Recall, thresholds=0.3),
]


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("new", ONE_HOT)
def test_metrics_of_columns_read_class_indices(new, task_data):
    task = Task("classes", 3, metrics=[new(name="it")])
    model = model_of({"t": task}, task_data)
    y, p, ids = Y.tolist(), P.astype("float32").tolist(), None
    if task_data == "shared":
        y, p = {"t": y}, {"t": p}
    else:
        ids = [0] * len(Y)
    _, logs = loss_and_logs(model, y, p, ids)
    alone = new()
    alone.update_state(HOT.astype("float32"), P[Y >= 0].astype("float32"))
    assert logs["t_it"] == pytest.approx(float(alone.result()), abs=1e-6)


def test_metrics_of_columns_are_trained_with():
    task = Task("classes", 3, metrics=[new(name=f"m{n}") for n, new in enumerate(ONE_HOT)])
    model = model_of({"t": task})
    x = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")
    history = model.fit(x, {"t": Y}, epochs=2, batch_size=4, verbose=0).history
    assert np.isfinite([history[f"t_m{n}"] for n in range(len(ONE_HOT))]).all()


def test_a_focal_loss_reads_class_indices_and_yes_or_no():
    focal = losses.CategoricalFocalCrossentropy(alpha=0.5, gamma=2.0)
    task = Task("classes", 3, loss=focal, class_weight={1: 3})
    loss, _ = loss_and_logs(model_of({"t": task}), {"t": [0, -1, 1]}, {"t": CLASSES_P[:3]})
    each = [0.5 * 0.5**2 * LN2, 0.5 * 0.75**2 * 2 * LN2]
    assert loss == pytest.approx((each[0] + 3 * each[1]) / 4, rel=1e-5)
    task = Task("binary", loss=losses.BinaryFocalCrossentropy(gamma=2.0))
    loss, _ = loss_and_logs(model_of({"t": task}), {"t": [1, NAN]}, {"t": [[0.25], [0.9]]})
    assert loss == pytest.approx(0.75**2 * 2 * LN2, rel=1e-5)
