"""Methods that look at each task's own gradient: their numbers, and Keras's step around them."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.training.balancing.cagrad import worst_mixture
from keras_mtl.training.balancing.pcgrad import surgery
from tests.training.balancing.test_balancing import (
    METHODS,
    NAN,
    ON_TENSORFLOW,
    REGRESSIONS,
    TASKS,
    X,
    Y,
    dense,
    fit_once,
    head_step,
    linear_model,
    shared_model,
    step,
)

BACKEND = keras.backend.backend()
ERRORS = {"a": -0.5, "b": -0.5}
ONE_OF_A_KIND = ["pcgrad", "maml"] + [
    pytest.param(method, marks=pytest.mark.slow) for method in ("cagrad", "gradnorm")
]
THREE = {name: "regression" for name in "abc"}


def one_step(balancing, kernels, tasks=REGRESSIONS, labels=ERRORS, **options):
    model = linear_model(balancing, tasks, kernels, **options)
    fit_once(model, labels)
    return model


# PCGrad


@pytest.mark.slow
def test_pcgrad_by_hand():
    # The dot product is -1: a loses -1/2 of b, and b loses -1 of a.
    model = one_step(keras_mtl.PCGrad(), [(1, 0), (-1, 1)])
    np.testing.assert_allclose(step(model), [0.5 + 0, 0.5 + 1], atol=1e-6)
    assert head_step(model, "a") == pytest.approx(1)  # its own, as ever
    assert model.balancing.task_weights == {"a": 1, "b": 1}


@pytest.mark.slow
def test_pcgrad_leaves_nothing_of_opposite_gradients():
    opposite = [(2, 1), (-6, -3)]
    np.testing.assert_allclose(step(one_step(None, opposite)), [-4, -2], atol=1e-6)
    model = one_step(keras_mtl.PCGrad(), opposite)
    np.testing.assert_allclose(step(model), [0, 0], atol=2e-6)
    assert head_step(model, "b") == pytest.approx(1)


@pytest.mark.slow
def test_pcgrad_leaves_gradients_that_agree():
    agree = [(2, 1), (1, 0)]
    np.testing.assert_array_equal(
        step(one_step(keras_mtl.PCGrad(), agree)), step(one_step(None, agree))
    )


def test_surgery_meets_others_in_the_given_order():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -2.0]], "float32")
    orders = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
    projected = []
    for own, order in enumerate(orders):
        gradient = gradients[own].copy()
        for other in order[order != own]:
            dot = gradient @ gradients[other]
            if dot < 0:
                gradient -= dot / (gradients[other] @ gradients[other]) * gradients[other]
        projected.append(gradient)
    gram = gradients @ gradients.T
    weights = surgery(ops.array(gram), ops.array(orders))
    np.testing.assert_allclose(
        ops.convert_to_numpy(weights) @ gradients, np.sum(projected, axis=0), atol=1e-6
    )
    other_order = surgery(ops.array(gram), ops.array(orders[:, ::-1].copy()))
    assert abs(ops.convert_to_numpy(other_order) - ops.convert_to_numpy(weights)).max() > 0.05


@pytest.mark.slow
def test_seed_decides_on_the_order():
    kernels = [(1, 0), (-1, 1), (-1, -2)]
    labels = dict.fromkeys("abc", -0.5)
    steps = [
        tuple(step(one_step(keras_mtl.PCGrad(seed=seed), kernels, THREE, labels)).tolist())
        for seed in (0, 0, 1, 2, 3, 4, 5)
    ]
    assert steps[0] == steps[1]
    assert len(set(steps)) > 1


# CAGrad


@pytest.mark.slow
def test_cagrad_by_hand():
    # Sum (3, 3); the worst mixture points there as well, so the step is 1 + c as long.
    model = one_step(keras_mtl.CAGrad(c=0.5), [(2, 1), (1, 2)])
    np.testing.assert_allclose(step(model), [4.5, 4.5], atol=1e-5)
    # Average 1/2; from 1/4 to 3/4 the step 1/4 hurts b, of gradient -1, least.
    model = one_step(keras_mtl.CAGrad(c=0.5), [(2, 0), (-1, 0)])
    np.testing.assert_allclose(step(model), [2 * 0.25, 0], atol=1e-5)
    assert head_step(model, "a") == pytest.approx(1)


@pytest.mark.slow
def test_cagrad_without_a_radius_is_the_usual_step():
    kernels = [(2, 1), (-3, 1)]
    model = one_step(keras_mtl.CAGrad(c=0.0), kernels)
    np.testing.assert_allclose(step(model), step(one_step(None, kernels)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("num_tasks", [2, 3, 7])
@pytest.mark.parametrize("largest", [1, 100])
def test_worst_mixture_agrees_with_scipy(num_tasks, largest):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(num_tasks + largest)
    for c in (0.2, 0.8):
        gradients = rng.normal(size=(num_tasks, 6)) + rng.normal(size=6)
        gradients *= largest ** rng.random((num_tasks, 1))
        average, gram = gradients.mean(axis=0), gradients @ gradients.T
        radius = c * np.linalg.norm(average)

        def dual(w, average=average, gradients=gradients, radius=radius):
            return w @ gradients @ average + radius * np.linalg.norm(w @ gradients)

        starts = [np.full(num_tasks, 1 / num_tasks), *(0.9 * np.eye(num_tasks) + 0.1 / num_tasks)]
        found = [
            optimize.minimize(
                dual, start, method="SLSQP", bounds=[(0, 1)] * num_tasks, options={"ftol": 1e-12},
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            ).fun
            for start in starts
        ]  # fmt: skip
        scale = gram.max()
        ours = worst_mixture(
            ops.array(gram / scale, "float32"),
            ops.array(radius / np.sqrt(scale), "float32"),
            ops.ones(num_tasks, dtype="bool"),
        )
        ours = ops.convert_to_numpy(ours)
        assert ours.min() >= 0 and ours.sum() == pytest.approx(1, abs=1e-5)
        assert dual(ours) <= min(found) + 1e-5 * abs(min(found))


# GradNorm


@pytest.mark.slow
def test_gradnorm_by_hand():
    balancing = keras_mtl.GradNorm(alpha=1.5, learning_rate=0.1)
    labels = dict.fromkeys("abc", -0.5)
    model = one_step(balancing, [(4, 0), (1, 0), (1, 0)], THREE, labels)
    # Norms 4, 1, 1, mean 2: a moves by -0.1 * 4/2, the others by 0.1 * 1/2; then they average 1.
    np.testing.assert_allclose(step(model), [6, 0], atol=1e-6)  # the first step weighs none
    a, b = math.exp(-0.2), math.exp(0.05)
    expected = {"a": 3 * a / (a + 2 * b), "b": 3 * b / (a + 2 * b), "c": 3 * b / (a + 2 * b)}
    assert model.balancing.task_weights == pytest.approx(expected, rel=1e-6)
    first = ops.convert_to_numpy(model.balancing.first_losses)
    np.testing.assert_allclose(first, [0.25, 0.25, 0.25], rtol=1e-6)


def test_gradnorm_pulls_the_task_that_learns_slowly():
    balancing = keras_mtl.GradNorm(alpha=2.0, learning_rate=0.1)
    balancing.build({"a": Task("regression"), "b": Task("regression")})
    balancing.first_losses.assign([1.0, 2.0])
    gram, shares = ops.array([[3.4**2, 0.0], [0.0, 0.6**2]]), ops.array([1.0, 1.0])
    balancing.coefficients(gram, ops.array([0.9, 0.6]), shares)
    # Left of the first loss: 0.9 and 0.3, relative 1.5 and 0.5, of which the squares times the
    # mean norm 2 are 4.5 and 0.5, above and below the norms of 3.4 and 0.6.
    a, b = math.exp(0.1 * 3.4 / 2), math.exp(-0.1 * 0.6 / 2)
    expected = {"a": 2 * a / (a + b), "b": 2 * b / (a + b)}
    assert balancing.task_weights == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_gradnorm_weighs_all_variables_by_the_weights_so_far():
    balancing = keras_mtl.GradNorm()
    model = linear_model(balancing, REGRESSIONS, [(3, 0), (0, 1)])
    balancing.latest.assign([0.5, 1.5])
    fit_once(model, ERRORS)
    np.testing.assert_allclose(step(model), [1.5, 1.5], atol=1e-6)
    assert head_step(model, "a") == pytest.approx(0.5)


@pytest.mark.slow
def test_gradnorm_leaves_the_weight_of_an_absent_task():
    balancing = keras_mtl.GradNorm(learning_rate=0.1)
    model = linear_model(balancing, THREE, [(3, 0), (0, 1), (1, 1)])
    balancing.latest.assign([0.5, 1.0, 1.5])
    fit_once(model, {"a": -0.5, "b": NAN, "c": -0.5})
    weights = model.balancing.task_weights
    assert weights["b"] == 1.0
    assert weights["a"] + weights["c"] == pytest.approx(2.0)
    assert math.isnan(ops.convert_to_numpy(balancing.first_losses)[1])
    np.testing.assert_allclose(step(model), [0.5 * 3 + 1.5, 1.5], atol=1e-6)


@pytest.mark.slow
def test_a_tasks_own_weight_multiplies_gradnorms():
    tasks = {**THREE, "a": Task("regression", weight=4.0)}
    labels = dict.fromkeys("abc", -0.5)
    balancing = keras_mtl.GradNorm(learning_rate=0.1)
    model = one_step(balancing, [(4, 0), (1, 0), (1, 0)], tasks, labels)
    np.testing.assert_allclose(step(model), [18, 0], atol=1e-5)
    a, b = math.exp(-0.2), math.exp(0.05)  # norms are those without it
    assert model.balancing.task_weights["a"] == pytest.approx(3 * a / (a + 2 * b), rel=1e-6)


# what is shared, and what stays


@pytest.mark.slow
def test_towers_and_heads_do_not_count():
    """A tower's gradient, however large, changes nothing in what is shared."""
    tasks = {"a": "regression", "b": "regression"}
    wide = partial(keras.layers.Dense, 2, use_bias=False)

    def trained(balancing, scale):
        model = keras_mtl.build_mmoe(keras.Input((2,)), tasks, [[wide]], tower_units=(2,), seed=2)
        tower = {layer.name: layer for layer in model.layers}
        for index, (name, sign) in enumerate(zip("ab", (1, -1), strict=True), start=1):
            # The scale goes from the tower to its head, so that only their gradients change.
            tower[f"tower_1_{index}"].set_weights([np.eye(2) / scale, np.ones(2) / scale])
            tower[name].set_weights([np.array([[sign], [1.0]]) * scale, np.zeros(1)])
        before = model.trainable_variables[0].numpy()
        model.compile(keras.optimizers.SGD(0.1), balancing=balancing, run_eagerly=ON_TENSORFLOW)
        x = np.array([[0.1, 0.2]] * 2)
        model.fit(x, {"a": np.full(2, 9.0), "b": np.full(2, 9.0)}, verbose=0)
        return before - model.trainable_variables[0].numpy()

    for method in ("pcgrad", "cagrad"):
        near, far = (trained(METHODS[method](), scale) for scale in (1.0, 8.0))
        assert abs(near).max() > 0.01
        np.testing.assert_allclose(near, far, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pcgrad", "cagrad"])
def test_networks_that_share_nothing_train_as_ever(method):
    def trained(balancing):
        model = keras_mtl.build_single_tasks(keras.Input((4,)), TASKS, [dense], seed=1)
        model.compile(keras.optimizers.SGD(0.1), balancing=balancing, run_eagerly=ON_TENSORFLOW)
        model.fit(X, Y, batch_size=5, shuffle=False, verbose=0)
        return [variable.numpy() for variable in model.trainable_variables]

    for ours, theirs in zip(trained(METHODS[method]()), trained(None), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pcgrad", "cagrad", "gradnorm", "maml"])
def test_penalties_and_regularizers_are_no_tasks(method):
    def steps(balancing, strength):
        regular = partial(
            keras.layers.Dense, 2, use_bias=False, kernel_initializer="ones",
            kernel_regularizer=keras.regularizers.L2(strength),
        )  # fmt: skip
        model = keras_mtl.build_shared_bottom(keras.Input((2,)), REGRESSIONS, [regular])
        for name, kernel in zip("ab", [(1, 0), (-1, 1)], strict=True):
            model.get_layer(name).set_weights([np.reshape(kernel, (2, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(1.0), balancing=balancing, run_eagerly=ON_TENSORFLOW)
        logs = fit_once(model, ERRORS)
        return 1 - model.layers[1].get_weights()[0], logs["loss"][0]

    plain, loss = steps(METHODS[method](), 0.0)
    penalized, with_penalty = steps(METHODS[method](), 0.25)
    np.testing.assert_allclose(penalized, plain + 0.5, atol=1e-5)  # 2 * 0.25 * 1
    assert with_penalty == pytest.approx(loss + 4 * 0.25, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_clipping_and_accumulation_see_the_balanced_gradient(method):
    kernels = [(3, 0), (-2, 2)]
    balanced = step(one_step(METHODS[method](), kernels))
    model = linear_model(METHODS[method](), REGRESSIONS, kernels)
    sgd = keras.optimizers.SGD(1.0, clipnorm=0.1)
    model.compile(sgd, balancing=METHODS[method](), run_eagerly=ON_TENSORFLOW)
    fit_once(model, ERRORS)
    np.testing.assert_allclose(step(model), 0.1 * balanced / np.linalg.norm(balanced), rtol=1e-4)
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    model = linear_model(None, REGRESSIONS, kernels)
    model.compile(optimizer, balancing=METHODS[method](), run_eagerly=ON_TENSORFLOW)
    fit_once(model, ERRORS)
    np.testing.assert_array_equal(step(model), 0)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pcgrad", "gradnorm"])
def test_logs_are_those_of_the_stock_step(method):
    options = {"batch_size": 10, "shuffle": False, "verbose": 0}
    ours = shared_model(METHODS[method]()).fit(X, Y, **options).history
    stock = shared_model().fit(X, Y, **options).history
    weights = {name for name in ours if name.endswith("_weight")}
    assert set(ours) - weights == set(stock)
    for name, value in stock.items():
        assert ours[name] == pytest.approx(value, rel=1e-5), name


COMPILED = [
    {"run_eagerly": True},
    pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    {"steps_per_execution": 2},
]


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="torch has one way to run a step")
@pytest.mark.parametrize("options", COMPILED, ids=lambda options: next(iter(options)))
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_a_step_is_the_same_however_it_is_compiled(method, options):
    def trained(**options):
        tasks = {"price": "regression", "color": 3}  # two meet in one order; XLA draws others
        optimizer = keras.optimizers.SGD(0.05)
        model = shared_model(METHODS[method](), tasks, optimizer, **options)
        model.fit(X, {name: Y[name] for name in tasks}, batch_size=5, shuffle=False, verbose=0)
        return [variable.numpy() for variable in model.trainable_variables]

    for ours, theirs in zip(trained(**options), trained(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pcgrad", "gradnorm"])
def test_embeddings_and_recurrence(method):
    tokens = keras.Input((6,), dtype="int32")
    embed = partial(keras.layers.Embedding, 9, 4)
    model = keras_mtl.build_shared_bottom(
        tokens, {"tag": Task("tagging", 3), "topic": 2},
        [partial(keras.layers.LSTM, 5, return_sequences=True)], stem=[embed], seed=1,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05), balancing=METHODS[method]())
    words = np.arange(24).reshape(4, 6) % 9
    y = {"tag": words % 3, "topic": np.array([0, 1, -1, 1])}
    losses = model.fit(words, y, epochs=12, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
