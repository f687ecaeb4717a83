import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import BiLSTM, JoinDirections
from tests.gradients import gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")  # B = 3, 5 steps, D = 4
LENGTHS = [5, 3, 1]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def randomized(layer, *shape):
    """Builds a layer and gives every weight, biases too, a random value."""
    layer.build(shape)
    layer.set_weights([0.5 * RNG.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def stack(direction="separate"):
    """Returns two layers of 2 and 3 units, so that no axis can be taken for another."""
    first = randomized(BiLSTM(2), 3, 5, 4)
    return [first, randomized(BiLSTM(3, direction), 3, 5, 2, 2)]


def through(stacked, x=X, mask=None):
    for layer in stacked:
        x = layer(x, mask=mask)
    return array(x)


def assert_close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


# Against Keras


def bidirectional(units, weights):
    layer = layers.Bidirectional(layers.LSTM(units, return_sequences=True))
    layer.build((3, 5, len(weights[0])))
    layer.set_weights(weights)
    return layer


@pytest.mark.parametrize(
    ("depth", "mask"), [(1, MASK), (2, np.ones_like(MASK)), (2, MASK)], ids=["1", "2", "padded"]
)
def test_layers_that_read_both_directions_are_a_stack_of_keras_bidirectionals(depth, mask):
    ours, x = stack("concat")[:depth], X
    for layer in ours:
        x = bidirectional(layer.units, layer.get_weights())(x, mask=mask)
    found = array(JoinDirections()(through(ours, mask=mask)))
    assert_close(found[mask], array(x)[mask])  # Keras writes zeros where there is padding


def test_layers_that_read_their_own_direction_are_two_stacks_of_lstms():
    ours, flipped = stack(), X[:, ::-1]
    first, last = X, flipped
    for layer, units in zip(ours, (2, 3), strict=True):
        weights = layer.get_weights()
        first = one_way(units, weights[:3], first)
        last = one_way(units, weights[3:], last)
    found = through(ours)
    assert_close(found[:, :, 0], first)
    assert_close(found[:, :, 1], last[:, ::-1])


def one_way(units, weights, x):
    lstm = layers.LSTM(units, return_sequences=True)
    lstm.build(x.shape)
    lstm.set_weights(weights)
    return array(lstm(x))


# Time


@pytest.mark.parametrize("direction", ["separate", "concat"])
def test_time_reversed_gives_the_directions_swapped_and_reversed(direction):
    ours = stack(direction)
    swapped = stack(direction)
    for layer, other in zip(swapped, ours, strict=True):
        weights = other.get_weights()
        weights = [*weights[3:], *weights[:3]]
        if direction == "concat" and layer is swapped[1]:  # it reads the directions in turn
            weights[0], weights[3] = (np.roll(weights[place], 2, axis=0) for place in (0, 3))
        layer.set_weights(weights)
    assert_close(through(swapped, X[:, ::-1]), through(ours)[:, ::-1, ::-1])


def test_forwards_knows_the_past_and_backwards_the_future():
    ours, changed = stack(), X.copy()
    changed[:, 2] += 1.0
    moved = np.any(through(ours) != through(ours, changed), axis=(0, 3))  # (steps, directions)
    np.testing.assert_array_equal(moved[:, 0], [False, False, True, True, True])
    np.testing.assert_array_equal(moved[:, 1], [True, True, True, False, False])


# Masks


def test_padding_changes_nothing_at_the_steps_before_it():
    ours, padded = stack("concat"), np.where(MASK[..., None], X, 99.0).astype("float32")
    found = through(ours, padded, MASK)
    for row, length in enumerate(LENGTHS):
        alone = through(ours, X[row : row + 1, :length])
        assert_close(found[row, :length], alone[0])


def test_the_mask_goes_on_to_the_next_layer():
    tokens = np.array([[1, 2, 2], [2, 1, 0]])
    embedded = layers.Embedding(3, 4, mask_zero=True)(tokens)
    outputs = JoinDirections()(BiLSTM(2)(BiLSTM(3)(embedded)))
    mask = ops.convert_to_numpy(keras.src.backend.get_keras_mask(outputs))
    np.testing.assert_array_equal(mask, tokens != 0)


# Gradients


@pytest.mark.parametrize("direction", ["separate", "concat"])
def test_directions_meet_only_where_they_are_asked_to(direction):
    ours = stack(direction)
    ways = [ours[0].forward_layer, ours[0].backward_layer]
    variables = [variable for way in ways for variable in way.trainable_variables]

    def loss(way):
        x = X
        for layer in ours:
            x = layer(x)
        return ops.sum(x[:, :, way])

    for way in (0, 1):
        slopes = gradients(lambda way=way: loss(way), variables)
        touched = [bool(np.any(slope != 0)) for slope in slopes]
        own = [way == 0] * 3 + [way == 1] * 3
        assert touched == (own if direction == "separate" else [True] * 6)


# Weights, settings


def test_weights_are_those_of_an_lstm_for_each_direction():
    first, second = stack("concat")
    assert [w.path.split("/", 1)[1] for w in first.weights] == [
        f"{way}/lstm_cell/{name}"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert [tuple(w.shape) for w in first.weights] == [(4, 8), (2, 8), (8,)] * 2
    assert [tuple(w.shape) for w in second.weights] == [(4, 12), (3, 12), (12,)] * 2
    assert [tuple(w.shape) for w in stack()[1].weights] == [(2, 12), (3, 12), (12,)] * 2


def test_directions_start_with_weights_of_their_own():
    layer = BiLSTM(2)
    layer.build((None, None, 4))
    forward, backward = layer.get_weights()[0], layer.get_weights()[3]
    assert np.any(forward != backward)


def test_regularizers_act_on_both_directions():
    layer = randomized(BiLSTM(2, kernel_regularizer="l2", recurrent_regularizer="l1"), 3, 5, 4)
    weights = layer.get_weights()
    expected = [0.01 * np.sum(weights[place] ** 2) for place in (0, 3)]
    expected += [0.01 * np.sum(np.abs(weights[place])) for place in (1, 4)]
    np.testing.assert_allclose(sum(float(array(loss)) for loss in layer.losses), sum(expected))
    copy = BiLSTM.from_config(layer.get_config())
    assert isinstance(copy.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(copy.recurrent_regularizer, keras.regularizers.L1)


def test_half_precision_computes_in_halves_with_full_weights():
    full = randomized(BiLSTM(2), 3, 5, 4)
    half = BiLSTM(2, dtype="mixed_bfloat16")
    half.build((3, 5, 4))
    half.set_weights(full.get_weights())
    outputs = half(X, mask=MASK)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {w.dtype for w in half.weights} == {"float32"}
    np.testing.assert_allclose(array(outputs), array(full(X, mask=MASK)), rtol=0, atol=0.03)


def test_joined_directions_are_forwards_then_backwards():
    x = np.arange(24, dtype="float32").reshape(2, 3, 2, 2)
    joined = JoinDirections()(x)
    np.testing.assert_array_equal(array(joined)[0, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(array(joined), x.reshape(2, 3, 4))
    assert JoinDirections()(keras.Input((None, 2, 7))).shape == (None, None, 14)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_an_unknown_direction_is_an_error():
    with refused('direction must be "separate" or "concat". Received: \'both\''):
        BiLSTM(2, direction="both")


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3, 4), (3, 5, 2, 4, 2)], ids=str)
def test_an_input_that_is_no_sequence_is_an_error(shape):
    wanted = r"'lstm' reads a sequence, \(batch, steps, features\), or the output of another BiLSTM"
    with refused(wanted):
        BiLSTM(2, name="lstm")(np.zeros(shape, "float32"))
