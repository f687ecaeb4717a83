import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import CompositeLSTM
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
)

GATES = RNG.dirichlet(np.ones(3), size=(3, 5)).astype("float32")


def composite():
    """Returns two LSTMs of four units with random weights."""
    return randomized(CompositeLSTM(4, num_lstms=2), X)


def only(gate, steps=slice(None)):
    """Returns gates that stand still, but for the given steps, where one gate is 1."""
    gates = np.zeros((3, 5, 3), "float32")
    gates[..., 0] = 1
    gates[:, steps] = np.eye(3)[gate]
    return gates


def weights_of(layer, index):
    return layer.lstms[index].get_weights()


# Numbers


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_every_lstm_steps_from_the_composite_state(mask):
    layer, expected = composite(), []
    hidden = cell = np.zeros((3, 4))
    for time in range(5):
        stay, *use = np.split(GATES[:, time], 3, axis=-1)
        next_hidden, next_cell = stay * hidden, stay * cell
        for index, gate in enumerate(use):
            own, output = lstm_step(weights_of(layer, index), X[:, time], hidden, cell)
            next_hidden = next_hidden + gate * output * np.tanh(own)
            next_cell = next_cell + gate * own
        moves = True if mask is None else mask[:, time, None]
        hidden, cell = np.where(moves, next_hidden, hidden), np.where(moves, next_cell, cell)
        expected.append(hidden)
    assert_close(array(layer(X, GATES, mask=mask)), np.stack(expected, axis=1))


def test_without_gates_lstms_run_alone():
    layer = composite()
    found = [array(states) for states in layer(X, mask=MASK)]
    for index, states in enumerate(found):
        assert_close(states, lstm(weights_of(layer, index), mask=MASK))
    assert np.abs(found[0] - found[1]).max() > 0.1


# Limiting cases


@pytest.mark.parametrize("index", [0, 1])
def test_a_gate_that_is_always_open_is_its_lstm(index):
    layer = composite()
    found = array(layer(X, only(1 + index), mask=MASK))
    assert_close(found, lstm(weights_of(layer, index), mask=MASK))


def test_the_first_gate_keeps_the_state():
    layer = composite()
    np.testing.assert_array_equal(array(layer(X, only(0))), np.zeros((3, 5, 4)))
    found = array(layer(X, only(2, steps=1)))
    step = array(layer(X[:, 1:2], only(2)[:, 1:2]))
    assert_close(found, np.concatenate([0 * step, *[step] * 4], axis=1))


def test_lstms_take_turns_on_one_state():
    layer = composite()
    gates = only(1)
    gates[:, 2:] = only(2)[:, 2:]
    found = array(layer(X, gates))
    first = lstm(weights_of(layer, 0))
    assert_close(found[:, :2], first[:, :2])
    kernel, recurrent, bias = weights_of(layer, 1)
    second = layers.LSTM(4, return_sequences=True)
    second.build((None, None, 6))
    second.set_weights([kernel, recurrent, bias])
    stock = layers.LSTM(4, return_state=True)
    stock.build((None, None, 6))
    stock.set_weights(weights_of(layer, 0))
    _, hidden, cell = stock(X[:, :2])
    assert_close(found[:, 2:], array(second(X[:, 2:], initial_state=[hidden, cell])))


def test_equal_lstms_under_gates_that_never_stand_still_are_one():
    layer = composite()
    layer.lstms[1].set_weights(weights_of(layer, 0))
    gates = GATES.copy()
    gates[..., 1] += gates[..., 0]
    gates[..., 0] = 0
    assert_close(array(layer(X, gates)), lstm(weights_of(layer, 0)))


# Masks, gradients


def test_padding_changes_nothing_at_the_steps_before_it():
    layer = composite()
    found = array(layer(PADDED, GATES, mask=MASK))
    for row, length in enumerate(LENGTHS):
        alone = array(layer(X[row : row + 1, :length], GATES[row : row + 1, :length]))
        assert_close(found[row, :length], alone[0])


def test_the_mask_of_the_sequence_is_read_and_goes_on():
    tokens = np.array([[1, 2, 2], [2, 1, 0]])
    x = layers.Embedding(3, 6, mask_zero=True)(tokens)
    layer = composite()
    for states in (*layer(x), layer(x, GATES[:2, :3])):
        np.testing.assert_array_equal(array(states._keras_mask), tokens != 0)
        np.testing.assert_array_equal(array(states)[1, 1], array(states)[1, 2])


def test_the_mask_is_known_before_any_batch():
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(3, 6, mask_zero=True)(tokens)
    layer = CompositeLSTM(4, 2)
    for states in (*layer(x), layer(x, layers.Dense(3)(x))):
        assert states.shape == (None, None, 4)
        assert states._keras_mask.shape == (None, None)


def test_the_composite_state_has_a_gradient_on_every_lstm_with_an_open_gate():
    layer = composite()

    def slopes(gates):
        found = gradients(lambda: ops.sum(layer(X, gates)), layer.trainable_variables)
        return [bool(np.any(slope != 0)) for slope in found]

    assert slopes(GATES) == [True] * 6
    assert slopes(only(1)) == [True] * 3 + [False] * 3


# Errors


def test_gates_have_the_right_width():
    wanted = r"'composite' needs 3 gates per step, one that keeps .*Received: \(3, 5, 2\)"
    with pytest.raises(ValueError, match=wanted):
        CompositeLSTM(4, 2, name="composite")(X, GATES[..., :2])


def test_an_input_that_is_no_sequence_is_an_error():
    wanted = r"'composite' reads sequences, \(batch, steps, features\). Received: \(3, 6\)"
    with pytest.raises(ValueError, match=wanted):
        CompositeLSTM(4, 2, name="composite")(X[:, 0])
