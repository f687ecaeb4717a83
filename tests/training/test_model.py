"""compile, fit, checks of arrays, saving: what a model does beside computing losses."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import MultiTaskModel, Task

NAN = float("nan")
EAGERLY = keras.backend.backend() != "jax"  # JAX compiles each operation of an eager step
FEATURES = 2
TASKS = {"animal": 3, "sick": "binary", "place": Task("regression", 2)}

dense = partial(keras.layers.Dense, 4, activation="tanh")
# Without a seed of its own, torch draws dropout from a generator that no model owns.
dropout = partial(keras.layers.Dropout, 0.5, seed=4 if keras.backend.backend() == "torch" else None)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, FEATURES)).astype("float32")


def labels(**changes):
    y = {
        "animal": np.array([0, 1, 2, -1, 1, 0]),
        "sick": np.array([0, 1, NAN, 1, 0, 1]),
        "place": np.array([[0, 1], [1, 2], [NAN, 3], [2, 2], [1, 1], [0, 0]]),
    }
    return {name: array for name, array in (y | changes).items() if array is not None}


def shared_model(tasks=TASKS, optimizer="sgd", **compile_options):
    model = keras_mtl.build_shared_bottom(keras.Input((FEATURES,)), tasks, [[dense] * 2])
    model.compile(optimizer, **compile_options)
    return model


def gumbel_model(tasks, optimizer=None, seed=3):
    """A separate-data model with dropout and Gumbel draws."""
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)),
        tasks,
        [[dense] * 2, dropout],
        task_data="separate",
        init_probability=0.7,
        seed=seed,
    )
    model.compile(optimizer or keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.1), 0.2))
    return model


SEPARATE_TASKS = {"a": 3, "b": 2}


def separate_batches(**options):
    data = {"a": (X, np.arange(6) % 3), "b": (-X[:5], np.arange(5) % 2)}
    return keras_mtl.task_batches(SEPARATE_TASKS, data, batch_size=2, seed=0, **options)


def values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assert_equal(variables, others):
    for value, other in zip(values(variables), values(others), strict=True):
        np.testing.assert_array_equal(value, other)


# compile


@pytest.mark.parametrize(
    "argument", [{"metrics": ["mae"]}, {"weighted_metrics": ["mae"]}, {"loss_weights": [1, 1, 1]}]
)
def test_compile_refuses_what_only_stock_keras_knows(argument):
    with pytest.raises(ValueError, match=f"compile.{next(iter(argument))}=.* in keras_mtl.Task"):
        shared_model(**argument)


@pytest.mark.slow
def test_compile_with_a_loss_is_stock_keras():
    y = labels(animal=np.array([0, 1, 2, 1, 1, 0]), sick=np.ones(6), place=np.ones((6, 2)))
    loss = {"animal": "sparse_categorical_crossentropy", "sick": "mse", "place": "mae"}
    metrics = {"animal": ["accuracy"]}
    model = shared_model(loss=loss, metrics=metrics)
    stock = keras.Model(model.input, model.output)
    stock.compile("sgd", loss=loss, metrics=metrics)
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(stock.evaluate(X, y, verbose=0, return_dict=True), rel=1e-5)
    assert "mean_accuracy" not in logs
    y["place"][0, 0] = NAN
    assert math.isnan(model.evaluate(X, y, verbose=0, return_dict=True)["loss"])  # knows none


def test_stock_compile_still_logs_penalties():
    tasks = {"sick": "binary", "tired": "binary"}
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)), tasks, [[dense] * 2], budget=0.25
    )
    model.compile("sgd", loss="mse", run_eagerly=EAGERLY)
    ones = dict.fromkeys(tasks, np.ones((6, 1)))
    logs = model.evaluate(X, ones, verbose=0, return_dict=True)
    assert logs["budget_penalty"] == pytest.approx(2 * 0.25)  # probabilities of 1/2, two tasks
    predictions = model.predict(X, verbose=0)
    error = sum(np.square(1 - predictions[name]).mean() for name in tasks)
    assert logs["loss"] == pytest.approx(error + 0.5, rel=1e-5)


def test_compiling_again_forgets_the_logs_of_before():
    model = shared_model({"sick": "binary"})
    model.compile("sgd", run_eagerly=EAGERLY)
    y = {"sick": np.array([1.0, 0, 1, 1, NAN, 0])}
    assert len(model.metrics) == 3  # loss, losses by task, accuracies by task
    model.evaluate(X, y, verbose=0)
    model.compile("sgd", loss="mse", run_eagerly=EAGERLY)
    assert list(model.evaluate(X, {"sick": np.ones(6)}, verbose=0, return_dict=True)) == ["loss"]


# fit and evaluate look at arrays before compiled code does.

WRONG_ARRAYS = {
    "missing key": (X, labels(sick=None), "y has no entry for task 'sick'.*NaN labels"),
    "unknown key": (X, labels(wolf=X), "entry 'wolf', which is no task of this.*animal, sick"),
    "no dict": (X, np.zeros(6), "y must be a dict with an array for every task.*ndarray"),
    "no labels": (X, None, "y must be a dict with an array for every task.*NoneType"),
    "list": (X, [np.zeros(6)] * 3, "y must be a dict with an array for every task.*list"),
    "class too large": (X, labels(animal=np.full(6, 3)), '"animal" expects labels 0 to 2.*: 3'),
    "class below -1": (X, labels(animal=np.full(6, -2)), '"animal" expects labels 0 to 2.*: -2'),
    "half a class": (X, labels(animal=np.full(6, 0.5)), '"animal" expects labels 0 to 2.*: 0.5'),
    "binary -1": (X, labels(sick=np.full(6, -1)), '"sick" expects labels 0 and 1.*NaN.*: -1'),
    "binary 0.5": (X, labels(sick=np.full(6, 0.5)), '"sick" expects labels 0 and 1.*: 0.5'),
    "one-hot": (X, labels(animal=np.eye(6, 3)), r'"animal".*\(examples,\).*argmax'),
    "width": (X, labels(place=np.zeros((6, 3))), r'"place".*\(examples, 2\).*\(6, 3\)'),
    "text": (X, labels(sick=np.array(["no"] * 6)), '"sick" must be numbers'),
    "features": (np.zeros((6, 3)), labels(), r"x must have shape \(None, 2\).*\(6, 3\)"),
    "rank": (np.zeros((6, 2, 1)), labels(), r"x must have shape \(None, 2\).*\(6, 2, 1\)"),
}


@pytest.fixture(scope="module")
def unfitted():
    """A model that no test fits: every call is refused before."""
    keras.utils.set_random_seed(0)
    return shared_model()


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_wrong_arrays_are_refused_by_name(unfitted, case):
    x, y, message = WRONG_ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        unfitted.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=message):
        unfitted.evaluate(x, y, verbose=0)
    if y is not None:
        with pytest.raises(ValueError, match=message):
            unfitted.fit(X, labels(), validation_data=(x, y), verbose=0)


WRONG_WEIGHTS = {
    "missing key": ({"animal": np.ones(6), "sick": np.ones(6)}, "sample_weight has no.*'place'"),
    "unknown key": (
        {**dict.fromkeys(TASKS, np.ones(6)), "wolf": np.ones(6)},
        "sample_weight has an entry 'wolf'",
    ),
    "one per label": (np.ones((6, 2)), r"one number per example.*\(6, 2\)"),
    "too few": (
        {**dict.fromkeys(TASKS, np.ones(6)), "sick": np.ones(5)},
        r"sample_weight\['sick'\] must be one number per example, shape \(6,\).*\(5,\)",
    ),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_wrong_sample_weights_are_refused(unfitted, case):
    weight, message = WRONG_WEIGHTS[case]
    with pytest.raises(ValueError, match=message):
        unfitted.fit(X, labels(), sample_weight=weight, verbose=0)
    with pytest.raises(ValueError, match=message):
        unfitted.evaluate(X, labels(), sample_weight=weight, verbose=0)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(X, labels(), validation_data=(X, labels(), weight), verbose=0)


def test_class_weight_is_refused(unfitted):
    with pytest.raises(ValueError, match="class_weight is refused.*Use sample_weight, or Task"):
        unfitted.fit(X, labels(), class_weight={0: 1.0, 1: 2.0})


def test_separate_model_wants_task_batches():
    model = gumbel_model(SEPARATE_TASKS)
    x = {"inputs": X, "task_id": np.zeros(6, "int32")}
    message = "separate data.*keras_mtl.task_batches.*fit.batches., without y"
    with pytest.raises(ValueError, match=message):
        model.fit(x, np.zeros(6), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(x, np.zeros(6), verbose=0)
    with pytest.raises(ValueError, match=r"x must be a dict with the keys \['inputs', 'task_id'\]"):
        model.fit(X, np.zeros(6), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(x, verbose=0)


def test_named_inputs_are_checked_by_name():
    inputs = {"left": keras.Input((2,)), "right": keras.Input((3,))}

    def stem():
        named = {"left": keras.Input((2,), name="left"), "right": keras.Input((3,), name="right")}
        return keras.Model(named, keras.layers.Concatenate()(list(named.values())))

    model = keras_mtl.build_shared_bottom(inputs, {"sick": "binary"}, [dense], stem=[stem])
    model.compile("sgd")
    y = {"sick": np.ones(6)}
    with pytest.raises(ValueError, match=r"keys \['left', 'right'\]. Received: \['left'\]"):
        model.fit({"left": X}, y, verbose=0)
    with pytest.raises(ValueError, match=r"x\['right'\] must have shape \(None, 3\).*\(6, 2\)"):
        model.fit({"left": X, "right": X}, y, verbose=0)
    logs = model.evaluate({"left": X, "right": np.ones((6, 3))}, y, verbose=0, return_dict=True)
    assert math.isfinite(logs["loss"])


def test_a_refused_fit_leaves_the_model_whole():
    model = shared_model(run_eagerly=EAGERLY)
    before = values(model.weights)
    with pytest.raises(ValueError, match="'sick'"):
        model.fit(X, labels(sick=None), verbose=0)
    with pytest.raises(ValueError, match="y must be a dict"):
        model.fit(X, verbose=0)
    assert_equal(before, model.weights)
    assert math.isfinite(model.evaluate(X, labels(), verbose=0, return_dict=True)["loss"])


@pytest.mark.slow
def test_good_arrays_train():
    model = shared_model(optimizer=keras.optimizers.Adam(0.05))
    y = labels(
        animal=np.array([0, 1, 2, 0, 1, 0], "uint8"), sick=np.array([0, 1, NAN, 1, 0, 1])[:, None]
    )
    weight = {"animal": np.ones(6), "sick": np.arange(6.0), "place": np.full(6, 0.5)}
    history = model.fit(X, y, sample_weight=weight, epochs=15, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_validation_split_works():
    history = shared_model().fit(X, labels(), validation_split=0.5, verbose=0).history
    assert math.isfinite(history["val_mean_accuracy"][0])


@pytest.mark.slow
def test_one_callback_need_not_be_in_a_list():
    seen = []
    follow = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    gumbel_model(SEPARATE_TASKS).fit(separate_batches(), callbacks=follow, verbose=0)
    assert seen == [0]


# The order of task batches.


def after_fit(**options):
    model = gumbel_model(SEPARATE_TASKS)
    model.fit(separate_batches(), verbose=0, **options)
    return model.weights


@pytest.mark.slow
def test_order_of_batches_holds_whatever_shuffle_says():
    in_order = after_fit(epochs=2, shuffle=False)
    assert_equal(after_fit(epochs=2, shuffle=True), in_order)
    assert_equal(after_fit(epochs=2), in_order)


@pytest.mark.slow
def test_every_epoch_trains_on_its_own_batches():
    model = gumbel_model(SEPARATE_TASKS, keras.optimizers.SGD(0.5))
    batches = separate_batches()
    model.fit(batches, epochs=3, verbose=0)
    again = gumbel_model(SEPARATE_TASKS, keras.optimizers.SGD(0.5))
    orders = []
    for epoch in range(3):
        batches.epoch = epoch
        epoch_batches = [batches[index] for index in range(len(batches))]
        orders.append([ids["task_id"][0] for ids, _ in epoch_batches])
        for x, y in epoch_batches:
            again.train_on_batch(x, y)
    assert len({tuple(order) for order in orders}) > 1  # epochs differ
    for weight, other in zip(values(model.weights), values(again.weights), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)


@pytest.mark.slow
def test_initial_epoch_counts():
    model = gumbel_model(SEPARATE_TASKS)
    batches = separate_batches()
    model.fit(batches, epochs=1, verbose=0)
    model.fit(batches, initial_epoch=1, epochs=3, verbose=0)
    assert batches.epoch == 2
    assert_equal(model.weights, after_fit(epochs=3))


@pytest.mark.slow
def test_a_second_fit_goes_on_with_the_next_epoch_of_the_batches():
    model, batches, seen = gumbel_model(SEPARATE_TASKS), separate_batches(), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(batches.epoch)
    )
    for _ in range(2):
        model.fit(batches, epochs=2, callbacks=[note], verbose=0)
    assert seen == [0, 1, 2, 3]
    gumbel_model(SEPARATE_TASKS).fit(batches, epochs=1, callbacks=[note], verbose=0)
    assert seen[4:] == [0]  # of another network
    assert_equal(model.weights, after_fit(epochs=4))


# Saving.


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_tasks_survive_clone_and_reload(task_data, tmp_path):
    tasks = {"zebra": 3, "ape": Task("binary", weight=0.5), "mouse": Task("multilabel", 4)}
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)), tasks, [[dense] * 2], task_data=task_data
    )
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    for copy in (model, keras.models.clone_model(model), reloaded):
        assert isinstance(copy, MultiTaskModel)
        assert copy.tasks == keras_mtl.tasks.as_tasks(tasks)
        assert list(copy.tasks) == ["zebra", "ape", "mouse"]
        assert copy.task_data == task_data


@pytest.mark.slow
def test_task_losses_and_metrics_survive_reload(tmp_path):
    loss = keras.losses.BinaryCrossentropy(label_smoothing=0.5)
    area = keras.metrics.AUC(30, name="area")
    tasks = {
        "place": Task("regression", 2, loss="mae", metrics=["mse"]),
        "sick": Task("binary", loss=loss, metrics=[area], weight=3.0),
    }
    model = shared_model(tasks)
    y = {name: labels()[name] for name in tasks}
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert reloaded.evaluate(X, y, verbose=0, return_dict=True) == pytest.approx(logs)
    assert {"place_mse", "sick_area", "mean_mse", "mean_area"} < set(logs)


@pytest.mark.slow
def test_training_after_reload_goes_on_as_if_not_stopped(tmp_path):
    model, batches = gumbel_model(SEPARATE_TASKS), separate_batches()
    model.fit(batches, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(model.optimizer.variables, reloaded.optimizer.variables)
    assert_equal(model.variables, reloaded.variables)  # random states too
    assert int(model.optimizer.iterations) == len(batches) == 6
    counters = [v for v in reloaded.variables if v.name == "updates"]
    assert values(counters) == [6]
    for one in (model, reloaded):
        one.fit(separate_batches(), initial_epoch=1, epochs=2, verbose=0)
    assert_equal(model.weights, reloaded.weights)
    assert_equal(model.variables, reloaded.variables)


@pytest.mark.slow
def test_weights_file_keeps_random_states(tmp_path):
    model = gumbel_model(SEPARATE_TASKS)
    model.fit(separate_batches(), verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    uncompiled = keras.models.clone_model(model)
    uncompiled.load_weights(tmp_path / "model.weights.h5")
    assert_equal(model.variables, uncompiled.variables)


# Stock callbacks.


@pytest.mark.slow
def test_early_stopping_watches_the_mean_accuracy():
    model = gumbel_model(SEPARATE_TASKS, keras.optimizers.SGD(0.0))  # never improves
    stop = keras.callbacks.EarlyStopping("val_mean_accuracy", mode="max", patience=2)
    validation = separate_batches(order="sequential")
    history = model.fit(
        separate_batches(), validation_data=validation, epochs=9, callbacks=[stop], verbose=0
    )
    assert len(history.epoch) == 3


@pytest.mark.slow
def test_model_checkpoint_keeps_the_best_mean_accuracy(tmp_path):
    model = gumbel_model(SEPARATE_TASKS, keras.optimizers.SGD(1.0))
    validation = separate_batches(order="sequential")
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras", monitor="val_mean_accuracy", mode="max", save_best_only=True
    )
    history = model.fit(
        separate_batches(), validation_data=validation, epochs=4, callbacks=[best], verbose=0
    )
    reloaded = keras.saving.load_model(tmp_path / "best.keras")
    logs = reloaded.evaluate(validation, verbose=0, return_dict=True)
    assert logs["mean_accuracy"] == pytest.approx(max(history.history["val_mean_accuracy"]))


def test_arguments_given_by_place_are_checked_too():
    model = keras_mtl.build_shared_bottom(keras.Input((5,)), {"a": 3}, [])
    model.compile("sgd")
    x, y = np.zeros((4, 5), "float32"), {"a": np.array([0, 1, 2, 3])}
    with pytest.raises(ValueError, match="Received: 3"):
        model.fit(np.zeros((4, 5)), {"a": np.zeros(4)}, 2, 1, 0, None, 0.0, (x, y))
