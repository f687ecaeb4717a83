import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import LayerConcat, LayerMixture
from tests.gradients import gradient

OUTPUTS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")  # 3 layers, B = 5


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def beta_of(start, num_layers=3):
    layer = LayerMixture(start)
    layer(list(OUTPUTS[:num_layers]))
    return layer.beta


def masked(*tokens):
    embed = keras.layers.Embedding(3, 4, mask_zero=True)
    return [embed(np.array(rows)) for rows in tokens]


def mask_of(tensor):
    return ops.convert_to_numpy(keras.src.backend.get_keras_mask(tensor))


# Mixture


def test_layers_are_added_with_their_weights():
    mixture = LayerMixture(beta=[0.5, -2.0, 3.0])
    layers = [np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]]), np.array([[100.0, 0.0]])]
    np.testing.assert_allclose(array(mixture(layers)), [[280.5, -39.0]])


@pytest.mark.parametrize(
    ("start", "num_layers", "expected"),
    [
        ("imbalanced", 3, [0.05, 0.05, 0.9]),
        ("imbalanced", 2, [0.1, 0.9]),
        ("imbalanced", 1, [1.0]),
        ("balanced", 3, [1 / 3] * 3),
        ([2.0, 0.0, -1.0], 3, [2.0, 0.0, -1.0]),
    ],
)
def test_weights_start_as_asked(start, num_layers, expected):
    beta = beta_of(start, num_layers)
    assert isinstance(beta, np.ndarray)
    np.testing.assert_allclose(beta, expected, rtol=1e-6)


def test_the_slope_of_a_weight_is_the_sum_of_its_layer():
    mixture = LayerMixture()
    mixture(list(OUTPUTS))
    slope = gradient(lambda: ops.sum(mixture(list(OUTPUTS))), mixture.layer_weights)
    np.testing.assert_allclose(slope, OUTPUTS.sum(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 7, 4), (3, 2, 5, 6, 4)], ids=["steps", "positions"])
def test_features_may_have_steps_or_positions(shape):
    outputs = np.random.default_rng(1).normal(size=shape).astype("float32")
    found = array(LayerMixture([1.0, 2.0, -3.0])(list(outputs)))
    np.testing.assert_allclose(
        found, outputs[0] + 2 * outputs[1] - 3 * outputs[2], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_mixes_halves_by_full_weights(policy):
    mixture = LayerMixture([1.0, 2.0, -3.0], dtype=policy)
    outputs = mixture(list(OUTPUTS))
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert mixture.layer_weights.dtype == "float32"
    np.testing.assert_allclose(
        array(outputs), array(LayerMixture([1.0, 2.0, -3.0])(list(OUTPUTS))), rtol=0, atol=0.1
    )


# Concatenation


def test_layers_stand_side_by_side():
    layers = [np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([[4.0, 5.0]])]
    np.testing.assert_array_equal(array(LayerConcat()(layers)), [[1, 2, 3, 4, 5]])


# Masks


@pytest.mark.parametrize("layer", [LayerMixture, LayerConcat])
def test_the_mask_of_the_last_layer_is_kept(layer):
    outputs = layer()(masked([[1, 2, 0], [1, 0, 0]], [[2, 2, 0], [2, 0, 0]]))
    np.testing.assert_array_equal(mask_of(outputs), [[True, True, False], [True, False, False]])


@pytest.mark.parametrize("layer", [LayerMixture, LayerConcat])
def test_a_mask_of_steps_passes_features_of_any_rank(layer):
    tokens = keras.Input((None,), dtype="int32")
    first = keras.layers.Embedding(3, 4, mask_zero=True)(tokens)
    second = keras.layers.Embedding(3, 4, mask_zero=True)(tokens)
    tall = keras.layers.TimeDistributed(keras.layers.Reshape((2, 2)))
    model = keras.Model(tokens, layer()([tall(first), tall(second)]))
    outputs = model(np.array([[1, 2, 0], [1, 0, 0]]))
    assert tuple(outputs.shape) == (2, 3, 2, 2 if layer is LayerMixture else 4)
    np.testing.assert_array_equal(mask_of(outputs), [[True, True, False], [True, False, False]])


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_layers_of_different_shapes_cannot_be_mixed():
    wanted = r'one output shape of all of them. Received: \(5, 4\), \(5, 2\).*connections="concat"'
    with refused(wanted):
        LayerMixture()([OUTPUTS[0], OUTPUTS[1][:, :2]])


@pytest.mark.parametrize("start", [[1.0, 2.0], 0.5], ids=str)
def test_there_is_a_weight_per_layer(start):
    with refused('beta must be "imbalanced", "balanced" or 3 numbers, one per layer. Received'):
        beta_of(start)


def test_a_start_is_one_of_two_words_or_numbers():
    with refused("beta must be one of 'imbalanced', 'balanced', a number or an array. .*'last'"):
        LayerMixture("last")
