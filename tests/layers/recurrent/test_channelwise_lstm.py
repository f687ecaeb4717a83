from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mtl
from keras_mtl.layers import ChannelwiseLSTM
from tests.gradients import gradients
from tests.models.networks import answers, array, assert_equal_answers
from tests.models.tower_networks import called, scrambled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")  # B = 3, 5 steps, D = 4
LENGTHS = [5, 3, 1]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]
CHANNELS = [[3, 0], [1], [2]]


@pytest.fixture
def layer():
    """Three channels of 2 units with random weights, biases too."""
    layer = ChannelwiseLSTM(2, CHANNELS)
    layer.build((3, 5, 4))
    layer.set_weights([0.5 * RNG.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def stock(weights, x, mask=None):
    lstm = layers.LSTM(len(weights[1]), return_sequences=True)
    lstm.build(x.shape)
    lstm.set_weights(weights)
    return array(lstm(x, mask=mask))


def assert_close(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_it_is_a_stock_lstm_on_the_columns_of_each_channel(layer, mask):
    weights = layer.get_weights()
    expected = [
        stock(weights[3 * place : 3 * place + 3], X[..., channel], mask)
        for place, channel in enumerate(CHANNELS)
    ]
    found = array(layer(X, mask=mask))
    assert found.shape == (3, 5, 6)
    assert_close(found, np.concatenate(expected, axis=-1))


def test_one_channel_of_all_columns_is_one_lstm():
    layer = ChannelwiseLSTM(2, [range(4)])
    layer.build((3, 5, 4))
    assert_close(array(layer(X)), stock(layer.get_weights(), X))


def test_a_channel_reads_its_own_columns_only(layer):
    before = array(layer(X))
    for column, touched in ((0, [0, 1]), (3, [0, 1]), (1, [2, 3]), (2, [4, 5])):
        changed = X.copy()
        changed[..., column] += 1
        moved = np.any(array(layer(changed)) != before, axis=(0, 1))
        assert np.flatnonzero(moved).tolist() == touched


def test_a_step_knows_nothing_of_later_ones(layer):
    changed = X.copy()
    changed[:, 2] += 1
    moved = np.any(array(layer(changed)) != array(layer(X)), axis=(0, 2))
    np.testing.assert_array_equal(moved, [False, False, True, True, True])


def test_padding_changes_nothing_at_the_steps_before_it(layer):
    padded = np.where(MASK[..., None], X, 99).astype("float32")
    found = array(layer(padded, mask=MASK))
    for row, length in enumerate(LENGTHS):
        alone = array(layer(X[row : row + 1, :length]))
        assert_close(found[row, :length], alone[0])


def test_the_mask_goes_on_to_the_next_layer(layer):
    x = np.where(MASK[..., None], X, 0)
    mask = keras.src.backend.get_keras_mask(layer(layers.Masking()(x)))
    np.testing.assert_array_equal(ops.convert_to_numpy(mask), MASK)


def test_the_gradient_of_a_channel_stays_in_it(layer):
    slopes = gradients(lambda: ops.sum(layer(X)[..., 2:4]), layer.trainable_variables)
    assert [bool(np.any(slope != 0)) for slope in slopes] == [False] * 3 + [True] * 3 + [False] * 3


def test_channels_start_with_weights_of_their_own():
    layer = ChannelwiseLSTM(2, [[0], [1]])
    layer.build((None, None, 2))
    first, second = layer.get_weights()[0], layer.get_weights()[3]
    assert np.any(first != second)


def test_half_precision_computes_in_halves_with_full_weights(layer):
    half = ChannelwiseLSTM(2, CHANNELS, dtype="mixed_float16")
    half.build((3, 5, 4))
    half.set_weights(layer.get_weights())
    outputs = half(X, mask=MASK)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    assert {w.dtype for w in half.weights} == {"float32"}
    np.testing.assert_allclose(array(outputs), array(layer(X, mask=MASK)), rtol=0, atol=0.03)


# The network of the benchmark: channels, then an LSTM that reads them together

TASKS = {
    "died": "binary",
    "worse": keras_mtl.Task("binary", per_step=True),
    "stay": keras_mtl.Task("tagging", 3),
    "kinds": keras_mtl.Task("multilabel", 5),
}
BEGIN, END = np.array([[0, 0, 1, 2, 0, 0], [5, 2, 4, 5, 5, 3]])
STEPS = (np.arange(5) >= BEGIN[:, None]) & (np.arange(5) < END[:, None])
PATIENTS = np.where(STEPS[..., None], RNG.normal(size=(6, 5, 4)), 0).astype("float32")


@pytest.fixture
def network():
    """Channels and the LSTM above them, for tasks per step and at the end."""
    stack = [
        partial(ChannelwiseLSTM, 2, CHANNELS),
        partial(layers.LSTM, 3, return_sequences=True),
    ]
    return scrambled(
        keras_mtl.build_shared_bottom(keras.Input((None, 4)), TASKS, stack, stem=[layers.Masking])
    )


@pytest.mark.slow
def test_a_frozen_network_is_made_of_stock_lstms(network, tmp_path):
    expected = answers(network, PATIENTS)
    frozen = keras_mtl.freeze(network)
    assert not any(type(layer).__module__.startswith("keras_mtl") for layer in frozen.layers)
    names = {layer.name for layer in frozen.layers if isinstance(layer, layers.LSTM)}
    assert names == {"layer_1_channel_1", "layer_1_channel_2", "layer_1_channel_3", "layer_2"}
    frozen.save(tmp_path / "frozen.keras")
    for model in (frozen, keras.models.load_model(tmp_path / "frozen.keras")):
        outputs = called(model, PATIENTS)
        assert_equal_answers({name: array(outputs[name]) for name in TASKS}, expected)
    alone = array(called(keras_mtl.freeze(network, "stay"), PATIENTS))
    np.testing.assert_allclose(alone, expected["stay"], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_it_learns_and_is_saved(network, tmp_path):
    before = network.get_layer("layer_1").get_weights()
    labels = {
        "died": np.arange(6) % 2,
        "worse": np.tile(np.arange(5) % 2, (6, 1)).astype("float32"),
        "stay": np.tile(np.arange(5) % 3, (6, 1)),
        "kinds": np.tile(np.arange(5) % 2, (6, 1)),
    }
    network.compile("sgd")
    network.fit(PATIENTS, labels, batch_size=3, verbose=0)
    moved = zip(before, network.get_layer("layer_1").get_weights(), strict=True)
    assert all(np.any(old != new) for old, new in moved)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("layer_1").channels == CHANNELS
    assert_equal_answers(answers(loaded, PATIENTS), answers(network, PATIENTS), 0)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("channels", [[], [[0, 1], []]], ids=["none", "empty"])
def test_there_is_a_channel_and_a_column_in_each(channels):
    with refused("'monitor' needs at least one channel, and a column in each. Received: channels="):
        ChannelwiseLSTM(2, channels, name="monitor")


@pytest.mark.parametrize("column", [-1, 1.0, True, "heart_rate"])
def test_columns_are_numbers_from_0(column):
    wanted = f"channels of 'monitor', counted from 0, must be an integer .* Received: {column!r}"
    with refused(wanted):
        ChannelwiseLSTM(2, [[0], [column]], name="monitor")


@pytest.mark.parametrize("channels", [[[0, 2], [1, 2]], [[0, 2, 2], [1]]], ids=["two", "one"])
def test_a_column_belongs_to_one_channel(channels):
    with refused("'monitor' has column 2 in its channels more than once. Every column belongs"):
        ChannelwiseLSTM(2, channels, name="monitor")


def test_numbers_of_numpy_are_columns():
    layer = ChannelwiseLSTM(2, np.array([[0, 2], [1, 3]]))
    assert ChannelwiseLSTM.from_config(layer.get_config()).channels == [[0, 2], [1, 3]]
    assert {type(column) for channel in layer.get_config()["channels"] for column in channel} == {
        int
    }


def test_a_column_that_the_input_does_not_have_is_an_error():
    with refused("'monitor' has column 4 in its channels, but its input has 4 columns, 0 to 3"):
        ChannelwiseLSTM(2, [[0, 1, 4], [2, 3]], name="monitor")(X)


def test_a_column_in_no_channel_is_an_error():
    with refused("'monitor' has column 1 of its input in no channel. Add it to one, or take it"):
        ChannelwiseLSTM(2, [[0], [3]], name="monitor")(X)


@pytest.mark.parametrize("shape", [(3, 4), (3, 5, 2, 4)], ids=str)
def test_an_input_that_is_no_sequence_is_an_error(shape):
    with refused(r"'monitor' reads a sequence, \(batch, steps, features\). Received: "):
        ChannelwiseLSTM(2, CHANNELS, name="monitor")(np.zeros(shape, "float32"))
