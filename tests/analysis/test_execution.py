"""Which blocks examples execute."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import executed_blocks, task_distance
from keras_mtl.layers import InstanceGate, ResidualConv1D, ResidualDense
from tests.models.gates import half_open

TASKS = {"a": 3, "b": "binary", "c": 3}
POLICY = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")  # more than a batch of predict


def network(task_data, build=keras_mtl.build_dynashare, **settings):
    layers = [[partial(ResidualDense, 5)]] * 3
    model = build(keras.Input((5,)), TASKS, layers, task_data=task_data, seed=0, **settings)
    rng = np.random.default_rng(1)
    for gate in [layer for layer in model.layers if isinstance(layer, InstanceGate)]:
        gate.hidden.kernel.assign(rng.normal(size=gate.hidden.kernel.shape))
        gate.scores.kernel.assign(rng.normal(size=gate.scores.kernel.shape))
        gate.scores.bias.assign([0.0, 0.0])
    return model


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def data_of(task_data):
    return X if task_data == "shared" else {"a": X, "b": X[:40], "c": X[::-1]}


def test_without_gates_it_is_the_policy(task_data):
    found = executed_blocks(network(task_data, policy=POLICY), data_of(task_data))
    assert list(found) == list(TASKS)
    for row, (task, executed) in zip(POLICY, found.items(), strict=True):
        number = 40 if (task, task_data) == ("b", "separate") else 70
        assert executed.tolist() == [row.tolist()] * number


def test_with_gates_it_is_each_examples_own(task_data):
    model = network(task_data, policy=POLICY, target_rates=[0.5, 0.5, 1])
    found = executed_blocks(model, data_of(task_data))
    first = keras.ops.convert_to_numpy(model.get_layer("gate_1")(X))[:, 0]
    assert 5 < first.sum() < 65
    assert found["a"][:, 0].tolist() == first.tolist()
    of_b = first[:40] if task_data == "separate" else first
    assert found["b"][:, 0].tolist() == of_b.tolist() and not found["b"][:, 1].any()
    of_c = first[::-1] if task_data == "separate" else first
    assert found["c"][:, 0].tolist() == of_c.tolist()
    assert 0 < found["c"][:, 1].sum() < 70 and not found["c"][:, 2].any()
    assert found["a"][:, 2].all()


@pytest.mark.parametrize(("task_data", "strides"), [("shared", 2), ("separate", 1)])
def test_gates_at_steps_give_the_share_of_valid_steps(task_data, strides):
    lengths = np.array([6, 1, 4, 0, 5, 3, 2])
    mask = np.arange(6) < lengths[:, None]
    x = np.random.default_rng(0).normal(size=(7, 6, 3)) * mask[..., None]
    model = keras_mtl.build_dynashare(
        keras.Input((None, 3)), TASKS,
        [[partial(ResidualConv1D, 4, strides=strides)], [partial(ResidualConv1D, 4)],
         keras.layers.GlobalAveragePooling1D],
        stem=[keras.layers.Masking], policy=[[1, 1], [1, 0], [1, 1]], target_rates=[0.5, 1],
        gates_per_step=True, task_data=task_data, seed=0,
    )  # fmt: skip
    shared = task_data == "shared"
    half_open(model, x if shared else {"inputs": x, "task_id": np.zeros(7, "int32")})
    gate = keras.ops.convert_to_numpy(model.get_layer("gate_1")(x, mask=mask))[..., 0]
    share = [row[valid].mean() if valid.any() else 0
             for row, valid in zip(gate, mask[:, ::strides], strict=True)]  # fmt: skip
    assert 0 < np.sum(share) < 6 and set(share) - {0, 1}
    found = executed_blocks(model, x if shared else {"a": x, "b": x[:5], "c": x[::-1]})
    np.testing.assert_allclose(found["a"][:, 0], share, rtol=1e-6)
    np.testing.assert_allclose(found["b"][:, 0], share if shared else share[:5], rtol=1e-6)
    np.testing.assert_allclose(found["c"][:, 0], share if shared else share[::-1], rtol=1e-6)
    assert found["a"].shape == (7, 2) and found["a"][:, 1].all() and not found["b"][:, 1].any()


def test_a_policy_that_is_being_learned_takes_its_likely_choices(task_data):
    model = network(task_data, keras_mtl.build_adashare, cycles_per_block=0)
    model.get_layer("policy_2").row_blocks[0].assign([[[0, 9]], [[9, 0]], [[0, 9]]])
    found = executed_blocks(model, data_of(task_data))
    assert [executed[0].tolist() for executed in found.values()] == [
        [1, 0, 1],
        [1, 1, 1],
        [1, 0, 1],
    ]


def test_a_model_has_blocks_to_skip():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), TASKS, [[partial(keras.layers.Dense, 4)] * 2]
    )
    with pytest.raises(ValueError, match="has no blocks to skip. Give a model made by"):
        executed_blocks(model, X)


def test_data_have_the_form_of_the_model():
    with pytest.raises(ValueError, match="x must have shape"):
        executed_blocks(network("shared"), X[:, :3])
    with pytest.raises(ValueError, match="x must be a dict, name of a task"):
        executed_blocks(network("separate"), X)


def test_tasks_are_as_far_apart_as_their_policies():
    distance = task_distance(network("shared", policy=[[1, 1, 1], [1, 0, 1], [0, 0, 0]]))
    np.testing.assert_allclose(distance, np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]]) / 3)


def test_while_policies_are_learned_their_probabilities_count():
    model = network("shared", build=keras_mtl.build_adashare)
    for number, chances in enumerate([[0.9, 0.5, 0.5], [0.5, 0.5, 0.5], [0.3, 0.5, 0.2]], start=1):
        policy = model.get_layer(f"policy_{number}")
        odds = np.log(chances) - np.log1p(np.negative(chances))
        policy.row_blocks[0].assign(np.stack([odds, np.zeros(3)], axis=-1)[:, None])
        policy.batches.assign(policy.start)  # from when on the block may be skipped
    expected = np.array([[0, 0.4 + 0.2, 0.4 + 0.1], [0.6, 0, 0.3], [0.5, 0.3, 0]]) / 3
    np.testing.assert_allclose(task_distance(model), expected, atol=1e-6)
