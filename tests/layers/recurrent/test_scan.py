import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers.recurrent.scan import lstm_gates, masked_scan
from tests.layers.recurrence import MASK, RNG, X, array, assert_close


def rising(states, inputs):
    """Adds to a sum what comes in and ten times the number of steps before."""
    total, steps = states
    return [total + inputs[0] + 10 * steps, steps + 1]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, [[1, 13, 36, 70], [5, 21, 48, 86]]),
        ([[1, 0, 1, 1], [1, 1, 0, 0]], [[1, 1, 14, 38], [5, 21, 21, 21]]),
        ([[0, 0, 0, 0], [0, 0, 0, 1]], [[0, 0, 0, 0], [0, 0, 0, 8]]),
    ],
    ids=["full", "gaps", "empty"],
)
def test_states_are_carried_and_stand_still_at_padded_steps(mask, expected):
    x = np.arange(1.0, 9.0, dtype="float32").reshape(2, 4, 1)
    mask = mask if mask is None else ops.cast(mask, "bool")
    found = masked_scan(rising, [1, 1], [ops.convert_to_tensor(x)], mask)
    np.testing.assert_array_equal(array(found)[..., 0], expected)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_steps_get_every_sequence_in_its_own_shape(mask):
    matrices = RNG.normal(size=(3, 5, 4, 2)).astype("float32")
    vectors = RNG.normal(size=(3, 5, 2)).astype("float32")

    def step(states, inputs):
        vector, matrix, last = inputs
        new = ops.tanh(states[0] + ops.sum(matrix * ops.expand_dims(vector, 1), axis=-1))
        return [new * last]

    state, expected = np.zeros((3, 4)), []
    for time in range(5):
        new = np.tanh(state + (matrices[:, time] * vectors[:, time, None]).sum(-1))
        new = new * X[:, time, :1]
        state = new if mask is None else np.where(mask[:, time, None], new, state)
        expected.append(state)
    sequences = [ops.convert_to_tensor(x) for x in (vectors, matrices, X[..., :1])]
    found = masked_scan(step, [4], sequences, mask)
    assert_close(array(found), np.stack(expected, axis=1))


class Cells(layers.Layer):
    """An LSTM made of the two functions under test."""

    def __init__(self):
        super().__init__()
        self.lstm = layers.LSTM(4, return_sequences=True)
        self.supports_masking = True

    def build(self, shape):
        self.lstm.build(shape)

    def call(self, x, mask=None):
        weights = self.lstm.cell

        def step(states, inputs):
            hidden, cell = states
            projected = inputs[0] + ops.matmul(hidden, weights.recurrent_kernel)
            cell, output = lstm_gates(projected, cell)
            return [output * ops.tanh(cell), cell]

        projected = ops.matmul(x, weights.kernel) + weights.bias
        return masked_scan(step, [4, 4], [projected], mask)

    def compute_output_shape(self, shape):
        return (*shape[:2], 4)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_gates_make_an_lstm(mask):
    cells = Cells()
    assert_close(array(cells(X, mask=mask)), array(cells.lstm(X, mask=mask)))


@pytest.mark.slow
def test_sequences_of_any_number_and_length_pass_one_compiled_program():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 3, mask_zero=True)(inputs)
    cells = Cells()
    model, stock = keras.Model(inputs, cells(x)), keras.Model(inputs, cells.lstm(x))
    for shape in [(2, 3), (5, 7), (3, 1)]:
        tokens = RNG.integers(0, 9, shape)
        found = model.predict(tokens, verbose=0)
        assert_close(found, stock.predict(tokens, verbose=0))


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="traces with unknown shapes")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_shapes_may_be_unknown_when_a_graph_is_traced(jit_compile):
    import tensorflow as tf

    cells = Cells()
    cells.build((None, None, 6))

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 6)), tf.TensorSpec((None, None), tf.bool)],
        jit_compile=jit_compile,
    )
    def slopes(x, mask):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            ours, stock = cells(x, mask=mask), cells.lstm(x, mask=mask)
            ours, stock = tf.reduce_sum(ours**2), tf.reduce_sum(stock**2)
        return tape.gradient(ours, x), tape.gradient(stock, x)

    for length in (5, 2):
        ours, stock = slopes(X[:, :length], MASK[:, :length])
        assert_close(array(ours), array(stock))
