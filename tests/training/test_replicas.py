"""Two replicas that share every batch train as one device does."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task
from tests.conformance import registry
from tests.conftest import two_replicas

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute belongs to TensorFlow"
)

NAN = float("nan")
TASKS = {
    "price": "regression",
    "sold": Task("binary", metrics=["accuracy", "AUC"]),
    "color": Task("classes", 3, weight=0.5),
}
RNG = np.random.default_rng(0)
ROWS = 9  # batches of 4, 4 and 1, which leaves a replica without an example
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = {  # of the first two rows of a batch, those of a replica, nobody knows whether they were sold
    "price": np.where(np.arange(ROWS) < 8, 2 * X[:, 0], NAN).astype("float32"),
    "sold": np.where(np.arange(ROWS) % 4 < 2, NAN, X[:, 0] + X[:, 1] < 0).astype("float32"),
    "color": np.arange(ROWS) % 4 - 1,
}
WEIGHT = RNG.uniform(0.5, 2.0, size=ROWS).astype("float32")
dense = partial(keras.layers.Dense, 5, activation="tanh")
BALANCING = {
    "none": lambda: None,
    "uncertainty": keras_mtl.UncertaintyWeighting,
    "dwa": keras_mtl.DynamicWeightAverage,
    "random": partial(keras_mtl.RandomLossWeighting, seed=3),
    "scheduled": lambda: keras_mtl.ScheduledWeights({"sold": keras_mtl.RampSchedule(2.0, 3)}),
    "gradnorm": keras_mtl.GradNorm,
    "pcgrad": partial(keras_mtl.PCGrad, seed=3),
    "cagrad": keras_mtl.CAGrad,
}
OTHER_KINDS = {
    "visits": Task("count"),
    "grade": Task("ordinal", 4),
    "watch": Task("regression", standardize=True),
}
VISITS, GRADES = np.arange(ROWS) % 5, np.where(np.arange(ROWS) % 3, np.arange(ROWS) % 4, NAN)
FAST = [("shared", "uncertainty")]
REFUSED = {"build_dynashare": "gate.*sees the whole batch", "build_routing_network": "lately"}
BUILDERS = registry.BUILDERS | registry.BLOCK_BUILDERS | registry.SEQUENCE_BUILDERS


def gumbel_matrix(task_data):
    return keras_mtl.build_gumbel_matrix(
        keras.Input((4,)), TASKS, [[dense] * 3], task_data=task_data, seed=1,
        budget=0.3, entropy_weight=0.1, disconnect_weight=0.1,
    )  # fmt: skip


def data(task_data):
    """Returns what `fit` takes: batches with a last one of a single example."""
    if task_data == "shared":
        return {"x": X, "y": Y, "sample_weight": WEIGHT, "batch_size": 4, "shuffle": False}
    examples = {name: (X, y) for name, y in Y.items()}
    return {"x": keras_mtl.task_batches(TASKS, examples, batch_size=26, seed=0, order="mixed")}


def trained(make, batches, epochs=5, **options):
    """Trains a network for ten steps at least; returns it and its logs."""
    keras.utils.set_random_seed(5)
    model = make()
    model.compile(keras.optimizers.SGD(0.1), **options)
    return model, model.fit(**batches, epochs=epochs, verbose=0).history


def assert_alike(one, two):
    (model, logs), (shared, shared_logs) = one, two
    assert set(logs) == set(shared_logs)
    for name, values in logs.items():
        np.testing.assert_allclose(shared_logs[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    for ours, theirs in zip(model.variables, shared.variables, strict=True):
        np.testing.assert_allclose(
            theirs.numpy(), ours.numpy(), rtol=1e-5, atol=1e-5, err_msg=ours.path
        )


@pytest.mark.parametrize(
    ("task_data", "balancing"),
    [
        case if case in FAST else pytest.param(*case, marks=pytest.mark.slow)
        for case in [(data, method) for data in ("shared", "separate") for method in BALANCING]
    ],
)
def test_two_replicas_train_as_one_device(task_data, balancing):
    make, batches = partial(gumbel_matrix, task_data), data(task_data)
    one = trained(make, batches, balancing=BALANCING[balancing]())
    with two_replicas().scope():
        two = trained(make, batches, balancing=BALANCING[balancing]())
    assert_alike(one, two)


@pytest.mark.slow
def test_counts_and_ranks_train_as_on_one_device():
    y = {"visits": VISITS, "grade": GRADES, "watch": 60 + 20 * X[:, 0]}
    batches = {"x": X, "y": y, "batch_size": 4, "shuffle": False}
    make = partial(keras_mtl.build_shared_bottom, keras.Input((4,)), OTHER_KINDS, [dense], seed=1)
    one = trained(make, batches)
    with two_replicas().scope():
        two = trained(make, batches)
    assert_alike(one, two)


def example(name, task_data):
    """Returns a function that makes a network of a builder without dropout, and its batches."""
    inputs, stack, x = keras.Input((6,)), None, registry.FEATURES
    if name in registry.SEQUENCE_BUILDERS:
        inputs, x = keras.Input((7, 6)), registry.SEQUENCES
    elif name in registry.BLOCK_BUILDERS:
        block = partial(keras.layers.Dense, 6, activation="tanh")  # whose batches nobody normalizes
        stack = [[block], block, [block]]
    else:
        stack = [[registry.dense] * registry.num_components(name), registry.dense] * 2
    make = partial(registry.built, name, task_data, inputs, stack)
    y = {"color": np.array([0, 1, 1, -1, 0]), "animal": np.array([6, -1, 0, 2, 3])}
    y["width"] = RNG.normal(size=(5, 3)).astype("float32")
    if task_data == "shared":
        return make, {"x": x, "y": y, "batch_size": 4, "shuffle": False}
    examples = {task: (x, labels) for task, labels in y.items()}
    batches = keras_mtl.task_batches(registry.TASKS, examples, batch_size=6, seed=0, order="mixed")
    return make, {"x": batches}


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("name", BUILDERS)
def test_all_builders_train_as_on_one_device(name, task_data):
    make, batches = example(name, task_data)
    if name in REFUSED:
        with two_replicas().scope(), pytest.raises(ValueError, match=REFUSED[name]):
            trained(make, batches)
        return
    one = trained(make, batches)
    with two_replicas().scope():
        two = trained(make, batches)
    assert_alike(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["example", "task"])
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_routes_are_drawn_and_learned_as_on_one_device(task_data, draws):
    _, batches = example("build_routing_network", task_data)

    def make():
        stack = [[registry.dense] * 3] * 2
        return keras_mtl.build_routing_network(
            keras.Input((6,)), registry.TASKS, stack, task_data=task_data, draws=draws, seed=1
        )

    one = trained(make, batches)
    with two_replicas().scope():
        two = trained(make, batches)
    assert_alike(one, two)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_parts_of_different_size_are_refused_where_keras_would_fail(method):
    with two_replicas().scope():
        model = gumbel_matrix("shared")
    model.compile("sgd")
    message = "first batch of 3 examples.*2 replicas.*batch_size"
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, Y, batch_size=3, verbose=0)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X[:3], {task: y[:3] for task, y in Y.items()}, verbose=0)


def test_a_network_may_be_compiled_outside_the_strategys_scope():
    with two_replicas().scope():
        model = keras_mtl.build_shared_bottom(keras.Input((4,)), {"price": "regression"}, [dense])
    model.compile(keras.optimizers.SGD(0.1), balancing=keras_mtl.UncertaintyWeighting())
    model.fit(X[:4], {"price": Y["price"][:4]}, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balancing": keras_mtl.FirstOrderMAML()}, "FirstOrderMAML splits a batch.*2 replicas"),
        ({"steps_per_execution": 4}, "2 replicas.*steps_per_execution=4"),
    ],
)
def test_what_replicas_cannot_do_is_refused(options, message):
    with two_replicas().scope():
        model = gumbel_matrix("shared")
        with pytest.raises(ValueError, match=message):
            model.compile("sgd", **options)
