"""Counts and ranks from `fit` to a frozen network, in all forms of data."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task

NAN = float("nan")
TASKS = {
    "stage": Task("ordinal", 4),
    "grade": Task("ordinal", 2),
    "visits": Task("count"),
    "animal": Task("classes", 3),
    "falls": Task("count", 2),
    "level": Task("ordinal", 6),
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
LABELS = {
    "stage": RNG.integers(-1, 4, 24),
    "grade": np.where(RNG.random(24) < 0.3, NAN, RNG.integers(0, 2, 24)),
    "visits": RNG.poisson(2.0, 24),
    "animal": RNG.integers(0, 3, 24),
    "falls": np.where(RNG.random((24, 2)) < 0.3, NAN, RNG.poisson(1.0, (24, 2))),
    "level": RNG.integers(0, 6, 24),
}
dense = partial(keras.layers.Dense, 5, activation="tanh")


def network(task_data, tasks=TASKS, **options):
    return keras_mtl.build_gumbel_matrix(
        keras.Input((4,)), tasks, [[dense] * 3], task_data=task_data, seed=0, **options
    )


def fitted(model, **options):
    """Trains a network for two epochs on what there is of its tasks."""
    labels = {name: LABELS[name] for name in model.tasks}
    if model.task_data == "shared":
        return model.fit(X, labels, epochs=2, verbose=0, **options).history
    data = {name: (X, y) for name, y in labels.items()}
    batches = keras_mtl.task_batches(model.tasks, data, batch_size=12, order="mixed", seed=0)
    return model.fit(batches, epochs=2, verbose=0, **options).history


def answers_of(model, x=X):
    answers = {}
    for index, (name, task) in enumerate(model.tasks.items()):
        if model.task_data == "shared":
            answers[name] = model.predict(x, verbose=0)[name]
            continue
        found = model.predict({"inputs": x, "task_id": np.full(len(x), index, "int32")}, verbose=0)
        found = found[task.kind] if isinstance(found, dict) else found
        answers[name] = found[:, : task.size]
    return answers


def assert_equal(found, expected, **tolerance):
    for name, answer in expected.items():
        np.testing.assert_allclose(found[name], answer, err_msg=name, **tolerance)


@pytest.mark.parametrize("task_data", ["separate", pytest.param("shared", marks=pytest.mark.slow)])
def test_a_trained_network_is_saved_and_frozen_as_it_is(task_data, tmp_path):
    model = network(task_data)
    model.compile(keras.optimizers.Adam(0.05))
    logs = fitted(model)
    assert all(np.isfinite(values).all() for values in logs.values())
    assert {"stage_mae", "stage_accuracy", "visits_poisson_deviance", "mean_mae"} <= set(logs)
    expected = answers_of(model)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert dict(reloaded.tasks) == TASKS
    assert_equal(answers_of(reloaded), expected, rtol=1e-6)
    assert fitted(reloaded)["loss"][-1] < logs["loss"][0]
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    assert_equal(frozen.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    frozen.save(tmp_path / "frozen.keras")
    reloaded = keras.saving.load_model(tmp_path / "frozen.keras")
    assert_equal(reloaded.predict(X, verbose=0), frozen.predict(X, verbose=0), rtol=1e-6)


def test_frozen_heads_have_a_score_for_each_order_and_nothing_of_the_package():
    model = network("separate")
    frozen = keras_mtl.freeze(model)
    units = {name: frozen.get_layer(name).units for name in TASKS}
    assert units == {"stage": 1, "grade": 1, "visits": 1, "animal": 3, "falls": 2, "level": 1}


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("kind", ["ordinal", "count"])
def test_a_network_grows_by_either(task_data, kind):
    model = network(task_data)
    new = Task(kind, 4)
    grown = keras_mtl.add_task(model, "added", new)
    expected = answers_of(model)
    assert_equal(answers_of(grown), expected, rtol=1e-6)
    own = "added/" if task_data == "shared" else "heads/"
    trained = [v.path for v in grown.trainable_variables if v.path.startswith(own)]
    suffix = "" if task_data == "shared" else "_added_1"
    names = ["kernel", "bias", "gaps"] if kind == "ordinal" else ["kernel", "bias"]
    assert trained == [f"{own}{name}{suffix}" for name in names]
    grown.compile(keras.optimizers.Adam(0.1))
    if task_data == "separate":
        y = np.zeros(24, "int32") if kind == "ordinal" else np.zeros((24, 4))
        y = {"added": (X, y)} | {name: (X, LABELS[name]) for name in TASKS}
        grown.fit(keras_mtl.task_batches(grown.tasks, y, batch_size=12), verbose=0)
    else:
        y = {"added": np.zeros(24) if kind == "ordinal" else np.zeros((24, 4))} | LABELS
        grown.fit(X, y, verbose=0)
    assert_equal(answers_of(grown), expected, rtol=0, atol=0)
    again = keras_mtl.add_task(grown, "more", Task("ordinal", 5))
    assert_equal(answers_of(again), answers_of(grown), rtol=1e-6)
    assert_equal(keras_mtl.freeze(again).predict(X, verbose=0), answers_of(again), rtol=1e-5)


def test_a_network_without_ranks_grows_by_some():
    model = network("separate", {"animal": 3, "visits": Task("count")})
    grown = keras_mtl.add_task(model, "stage", Task("ordinal", 4))
    assert_equal(answers_of(grown), answers_of(model), rtol=1e-6)
    np.testing.assert_allclose(answers_of(grown)["stage"].sum(axis=-1), np.ones(24), rtol=1e-5)


def test_a_task_that_is_absent_keeps_its_thresholds():
    tasks = {"stage": Task("ordinal", 4), "level": Task("ordinal", 5)}
    model = network("separate", tasks, init_probability=0.99)
    adam = keras.optimizers.Adam(0.1)
    model.compile(keras_mtl.allocation_optimizer(adam, 0.1, update_absent_tasks=False))

    def train(task_id):
        x = {"inputs": X, "task_id": np.full(24, task_id, "int32")}
        model.train_on_batch(x, np.arange(24) % 4)
        return [np.array(v.numpy()) for v in model.get_layer("heads").weights]

    old, new = train(0), train(1)
    for before, after, of_stage in zip(old, new, [1, 1, 2], strict=True):
        np.testing.assert_array_equal(before[..., :of_stage], after[..., :of_stage])
        assert np.any(before[..., of_stage:] != after[..., of_stage:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "balancing", [keras_mtl.UncertaintyWeighting, keras_mtl.GradNorm, keras_mtl.PCGrad]
)
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_tasks_are_balanced(balancing, task_data):
    model = network(task_data)
    model.compile(keras.optimizers.Adam(0.01), balancing=balancing())
    assert all(np.isfinite(values).all() for values in fitted(model).values())


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_routers_learn_from_either(task_data):
    model = keras_mtl.build_routing_network(
        keras.Input((4,)), TASKS, [[dense] * 2], task_data=task_data, seed=0
    )
    model.compile("adam")
    assert all(np.isfinite(values).all() for values in fitted(model).values())


@pytest.mark.parametrize("task_data", ["separate", pytest.param("shared", marks=pytest.mark.slow)])
def test_labels_at_every_step(task_data):
    tasks = {
        "stage": Task("ordinal", 4, per_step=True),
        "visits": Task("count", per_step=True),
        "falls": Task("count", 2, per_step=True),
        "watch": Task("regression", standardize=True, per_step=True),
    }
    lstm = partial(keras.layers.LSTM, 5, return_sequences=True)
    model = keras_mtl.build_shared_bottom(
        keras.Input((None, 4)), tasks, [lstm], task_data=task_data, seed=0
    )
    model.compile("adam")
    x = RNG.normal(size=(8, 6, 4)).astype("float32")
    y = {
        "stage": RNG.integers(-1, 4, (8, 6)),
        "visits": RNG.poisson(2.0, (8, 6)),
        "falls": np.where(RNG.random((8, 6, 2)) < 0.5, NAN, 1.0),
        "watch": RNG.normal(60.0, 20.0, (8, 6)),
    }
    if task_data == "shared":
        logs = model.fit(x, y, verbose=0).history
    else:
        data = {name: (x, labels) for name, labels in y.items()}
        logs = model.fit(keras_mtl.task_batches(tasks, data, batch_size=4), verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())
    expected = answers_of(model, x) if task_data == "shared" else None
    if expected is not None:
        assert_equal(keras_mtl.freeze(model).predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_ranks_and_counts_are_learned():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 2)).astype("float32")
    score = 3 * x[:, 0] + rng.logistic(size=400)
    y = {
        "stage": np.digitize(score, [-2.0, 0.0, 1.0]),
        "visits": rng.poisson(np.exp(0.5 + x[:, 1])),
    }
    tasks = {"stage": Task("ordinal", 4), "visits": Task("count")}
    layer = partial(keras.layers.Dense, 2, trainable=False, kernel_initializer="identity")
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), tasks, [layer], seed=0)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, y, epochs=40, batch_size=100, verbose=0)
    kernel, bias, gaps = model.get_layer("stage").get_weights()
    assert kernel[0, 0] == pytest.approx(3, abs=0.6) and abs(kernel[1, 0]) < 0.4
    thresholds = np.cumsum([-bias[0], *np.log1p(np.exp(gaps))])
    np.testing.assert_allclose(thresholds, [-2, 0, 1], atol=0.5)
    kernel, bias = model.get_layer("visits").get_weights()
    np.testing.assert_allclose([*kernel[:, 0], *bias], [0, 1, 0.5], atol=0.15)
