"""Standardized regression: learned in standard units, answered in those of the labels."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.kinds import KINDS
from keras_mtl.layers import TaskHead, TaskHeads
from keras_mtl.serving.freezing.frozen_score import judged

NAN = float("nan")
X = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
WATCH = np.array([40.0, 80.0, NAN] * 4)  # mean 60, standard deviation 20
PAIR = np.stack([np.arange(12) % 2 * 2.0, np.arange(12) % 2 * 0.2 + 7], axis=-1)  # 1, 1; 7.1, 0.1
TASKS = {
    "watch": Task("regression", standardize=True),
    "click": "binary",
    "pair": Task("regression", 2, standardize=True),
}
KNOWN = {
    "watch": Task("regression", standardize=(60, 20), metrics=["mae", "mse"]),
    "plain": Task("regression", metrics=["mae", "mse"]),
}
LABELS = {"watch": WATCH, "click": np.arange(12) % 2, "pair": PAIR}
dense = partial(keras.layers.Dense, 3, activation="tanh")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def network(tasks=TASKS, task_data="shared", labels=None, **options):
    model = keras_mtl.build_shared_bottom(
        keras.Input((2,)), tasks, [dense], task_data=task_data, seed=0
    )
    model.compile("sgd", **options)
    return model


def batches(labels, tasks=TASKS, **options):
    data = {name: (X, y) for name, y in labels.items()}
    return keras_mtl.task_batches(tasks, data, batch_size=6, seed=0, **options)


@pytest.fixture(scope="module", params=["shared", "separate"])
def fitted(request):
    model = network(task_data=request.param)
    data = (X, LABELS) if request.param == "shared" else (batches(LABELS),)
    model.fit(*data, batch_size=6 if len(data) > 1 else None, verbose=0)
    return model


def units_of(model):
    return {name: np.stack(list(map(array, units))) for name, units in model.standard_units.items()}


def answers(model, name="watch"):
    """Returns what a network answers for a task, and the frozen one."""
    if model.task_data == "shared":
        return model.predict(X, verbose=0)[name]
    index = list(model.tasks).index(name)
    x = {"inputs": X, "task_id": np.full(12, index, "int32")}
    answer = model.predict(x, verbose=0)
    return (answer["regression"] if isinstance(answer, dict) else answer)[
        :, : model.tasks[name].size
    ]


def assert_units(model):
    units = units_of(model)
    np.testing.assert_allclose(units["watch"], [[60.0], [20.0]], rtol=1e-6)
    np.testing.assert_allclose(units["pair"], [[1.0, 7.1], [1.0, 0.1]], rtol=1e-5)


def test_fit_learns_mean_and_standard_deviation_of_known_labels_once(fitted):
    assert_units(fitted)
    others = LABELS | {"watch": WATCH * 9, "pair": PAIR + 5}
    if fitted.task_data == "shared":
        fitted.fit(X, others, verbose=0)
    else:
        fitted.fit(batches(others), verbose=0)
    assert_units(fitted)


def test_a_frozen_network_answers_alike_and_has_nothing_of_it(fitted):
    frozen = keras_mtl.freeze(fitted)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    found = frozen.predict(X, verbose=0)
    for name in ("watch", "pair"):
        np.testing.assert_allclose(found[name], answers(fitted, name), rtol=1e-5)
    assert 20 < found["watch"].mean() < 100 and np.all(found["watch"] != 60)


def test_a_frozen_network_is_judged_alike(fitted):
    data = (X, LABELS)
    if fitted.task_data == "separate":
        data = (batches(LABELS, order="sequential"),)
    logs = fitted.evaluate(*data, return_dict=True, verbose=0)
    again = judged(fitted, keras_mtl.freeze(fitted)).evaluate(*data, return_dict=True, verbose=0)
    assert again == pytest.approx(logs, rel=1e-4, abs=1e-5)
    errors = np.abs(answers(fitted)[:, 0] - WATCH)
    assert logs["watch_mae"] == pytest.approx(np.nanmean(errors), rel=1e-5)
    assert logs["watch_loss"] == pytest.approx(np.nanmean((errors / 20) ** 2), rel=1e-4)
    errors_of_pair = np.abs(answers(fitted, "pair") - PAIR) / [1.0, 0.1]
    standard = [np.nanmean(errors) / 20, errors_of_pair.mean()]
    assert logs["mean_mae"] == pytest.approx(np.mean(standard), rel=1e-3)


def test_files_and_clones_keep_the_units(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(answers(reloaded), answers(fitted))
    clone = keras.models.clone_model(fitted)
    for model in (reloaded, clone):
        assert_units(model)
        assert model.tasks["watch"].standardize == pytest.approx((60, 20))


def test_a_grown_network_keeps_them_and_learns_those_of_the_new_task(fitted):
    grown = keras_mtl.add_task(fitted, "spend", Task("regression", standardize=True))
    np.testing.assert_allclose(answers(grown), answers(fitted), rtol=1e-6)
    grown.compile("sgd")
    spend = np.arange(12) % 2 * 2.0 + 4
    if grown.task_data == "shared":
        grown.fit(X, {name: y * 2.0 for name, y in LABELS.items()} | {
            "click": LABELS["click"], "spend": spend}, verbose=0)  # fmt: skip
    else:
        grown.fit(batches({"spend": spend}, grown.tasks), verbose=0)
    assert_units(grown)
    np.testing.assert_allclose(units_of(grown)["spend"], [[5.0], [1.0]], rtol=1e-6)
    np.testing.assert_allclose(answers(grown), answers(fitted), rtol=1e-6)
    found = keras_mtl.freeze(grown).predict(X, verbose=0)["spend"]
    np.testing.assert_allclose(found, answers(grown, "spend"), rtol=1e-5)


def test_a_network_without_them_grows_by_a_task_that_has_some():
    for task_data in ("shared", "separate"):
        model = network({"plain": "regression"}, task_data)
        grown = keras_mtl.add_task(model, "watch", Task("regression", standardize=(60, 20)))
        np.testing.assert_allclose(answers(grown, "plain"), answers(model, "plain"), rtol=1e-6)
        np.testing.assert_array_equal(units_of(grown)["watch"], [[60.0], [20.0]])


def test_a_warm_start_takes_them_along(fitted):
    tasks = {"watch": TASKS["watch"], "pair": Task("regression", 2)}
    model = network(tasks)
    report = keras_mtl.warm_start(model, fitted)
    assert report.tasks == {"watch": "copied", "pair": "new", "click": "left out"}
    np.testing.assert_allclose(units_of(model)["watch"], [[60.0], [20.0]], rtol=1e-6)
    np.testing.assert_allclose(answers(model), answers(fitted), rtol=1e-5)


@pytest.mark.parametrize("separate", [False, True])
def test_losses_are_of_standard_units_and_metrics_of_the_labels(separate):
    model = network(KNOWN, "separate" if separate else "shared")
    y, found = ops.array([[40.0], [NAN]]), ops.array([[70.0], [9.0]])  # off by 30, or 1.5
    if separate:
        both = ops.array([[40.0], [3.0], [NAN]]), ops.array([[70.0], [1.0], [9.0]])
        loss = model.compute_loss({"task_id": ops.array([0, 1, 0])}, *both)
        assert float(loss) == pytest.approx((1.5**2 + 2.0**2) / 2)
    else:
        y = {"watch": y, "plain": ops.array([[3.0], [NAN]])}
        loss = model.compute_loss({}, y, {"watch": found, "plain": ops.array([[1.0], [9.0]])})
        assert float(loss) == pytest.approx(1.5**2 + 2.0**2)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert logs["watch_loss"] == pytest.approx(2.25) and logs["plain_loss"] == pytest.approx(4.0)
    assert logs["watch_mae"] == 30.0 and logs["watch_mse"] == 900.0 and logs["plain_mae"] == 2.0
    assert logs["mean_mae"] == (1.5 + 2.0) / 2 and logs["mean_mse"] == (2.25 + 4.0) / 2


def test_a_task_without_labels_is_not_in_the_mean():
    model = network(KNOWN)
    y = {"watch": ops.array([[NAN]]), "plain": ops.array([[3.0]])}
    model.compute_loss({}, y, dict.fromkeys(KNOWN, ops.array([[1.0]])))
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert np.isnan(logs["watch_mae"]) and logs["mean_mae"] == 2.0


def test_a_loss_of_ones_own_sees_standard_units_of_each_step():
    seen = []

    def loss(y, answer):
        seen.append((array(y)[0, 0].tolist(), array(answer)[0, 0].tolist()))
        return ops.mean(y - answer, axis=-1)

    task = Task("regression", 2, standardize=([10, 20], [2, 4]), loss=loss, per_step=True)
    model = keras_mtl.build_shared_bottom(keras.Input((None, 2)), {"a": task}, [dense])
    model.compile("sgd")
    y, found = ops.array([[[12.0, 12.0], [NAN, 1.0]]]), ops.array([[[10.0, 24.0], [1.0, 1.0]]])
    value = model.compute_loss({}, {"a": y}, {"a": found})
    assert seen == [([1.0, -2.0], [0.0, 1.0])]
    assert float(value) == (1.0 - 3.0) / 2


@pytest.mark.parametrize("heads", [False, True])
def test_a_head_answers_with_its_columns_times_the_scale_and_the_location(heads):
    task = Task("regression", 2, standardize=([10, 20], [2, 4]))
    x, kernel, bias = X[:1], np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([0.5, 0.0])
    if heads:
        head = TaskHeads({"plain": "regression", "pair": task})
        head.build((None, 2), (None,))
        kernel, bias = np.insert(kernel, 0, 0.0, axis=1), np.insert(bias, 0, 3.0)
        head.set_weights([kernel, bias, *head.get_weights()[2:]])
        answer = array(head(np.concatenate([x, x]), np.array([0, 1])))
        np.testing.assert_allclose(answer[0], [3.0, 0.0])
        answer = answer[1:]
    else:
        head = TaskHead(task, 0)
        head.build((None, 2))
        head.set_weights([kernel, bias, *head.get_weights()[2:]])
        answer = array(head(x))
    columns = [x[0, 0] + 0.5, 2 * x[0, 0] + x[0, 1]]
    np.testing.assert_allclose(answer, [[10 + 2 * columns[0], 20 + 4 * columns[1]]], rtol=1e-5)


def test_numbers_and_lists_say_the_units():
    assert Task("regression").standardize is False
    assert Task("regression", standardize=(60, np.float32(2))).standardize == (60.0, 2.0)
    assert Task("regression", standardize=([60], [2])).standardize == (60.0, 2.0)
    task = Task("regression", 2, standardize=(1, [2, 3]))
    assert task.standardize == ((1.0, 1.0), (2.0, 3.0))
    assert Task.from_config(task.get_config()) == task


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("yes", r"standardize must be True .*, False, or \(mean, std\): two numbers.*'yes'"),
        (None, "standardize must be True"),
        ((1, 2, 3), r"two numbers, or two lists of 2 numbers.*\(1, 2, 3\)"),
        ((1, 0), r"The std in standardize=\(mean, std\) must be a number above 0.*Received: 0"),
        ((1, [2, -3]), "The std in .* above 0.*Received: -3"),
        ((NAN, 1), "The mean in .* must be a number"),
        ((1, [2, 3, 4]), r"a list of 2, one for each value.*\[2, 3, 4\]"),
    ],
)
def test_other_units_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Task("regression", 2, standardize=given)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "regression"])
def test_other_kinds_have_no_units(kind):
    with pytest.raises(
        ValueError, match=f'standardize is of tasks of kind "regression", and .* kind {kind!r} has'
    ):
        Task(kind, 1 if kind == "binary" else 3, standardize=True)


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        (np.full(12, NAN), "'watch' is standardized .* it got none of this task"),
        (np.where(np.isnan(WATCH), NAN, 0.1), "the 8 labels that fit got of it.* are all 0.1"),
    ],
)
def test_labels_without_a_deviation_are_refused(watch, message):
    with pytest.raises(ValueError, match=message):
        network().fit(X, LABELS | {"watch": watch}, verbose=0)


def test_labels_of_a_task_that_has_none_in_task_batches_are_refused():
    with pytest.raises(ValueError, match="Task 'watch' is standardized .* it got none"):
        network(task_data="separate").fit(batches({"pair": PAIR}), verbose=0)


def test_labels_in_no_array_are_refused():
    class Stream(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return X, LABELS

    message = r"those of Stream are in no array. Give Task\(standardize=\(mean, std\)\)"
    with pytest.raises(ValueError, match=message):
        network().fit(Stream(), verbose=0)
    streams = keras_mtl.task_batches(TASKS, {"watch": Labelled()}, batch_size=6)
    with pytest.raises(ValueError, match="those of TaskBatches are in no array"):
        network(task_data="separate").fit(streams, verbose=0)


class Labelled(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X, WATCH


def test_labels_that_validate_are_not_looked_at():
    model = network({"watch": TASKS["watch"]})
    watch = np.concatenate([WATCH[:9], [1e6] * 3])
    model.fit(X, {"watch": watch}, validation_split=0.25, verbose=0)
    np.testing.assert_allclose(units_of(model)["watch"], [[60.0], [20.0]], rtol=1e-6)


def test_before_the_first_fit_a_loss_has_no_unit():
    model = network()
    message = r"'watch' is standardized, and .* not known before the first fit. Call fit first, or"
    for method in (model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            method(X, LABELS)


def test_stock_losses_are_refused():
    with pytest.raises(ValueError, match="knows no standard units of task 'watch'. Leave loss"):
        network(loss="mse")
