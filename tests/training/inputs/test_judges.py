"""Losses and metrics of Keras that cannot be right for a task are refused when it is compiled."""

import functools
import inspect
import math

import keras
import numpy as np
import pytest
from keras import losses, metrics, ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.kinds.keras_names import reads_one_hot
from keras_mtl.training.inputs.judges import check_fit

KINDS = {
    "classes": Task("classes", 6),
    "tagging": Task("tagging", 3),
    "binary": Task("binary"),
    "multilabel": Task("multilabel", 3),
    "regression": Task("regression", 3),
    "one value": Task("regression"),
    "count": Task("count", 3),
    "amount": Task("amount", 3),
    "ordinal": Task("ordinal", 6),
}
NEEDED = {  # what has no value of its own: fitting ones
    "IoU": {"target_class_ids": [0], "sparse_y_pred": False, "dtype": "float32"},
    "BinaryIoU": {"dtype": "float32"},
    "OneHotIoU": {"target_class_ids": [0]},
    "MeanIoU": {"sparse_y_pred": False, "dtype": "float32"},
    "F1Score": {"average": "macro", "threshold": 0.5},
    "FBetaScore": {"average": "macro", "threshold": 0.5},
    "Mean": {},
    "Sum": {},
} | {
    "num_classes": 6,
    "recall": 0.5,
    "precision": 0.5,
    "sensitivity": 0.5,
    "specificity": 0.5,
}
NO_JUDGE = {"Loss", "Metric", "MeanMetricWrapper", "deserialize", "get", "serialize"}
FOR_NO_TASK = {  # labels of a form that no kind has, or no labels
    *("Accuracy", "CategoricalAccuracy", "TopKCategoricalAccuracy", "categorical_accuracy"),
    *(
        "top_k_categorical_accuracy",
        "OneHotIoU",
        "OneHotMeanIoU",
        "Mean",
        "Sum",
        "Circle",
        "circle",
    ),
    *("CTC", "ctc", "KLDivergence", "kl_divergence"),
    "categorical_crossentropy",  # as it is, not of logits
}


JUDGES = [  # all of Keras's own: where it is, its name
    (module, name)
    for module in ("losses", "metrics")
    for name, found in vars(getattr(keras, module)).items()
    if callable(found) and name == found.__name__ and name not in NO_JUDGE
]


def made(module, name, **changes):
    found = getattr(keras, module).__dict__[name]
    if not inspect.isclass(found):
        return found
    wanted = inspect.signature(found).parameters
    options = {**NEEDED.get(name, {}), **changes}
    options |= {k: v for k, v in NEEDED.items() if k in wanted and not isinstance(v, dict)}
    return found(**{k: v for k, v in options.items() if k in wanted})


def task_with(kind, module, judge):
    options = {"loss": judge} if module == "losses" else {"metrics": [judge]}
    task = KINDS[kind]
    return Task(task.kind, task.size, **options)


def fits(kind, module, judge):
    try:
        check_fit("any", task_with(kind, module, judge))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("module, name", JUDGES)
def test_every_loss_and_metric_of_keras_fits_some_kind_or_none_for_a_reason(module, name):
    found = [
        kind
        for kind in KINDS
        for logits in (False, True)
        if fits(kind, module, made(module, name, from_logits=logits))
    ]
    assert bool(found) == (name not in FOR_NO_TASK), found


def examples(task, seed=0, count=40):
    """Returns labels and answers of a task, as a loss sees them."""
    rng = np.random.default_rng(seed)
    answers = rng.uniform(0.05, 0.95, (count, task.size)).astype("float32")
    if task.has_classes:
        answers /= answers.sum(axis=-1, keepdims=True)
        return rng.integers(0, task.size, count).astype("int32"), answers
    if task.kind == "regression":
        return rng.uniform(0, 1, (count, task.size)).astype("float32"), answers
    largest = 5 if task.kind in ("count", "amount") else 2
    return rng.integers(0, largest, (count, task.size)).astype("float32"), answers


LEAST = {
    "classes": 17, "binary": 30, "multilabel": 30, "regression": 20, "count": 15, "amount": 15,
    "ordinal": 17,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # IoU on JAX
@pytest.mark.parametrize("kind", LEAST)
def test_what_fits_computes_a_number(kind):
    """Each is called on labels and answers in the form that the task has."""
    task = KINDS[kind]
    indices, p = (ops.convert_to_tensor(part) for part in examples(task))
    called = 0
    for module, name in JUDGES:
        judge = made(module, name, from_logits=kind == "regression", axis=-1, num_labels=None)
        if not fits(kind, module, judge) or name == "categorical_generalized_cross_entropy":
            continue  # the function has no value of q
        one_hot = task.has_classes and reads_one_hot(judge)
        y = ops.one_hot(indices, task.size) if one_hot else indices
        if isinstance(judge, metrics.Metric):
            judge.update_state(y, p, sample_weight=ops.ones((40,)))
            value = judge.result()
        elif isinstance(judge, losses.Loss):
            value = ops.mean(judge.call(y, p))
            assert judge.call(y, p).shape == (40,) or name in ("Dice", "Tversky"), name
        else:
            value = ops.mean(judge(y, p))
        assert value.shape == () and math.isfinite(float(value)), name
        called += 1
    assert called >= LEAST[kind]


REFUSED = [  # kind, loss or metric, the right one
    ("classes", metrics.CategoricalAccuracy(), "sparse_categorical_accuracy"),
    ("classes", "categorical_accuracy", "sparse_categorical_accuracy"),
    ("classes", metrics.categorical_accuracy, "sparse_categorical_accuracy"),
    ("classes", metrics.MeanMetricWrapper(metrics.categorical_accuracy), "sparse_categorical_acc"),
    ("classes", metrics.Accuracy(), "sparse_categorical_accuracy"),
    ("classes", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"),
    ("classes", "binary_accuracy", "sparse_categorical_accuracy"),
    ("classes", metrics.AUC(from_logits=True), "from_logits=False"),
    ("classes", metrics.F1Score(), 'average="macro"'),
    ("classes", "binary_focal_crossentropy", "categorical_focal_crossentropy"),
    ("classes", metrics.OneHotMeanIoU(3), "mean_iou"),
    ("classes", metrics.MeanIoU(3), "sparse_y_true=True, sparse_y_pred=False"),
    ("classes", metrics.SparseCategoricalCrossentropy(from_logits=True), "from_logits=False"),
    ("classes", losses.CategoricalCrossentropy(), "sparse_categorical_crossentropy"),
    ("classes", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    ("classes", "binary_crossentropy", "sparse_categorical_crossentropy"),
    ("classes", "mse", "sparse_categorical_crossentropy"),
    ("classes", losses.SparseCategoricalCrossentropy(from_logits=True), "from_logits=False"),
    ("tagging", "categorical_accuracy", "sparse_categorical_accuracy"),
    ("tagging", losses.CTC(), "sparse_categorical_crossentropy"),
    ("binary", "categorical_accuracy", "binary_accuracy"),
    ("binary", "sparse_categorical_accuracy", "binary_accuracy"),
    ("binary", metrics.F1Score(average="macro"), 'average="macro", threshold=0.5'),
    ("binary", metrics.AUC(from_logits=True), "from_logits=False"),
    ("binary", metrics.CosineSimilarity(), "accuracy"),
    ("binary", "sparse_categorical_crossentropy", "binary_crossentropy"),
    ("binary", "categorical_crossentropy", "binary_crossentropy"),
    ("binary", losses.CategoricalFocalCrossentropy(), "binary_focal_crossentropy"),
    ("binary", losses.BinaryCrossentropy(from_logits=True), "from_logits=False"),
    ("binary", losses.BinaryFocalCrossentropy(from_logits=True), "from_logits=False"),
    ("binary", metrics.BinaryIoU(), 'dtype="float32"'),
    ("multilabel", "categorical_crossentropy", "binary_crossentropy"),
    ("multilabel", "categorical_accuracy", "binary_accuracy"),
    ("multilabel", metrics.F1Score(threshold=0.5), 'average="macro", threshold=0.5'),
    ("regression", "accuracy", "mae"),
    ("regression", "binary_accuracy", "mae"),
    ("regression", "sparse_categorical_accuracy", "mae"),
    ("regression", metrics.Precision(), "mae"),
    ("regression", "binary_crossentropy", "from_logits=True"),
    ("regression", "sparse_categorical_crossentropy", "binary_crossentropy"),
    ("one value", losses.CosineSimilarity(), "mean_squared_error"),
    ("one value", metrics.PearsonCorrelation(), "mae"),
    ("one value", metrics.Mean(), "mae"),
]


@pytest.mark.parametrize("kind, judge, right", REFUSED)
def test_what_cannot_be_right_is_refused_with_what_is(kind, judge, right):
    is_loss = isinstance(judge, losses.Loss) or "entropy" in str(judge) or judge == "mse"
    is_loss = is_loss and not isinstance(judge, metrics.Metric)
    task = task_with(kind, "losses" if is_loss else "metrics", judge)
    role = "loss" if is_loss else "metric"
    message = (
        f"The {role} .* does not fit task 'any': a task of kind '{task.kind}' has .*Use .*{right}"
    )
    with pytest.raises(ValueError, match=message):
        check_fit("any", task)


def worst(y_true, y_pred):
    return ops.max(ops.abs(y_true - y_pred), axis=-1)


class Fuzzy(metrics.CategoricalAccuracy):
    pass


@pytest.mark.parametrize(
    "kind, judge",
    [
        ("binary", worst),
        ("multilabel", Fuzzy()),
        ("multilabel", functools.partial(losses.categorical_crossentropy, axis=-1)),
        ("multilabel", metrics.MeanMetricWrapper(worst)),
    ],
)
def test_what_users_write_is_theirs(kind, judge):
    check_fit("any", task_with(kind, "metrics", judge))
    check_fit("any", task_with(kind, "losses", judge))


def test_compile_refuses_and_leaves_the_model_as_it_was():
    inputs, dense = keras.Input((2,)), functools.partial(keras.layers.Dense, 3)
    tasks = {"sick": "binary", "animal": Task("classes", 3, metrics=["categorical_accuracy"])}
    model = keras_mtl.build_shared_bottom(inputs, tasks, [dense])
    with pytest.raises(ValueError, match="does not fit task 'animal'.*sparse_categorical_acc"):
        model.compile("sgd")
    assert not model.compiled
    model.compile("sgd", loss={"sick": "mse", "animal": "sparse_categorical_crossentropy"})


def test_one_metric_has_one_name_however_it_is_written():
    inputs, dense = keras.Input((2,)), functools.partial(keras.layers.Dense, 3)
    tasks = {
        "sick": Task("binary", metrics=["AUC", "MAE", "MeanSquaredError"]),
        "tired": Task("binary", metrics=["auc", "mae", "mean_squared_error"]),
        "height": Task("regression", metrics=["MAE"]),
    }
    model = keras_mtl.build_shared_bottom(inputs, tasks, [dense])
    model.compile("sgd")
    means = [name for name in model.metrics_names if name.startswith("mean_")]
    assert means == ["mean_loss", "mean_auc", "mean_mae", "mean_mean_squared_error"]
    tasks = {"sick": Task("binary", metrics=["AUC", "auc"])}
    with pytest.raises(ValueError, match="'sick' has two metrics named 'auc'"):
        keras_mtl.build_shared_bottom(inputs, tasks, [dense]).compile("sgd")


@pytest.mark.parametrize("metric", ["acurracy", "acc"])
def test_an_unknown_metric_is_refused_by_name(metric):
    with pytest.raises(ValueError, match=f"metric .*{metric}"):
        check_fit("sick", Task("binary", metrics=[metric]))
