"""`metrics_names` say what the lists of logs hold; `mean_loss` does not depend on batches."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task

NAN = float("nan")
FEATURES = 2
TASKS = {
    "zebra": 3,
    "age": Task("binary", metrics=["accuracy", "auc"]),
    "place": Task("regression", 2, weight=0.5),
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, FEATURES)).astype("float32")
Y = {
    "zebra": np.array([0, 1, 2, -1, -1, -1, 0, 1, 0]),
    "age": np.array([0, 1, 1, 0, 0, 1, 1, 0, 1.0]),
    "place": RNG.normal(size=(9, 2)),
}
NAMES = [
    *("loss", "mean_loss", "mean_accuracy", "mean_auc", "mean_mae", "budget_penalty"),
    *("zebra_loss", "age_loss", "place_loss"),
    *("zebra_accuracy", "age_accuracy", "age_auc", "place_mae"),
]
NUM_STEP_NAMES = 6

dense = partial(keras.layers.Dense, 3, activation="tanh")


def model_of(task_data="shared", **options):
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)), TASKS, [[dense] * 2], task_data=task_data, budget=0.25
    )
    model.compile("sgd", **options)
    return model


def data(task_data):
    """Returns a batch of all examples."""
    if task_data == "shared":
        return X, Y
    examples = {name: (X[:6], Y[name][:6]) for name in TASKS}
    return keras_mtl.task_batches(TASKS, examples, 18, order="sequential")[0]


class OneBatch(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self._batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_lists_have_the_order_of_metrics_names(task_data):
    model, batch = model_of(task_data), data(task_data)
    assert model.metrics_names == NAMES
    logs = model.evaluate(OneBatch(batch), verbose=0, return_dict=True)
    values = model.evaluate(OneBatch(batch), verbose=0)
    assert dict(zip(NAMES, values, strict=True)) == pytest.approx(logs, nan_ok=True)
    assert len(set(logs.values())) > len(logs) / 2  # values out of order would show
    for method in (model.test_on_batch, model.train_on_batch):
        values = method(*batch)
        assert len(values) == NUM_STEP_NAMES
        if method == model.test_on_batch:
            found = dict(zip(model.metrics_names, values, strict=False))
            expected = {name: logs[name] for name in NAMES[:NUM_STEP_NAMES]}
            assert found == pytest.approx(expected, nan_ok=True)
    logs = model.train_on_batch(*batch, return_dict=True)
    assert set(logs) == set(NAMES[:NUM_STEP_NAMES])


@pytest.mark.slow
def test_with_stock_losses_names_are_those_of_keras():
    model = model_of(loss="mse")  # penalties are part of its loss too
    stock = keras.Model(model.input, model.output)
    stock.compile("sgd", loss="mse")
    assert model.metrics_names == [*stock.metrics_names, "budget_penalty"]
    y = {"zebra": np.zeros((9, 3)), "age": np.zeros((9, 1)), "place": np.zeros((9, 2))}
    values, expected = model.evaluate(X, y, verbose=0), stock.evaluate(X, y, verbose=0)
    assert values[:-1] == pytest.approx(expected, rel=1e-5)
    assert values[-1] == model.evaluate(X, y, verbose=0, return_dict=True)["budget_penalty"]


@pytest.mark.slow
def test_mean_loss_is_exact_whatever_the_batches_are():
    model = model_of()
    logs = {size: model.evaluate(X, Y, size, verbose=0, return_dict=True) for size in (3, 4, 9)}
    p = model.predict(X, verbose=0)
    known = Y["zebra"] >= 0
    age = Y["age"][:, None]
    losses = {
        "zebra": -np.log(p["zebra"][known, Y["zebra"][known]]).mean(),
        "age": -np.where(age == 1, np.log(p["age"]), np.log(1 - p["age"])).mean(),
        "place": np.square(p["place"] - Y["place"]).mean(),
    }
    for found in logs.values():
        assert found["mean_loss"] == pytest.approx(np.mean(list(losses.values())), rel=1e-5)
    total = losses["zebra"] + losses["age"] + 0.5 * losses["place"]
    assert logs[9]["loss"] == pytest.approx(total + logs[9]["budget_penalty"], rel=1e-5)
    # of three batches the second has no labelled zebra, and yet it counts as one of loss 0
    assert abs(logs[3]["loss"] - logs[9]["loss"]) > 0.2 * losses["zebra"]


@pytest.mark.slow
def test_mean_loss_is_among_the_logs_of_fit():
    model = model_of()
    history = model.fit(X, Y, validation_data=(X, Y), batch_size=4, epochs=2, verbose=0).history
    names = {f"{prefix}{name}" for prefix in ("", "val_") for name in NAMES}
    assert set(history) == names
    for prefix in ("", "val_"):
        means = np.mean([history[f"{prefix}{task}_loss"] for task in TASKS], axis=0)
        np.testing.assert_allclose(history[f"{prefix}mean_loss"], means, rtol=1e-5)
