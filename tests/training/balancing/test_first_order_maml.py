"""Two steps a batch: numbers against NumPy, the parts of a batch, and what leaves no trace."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from tests.training.balancing.test_balancing import (
    NAN,
    TASKS,
    X,
    Y,
    batches,
    separate_model,
    shared_model,
)

# Tracing a large step takes longer than one such step; compiled ones are tested elsewhere.
FAST = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}
RNG = np.random.default_rng(4)
INPUTS = RNG.normal(size=(5, 3)).astype("float32")
START = {
    "shared": RNG.normal(size=(3, 2)),
    "a": [RNG.normal(size=(2, 1)), np.array([0.3])],
    "b": [RNG.normal(size=(2, 1)), np.array([-0.2])],
}
LABELS = {  # of which the first three are the inner part
    "all": {"a": [1, 2, -1, 0.5, 3], "b": [0, -1, 2, 1, -2]},
    "some": {"a": [1, NAN, -1, 0.5, NAN], "b": [NAN, -1, 2, NAN, -2]},
    "none inside": {"a": [1, 2, -1, 0.5, 3], "b": [NAN, NAN, NAN, 1, -2]},
    "none outside": {"a": [1, 2, -1, 0.5, 3], "b": [0, -1, 2, NAN, NAN]},
}


def linear(balancing, optimizer, start=START, **tasks):
    width = partial(keras.layers.Dense, 2, use_bias=False)
    tasks = {"a": "regression", "b": "regression"} | tasks
    model = keras_mtl.build_shared_bottom(keras.Input((3,)), tasks, [width])
    model.layers[1].set_weights([start["shared"]])
    for name in "ab":
        model.get_layer(name).set_weights(start[name])
    model.compile(optimizer, balancing=balancing)
    return model


def weights_of(model):
    heads = {name: model.get_layer(name).get_weights() for name in "ab"}
    return {"shared": model.layers[1].get_weights()[0], **heads}


def gradient(weights, name, x, y, sample_weight):
    """Returns that of a task's weighted mean squared error, of the shared and its own kernel."""
    shared, (kernel, bias) = weights["shared"], weights[name]
    counts = np.where(np.isnan(y), 0.0, sample_weight)[:, None]
    error = x @ shared @ kernel + bias - np.nan_to_num(y)[:, None]
    slope = 2 * error * counts / max(counts.sum(), 1e-9)
    return x.T @ slope @ kernel.T, (x @ shared).T @ slope, slope.sum(axis=0)


def moved(weights, name, gradient, rate):
    for_shared, for_kernel, for_bias = gradient
    kernel, bias = weights[name]
    own = [kernel - rate * for_kernel, bias - rate * for_bias]
    return {**weights, "shared": weights["shared"] - rate * for_shared, name: own}


def two_steps(weights, x, y, inner, outer, inner_rate, rate, counts=(1, 1), sample_weight=None):
    sample_weight = np.ones(len(x)) if sample_weight is None else sample_weight
    result = weights
    for name, count in zip("ab", counts, strict=True):
        labels = np.array(y[name], float)
        inside = gradient(weights, name, x[inner], labels[inner], sample_weight[inner])
        stepped = moved(weights, name, inside, inner_rate)
        outside = gradient(stepped, name, x[outer], labels[outer], sample_weight[outer])
        result = moved(result, name, outside, rate * count)
    return result


def assert_same(ours, theirs, atol=1e-5):
    for name in ("shared", "a", "b"):
        for one, other in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_allclose(one, other, atol=atol, err_msg=name)


def train(model, x, y, **options):
    y = {name: np.array(labels) for name, labels in y.items()}
    return model.fit(x, y, batch_size=5, shuffle=False, verbose=0, **options).history


FIRST, LAST = slice(0, 3), slice(3, 5)


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS)
def test_two_steps_by_hand(labels):
    balancing = keras_mtl.FirstOrderMAML(inner_part=0.6, inner_learning_rate=0.4)
    model = linear(balancing, keras.optimizers.SGD(0.1))
    train(model, INPUTS, LABELS[labels])
    expected = two_steps(START, INPUTS, LABELS[labels], FIRST, LAST, 0.4, 0.1)
    assert_same(weights_of(model), expected)
    if labels == "none outside":  # b adds nothing, also to what is its own
        np.testing.assert_array_equal(weights_of(model)["b"][0], np.float32(START["b"][0]))


@pytest.mark.slow
def test_weights_of_tasks_count_outside_and_those_of_examples_in_both_parts():
    balancing = keras_mtl.FirstOrderMAML(inner_part=0.6, inner_learning_rate=0.4)
    model = linear(balancing, keras.optimizers.SGD(0.1), b=Task("regression", weight=3.0))
    sample_weight = np.array([1.0, 3.0, 2.0, 0.5, 2.0])
    train(model, INPUTS, LABELS["all"], sample_weight=sample_weight)
    expected = two_steps(START, INPUTS, LABELS["all"], FIRST, LAST, 0.4, 0.1, (1, 3), sample_weight)
    assert_same(weights_of(model), expected)


@pytest.mark.slow
def test_the_inner_steps_follow_the_optimizers_learning_rate():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.2, 0.05])
    model = linear(keras_mtl.FirstOrderMAML(0.6), keras.optimizers.SGD(schedule))
    train(model, INPUTS, LABELS["all"], epochs=2)
    expected = two_steps(START, INPUTS, LABELS["all"], FIRST, LAST, 0.2, 0.2)
    expected = two_steps(expected, INPUTS, LABELS["all"], FIRST, LAST, 0.05, 0.05)
    assert_same(weights_of(model), expected)

    model = linear(keras_mtl.FirstOrderMAML(0.6), keras.optimizers.SGD(0.2))
    train(model, INPUTS, LABELS["all"])
    model.optimizer.learning_rate = 0.05  # as callbacks do
    train(model, INPUTS, LABELS["all"])
    assert_same(weights_of(model), expected)


@pytest.mark.parametrize(("share", "size", "inner"), [
    (0.8, 5, 4), (0.8, 7, 5), (0.29, 100, 29), (0.01, 5, 1), (0.9999, 5, 4), (0.5, 2, 1),
])  # fmt: skip
def test_parts_of_a_batch(share, size, inner):
    x = np.arange(size)
    (first, _), (last, nothing) = keras_mtl.FirstOrderMAML(share).split((x, None))
    assert first.tolist() == list(range(inner))
    assert last.tolist() == list(range(inner, size))
    assert nothing is None


@pytest.mark.slow
def test_a_single_example_is_both_parts():
    """The last batch of an epoch may be that small."""
    model = linear(keras_mtl.FirstOrderMAML(0.6, 0.1), keras.optimizers.SGD(0.02))
    x, y = np.tile(INPUTS, (2, 1))[:6], {n: [*y, y[0]] for n, y in LABELS["all"].items()}
    train(model, x, y)
    expected = two_steps(START, INPUTS, LABELS["all"], FIRST, LAST, 0.1, 0.02)
    both = slice(0, 1)
    assert_same(
        weights_of(model), two_steps(expected, INPUTS, LABELS["all"], both, both, 0.1, 0.02)
    )


def recurrent_model():
    tokens = keras.Input((6,), dtype="int32")
    return keras_mtl.build_shared_bottom(
        tokens, {"tag": Task("tagging", 3), "topic": 2},
        [partial(keras.layers.LSTM, 5, return_sequences=True)],
        stem=[partial(keras.layers.Embedding, 9, 4)], seed=1,
    )  # fmt: skip


WORDS = np.arange(60).reshape(10, 6) % 9
CASES = {
    "shared": (shared_model, lambda: (X, Y)),
    "separate": (separate_model, lambda: batches(size=10)[0]),
    "recurrent": (
        recurrent_model,
        lambda: (WORDS, {"tag": WORDS % 3, "topic": np.arange(10) % 3 - 1}),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_without_an_inner_step_it_is_the_usual_step_on_the_outer_part(case):
    make, first_batch = CASES[case]

    def trained(balancing, rows):
        model = make()
        model.compile(keras.optimizers.SGD(0.1), balancing=balancing, **FAST)
        x, y = keras.tree.map_structure(lambda array: array[rows], first_batch())
        model.train_on_batch(x, y)
        return model.get_weights()

    ours = trained(keras_mtl.FirstOrderMAML(0.6, inner_learning_rate=0.0), slice(0, 10))
    for one, other in zip(ours, trained(None, slice(6, 10)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    stepped = trained(keras_mtl.FirstOrderMAML(0.6, inner_learning_rate=5.0), slice(0, 10))
    assert max(abs(one - other).max() for one, other in zip(ours, stepped, strict=True)) > 1e-3


def stateful(balancing, learning_rate=0.1):
    """A network that draws, averages and counts."""
    layers = [
        partial(keras.layers.Dense, 4, kernel_regularizer="l2"),
        keras.layers.BatchNormalization,
        partial(keras.layers.Dropout, 0.4, seed=3),
        [partial(keras.layers.Dense, 3)] * 2,
    ]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((4,)), TASKS, layers, seed=2, budget=0.5,
        entropy_weight=keras_mtl.RampSchedule(0.1, 3),
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(learning_rate), balancing=balancing, **FAST)
    return model


@pytest.mark.slow
def test_weights_come_back_bit_for_bit():
    model = stateful(keras_mtl.FirstOrderMAML(0.6, inner_learning_rate=0.7), learning_rate=0.0)
    before = [ops.convert_to_numpy(variable).copy() for variable in model.trainable_variables]
    model.fit(X, Y, batch_size=5, epochs=2, verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


@pytest.mark.slow
def test_statistics_draws_counters_and_logs_are_those_of_the_usual_pass():
    ours, usual = stateful(keras_mtl.FirstOrderMAML(0.6, 0.7)), stateful(None)
    logs = [model.fit(X, Y, batch_size=10, shuffle=False, verbose=0) for model in (ours, usual)]
    assert set(logs[0].history) == set(logs[1].history)
    for name, value in logs[1].history.items():
        assert logs[0].history[name] == pytest.approx(value, rel=1e-5), name
    assert len(ours.non_trainable_variables) == len(usual.non_trainable_variables) > 4
    for one, other in zip(ours.non_trainable_variables, usual.non_trainable_variables, strict=True):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_policy_learns_from_its_rewards_as_ever():
    def trained(balancing):
        dense = partial(keras.layers.Dense, 3)
        model = keras_mtl.build_routing_network(
            keras.Input((4,)), {"price": "regression", "color": 3}, [[dense] * 3], seed=1
        )
        model.compile(keras.optimizers.SGD(0.1), balancing=balancing, **FAST)
        y = {name: Y[name] for name in model.tasks}
        model.fit(X, y, batch_size=10, shuffle=False, verbose=0)
        return model

    ours, usual = trained(keras_mtl.FirstOrderMAML(0.6)), trained(None)
    assert ours.get_layer("allocation_1").decisions is None  # of the passes of the two steps too
    start = np.full((2, 3), 1 / 3)
    tables = [
        ops.convert_to_numpy(model.get_layer("allocation_1").probabilities())
        for model in (ours, usual)
    ]
    np.testing.assert_allclose(*tables, rtol=1e-6)
    assert abs(tables[0] - start).max() > 1e-4


@pytest.mark.slow
def test_mmoeex_learns_by_two_steps():
    tasks = {"price": "regression", "color": 3}
    dense = partial(keras.layers.Dense, 6, activation="tanh")
    model = keras_mtl.build_mmoeex(
        keras.Input((4,)), tasks, [[dense] * 4], tower_units=(3,), seed=0
    )
    model.compile(keras.optimizers.Adam(0.05), balancing=keras_mtl.FirstOrderMAML())
    y = {name: Y[name] for name in tasks}
    losses = model.fit(X, y, epochs=15, batch_size=10, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


WRONG = {
    "all inside": (
        lambda: keras_mtl.FirstOrderMAML(1.0),
        r"inner_part must be a number in \(0, 1\)",
    ),
    "none inside": (lambda: keras_mtl.FirstOrderMAML(0), "inner_part must .*: 0"),
    "rate": (
        lambda: keras_mtl.FirstOrderMAML(0.5, -1),
        "inner_learning_rate must .*at least 0.*: -1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_raise(case):
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_batches_of_one_example_raise():
    message = "FirstOrderMAML cannot split batches of 1 example.*batch_size of at least 2"
    with pytest.raises(ValueError, match=message):
        shared_model(keras_mtl.FirstOrderMAML()).fit(X, Y, batch_size=1, verbose=0)
    with pytest.raises(ValueError, match=message):
        separate_model(keras_mtl.FirstOrderMAML()).fit(batches(size=1), verbose=0)


@pytest.mark.slow
def test_several_learning_rates_need_one_for_the_inner_step():
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.SGD(0.1), 0.5)
    model = shared_model()
    with pytest.raises(ValueError, match="several learning rates.*inner_learning_rate=..."):
        model.compile(optimizer, balancing=keras_mtl.FirstOrderMAML())
    model.compile(optimizer, balancing=keras_mtl.FirstOrderMAML(0.8, 0.1), **FAST)
    model.fit(X, Y, batch_size=5, verbose=0)
