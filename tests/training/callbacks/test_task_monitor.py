"""Every task is watched: best epochs and weights, gains, gradients that pull against each other."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import TaskMonitor
from keras_mtl.training.callbacks.task_monitor import gradient_cosines

dense = partial(keras.layers.Dense, 4, activation="tanh")
TASKS = {"a": "regression", "b": "regression"}
X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = {"a": X[:, 0], "b": X[:, 1]}


def network(**options):
    model = keras_mtl.build_shared_bottom(keras.Input((3,)), TASKS, [dense], seed=0)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def answer(model):
    return keras.ops.convert_to_numpy(model(X)["a"])


class Logs(keras.callbacks.Callback):
    """Says in the logs what a test wants them to say."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs |= {f"val_{task}_loss": values[epoch] for task, values in self.values.items()}


def watched(monitor, a, b, *callbacks, epochs=None):
    model = network()
    history = model.fit(
        X, Y, validation_data=(X, Y), epochs=epochs or len(a), verbose=0,
        callbacks=[Logs(a=a, b=b), monitor, *callbacks],
    )  # fmt: skip
    return model, history.history


def test_best_epochs_and_counts_of_improvement():
    monitor = TaskMonitor()
    _, logs = watched(monitor, [3.0, 2.0, 4.0, 1.0, 5.0], [1.0, 2.0, 3.0, 4.0, 0.5])
    assert monitor.best_epochs == {"a": 4, "b": 5}
    assert monitor.values["b"] == [1.0, 2.0, 3.0, 4.0, 0.5]
    assert logs["val_any_improved"] == [1, 2, 2, 3, 4]
    assert logs["val_all_improved"] == [1, 1, 1, 1, 2]  # a in epoch 2, b not before epoch 5


@pytest.mark.parametrize(("log", "last"), [("val_any_improved", 6), ("val_all_improved", 3)])
def test_stock_early_stopping_watches_it(log, last):
    a, b = [5.0, 4.0, 3.0, 2.0, 2.0, 2.0, 1.0], [1.0] * 7
    stop = keras.callbacks.EarlyStopping(log, mode="max", patience=2)
    _, logs = watched(TaskMonitor(), a, b, stop)
    assert len(logs["loss"]) == last


def test_gains_against_networks_of_their_own():
    monitor = TaskMonitor(single_task={"a": 2.0, "b": 1.0})
    _, logs = watched(monitor, [3.0, 1.0], [1.5, 1.25])
    assert logs["val_mean_gain"] == pytest.approx([-0.75, 0.375])
    assert logs["val_worst_gain"] == pytest.approx([-1.0, -0.25])
    assert monitor.losing == ["b"]


def test_more_is_better_of_accuracies():
    assert TaskMonitor("accuracy").mode == TaskMonitor("auc").mode == "max"
    assert TaskMonitor("mae").mode == TaskMonitor().mode == "min"
    assert TaskMonitor("f1", mode="max").mode == "max"


def test_the_best_weights_of_each_task_are_kept_and_frozen(tmp_path):
    seen = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(answer(model)))
    model = network()
    model.fit(
        X, Y, validation_data=(X, Y), epochs=3, verbose=0,
        callbacks=[note, Logs(a=[3.0, 1.0, 2.0], b=[1.0, 1.0, 0.5]), TaskMonitor(folder=tmp_path)],
    )  # fmt: skip
    last = answer(model)
    frozen = keras_mtl.freeze(model, "a", weights=tmp_path / "a.weights.h5")
    assert keras.ops.convert_to_numpy(frozen(X)) == pytest.approx(seen[1], rel=1e-6)
    assert np.array_equal(answer(model), last)  # the model stays as it was
    assert np.abs(seen[1] - last).max() > 1e-3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.weights.h5", "b.weights.h5"]


def test_cosines_by_hand():
    """Two tasks read the same unit, with heads of which one turns the sign."""
    model = keras_mtl.build_shared_bottom(
        keras.Input((1,)), TASKS, [partial(keras.layers.Dense, 1)], seed=0
    )
    model.compile("sgd")
    model.set_weights([np.array(w, "float32") for w in ([[1]], [0], [[1]], [0], [[-1]], [0])])
    x = np.array([[1.0]], "float32")
    # losses (h - 2)^2 and (-h - 2)^2 at h = 1: gradients -2 and 6 in the unit's weight and bias
    found = gradient_cosines(model, x, {"a": np.array([2.0]), "b": np.array([2.0])})
    assert found == pytest.approx(np.array([[1, -1], [-1, 1]]))
    assert gradient_cosines(model, x, {"a": np.array([2.0]), "b": np.array([-2.0])}) == (
        pytest.approx(np.ones((2, 2)))
    )


def test_tasks_that_share_nothing_have_no_cosine():
    model = keras_mtl.build_no_sharing(keras.Input((3,)), TASKS, [[dense] * 2], seed=0)
    model.compile("sgd")
    found = gradient_cosines(model, X, Y)
    assert np.isnan(found[0, 1]) and np.diag(found) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_gradients_are_compared_every_so_many_batches(task_data):
    model = keras_mtl.build_shared_bottom(
        keras.Input((3,)), TASKS, [dense], task_data=task_data, seed=0
    )
    model.compile(keras.optimizers.SGD(0.05))
    if task_data == "shared":
        data, batch = {"x": X, "y": Y, "batch_size": 4}, (X, Y)
    else:
        batches = keras_mtl.task_batches(
            TASKS, {task: (X, y) for task, y in Y.items()}, 8, seed=0, order="mixed"
        )
        data, batch = {"x": batches}, batches[0]
    monitor = TaskMonitor(batch=batch, every=3)
    validation = (X, Y) if task_data == "shared" else batches
    model.fit(**data, validation_data=validation, epochs=2, verbose=0, callbacks=[monitor])
    assert [step for step, _ in monitor.cosines] == ([3, 6] if task_data == "shared" else [3, 6])
    for _, cosines in monitor.cosines:
        assert cosines.shape == (2, 2) and -1.01 < cosines[0, 1] < 1.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": 3}, "metric must be the name of a log"),
        ({"mode": "best"}, 'mode must be "min", "max" or None'),
        ({"single_task": 0.5}, "single_task must be a dict"),
        ({"every": 0}, "every must be an integer of at least 1"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        TaskMonitor(**options)


def test_wrong_arguments_in_fit():
    with pytest.raises(ValueError, match="single_task must have a number for each task: a, b"):
        network().fit(X, Y, verbose=0, callbacks=[TaskMonitor(single_task={"a": 1.0})])
    with pytest.raises(ValueError, match="watches 'val_a_loss'.*need validation_data"):
        network().fit(X, Y, verbose=0, callbacks=[TaskMonitor()])
    with pytest.raises(ValueError, match="watches 'val_a_auc', which the logs do not have"):
        network().fit(X, Y, validation_data=(X, Y), verbose=0, callbacks=[TaskMonitor("auc")])


def test_picture():
    monitor = TaskMonitor(single_task={"a": 2.0, "b": 1.0})
    watched(monitor, [3.0, 1.0], [1.5, 1.25])
    ax = keras_mtl.plots.plot_task_monitor(monitor)
    assert ax.lines[1].get_xydata().tolist() == [[2.0, 1.0]]
    assert ax.get_ylabel() == "validation loss"
    with pytest.raises(ValueError, match="seen no epoch"):
        keras_mtl.plots.plot_task_monitor(TaskMonitor())
