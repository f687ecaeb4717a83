import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import CommunicatingLSTM
from tests.gradients import gradients
from tests.layers.recurrence import (
    LENGTHS,
    MASK,
    PADDED,
    RNG,
    X,
    array,
    assert_close,
    lstm,
    lstm_step,
    randomized,
    sigmoid,
)

SENT = [RNG.normal(size=(3, 5, 4)).astype("float32") for _ in range(3)]  # by three senders
ATTENTION = ("attention_kernel", "attention_score")


def communicating():
    """Returns a layer of four units with random weights."""
    return randomized(CommunicatingLSTM(4), X, SENT[0])


def weights_of(layer):
    return layer.lstm.get_weights()


def by_hand(layer, messages_at, valid_at, mask):
    """Returns the states in NumPy.

    `messages_at(time)` are `(batch, messages, 4)`, of which `valid_at(time)` are no padding.
    """
    of_message, of_state, of_input = np.split(array(layer.attention_kernel), [4, 8])
    score, gates, values = (
        array(weight) for weight in (layer.attention_score, layer.gate_kernel, layer.message_kernel)
    )
    hidden, cell, states = np.zeros((3, 4)), np.zeros((3, 4)), []
    for time in range(5):
        messages = messages_at(time)
        query = hidden @ of_state + X[:, time] @ of_input
        scores = (np.tanh(messages @ of_message + query[:, None]) @ score)[..., 0]
        attention = np.exp(scores) * valid_at(time)
        attention = attention / attention.sum(axis=-1, keepdims=True)
        message = (attention[..., None] * messages).sum(axis=1)
        new, output = lstm_step(weights_of(layer), X[:, time], hidden, cell)
        gate = sigmoid(np.concatenate([message, new], axis=-1) @ gates)
        moves = mask[:, time, None]
        hidden = np.where(moves, output * np.tanh(new + gate * (message @ values)), hidden)
        cell = np.where(moves, new, cell)
        states.append(hidden)
    return np.stack(states, axis=1)


# Numbers


@pytest.mark.parametrize("mask", [np.ones_like(MASK), MASK], ids=["full", "padded"])
def test_senders_are_attended_to_at_each_step(mask):
    layer = communicating()
    messages = np.stack(SENT, axis=2)
    expected = by_hand(layer, lambda time: messages[:, time], lambda time: np.ones((3, 3)), mask)
    assert_close(array(layer(X, SENT, mask=mask)), expected)


def test_all_steps_of_one_sender_but_padding_are_attended_to():
    layer = communicating()
    expected = by_hand(layer, lambda time: SENT[0], lambda time: MASK, MASK)
    assert_close(array(layer(X, SENT[0], mask=MASK)), expected)


# Limiting cases


def test_without_messages_it_is_an_lstm():
    layer = communicating()
    assert_close(array(layer(X, mask=MASK)), lstm(weights_of(layer), mask=MASK))


@pytest.mark.parametrize("messages", [SENT, SENT[0]], ids=["senders", "steps"])
def test_messages_of_no_weight_leave_an_lstm(messages):
    layer = communicating()
    assert np.abs(array(layer(X, messages)) - lstm(weights_of(layer))).max() > 0.05
    layer.message_kernel.assign(np.zeros((4, 4)))
    assert_close(array(layer(X, messages)), lstm(weights_of(layer)))


def test_attention_sums_to_one():
    layer = communicating()
    alone = array(layer(X, SENT[:1]))
    assert_close(array(layer(X, SENT[:1] * 3)), alone)
    constant = np.tile(SENT[0][:, :1], (1, 5, 1))  # the same at all steps
    expected = array(layer(X, [constant], mask=MASK))
    assert_close(array(layer(X, constant, mask=MASK)), expected)


def test_one_sender_has_all_the_attention():
    layer = communicating()
    before = array(layer(X, SENT[:1]))
    weights = layer.trainable_variables
    slopes = gradients(lambda: ops.sum(layer(X, SENT[:1])), weights)
    still = {weight.name for weight, slope in zip(weights, slopes, strict=True) if not slope.any()}
    assert still == set(ATTENTION)
    for name in ATTENTION:
        weight = getattr(layer, name)
        weight.assign(RNG.normal(size=weight.shape))
    np.testing.assert_array_equal(array(layer(X, SENT[:1])), before)


def test_senders_may_come_in_any_order():
    layer = communicating()
    assert_close(array(layer(X, SENT[::-1])), array(layer(X, SENT)))


# Time, masks


def changed(messages, x=X):
    """Returns at which steps the answer moves when step 2 of the messages does."""
    layer = communicating()
    several = isinstance(messages, list)
    other = [message.copy() for message in (messages if several else [messages])]
    for message in other:
        message[:, 2] += 1.0
    before, after = array(layer(x, messages)), array(layer(x, other if several else other[0]))
    return np.any(before != after, axis=(0, 2)).tolist()


def test_senders_are_heard_when_they_speak_and_one_sender_at_all_steps():
    assert changed(SENT) == [False, False, True, True, True]
    assert changed(SENT[0]) == [True] * 5


@pytest.mark.parametrize("several", [True, False], ids=["senders", "steps"])
def test_padding_changes_nothing_at_the_steps_before_it(several):
    layer = communicating()
    padded = [np.where(MASK[..., None], sent, 99.0).astype("float32") for sent in SENT]
    found = array(layer(PADDED, padded if several else padded[0], mask=MASK))
    for row, length in enumerate(LENGTHS):
        own = [sent[row : row + 1, :length] for sent in SENT]
        alone = array(layer(X[row : row + 1, :length], own if several else own[0]))
        assert_close(found[row, :length], alone[0])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_sequence_of_nothing_but_padding_stays_finite(policy):
    layer = CommunicatingLSTM(4, dtype=policy)
    mask = np.array([[True] * 5, [False] * 5, [True] * 5])
    found = array(layer(X, SENT[0], mask=mask))
    np.testing.assert_array_equal(found[1], np.zeros((5, 4)))
    assert np.isfinite(found).all() and np.all(np.any(found[[0, 2]] != 0, axis=(1, 2)))
    slopes = gradients(
        lambda: ops.sum(ops.cast(layer(X, SENT[0], mask=mask), "float32")),
        layer.trainable_variables,
    )
    assert all(np.isfinite(slope).all() and slope.any() for slope in slopes)


@pytest.mark.parametrize("messages", [None, SENT, SENT[0]], ids=["none", "senders", "steps"])
def test_the_mask_of_the_sequence_is_read_and_goes_on(messages):
    tokens = np.array([[1, 2, 2, 1, 1], [2, 1, 2, 2, 0], [1, 0, 0, 0, 0]])
    x = layers.Embedding(3, 6, mask_zero=True)(tokens)
    states = communicating()(x) if messages is None else communicating()(x, messages)
    np.testing.assert_array_equal(array(states._keras_mask), tokens != 0)
    np.testing.assert_array_equal(array(states)[1, 3], array(states)[1, 4])


# Errors


@pytest.mark.parametrize("messages", [[SENT[0][..., :3]], SENT[0][..., :3]], ids=["list", "one"])
def test_messages_have_the_units_of_the_lstm(messages):
    wanted = r"'lstm_1' needs messages of shape \(batch, steps, 4\).*Received: \(3, 5, 3\)"
    with pytest.raises(ValueError, match=wanted):
        CommunicatingLSTM(4, name="lstm_1")(X, messages)


def test_an_input_that_is_no_sequence_is_an_error():
    wanted = r"'lstm_1' reads sequences, \(batch, steps, features\). Received: \(3, 6\)"
    with pytest.raises(ValueError, match=wanted):
        CommunicatingLSTM(4, name="lstm_1")(X[:, 0])
