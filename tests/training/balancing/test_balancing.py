"""Methods that weigh tasks: their numbers, missing labels, logs, settings, saving."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task

NAN = float("nan")
METHODS = {
    "uncertainty": keras_mtl.UncertaintyWeighting,
    "dwa": keras_mtl.DynamicWeightAverage,
    "random": partial(keras_mtl.RandomLossWeighting, seed=3),
    "gradnorm": keras_mtl.GradNorm,
    "pcgrad": partial(keras_mtl.PCGrad, seed=3),
    "cagrad": keras_mtl.CAGrad,
    "maml": partial(keras_mtl.FirstOrderMAML, 0.5),
}
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"  # where compiling takes its time
FAST = ("uncertainty",) if ON_TENSORFLOW else ("uncertainty", "pcgrad")
ONE_OF_A_KIND = [
    method if method in FAST else pytest.param(method, marks=pytest.mark.slow) for method in METHODS
]
TASKS = {"price": "regression", "sold": "binary", "color": 3}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 4)).astype("float32")
Y = {
    "price": np.where(np.arange(10) % 3, 2 * X[:, 0], NAN),
    "sold": np.where(np.arange(10) % 4, X[:, 0] + X[:, 1] < 0, NAN),
    "color": np.arange(10) % 4 - 1,
}
dense = partial(keras.layers.Dense, 5, activation="tanh")


def shared_model(balancing=None, tasks=TASKS, optimizer=None, **options):
    model = keras_mtl.build_mmoe(keras.Input((4,)), tasks, [[dense] * 2], seed=1, tower_units=(3,))
    model.compile(optimizer or keras.optimizers.Adam(0.02), balancing=balancing, **options)
    return model


def separate_model(balancing=None, tasks=TASKS):
    model = keras_mtl.build_shared_bottom(
        keras.Input((4,)), tasks, [dense], task_data="separate", seed=1
    )
    model.compile(keras.optimizers.Adam(0.02), balancing=balancing)
    return model


def batches(order="mixed", size=5):
    data = {name: (X, y) for name, y in Y.items()}
    return keras_mtl.task_batches(TASKS, data, batch_size=size, seed=0, order=order)


def linear_model(
    balancing, tasks, kernels, learning_rate=1.0, run_eagerly=ON_TENSORFLOW, **options
):
    """A network in which the gradient of a task whose error is -1/2 is its row of `kernels`.

    The input is (1, 0), the shared kernel starts at 0, and a head multiplies by its own kernel: so
    the prediction is 0 and the gradient of the squared error in the shared kernel's first row is
    the head's kernel, in its second row 0.
    """
    width = partial(keras.layers.Dense, 2, use_bias=False, kernel_initializer="zeros")
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [width])
    for name, kernel in zip(tasks, kernels, strict=True):
        model.get_layer(name).set_weights([np.reshape(kernel, (2, 1)), np.zeros(1)])
    sgd = keras.optimizers.SGD(learning_rate)
    model.compile(sgd, balancing=balancing, run_eagerly=run_eagerly, **options)
    return model


def fit_once(model, labels, **options):
    """Trains on one batch of one example, twice the same, and returns the logs."""
    x = np.array([[1.0, 0.0]] * 2)
    y = {name: np.full(2, label) for name, label in labels.items()}
    return model.fit(x, y, batch_size=2, verbose=0, **options).history


def step(model):
    """Returns what one batch took from the shared kernel's first row, which was 0."""
    [kernel] = model.layers[1].get_weights()
    np.testing.assert_array_equal(kernel[1], 0)
    return -kernel[0]


def head_step(model, name):
    return -model.get_layer(name).get_weights()[1][0]


REGRESSIONS = {"a": "regression", "b": "regression"}


# uncertainty weighting


def test_uncertainty_weights_by_hand():
    tasks = {"a": "regression", "b": "binary"}
    model = linear_model(keras_mtl.UncertaintyWeighting(), tasks, [(3, 0), (0, 1)])
    logs = fit_once(model, {"a": -0.5, "b": 0})
    # Losses 1/4 and log 2. Regression counts half; a sigmoid of 0 has the gradient 1/2.
    np.testing.assert_allclose(step(model), [1.5, 0.5], atol=1e-6)
    variances = ops.convert_to_numpy(model.balancing.log_variances)
    expected = [0.25 / 2 - 0.5, math.log(2) - 0.5]
    np.testing.assert_allclose(variances, expected, atol=1e-6)
    weights = {"a": math.exp(-expected[0]) / 2, "b": math.exp(-expected[1])}
    assert model.balancing.task_weights == pytest.approx(weights, rel=1e-5)
    assert logs["a_weight"] == pytest.approx([weights["a"]], rel=1e-5)
    assert logs["loss"] == pytest.approx([0.25 + math.log(2)], rel=1e-5)  # as without balancing


def test_a_tasks_own_weight_is_not_learned_away():
    tasks = {"a": Task("regression", weight=4.0), "b": "regression"}
    model = linear_model(keras_mtl.UncertaintyWeighting(), tasks, [(1, 0), (0, 1)])
    fit_once(model, {"a": -0.5, "b": -0.5})
    np.testing.assert_allclose(step(model), [2, 0.5], atol=1e-6)
    variances = ops.convert_to_numpy(model.balancing.log_variances)
    np.testing.assert_allclose(variances, [4 * -0.375, -0.375], atol=1e-6)


def test_uncertainty_settles_at_the_loss():
    # exp(-s) L / 2 + s / 2 is smallest at s = log L, for classes exp(-s) L + s / 2 at log 2 L.
    balancing = keras_mtl.UncertaintyWeighting()
    balancing.build({"a": Task("regression"), "b": Task("classes", 3)})
    balancing.log_variances.assign([math.log(0.3), math.log(2 * 0.3)])
    means, here = ops.array([0.3, 0.3]), ops.array([1.0, 1.0])
    value = lambda: float(ops.convert_to_numpy(balancing.objective(means, here)))  # noqa: E731
    lowest = value()
    for change in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        start = ops.convert_to_numpy(balancing.log_variances).copy()
        balancing.log_variances.assign(start + np.array(change, "float32"))
        assert value() > lowest
        balancing.log_variances.assign(start)


# dynamic weight average


def test_dynamic_weights_by_hand():
    balancing = keras_mtl.DynamicWeightAverage(temperature=2.0)
    balancing.build({"a": Task("regression"), "b": Task("regression"), "c": Task("regression")})
    everyone, no_c = ops.array([True, True, True]), ops.array([True, True, False])
    balancing.begin_epoch()
    for means in ([3.0, 1.0, 8.0], [5.0, 1.0, 2.0]):
        weights = balancing.next_weights(ops.array(means), everyone)
        assert ops.convert_to_numpy(weights).tolist() == [1, 1, 1]
    balancing.begin_epoch()  # means 4, 1, 5
    assert list(balancing.task_weights.values()) == [1, 1, 1]
    balancing.next_weights(ops.array([2.0, 0.9, 77.0]), no_c)
    balancing.begin_epoch()  # ratios 0.5 and 0.9; of c nothing is known
    a = 2 / (1 + math.exp((0.9 - 0.5) / 2))
    assert balancing.task_weights == pytest.approx({"a": a, "b": 2 - a, "c": 1}, rel=1e-6)
    balancing.begin_epoch()  # without a batch nothing changes
    assert balancing.task_weights["a"] == pytest.approx(a)


def test_dynamic_weights_follow_the_logs():
    model = linear_model(
        keras_mtl.DynamicWeightAverage(1.5), REGRESSIONS, [(1, 0), (0, 2)], 0.01, run_eagerly=False
    )
    logs = fit_once(model, {"a": -0.5, "b": -2.0}, epochs=4)
    assert logs["a_weight"][:2] == logs["b_weight"][:2] == [1, 1]
    for epoch in (2, 3):
        ratios = [logs[f"{n}_loss"][epoch - 1] / logs[f"{n}_loss"][epoch - 2] for n in "ab"]
        expected = 2 * np.exp(np.array(ratios) / 1.5) / np.exp(np.array(ratios) / 1.5).sum()
        weights = [logs["a_weight"][epoch], logs["b_weight"][epoch]]
        np.testing.assert_allclose(weights, expected, rtol=1e-5)
        assert weights[0] > weights[1]  # b falls faster


# random loss weighting


def test_random_weights_are_a_softmax_of_normal_draws():
    model = linear_model(keras_mtl.RandomLossWeighting(seed=5), REGRESSIONS, [(1, 0), (0, 1)])
    fit_once(model, {"a": -0.5, "b": -0.5})
    draws = keras.random.normal((2,), seed=keras.random.SeedGenerator(5))
    expected = 2 * ops.convert_to_numpy(ops.softmax(draws))
    np.testing.assert_allclose(step(model), expected, rtol=1e-5)
    assert list(model.balancing.task_weights.values()) == pytest.approx(expected.tolist(), rel=1e-5)
    fit_once(model, {"a": -0.5, "b": -0.5})
    assert model.balancing.task_weights["a"] != pytest.approx(expected[0])  # drawn anew


def test_random_weights_go_to_tasks_with_labels():
    tasks = {name: "regression" for name in "abc"}
    model = linear_model(keras_mtl.RandomLossWeighting(seed=5), tasks, [(1, 0), (0, 1), (1, 1)])
    fit_once(model, {"a": -0.5, "b": NAN, "c": NAN})
    assert model.balancing.task_weights == {"a": 1, "b": 0, "c": 0}
    np.testing.assert_allclose(step(model), [1, 0], atol=1e-6)


# all methods


# scheduled weights


def test_scheduled_weights_by_hand():
    tasks = {"a": "regression", "b": Task("regression", weight=3.0)}
    halves = keras.optimizers.schedules.ExponentialDecay(2.0, 1, 0.5)
    method = keras_mtl.ScheduledWeights({"a": halves})
    model = linear_model(method, tasks, [(1, 0), (0, 1)], learning_rate=1e-6)
    x, y = np.array([[1.0, 0.0]]), {"a": np.array([-0.5]), "b": np.array([-0.5])}
    seen, steps = [], [step(model)]
    for _ in range(3):
        model.train_on_batch(x, y)
        seen.append(model.balancing.task_weights)
        steps.append(step(model))
    assert seen == [{"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 1.0}]
    moved = np.diff(steps, axis=0) / 1e-6
    np.testing.assert_allclose(moved, [[2, 3], [1, 3], [0.5, 3]], rtol=1e-3)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "weights must be a dict, task -> number or schedule"),
        ({"a": -1.0}, r"weights\['a'\] must be a number"),
        ({"a": keras_mtl.AnnealingSchedule()}, r"weights\['a'\] does not know how long"),
    ],
)
def test_wrong_schedules_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        keras_mtl.ScheduledWeights(weights)


def test_a_schedule_of_no_task_is_refused():
    with pytest.raises(ValueError, match="weights names 'size', which is no task. Tasks: price"):
        shared_model(keras_mtl.ScheduledWeights({"size": 1.0}))


def test_a_schedule_goes_on_after_a_file(tmp_path):
    model = shared_model(keras_mtl.ScheduledWeights({"sold": keras_mtl.RampSchedule(1.0, 10)}))
    for _ in range(3):
        model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    again.train_on_batch(X, Y)
    assert again.balancing.task_weights["sold"] == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_task_without_labels_might_as_well_not_be_there(method):
    kernels = [(3, 0), (-1, 1)]
    alone = linear_model(METHODS[method](), REGRESSIONS, kernels)
    beside = linear_model(METHODS[method](), {**REGRESSIONS, "c": "regression"}, [*kernels, (7, 7)])
    fit_once(alone, {"a": -0.5, "b": -1.0})
    fit_once(beside, {"a": -0.5, "b": -1.0, "c": NAN})
    if method == "random":  # other draws, but the same sum
        weights = beside.balancing.task_weights
        assert weights["a"] + weights["b"] == pytest.approx(2)
        expected = [3 * weights["a"] - 2 * weights["b"], 2 * weights["b"]]
        np.testing.assert_allclose(step(beside), expected, rtol=1e-5)
    else:
        np.testing.assert_allclose(step(beside), step(alone), rtol=1e-5)
        assert head_step(beside, "a") == pytest.approx(head_step(alone, "a"), rel=1e-5)
    assert head_step(beside, "c") == 0
    assert np.isfinite(step(beside)).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_shared_data_train_with_missing_labels(method):
    model = shared_model(METHODS[method]())
    options = {"epochs": 5, "batch_size": 4, "verbose": 0, "validation_data": (X, Y)}
    logs = model.fit(X, Y, **options).history
    assert np.isfinite(logs["loss"]).all()
    assert logs["val_loss"][-1] < logs["val_loss"][0]
    names = {name for name in logs if name.endswith("_weight")}
    weighs = method not in ("pcgrad", "cagrad", "maml")
    assert names == ({"price_weight", "sold_weight", "color_weight"} if weighs else set())
    plain = model.evaluate(X, Y, verbose=0, return_dict=True)
    total = plain["price_loss"] + plain["sold_loss"] + plain["color_loss"]
    assert plain["loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_separate_data_train_in_mixed_batches(method):
    model = separate_model(METHODS[method]())
    validation = batches("sequential")
    logs = model.fit(batches(), epochs=5, validation_data=validation, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert logs["val_loss"][-1] < logs["val_loss"][0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["uncertainty", "dwa"])
def test_separate_data_train_in_batches_of_one_task(method):
    model = separate_model(METHODS[method]())
    logs = model.fit(batches("shuffled"), epochs=4, verbose=0).history
    assert logs["loss"][-1] < logs["loss"][0]
    assert logs["price_weight"][-1] != pytest.approx(1)


@pytest.mark.parametrize("method", ["random", "gradnorm", "pcgrad", "cagrad", "maml"])
def test_batches_of_one_task_leave_nothing_to_weigh(method):
    with pytest.raises(ValueError, match='hold one task each. Use .*order="mixed"'):
        separate_model(METHODS[method]()).fit(batches("shuffled"), verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_a_saved_run_goes_on_as_if_it_had_not_stopped(method, tmp_path):
    model = shared_model(METHODS[method]())
    options = {"batch_size": 4, "verbose": 0, "shuffle": False}
    model.fit(X, Y, epochs=3, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.balancing) is type(model.balancing)
    assert loaded.balancing.get_config() == model.balancing.get_config()
    straight = model.fit(X, Y, epochs=2, **options).history
    assert loaded.fit(X, Y, epochs=2, **options).history == straight
    for ours, theirs in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
@pytest.mark.parametrize("saved", [None, "random", "cagrad"])
def test_weights_that_were_saved_without_a_method_leave_its_state(method, saved, tmp_path):
    """Two methods whose states look alike are told apart."""

    def made(method):
        dropout = partial(keras.layers.Dropout, 0.3, seed=5)
        model = keras_mtl.build_shared_bottom(keras.Input((4,)), REGRESSIONS, [dense, dropout])
        model.compile("sgd", balancing=METHODS[method]() if method else None)
        return model

    source, target = made(saved), made(method)
    for state in source.balancing.variables if saved else []:
        state.assign(np.full(state.shape, 7))
    [source_seed] = source._seed_states()
    source_seed.assign(np.full(source_seed.shape, 9))
    before = [ops.convert_to_numpy(state).copy() for state in target.balancing.variables]
    source.save_weights(tmp_path / "saved.weights.h5")
    target.load_weights(tmp_path / "saved.weights.h5")
    for ours, theirs in zip(target.trainable_weights, source.trainable_weights, strict=False):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    np.testing.assert_array_equal(ops.convert_to_numpy(target._seed_states()[0]), 9)
    for state, value in zip(target.balancing.variables, before, strict=True):
        expected = np.full_like(value, 7) if method == saved else value
        np.testing.assert_array_equal(ops.convert_to_numpy(state), expected)
    target.save_weights(tmp_path / "target.weights.h5")
    source.load_weights(tmp_path / "target.weights.h5")  # and the other way round


@pytest.mark.slow
def test_a_setting_of_compile_leaves_the_network_alone():
    model = shared_model(keras_mtl.GradNorm())
    assert "balancing" not in [layer.name for layer in model.layers]
    frozen = keras_mtl.freeze(model)
    np.testing.assert_allclose(
        frozen.predict(X, verbose=0)["sold"], model.predict(X, verbose=0)["sold"], atol=1e-6
    )
    size = len(model.variables)
    model.compile("sgd")
    assert model.balancing is None
    assert len(model.variables) == size - 3  # weights, shares, first losses
    assert "price_weight" not in model.fit(X, Y, verbose=0).history


@pytest.mark.slow
def test_sample_weights_multiply_what_a_method_chooses():
    weights = np.where(np.arange(10) < 5, 2.0, 0.0)
    for method in ("uncertainty", "cagrad"):
        weighted, halved = (shared_model(METHODS[method]()) for _ in range(2))
        weighted.fit(X, Y, sample_weight=weights, batch_size=10, shuffle=False, verbose=0)
        first = {name: y[:5] for name, y in Y.items()}
        halved.fit(X[:5], first, batch_size=5, shuffle=False, verbose=0)
        for ours, theirs in zip(weighted.get_weights(), halved.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


WRONG = {
    "name": ({"balancing": "pcgrad"}, "such as keras_mtl.UncertaintyWeighting.*'pcgrad'"),
    "class": ({"balancing": keras_mtl.PCGrad}, "must be an object.*PCGrad"),
    "loss": (
        {"balancing": keras_mtl.PCGrad(), "loss": "mse"},
        "loss=...\\) replaces them. Put a task's own loss in keras_mtl.Task",
    ),
    "loss scaling": (
        {
            "balancing": keras_mtl.CAGrad(),
            "optimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        },
        "CAGrad needs each task's own gradient, .*mixed_float16.*mixed_bfloat16",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_compile_refuses(case):
    options, message = WRONG[case]
    model = shared_model()
    with pytest.raises(ValueError, match=message):
        model.compile(**{"optimizer": "sgd"} | options)
    assert model.balancing is None


def test_two_models_do_not_share_a_state():
    balancing = keras_mtl.DynamicWeightAverage()
    shared_model(balancing)
    with pytest.raises(ValueError, match="DynamicWeightAverage holds the state of an earlier"):
        shared_model(balancing)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras_mtl.DynamicWeightAverage(0), "temperature must be .* above 0.* 0"),
        (lambda: keras_mtl.DynamicWeightAverage("2"), "temperature must be .* above 0.* '2'"),
        (lambda: keras_mtl.CAGrad(1.0), r"c must be a number in \[0, 1\).* 1.0"),
        (lambda: keras_mtl.GradNorm(alpha=-1), "alpha must be .*at least 0.* -1"),
        (lambda: keras_mtl.GradNorm(learning_rate=NAN), "learning_rate must .*above 0.* nan"),
    ],
)
def test_wrong_settings_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
