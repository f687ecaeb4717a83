"""Experts and gates that read several streams of features."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import ExpertStreams, StreamGates
from tests.gradients import gradients

RNG = np.random.default_rng(0)
STREAMS = [RNG.normal(size=(5, 6)).astype("float32") for _ in range(3)]  # B = 5, D = 6
CLOSED = np.array([[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])  # 3 gates, E = 4


def array(tensor):
    return ops.convert_to_numpy(tensor)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def expected(gates, streams):
    """Returns what each gate makes of its stream, with zeros where it is closed."""
    found = []
    for gate, x, closed in zip(gates.gates, streams, CLOSED, strict=True):
        kernel, bias = gate.get_weights()
        weights = np.zeros((len(x), 4))
        weights[:, closed == 0] = softmax(x @ kernel + bias)
        found.append(weights)
    return found


def with_biases(gates):
    for gate in gates.gates:
        gate.bias.assign(RNG.normal(size=gate.bias.shape))
    return gates


# Gates


@pytest.mark.parametrize("number", [1, 3])
def test_each_gate_weighs_its_open_experts_by_its_own_stream_or_the_only_one(number):
    gates = StreamGates(CLOSED)
    gates([ops.convert_to_tensor(x) for x in STREAMS[:number]])
    found = with_biases(gates)(STREAMS[:number])
    streams = STREAMS if number == 3 else STREAMS[:1] * 3
    for weights, wanted in zip(found, expected(gates, streams), strict=True):
        np.testing.assert_allclose(array(weights), wanted, rtol=1e-5)
        np.testing.assert_array_equal(array(weights) == 0, wanted == 0)
        np.testing.assert_allclose(array(weights).sum(axis=1), np.ones(5), rtol=1e-6)


def test_gates_read_the_mean_of_steps_that_are_no_padding_or_every_step():
    streams = [RNG.normal(size=(5, 7, 6)).astype("float32") for _ in range(3)]
    mask = np.arange(7) < np.array([7, 1, 3, 5, 2])[:, None]
    gates = StreamGates(CLOSED)
    found = gates(streams, mask=[ops.convert_to_tensor(mask)] * 3)
    means = [(x * mask[..., None]).sum(axis=1) / mask.sum(axis=1)[:, None] for x in streams]
    for weights, wanted in zip(found, expected(gates, means), strict=True):
        np.testing.assert_allclose(array(weights), wanted, rtol=1e-4)
    by_step = StreamGates(CLOSED, per_step=True)
    found = by_step(streams)
    for step in range(7):
        wanted = expected(by_step, [x[:, step] for x in streams])
        for weights, each in zip(found, wanted, strict=True):
            np.testing.assert_allclose(array(weights)[:, step], each, rtol=1e-4)


@pytest.mark.parametrize("closed", [[[0, 1], [0, 0]], [[0]]])
def test_a_gate_weighs_two_experts_or_more(closed):
    with pytest.raises(ValueError, match="A gate weighs two experts or more. Received closed"):
        StreamGates(closed)


# Experts

WEIGHTS = [RNG.normal(size=(5, 4)).astype("float32") for _ in range(2)]


def dense_experts():
    return [layers.Dense(3, activation="tanh", name=f"e{number}") for number in range(4)]


def mixed_experts():
    make = lambda name: keras.Sequential([layers.Dense(3, "relu")], name=name)  # noqa: E731
    first, second, *_ = dense_experts()
    return [first, make("s1"), second, make("s2")]


@pytest.mark.parametrize("experts_of", [dense_experts, mixed_experts])
@pytest.mark.parametrize("number", [1, 3])
def test_each_stream_of_the_answer_is_its_own_sum_of_the_experts(experts_of, number):
    experts, reads = experts_of(), [2, 0, 2, 1]
    found = ExpertStreams(experts, reads)(STREAMS[:number], WEIGHTS)
    streams = STREAMS if number == 3 else STREAMS[:1] * 3
    outputs = [array(e(streams[read])) for e, read in zip(experts, reads, strict=True)]
    assert len(found) == 2
    for sums, weights in zip(found, WEIGHTS, strict=True):
        wanted = sum(w[:, None] * o for w, o in zip(weights.T, outputs, strict=True))
        np.testing.assert_allclose(array(sums), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("per_step", [False, True])
def test_features_may_have_steps(per_step):
    streams = [RNG.normal(size=(5, 7, 6)).astype("float32") for _ in range(2)]
    experts, reads = dense_experts(), [1, 0, 1, 0]
    shape = (5, 7, 4) if per_step else (5, 4)
    weights = RNG.normal(size=shape).astype("float32")
    (found,) = ExpertStreams(experts, reads)(streams, [weights])
    outputs = [array(e(streams[read])) for e, read in zip(experts, reads, strict=True)]
    weights = np.moveaxis(weights, -1, 0)[..., None] if per_step else weights.T[:, :, None, None]
    wanted = sum(w * o for w, o in zip(weights, outputs, strict=True))
    np.testing.assert_allclose(array(found), wanted, rtol=1e-5, atol=1e-6)


def test_an_expert_learns_from_the_streams_that_weigh_it_only():
    experts = dense_experts()
    layer = ExpertStreams(experts, [0, 0, 1, 1])
    weights = [np.array([[1, 0, 2, 0]] * 5, "float32"), np.array([[0, 0, 1, 1]] * 5, "float32")]
    layer(STREAMS[:2], weights)
    for stream, row in enumerate(([1, 0, 1, 0], [0, 0, 1, 1])):
        for expert, learns in zip(experts, row, strict=True):
            slopes = gradients(
                lambda stream=stream: ops.sum(layer(STREAMS[:2], weights)[stream] ** 2),
                expert.trainable_variables,
            )
            assert all(np.any(slope != 0) == bool(learns) for slope in slopes)


def test_experts_with_different_output_shapes_are_an_error():
    experts = [layers.Dense(3, name="narrow"), layers.Dense(5, name="wide")]
    with pytest.raises(ValueError, match=r"must have one output shape.*narrow: .*3\), wide: .*5\)"):
        ExpertStreams(experts, [0, 1], name="experts_1")(STREAMS[:2], WEIGHTS)
