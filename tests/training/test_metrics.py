"""What a model logs, against NumPy and scikit-learn."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task

NAN = float("nan")
EAGERLY = keras.backend.backend() != "jax"  # JAX compiles each operation of an eager step
FEATURES = 2

dense = partial(keras.layers.Dense, 4, activation="tanh")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, FEATURES)).astype("float32")

TASKS = {
    "animal": 3,
    "sick": "binary",
    "topics": Task("multilabel", 2),
    "place": Task("regression", 2),
    "height": "regression",
}
Y = {
    "animal": np.array([0, 1, 2, -1, NAN, 2, 0], "float32"),
    "sick": np.array([0, 1, NAN, 1, 0, NAN, 1], "float32"),
    "topics": np.array([[0, 1], [NAN, 1], [NAN, NAN], [1, 1], [0, NAN], [0, 0], [1, 0]], "float32"),
    "place": np.array([[1, 2], [0, NAN], [3, 1], [NAN, NAN], [1, 1], [0, 0], [2, 2]], "float32"),
    "height": np.array([NAN, 1, 2, 3, NAN, 0, 1], "float32"),
}


def shared_model(tasks=TASKS, build=keras_mtl.build_shared_bottom, **options):
    model = build(keras.Input((FEATURES,)), tasks, [[dense] * 2], **options)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    return model


def separate_model(tasks, **options):
    return shared_model(tasks, task_data="separate", **options)


def mean_of_examples(values, known):
    """Mean over examples of the mean over what is known of each."""
    values, known = values.reshape(len(values), -1), known.reshape(len(values), -1)
    rows = known.any(axis=1)
    count = known.sum(axis=1)[rows]
    return (np.where(known, values, 0.0).sum(axis=1)[rows] / count).mean()


def by_numpy(tasks, y, predictions):
    """Recomputes losses and metrics of whole label arrays from predictions."""
    logs = {}
    for name, task in keras_mtl.tasks.as_tasks(tasks).items():
        p = predictions[name].astype("float64")
        label = y[name].astype("float64")
        if task.kind == "classes":
            known = ~np.isnan(label) & (label != -1)
            index = np.where(known, label, 0).astype(int)
            loss, right = -np.log(p[np.arange(len(p)), index]), p.argmax(-1) == index
        else:
            label = label.reshape(p.shape)
            known = ~np.isnan(label)
            filled = np.where(known, label, 0)
            if task.kind == "regression":
                loss, right = (p - filled) ** 2, np.abs(p - filled)
            else:
                loss = -(filled * np.log(p) + (1 - filled) * np.log(1 - p))
                right = (p > 0.5) == filled
        metric = "mae" if task.kind == "regression" else "accuracy"
        logs[f"{name}_loss"] = mean_of_examples(loss, known)
        logs[f"{name}_{metric}"] = mean_of_examples(right, known)
    for metric in ("loss", "accuracy", "mae"):
        own = [value for log, value in logs.items() if log.endswith(metric)]
        if own:
            logs[f"mean_{metric}"] = np.mean(own)
    return logs


@pytest.mark.slow
def test_logs_equal_numpy():
    model = shared_model()
    logs = model.evaluate(X, Y, batch_size=7, verbose=0, return_dict=True)
    expected = by_numpy(TASKS, Y, model.predict(X, verbose=0))
    expected["loss"] = sum(expected[f"{name}_loss"] for name in TASKS)
    assert logs == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_logs_of_several_batches_weigh_examples_equally():
    model = shared_model()
    logs = model.evaluate(X, Y, batch_size=3, verbose=0, return_dict=True)
    expected = by_numpy(TASKS, Y, model.predict(X, verbose=0))
    logs.pop("loss")  # a mean over batches, as everywhere in Keras
    assert logs == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["sequential", "mixed"])
def test_separate_logs_equal_numpy(order):
    tasks = {"animal": 3, "sick": "binary", "sort": 4}
    data = {
        "animal": (X[:5], np.array([0, 2, -1, 1, 1])),
        "sick": (X[2:], np.array([1, 0, NAN, 1, 1])),
        "sort": (X[:3], np.array([3, 0, 2])),
    }
    batches = keras_mtl.task_batches(tasks, data, batch_size=2, order=order, seed=0)
    if order == "mixed":  # rounds: give every task as many examples
        data = {name: (x[:3], y[:3]) for name, (x, y) in data.items()}
        batches = keras_mtl.task_batches(tasks, data, batch_size=3, order=order, seed=0)
    model = separate_model(tasks)
    logs = model.evaluate(batches, verbose=0, return_dict=True)
    expected = {}
    for index, (name, (x, y)) in enumerate(data.items()):
        inputs = {"inputs": x, "task_id": np.full(len(x), index, "int32")}
        kind, size = ("binary", 1) if name == "sick" else ("classes", tasks[name])
        p = model.predict(inputs, verbose=0)[kind][:, :size]
        expected |= by_numpy({name: tasks[name]}, {name: y}, {name: p})
    for metric in ("loss", "accuracy"):
        expected[f"mean_{metric}"] = np.mean([expected[f"{name}_{metric}"] for name in tasks])
    logs.pop("loss")
    assert logs == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_log_names_are_those_of_the_contract():
    tasks = {
        "animal": 3,
        "sick": Task("binary", metrics=["accuracy", keras.metrics.AUC(name="auc")]),
        "height": "regression",
        "weight": Task("regression", metrics=["mse"]),
    }
    model = shared_model(tasks, keras_mtl.build_gumbel_matrix, budget=0.1, entropy_weight=0.5)
    y = {"animal": Y["animal"], "sick": Y["sick"], "height": Y["height"], "weight": Y["height"]}
    names = {"loss", "budget_penalty", "entropy_penalty"}
    names |= {f"{name}_loss" for name in tasks}
    names |= {"animal_accuracy", "sick_accuracy", "sick_auc", "height_mae", "weight_mse"}
    names |= {"mean_loss", "mean_accuracy", "mean_auc", "mean_mae", "mean_mse"}
    history = model.fit(X, y, validation_data=(X, y), verbose=0).history
    assert set(history) == names | {f"val_{name}" for name in names}
    assert set(model.evaluate(X, y, verbose=0, return_dict=True)) == names
    values = model.evaluate(X, y, verbose=0)
    assert len(values) == len(names)
    steps = {"loss", "budget_penalty", "entropy_penalty"}
    steps |= {"mean_loss", "mean_accuracy", "mean_auc", "mean_mae", "mean_mse"}
    assert set(model.train_on_batch(X, y, return_dict=True)) == steps
    assert set(model.test_on_batch(X, y, return_dict=True)) == steps


def test_mean_is_over_tasks_with_the_metric_and_labels():
    y = dict(Y, sick=np.full(7, NAN), height=np.full(7, NAN))
    model = shared_model()
    logs = model.evaluate(X, y, batch_size=4, verbose=0, return_dict=True)
    unknown = {name for name, value in logs.items() if math.isnan(value)}
    assert unknown == {"sick_loss", "height_loss", "sick_accuracy", "height_mae"}
    accuracies = [logs["animal_accuracy"], logs["topics_accuracy"]]
    assert logs["mean_accuracy"] == pytest.approx(np.mean(accuracies))
    assert logs["mean_mae"] == pytest.approx(logs["place_mae"])


def test_mean_of_nothing_is_nan():
    y = dict(Y, place=np.full((7, 2), NAN), height=np.full(7, NAN))
    logs = shared_model().evaluate(X, y, verbose=0, return_dict=True)
    assert math.isnan(logs["mean_mae"])
    assert math.isfinite(logs["mean_accuracy"]) and math.isfinite(logs["loss"])


@pytest.mark.slow
def test_task_without_data_logs_nan():
    tasks = {"a": 3, "b": 2}
    batches = keras_mtl.task_batches(tasks, {"b": (X, np.ones(7))}, batch_size=4, seed=0)
    history = separate_model(tasks).fit(batches, validation_data=batches, verbose=0).history
    for prefix in ("", "val_"):
        assert math.isnan(history[prefix + "a_accuracy"][0])
        assert history[prefix + "mean_accuracy"] == history[prefix + "b_accuracy"]


@pytest.mark.slow
def test_metrics_begin_anew_in_every_epoch():
    model = shared_model({"animal": 3, "sick": Task("binary", metrics=[keras.metrics.AUC()])})
    model.optimizer.learning_rate = 0.0
    y = {"animal": Y["animal"], "sick": Y["sick"]}
    history = model.fit(X, y, epochs=3, batch_size=3, shuffle=False, verbose=0).history
    for name, values in history.items():
        assert values == pytest.approx([values[0]] * 3), name
    logs = model.evaluate(X, y, batch_size=3, verbose=0, return_dict=True)
    assert logs == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-5)


# Keras metric objects.


def many(seed=1, count=400):
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype("float32")
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0.001, 0.999).astype("float32")
    known = rng.random(count) < 0.5
    labels[known & (rng.random(count) < 0.5)] = 1  # the labelled part differs from the rest
    return np.where(known, labels, NAN).astype("float32"), scores


def computed_logs(model, y, y_pred, ids=None, sample_weight=None):
    model.reset_metrics()
    to_tensors = partial(keras.tree.map_structure, ops.convert_to_tensor)
    x = {} if ids is None else {"task_id": ops.convert_to_tensor(ids)}
    weight = None if sample_weight is None else ops.convert_to_tensor(sample_weight)
    model.compute_loss(x, to_tensors(y), to_tensors(y_pred), weight)
    return {name: float(value) for name, value in model.get_metrics_result().items()}


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_of_shared_data_equals_scikit_learn(weighted):
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    model = shared_model({"sick": Task("binary", metrics=[keras.metrics.AUC(2000)])})
    y, p = many()
    weight = np.linspace(0.1, 2.0, len(y)).astype("float32") if weighted else None
    logs = computed_logs(model, {"sick": y}, {"sick": p[:, None]}, sample_weight=weight)
    known = ~np.isnan(y)
    auc = roc_auc_score(y[known], p[known], sample_weight=None if weight is None else weight[known])
    assert logs["sick_auc"] == pytest.approx(auc, abs=2e-3)
    everything = roc_auc_score(np.nan_to_num(y), p)
    assert abs(auc - everything) > 0.01  # the test could fail


def test_auc_of_separate_data_equals_scikit_learn():
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    tasks = {
        "sick": Task("binary", metrics=[keras.metrics.AUC(2000)]),
        "tired": Task("binary", metrics=[keras.metrics.AUC(2000)]),
        "none": Task("binary", metrics=[keras.metrics.AUC(2000)]),
    }
    y, p = many()
    ids = np.random.default_rng(2).integers(0, 2, len(y)).astype("int32")
    logs = computed_logs(separate_model(tasks), y, p[:, None], ids)
    expected = []
    for index, name in enumerate(["sick", "tired"]):
        part = ~np.isnan(y) & (ids == index)
        expected.append(roc_auc_score(y[part], p[part]))
        assert logs[f"{name}_auc"] == pytest.approx(expected[-1], abs=2e-3)
    assert math.isnan(logs["none_auc"])
    assert logs["mean_auc"] == pytest.approx(np.mean(expected), abs=2e-3)


@pytest.mark.slow
def test_metric_objects_collect_over_batches_and_begin_anew():
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    tasks = {"sick": Task("binary", metrics=[keras.metrics.AUC(2000, name="area")])}
    model = shared_model(tasks)
    x = np.random.default_rng(3).normal(size=(100, FEATURES)).astype("float32")
    y = np.where(x[:, 0] > 0.5, 1.0, 0.0)
    y[::3] = NAN
    known = ~np.isnan(y)
    for _ in range(2):
        logs = model.evaluate(x, {"sick": y}, batch_size=30, verbose=0, return_dict=True)
        p = model.predict(x, verbose=0)["sick"][:, 0]
        assert logs["sick_area"] == pytest.approx(roc_auc_score(y[known], p[known]), abs=5e-3)


def test_metric_object_of_classes_skips_missing_labels():
    metric = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")
    model = separate_model({"wide": 4, "narrow": Task("classes", 3, metrics=[metric])})
    p = [[0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.7, 0.0], [0.1, 0.2, 0.7, 0.0]]
    p += [[0.25, 0.25, 0.25, 0.25]]
    y = np.array([1, 2, -1, 2, 3], "int32")
    logs = computed_logs(model, y, np.array(p, "float32"), np.array([1, 1, 1, 1, 0], "int32"))
    assert logs["narrow_top2"] == pytest.approx(2 / 3)


def test_half_labelled_example_does_not_count_for_a_metric_object():
    metric = keras.metrics.MeanAbsolutePercentageError(name="mape")
    model = shared_model({"place": Task("regression", 2, metrics=[metric])})
    y = np.array([[2, 4], [NAN, 1], [1, 1]], "float32")
    p = np.array([[1, 4], [9, 9], [1, 2]], "float32")
    logs = computed_logs(model, {"place": y}, {"place": p})
    assert logs["place_mape"] == pytest.approx((25 + 50) / 2)  # 50 % and 0 %; 0 % and 100 %


def test_metric_objects_serve_one_model_only():
    metric = keras.metrics.AUC(name="area")
    tasks = {"sick": Task("binary", metrics=[metric])}
    y, p = many()
    first, second = shared_model(tasks), shared_model(tasks)
    computed_logs(first, {"sick": y}, {"sick": p[:, None]})
    assert math.isnan(second.get_metrics_result()["sick_area"])
    assert float(ops.sum(metric.true_positives)) == 0.0


def test_unnamed_metric_is_logged_by_its_kind():
    keras.metrics.AUC()  # takes the name "auc"; Keras numbers the next ones
    tasks = {
        "sick": Task("binary", metrics=[keras.metrics.AUC(), keras.metrics.Precision()]),
        "tired": Task("binary", metrics=[keras.metrics.AUC(name="auc_2")]),
        "late": Task("binary", metrics=["AUC"]),  # "auc" is the same
        "lost": Task("multilabel", 2, metrics=["mae"]),
    }
    model = shared_model(tasks)
    names = {name for name in model.metrics_names if not name.endswith("loss")}
    assert names == {
        "sick_auc",
        "sick_precision",
        "tired_auc",
        "late_auc",
        "lost_mae",
        "mean_auc",
        "mean_precision",
        "mean_mae",
    }


def test_two_metrics_of_one_name_are_refused():
    areas = [keras.metrics.AUC(), keras.metrics.AUC(30)]
    with pytest.raises(ValueError, match="'sick' has two metrics named 'auc'. Give .* name="):
        shared_model({"sick": Task("binary", metrics=areas)})


def test_a_metric_named_as_the_loss_is_refused():
    area = keras.metrics.AUC(name="loss")
    with pytest.raises(ValueError, match="'sick' has a metric named 'loss'.*another name"):
        shared_model({"sick": Task("binary", metrics=[area])})


def test_metric_may_be_a_function():
    def worst(y_true, y_pred):
        return ops.max(ops.abs(y_true - y_pred), axis=-1)

    model = shared_model({"place": Task("regression", 2, metrics=[worst, "mse"])})
    y = np.array([[2, 4], [NAN, 1], [1, 1]], "float32")
    p = np.array([[1, 4], [9, 9], [1, 4]], "float32")
    logs = computed_logs(model, {"place": y}, {"place": p})
    assert logs["place_worst"] == logs["mean_worst"] == pytest.approx((1 + 3) / 2)
    assert logs["place_mse"] == pytest.approx((0.5 + 64 + 4.5) / 3)


def test_tags_are_judged_word_by_word():
    tasks = {"chunk": Task("tagging", 3)}
    model = keras_mtl.build_shared_bottom(keras.Input((None, FEATURES)), tasks, [dense])
    model.compile("sgd")
    x = RNG.normal(size=(2, 4, FEATURES)).astype("float32")
    y = np.array([[0, 1, 2, -1], [2, -1, -1, -1]], "int32")
    logs = model.evaluate(x, {"chunk": y}, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)["chunk"]
    known = y != -1
    loss = -np.log(np.take_along_axis(p, np.maximum(y, 0)[..., None], -1)[..., 0])
    assert logs["chunk_loss"] == pytest.approx(loss[known].mean(), rel=1e-5)
    assert logs["chunk_accuracy"] == pytest.approx((p.argmax(-1) == y)[known].mean())


# Penalties.


def test_penalties_are_logged_by_name_and_part_of_the_loss():
    tasks = {"a": 3, "b": 2}
    model = separate_model(
        tasks,
        build=keras_mtl.build_gumbel_matrix,
        init_probability=0.75,
        budget=0.25,
        budget_weight=2.0,
        entropy_weight=0.5,
        disconnect_weight=4.0,
    )
    batches = keras_mtl.task_batches(
        tasks, {"a": (X[:4], np.arange(4) % 3), "b": (X[4:], np.arange(3) % 2)}, 4, seed=0
    )
    logs = model.evaluate(batches, verbose=0, return_dict=True)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))  # of each of 2 components
    penalties = {
        "budget_penalty": 2.0 * (0.75 - 0.25),
        "entropy_penalty": 0.5 * 2 * entropy,
        "disconnect_penalty": 4.0 * 0.25**2,
    }
    for name, value in penalties.items():
        assert logs[name] == pytest.approx(value, rel=1e-5), name
    tasks_loss = (logs["a_loss"] + logs["b_loss"]) / 2
    assert logs["loss"] == pytest.approx(tasks_loss + sum(penalties.values()), rel=1e-5)


def test_weight_regularization_is_part_of_the_loss():
    regular = partial(keras.layers.Dense, 4, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras_mtl.build_shared_bottom(keras.Input((FEATURES,)), {"animal": 3}, [[regular] * 2])
    model.compile("sgd")
    kernels = [ops.convert_to_numpy(w) for w in model.weights if w.shape == (FEATURES, 4)]
    logs = model.evaluate(X, {"animal": Y["animal"]}, verbose=0, return_dict=True)
    penalty = 0.5 * sum(np.square(kernel).sum() for kernel in kernels)
    assert len(kernels) == 2
    assert logs["loss"] == pytest.approx(logs["animal_loss"] + penalty, rel=1e-5)
