"""Labels at every time step: losses by hand, metrics against scikit-learn, whole networks.

Predictions are chosen as in `test_losses`: the cross-entropy of a probability 1/2 is LN2, of
1/4 it is 2 LN2, of 1/8 it is 3 LN2. Every labelled step counts once.
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
STEPS, FEATURES = 7, 6

dense = partial(keras.layers.Dense, 4, activation="tanh")
lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
Binary = partial(Task, "binary", per_step=True)
Multilabel = partial(Task, "multilabel", per_step=True)
Regression = partial(Task, "regression", per_step=True)

BINARY_P = [[[0.25], [0.5], [0.9]], [[0.3], [0.3], [0.75]]]
BINARY_Y = [[1, 0, NAN], [NAN, NAN, 0]]  # 2 LN2 and LN2; 2 LN2
MULTILABEL_P = [
    [[0.5, 0.9, 0.75], [0.1, 0.1, 0.1], [0.5, 0.5, 0.25], [0.9, 0.9, 0.9]],
    [[0.1, 0.125, 0.1], [0.2, 0.2, 0.2], [0.2, 0.2, 0.2], [0.2, 0.2, 0.2]],
]
MULTILABEL_Y = [  # LN2 times (1 + 2) / 2 and (1 + 1 + 2) / 3; 3
    [[1, NAN, 0], [NAN] * 3, [0, 0, 1], [NAN] * 3],
    [[NAN, 1, NAN], [NAN] * 3, [NAN] * 3, [NAN] * 3],
]
REGRESSION_P = [[[1.0], [9.0], [0.0]], [[9.0], [9.0], [2.0]]]
REGRESSION_Y = [[2, NAN, 0], [NAN, NAN, 5]]  # errors 1 and 0; 3
PLACE_P = [[[1.0, 2.0], [0.0, 0.0], [5.0, 5.0]], [[1.0, 1.0], [4.0, 4.0], [2.0, 4.0]]]
PLACE_Y = [[[2, 4], [NAN, NAN], [NAN, 8]], [[NAN, NAN], [4, 3], [2, 4]]]  # 2.5, 9; 0.5, 0

CASES = {  # name: (task, labels, predictions, loss, logs)
    "sick": (Binary(), BINARY_Y, BINARY_P, 5 / 3 * LN2, {"sick_accuracy": 1 / 3}),
    "signs": (Multilabel(3), MULTILABEL_Y, MULTILABEL_P, 35 / 18 * LN2, {"signs_accuracy": 2 / 9}),
    "dose": (Regression(), REGRESSION_Y, REGRESSION_P, 10 / 3, {"dose_mae": 4 / 3}),
    "place": (Regression(2), PLACE_Y, PLACE_P, 12 / 4, {"place_mae": (1.5 + 3 + 0.5 + 0) / 4}),
}


def model_of(tasks, task_data="shared", steps=None, optimizer="sgd", layer=dense):
    model = keras_mtl.build_shared_bottom(
        keras.Input((steps, FEATURES)), tasks, [layer], task_data=task_data
    )
    model.compile(optimizer)
    return model


def tensors(structure):
    return keras.tree.map_structure(
        ops.convert_to_tensor,
        {key: np.asarray(value, "float32") for key, value in structure.items()}
        if isinstance(structure, dict)
        else np.asarray(structure, "float32"),
    )


def loss_and_logs(model, y, y_pred, ids=None, sample_weight=None):
    model.reset_metrics()
    x = {} if ids is None else {"task_id": ops.convert_to_tensor(np.array(ids, "int32"))}
    weight = None if sample_weight is None else tensors(sample_weight)
    loss = model.compute_loss(x, tensors(y), tensors(y_pred), weight)
    return float(loss), {name: float(v) for name, v in model.get_metrics_result().items()}


# Losses by hand


@pytest.mark.parametrize("name", CASES)
def test_shared_loss_is_the_mean_over_labelled_steps(name):
    task, y, y_pred, expected, expected_logs = CASES[name]
    loss, logs = loss_and_logs(model_of({name: task}), {name: y}, {name: y_pred})
    assert loss == logs[f"{name}_loss"] == pytest.approx(expected, rel=1e-5)
    for log, value in expected_logs.items():
        assert logs[log] == pytest.approx(value)


@pytest.mark.parametrize("name", ["sick", "dose"])
def test_labels_with_an_axis_of_size_one_are_squeezed(name):
    task, y, y_pred, expected, _ = CASES[name]
    y = np.asarray(y)[..., None]
    assert loss_and_logs(model_of({name: task}), {name: y}, {name: y_pred})[0] == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("name", CASES)
def test_separate_loss_of_one_task_is_the_same_mean(name):
    task, y, y_pred, expected, expected_logs = CASES[name]
    other = task if task.kind == "binary" else Task(task.kind, task.size + 2, per_step=True)
    model = model_of({"other": other, name: task}, "separate")
    y, y_pred = np.asarray(y), np.asarray(y_pred)
    if task.kind != "binary":  # as wide as the larger task
        y = y.reshape(*y_pred.shape[:2], -1)
        y = np.pad(y, [(0, 0), (0, 0), (0, 2)], constant_values=NAN)
        y_pred = np.pad(y_pred, [(0, 0), (0, 0), (0, 2)])
    loss, logs = loss_and_logs(model, y, y_pred, ids=[1, 1])
    assert loss == logs[f"{name}_loss"] == pytest.approx(expected, rel=1e-5)
    assert math.isnan(logs["other_loss"])
    for log, value in expected_logs.items():
        assert logs[log] == pytest.approx(value)


def test_kinds_meet_in_one_separate_batch():
    tasks = {"sick": Binary(), "word": Task("tagging", 2), "dose": Regression(weight=0.5)}
    none = [NAN] * 3
    y = {
        "binary": [BINARY_Y[0], none, none, BINARY_Y[1]],
        "tagging": [none, none, [1, -1, 0], none],
        "regression": [none, REGRESSION_Y[0], none, none],
    }
    p = np.zeros((4, 3, 1))
    y_pred = {"binary": p.copy(), "regression": p.copy(), "tagging": np.full((4, 3, 2), 0.5)}
    y_pred["binary"][[0, 3]] = BINARY_P
    y_pred["regression"][1] = REGRESSION_P[0]
    loss, logs = loss_and_logs(model_of(tasks, "separate"), y, y_pred, ids=[0, 2, 1, 0])
    # three steps of 5/3 LN2, two of LN2, two of 1/2 with half the weight
    assert loss == pytest.approx((5 * LN2 + 2 * LN2 + 0.5 * 1) / 7, rel=1e-5)
    expected = {"sick": 5 / 3 * LN2, "word": LN2, "dose": 0.5}
    assert {name: logs[f"{name}_loss"] for name in tasks} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_sample_weight_of_an_example_weighs_its_steps(task_data):
    weight, expected = [1.0, 3.0], (2 + 1 + 3 * 2) / (1 + 1 + 3) * LN2
    model = model_of({"sick": Binary()}, task_data)
    if task_data == "shared":
        loss, _ = loss_and_logs(model, {"sick": BINARY_Y}, {"sick": BINARY_P}, None, weight)
    else:
        loss, _ = loss_and_logs(model, BINARY_Y, BINARY_P, [0, 0], weight)
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_own_loss_judges_the_whole_label_of_a_step(task_data):
    task = Regression(2, loss="mean_absolute_error")
    y, y_pred = PLACE_Y, PLACE_P  # (1 + 2) / 2, the half label does not count; 0.5, 0
    if task_data == "shared":
        model, ids = model_of({"place": task}), None
        y, y_pred = {"place": y}, {"place": y_pred}
    else:  # beside a larger task
        model, ids = model_of({"wide": Regression(3), "place": task}, "separate"), [1, 1]
        y = np.pad(np.asarray(y), [(0, 0), (0, 0), (0, 1)], constant_values=NAN)
        y_pred = np.pad(np.asarray(y_pred), [(0, 0), (0, 0), (0, 1)])
    assert loss_and_logs(model, y, y_pred, ids)[0] == pytest.approx(2.0 / 3, rel=1e-5)


def test_own_loss_must_give_one_value_per_step():
    def of_sequence(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=(1, 2))

    model = model_of({"place": Regression(2, loss=of_sequence)})
    with pytest.raises(ValueError, match=r"must return one value per time step, of shape \(2, 3\)"):
        loss_and_logs(model, {"place": PLACE_Y}, {"place": PLACE_P})


# Missing and wrong labels


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_batch_without_any_label_costs_nothing(task_data):
    tasks = {name: case[0] for name, case in CASES.items() if name in ("sick", "place")}
    if task_data == "shared":
        y = {"sick": np.full((2, 3), NAN), "place": np.full((2, 3, 2), NAN)}
        y_pred, ids = {"sick": BINARY_P, "place": PLACE_P}, None
    else:
        y = {"binary": np.full((2, 3), NAN), "regression": np.full((2, 3, 2), NAN)}
        y_pred, ids = {"binary": BINARY_P, "regression": PLACE_P}, [0, 1]
    loss, logs = loss_and_logs(model_of(tasks, task_data), y, y_pred, ids)
    assert loss == 0.0
    assert math.isnan(logs["sick_loss"]) and math.isnan(logs["place_mae"])


def moves(tasks, x, y):
    """Returns by how much one step of gradient descent moves each weight."""
    keras.utils.set_random_seed(1)
    model = model_of(tasks, optimizer=keras.optimizers.SGD(1.0))
    before = [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]
    model.train_on_batch(x, y)
    after = [ops.convert_to_numpy(weight) for weight in model.weights]
    return [new - old for new, old in zip(after, before, strict=True)]


@pytest.mark.slow
def test_steps_without_labels_give_the_gradient_of_shorter_sequences():
    tasks = {"sick": Binary(), "signs": Multilabel(3), "place": Regression(2)}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, FEATURES)).astype("float32")
    y = {name: rng.integers(0, 2, (3, 5, task.size)) for name, task in tasks.items()}
    y = {name: labels.astype("float32") for name, labels in y.items()}
    y["signs"][0, 1, 2] = y["sick"][2, 0, 0] = NAN
    for labels in y.values():
        labels[:, 3:] = NAN
    short = moves(tasks, x[:, :3], {name: labels[:, :3] for name, labels in y.items()})
    for move, other in zip(moves(tasks, x, y), short, strict=True):
        np.testing.assert_allclose(move, other, atol=1e-6)
        assert np.abs(move).max() > 1e-4


class Batch(keras.utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self._batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_wrong_label_makes_the_loss_nan_in_compiled_steps(task_data):
    model = model_of({"sick": Binary()}, task_data)
    x = np.zeros((2, 3, FEATURES), "float32")
    y = np.array(BINARY_Y, "float32")
    if task_data == "separate":
        x = {"inputs": x, "task_id": np.zeros(2, "int32")}

    def loss():
        batch = Batch(x, {"sick": y} if task_data == "shared" else y)
        return model.evaluate(batch, verbose=0, return_dict=True)["loss"]

    assert math.isfinite(loss())
    for wrong in (2, -1, 0.5, math.inf):
        y[1, 1] = wrong
        assert math.isnan(loss()), wrong


def test_a_wrong_label_of_an_array_is_refused():
    x, y = np.zeros((2, 3, FEATURES)), np.array(BINARY_Y)
    y[1, 1] = 2
    with pytest.raises(ValueError, match='"sick" expects labels 0 and 1 .* Received: 2'):
        model_of({"sick": Binary()}).fit(x, {"sick": y})
    with pytest.raises(ValueError, match='"sick" expects labels 0 and 1 .* Received: 2'):
        keras_mtl.task_batches({"sick": Binary()}, {"sick": (x, y)}, batch_size=2)


@pytest.mark.parametrize("task", [Regression(), Task("tagging", 2)], ids=["regression", "tagging"])
def test_labels_of_another_number_of_steps_are_refused(task):
    x = np.zeros((2, 5, FEATURES))
    with pytest.raises(ValueError, match='"dose" is predicted at 5 time steps. .* labels of 1 st'):
        model_of({"dose": task}, steps=5).fit(x, {"dose": np.zeros((2, 1))})


# Keras metric objects


def scored(seed=1, shape=(40, 10, 3)):
    """Returns labels, about half of them missing, scores, and a weight for each example."""
    rng = np.random.default_rng(seed)
    y = (rng.random(shape) < 0.4).astype("float32")
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0.001, 0.999).astype("float32")
    y[rng.random(shape[:2]) < 0.5] = NAN
    return y, p, np.linspace(0.1, 2.0, shape[0]).astype("float32")


def sklearn_auc(y, p, weight):
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    known = ~np.isnan(y)
    weight = np.broadcast_to(weight[:, None], y.shape)
    return roc_auc_score(y[known], p[known], sample_weight=weight[known])


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_auc_of_steps_equals_scikit_learn(task_data):
    y, p, weight = scored(shape=(40, 10, 1))
    task = Binary(metrics=[keras.metrics.AUC(2000)])
    model = model_of({"sick": task, "tired": task}, task_data)
    if task_data == "shared":
        _, logs = loss_and_logs(
            model, {"sick": y, "tired": 1 - y}, {"sick": p, "tired": p}, None, weight
        )
        expected = {"sick": sklearn_auc(y[..., 0], p[..., 0], weight)}
        expected["tired"] = 1 - expected["sick"]
    else:
        ids = np.arange(40) % 2
        _, logs = loss_and_logs(model, y[..., 0], p, ids, weight)
        expected = {
            name: sklearn_auc(y[ids == i, :, 0], p[ids == i, :, 0], weight[ids == i])
            for i, name in enumerate(["sick", "tired"])
        }
        assert abs(expected["sick"] - expected["tired"]) > 0.01
    for name, auc in expected.items():
        assert logs[f"{name}_auc"] == pytest.approx(auc, abs=2e-3)


def test_auc_by_label_of_steps_equals_scikit_learn():
    y, p, weight = scored()
    auc = keras.metrics.AUC(2000, multi_label=True, num_labels=3)
    model = model_of({"signs": Multilabel(3, metrics=[auc])})
    _, logs = loss_and_logs(model, {"signs": y}, {"signs": p}, None, weight)
    expected = np.mean([sklearn_auc(y[..., i], p[..., i], weight) for i in range(3)])
    assert logs["signs_auc"] == pytest.approx(expected, abs=2e-3)


def test_a_metric_object_of_tags_sees_labelled_steps():
    metric = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model = model_of({"word": Task("tagging", 3, metrics=[metric])})
    y = [[0, 1, -1], [2, -1, -1]]  # among the two likeliest: yes, no, yes
    p = [[[0.5, 0.3, 0.2], [0.5, 0.1, 0.4], [0.0, 0.0, 1.0]], [[0.1, 0.2, 0.7]] * 3]
    _, logs = loss_and_logs(model, {"word": y}, {"word": p}, sample_weight=[1.0, 3.0])
    assert logs["word_top2"] == pytest.approx((1 + 0 + 3) / 5)


# Whole networks

TASKS = {
    "sick": Binary(metrics=["accuracy", keras.metrics.AUC(name="auc")]),
    "signs": Multilabel(3),
    "dose": Regression(),
    "place": Regression(2, metrics=["mse"]),
    "word": Task("tagging", 4),
}
RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, STEPS, FEATURES)).astype("float32")


def labels_of(task):
    y = RNG.integers(0, task.size if task.kind == "tagging" else 2, (5, STEPS, task.size))
    y = (y[..., 0] if task.has_classes or task.size == 1 else y).astype("float32")
    y[1, 4:] = y[3, 0] = NAN  # a shorter sequence; a step that nobody labelled
    if y.ndim == 3:
        y[2, 2, 1] = NAN
    return y


Y = {name: labels_of(task) for name, task in TASKS.items()}


def loss_by_numpy(task, y, p):
    if task.kind == "tagging":
        known = ~np.isnan(y)
        index = np.where(known, y, 0).astype(int)
        return -np.log(np.take_along_axis(p, index[..., None], -1)[..., 0])[known].mean()
    y = y.reshape(p.shape)
    error = (p - y) ** 2
    if task.kind != "regression":
        error = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    known = ~np.isnan(y).all(axis=-1)
    return np.nanmean(error[known], axis=-1).mean()


def data(task_data, order="mixed"):
    """Returns what `fit` and `evaluate` take."""
    if task_data == "shared":
        return {"x": X, "y": Y}
    examples = {name: (X, Y[name]) for name in TASKS}
    return {"x": keras_mtl.task_batches(TASKS, examples, batch_size=5, seed=0, order=order)}


def answers(model):
    """Returns the predictions of every task, cut to its own columns."""
    if model.task_data == "shared":
        return model.predict(X, verbose=0)
    found = {}
    for index, (name, task) in enumerate(TASKS.items()):
        x = {"inputs": X, "task_id": np.full(5, index, "int32")}
        found[name] = model.predict(x, verbose=0)[task.kind][..., : task.size]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_network_trains_is_judged_saved_and_frozen(task_data, tmp_path):
    model = model_of(TASKS, task_data, STEPS, keras.optimizers.Adam(0.02), lstm)
    history = model.fit(**data(task_data), epochs=6, verbose=0).history
    assert all(np.isfinite(history[log]).all() for log in history)
    assert history["loss"][-1] < history["loss"][0]
    expected = answers(model)
    assert {name: p.shape for name, p in expected.items()} == {
        name: (5, STEPS, task.size) for name, task in TASKS.items()
    }
    logs = model.evaluate(**data(task_data, "sequential"), verbose=0, return_dict=True)
    for name, task in TASKS.items():
        value = loss_by_numpy(task, Y[name], expected[name])
        assert logs[f"{name}_loss"] == pytest.approx(value, rel=1e-4), name
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [(task.kind, task.per_step) for task in loaded.tasks.values()] == [
        (task.kind, True) for task in TASKS.values()
    ]
    again = loaded.evaluate(**data(task_data, "sequential"), verbose=0, return_dict=True)
    assert again == pytest.approx(logs, rel=1e-5)
    frozen = keras_mtl.freeze(model)
    for name, output in frozen.predict(X, verbose=0).items():
        np.testing.assert_allclose(output, expected[name], atol=1e-6)
    assert keras_mtl.freeze(model, "place").output.shape == (None, STEPS, 2)


@pytest.mark.slow
def test_sequences_of_one_step_train():
    model = keras_mtl.build_shared_bottom(
        keras.Input((None,), dtype="int32"),
        {"pos": Task("tagging", 4), "load": Regression()},
        [partial(keras.layers.LSTM, 3, return_sequences=True)],
        stem=[partial(keras.layers.Embedding, 5, 2, mask_zero=True)],
    )
    model.compile("sgd")
    y = {"pos": np.array([[3], [-1]]), "load": np.array([[0.5], [np.nan]])}
    logs = model.train_on_batch(np.array([[1], [2]]), y, return_dict=True)
    assert np.isfinite(logs["loss"]) and logs["mean_accuracy"] in (0, 1)
