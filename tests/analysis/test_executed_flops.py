"""What each example costs where blocks are skipped."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import executed_blocks, executed_flops
from keras_mtl.layers import ResidualConv1D, ResidualConv2D, ResidualDense
from tests.models.gates import half_open

TASKS = {"a": 3, "b": "binary", "c": 3}
POLICY = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0]])
X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
LAYERS = [
    partial(keras.layers.Dense, 7),
    [partial(ResidualDense, 7)],
    [partial(ResidualDense, 4)],
    [lambda: keras.Sequential([keras.layers.Dense(9), keras.layers.Dense(4)])],
]
STEM, SKIPPED, HEADS = 5 * 7, 7 * 4, np.array([4 * 3, 4 * 1, 4 * 3])  # multiplications by hand
BLOCKS = np.array([2 * 7 * 7, 7 * 4 + 4 * 4, 2 * 4 * 9])
GATES = np.array([7 * 16 + 16 * 2, 7 * 16 + 16 * 2, 4 * 16 + 16 * 2])


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(task_data, build=keras_mtl.build_dynashare, **settings):
    return build(keras.Input((5,)), TASKS, LAYERS, task_data=task_data, seed=0, **settings)


def data_of(task_data):
    return X if task_data == "shared" else {"a": X, "b": X[:40], "c": X[::-1]}


@pytest.mark.slow
def test_without_gates_all_cost_what_the_report_says(task_data):
    models = [
        network(task_data, policy=POLICY),
        network(task_data, keras_mtl.build_adashare, cycles_per_block=0, init_probability=0.3),
        network(task_data, keras_mtl.build_adashare, cycles_per_block=0, init_probability=0.7),
    ]
    for model in models:
        found, expected = executed_flops(model, data_of(task_data)), keras_mtl.sharing_report(model)
        assert {task: set(flops) for task, flops in found.items()} == {
            task: {flops} for task, flops in expected.flops.items()
        }


@pytest.mark.slow
def test_what_examples_execute_by_hand(task_data):
    model = network(task_data, policy=POLICY, target_rates=[0.5, 0.5, 0.5])
    inputs = {"inputs": X, "task_id": np.zeros(70, "int32")}
    half_open(model, X if task_data == "shared" else inputs)
    executed = executed_blocks(model, data_of(task_data))
    assert len(np.unique(executed["a"].sum(axis=1))) > 2
    for row, (task, found) in enumerate(executed_flops(model, data_of(task_data)).items()):
        always = STEM + SKIPPED + HEADS[row] + POLICY[row] @ GATES
        np.testing.assert_array_equal(found, 2 * (always + executed[task] @ BLOCKS))


@pytest.mark.slow
def test_with_open_gates_it_is_what_the_report_says():
    model = network("shared", policy=POLICY, target_rates=[0.5, 1, 0.5])
    for task, flops in executed_flops(model, X).items():  # gates are open at the start
        assert set(flops) == {keras_mtl.sharing_report(model).flops[task]}


def test_images_cost_by_position():
    block = partial(ResidualConv2D, 6, strides=2)
    model = keras_mtl.build_dynashare(
        keras.Input((8, 7, 3)), {"a": 2}, [[block], keras.layers.GlobalAveragePooling2D],
        target_rates=0.5,
    )  # fmt: skip
    gate = model.get_layer("gate_1")
    x = np.ones((2, 8, 7, 3))
    always = 3 * 16 + 16 * 2 + 4 * 4 * (3 * 6) + 6 * 2
    costs = {(-90.0, 90.0): 4 * 4 * 9 * (3 * 6 + 6 * 6), (90.0, -90.0): 0}
    for bias, cost in costs.items():
        gate.scores.bias.assign(bias)
        assert executed_flops(model, x)["a"].tolist() == [2 * (always + cost)] * 2


def test_a_gate_at_every_step_costs_at_every_step_and_saves_by_step():
    model = keras_mtl.build_dynashare(
        keras.Input((6, 3)), {"a": keras_mtl.Task("tagging", 2)}, [[partial(ResidualConv1D, 4)]],
        target_rates=0.5, gates_per_step=True, seed=0,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(9, 6, 3)).astype("float32")
    shares = executed_blocks(half_open(model, x), x)["a"][:, 0].astype("float64")
    assert set(shares) - {0, 1}
    always = 6 * (3 * 16 + 16 * 2 + 3 * 4 + 4 * 2)  # gate, projection, head
    expected = 2 * (always + shares * 6 * 3 * (3 * 4 + 4 * 4))
    np.testing.assert_allclose(executed_flops(model, x)["a"], expected, rtol=1e-6)


@pytest.mark.slow
def test_the_model_stays_as_it_is():
    model = network("shared", policy=POLICY, target_rates=0.5)
    nodes = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    executed_flops(model, X)
    assert [len(layer._inbound_nodes) for layer in model._flatten_layers()] == nodes


def test_a_model_has_blocks_to_skip():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), TASKS, [[partial(keras.layers.Dense, 4)] * 2]
    )
    with pytest.raises(ValueError, match="has no blocks to skip. Give a model made by"):
        executed_flops(model, X)
