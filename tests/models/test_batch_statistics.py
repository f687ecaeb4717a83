"""Components with batch normalization evaluate each task by the statistics of its own rows."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.layers import AllocationMatrix
from tests.models.networks import array, force, force_routes
from tests.models.tower_networks import EAGER

TASKS = {"near": "binary", "far": "binary"}
RNG = np.random.default_rng(0)
NEAR = RNG.normal(size=(96, 4)).astype("float32")
FAR = (30.0 + 20.0 * RNG.normal(size=(96, 4))).astype("float32")
LABELS = {"near": (NEAR[:, 0] > NEAR[:, 1]) * 1, "far": (FAR[:, 0] > FAR[:, 1]) * 1}
ROWS = {"near": NEAR, "far": FAR}
ROUTES = np.eye(2)  # each task has a component of its own


def component():
    return keras.Sequential(
        [
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
        ]
    )


def network(build=keras_mtl.build_no_sharing, tasks=TASKS, num_components=2, **settings):
    settings = {"task_data": "separate", "seed": 1} | settings
    return build(keras.Input((4,)), tasks, [[component] * num_components], **settings)


def forced(build, matrix, **settings):
    """Returns a network whose tasks use the components that a matrix says, learned or not."""
    model = network(build, num_components=len(matrix[0]), **settings)
    if build is keras_mtl.build_gumbel_matrix:
        force(model, matrix)
    else:
        force_routes(model, np.argmax(matrix, axis=1)[:, None])
    return model


def no_sharing(matrix, **settings):
    return network(num_components=len(matrix[0]), **settings)


METHODS = {
    "no_sharing": no_sharing,
    "gumbel_matrix": lambda matrix, **settings: forced(
        keras_mtl.build_gumbel_matrix, matrix, temperature=1.0, **settings
    ),
    "routing_by_example": lambda matrix, **settings: forced(
        keras_mtl.build_routing_network, matrix, epsilon=0.0, **settings
    ),
    "routing_by_task": lambda matrix, **settings: forced(
        keras_mtl.build_routing_network, matrix, draws="task", epsilon=0.0, **settings
    ),
}


def states(model, number):
    """Returns what a component of the first list has learned, as arrays."""
    found = model.get_layer("modular_1").components[number]
    return [np.array(ops.convert_to_numpy(weight)) for weight in found.weights]


def mixed_batches():
    """Yields batches of four rows of each task, in another order each time."""
    for start in range(0, 12, 4):
        part = slice(start, start + 4)
        order = np.random.default_rng(start).permutation(8)
        x = np.concatenate([NEAR[part], FAR[part]])[order]
        y = np.concatenate([LABELS["near"][part], LABELS["far"][part]])[order]
        yield {"inputs": x, "task_id": np.repeat([0, 1], 4)[order].astype("int32")}, y


def trained(model, batches, learning_rate=0.02, run_eagerly=False):
    model.compile(keras.optimizers.SGD(learning_rate), run_eagerly=run_eagerly)
    for x, y in batches:
        model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize("name", METHODS)
def test_mixed_batches_leave_a_component_as_its_task_alone_does(name):
    method, eagerly = METHODS[name], EAGER and name != "routing_by_example"
    model = trained(method(ROUTES), mixed_batches(), run_eagerly=eagerly)
    alone = method(ROUTES)
    start = states(alone, 1)
    by_task = (
        ({"inputs": x["inputs"][own], "task_id": x["task_id"][own]}, y[own])
        for x, y in mixed_batches()
        for own in [x["task_id"] == 0]
    )
    # The mean is over half as many rows.
    trained(alone, by_task, learning_rate=0.01, run_eagerly=eagerly)
    for found, expected in zip(states(model, 0), states(alone, 0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    for found, expected in zip(states(alone, 1), start, strict=True):
        np.testing.assert_array_equal(found, expected)  # nobody used it


@pytest.mark.parametrize("method", ["gumbel_matrix", "fixed_random"])
def test_shared_data_leaves_alone_what_no_task_uses(method):
    matrix = np.array([[1, 0, 0], [0, 1, 0]])
    if method == "gumbel_matrix":
        model = METHODS[method](matrix, task_data="shared")
    else:
        model = network(
            keras_mtl.build_fixed_random, num_components=3, task_data="shared", routes=[[0], [1]]
        )
    before = states(model, 2)
    batches = ((NEAR[i : i + 8], {n: y[i : i + 8] for n, y in LABELS.items()}) for i in (0, 8))
    trained(model, batches, run_eagerly=EAGER)
    for found, expected in zip(states(model, 2), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert all(np.all(states(model, number)[-2] != 0) for number in (0, 1))


@pytest.mark.parametrize("num_lists", [1, 2])
def test_experts_of_a_task_are_moved_by_its_rows_in_the_last_list(num_lists):
    layers = [[component] * 3] * num_lists
    model = keras_mtl.build_ple(keras.Input((4,)), TASKS, layers, task_data="separate", seed=1)
    x, _ = next(mixed_batches())
    x["inputs"] /= 50.0  # no weight of a gate is so small that it is 0
    before = model(x)
    model(x, training=True)
    experts = model.get_layer("experts_1").components
    for number, own in enumerate([x["task_id"] == 0, x["task_id"] == 1, x["task_id"] < 2]):
        kernel, bias, *_, mean, _ = (ops.convert_to_numpy(w) for w in experts[number].weights)
        used = x["inputs"][own] if num_lists == 1 else x["inputs"]  # others read what is shared
        np.testing.assert_allclose(mean, 0.5 * (used @ kernel + bias).mean(axis=0), rtol=1e-4)
    for expert in experts:
        expert.layers[1].moving_mean.assign(np.zeros(8))
        expert.layers[1].moving_variance.assign(np.ones(8))
    if num_lists == 1:
        np.testing.assert_array_equal(array(model(x)), array(before))
    frozen = keras_mtl.freeze(model)(x["inputs"])
    for task_id, name in enumerate(TASKS):
        own, answers = x["task_id"] == task_id, array(model(x))
        np.testing.assert_allclose(array(frozen[name])[own], answers[own], rtol=1e-5, atol=1e-6)


def accuracies(model, tasks=TASKS, order="mixed"):
    data = {name: (ROWS[name], LABELS[name]) for name in tasks}
    batches = keras_mtl.task_batches(tasks, data, batch_size=16, order=order, seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(batches, epochs=12, verbose=0)
    checked = keras_mtl.task_batches(tasks, data, batch_size=96, order="sequential")
    return model.evaluate(checked, return_dict=True, verbose=0)


@functools.cache
def accuracy_alone(name):
    tasks = {name: TASKS[name]}
    return accuracies(network(tasks=tasks, num_components=1), tasks)[f"{name}_accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["mixed", "shuffled"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_tasks_of_different_scale_evaluate_as_well_as_each_alone(method, order):
    together = accuracies(method(ROUTES), order=order)
    for name in TASKS:
        assert accuracy_alone(name) > 0.9
        assert together[f"{name}_accuracy"] > accuracy_alone(name) - 0.04


def test_a_draw_that_leaves_a_component_out_leaves_its_statistics_alone():
    model = network(keras_mtl.build_gumbel_matrix, temperature=1.0, num_components=4)
    (allocation,) = (layer for layer in model.layers if isinstance(layer, AllocationMatrix))
    batch = {"inputs": NEAR, "task_id": np.arange(96, dtype="int32") % 2}
    seen = set()
    for _ in range(4):
        before = [states(model, number)[-2] for number in range(4)]
        seed = np.array(ops.convert_to_numpy(allocation.router.seed_generator.state))
        model(batch, training=True)
        allocation.router.seed_generator.state.assign(seed)
        draw = ops.convert_to_numpy(allocation.rows(training=True))
        for number, used in enumerate(draw.any(axis=0)):
            seen.add(bool(used))
            moved = np.any(states(model, number)[-2] != before[number])
            assert moved == used
    assert seen == {False, True}
