from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mtl
from keras_mtl.layers import GradientReversal
from tests.gradients import gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype("float32")
SLOPE = RNG.normal(size=(5, 3)).astype("float32")
AFTER = RNG.normal(size=(4, 2)).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("scale", [1.0, 0.3, 0.0])
def test_features_pass_bit_for_bit(scale):
    special = np.array([0.0, -0.0, 1e-45, -1e-38, 3.4e38, -np.inf, 0.1], "float32")
    for x in (X, special):
        found = array(GradientReversal(scale)(x))
        np.testing.assert_array_equal(found.view("int32"), x.view("int32"))


@pytest.mark.parametrize("scale", [1.0, 0.3, 2.0, 0.0])
def test_the_gradient_is_exactly_the_negative_times_scale(scale):
    layer, x, slope = GradientReversal(scale), keras.Variable(X), ops.convert_to_tensor(SLOPE)
    plain = gradient(lambda: ops.sum(ops.convert_to_tensor(x) * slope), x)
    found = gradient(lambda: ops.sum(layer(ops.convert_to_tensor(x)) * slope), x)
    np.testing.assert_array_equal(plain, SLOPE)
    np.testing.assert_array_equal(found, -np.float32(scale) * SLOPE)


def test_two_reversals_are_none():
    layer, x = GradientReversal(), keras.Variable(X)
    found = gradient(lambda: ops.sum(ops.square(layer(layer(ops.convert_to_tensor(x))))), x)
    np.testing.assert_array_equal(found, 2 * X)


def step(middle):
    """Returns what a compiled step of descent makes of the weights before and after a layer."""
    before = layers.Dense(4, use_bias=False, kernel_initializer="zeros")
    after = layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), before, middle, after])
    after.set_weights([AFTER])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(X, SLOPE[:, :2], batch_size=5, shuffle=False, verbose=0)
    return before.get_weights()[0], after.get_weights()[0]


def test_in_a_compiled_step_what_is_before_moves_the_other_way():
    plain, reverse = step(layers.Activation("linear")), step(GradientReversal())
    assert np.abs(plain[0]).min() > 0
    np.testing.assert_array_equal(reverse[0], -plain[0])
    np.testing.assert_array_equal(reverse[1], plain[1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_what_it_is(policy):
    outputs = GradientReversal(0.3, dtype=policy)(X)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")


def test_masks_pass():
    tokens = np.array([[1, 2, 0], [2, 0, 0]])
    outputs = GradientReversal()(layers.Embedding(3, 4, mask_zero=True)(tokens))
    mask = array(keras.src.backend.get_keras_mask(outputs))
    np.testing.assert_array_equal(mask, tokens != 0)


def test_a_frozen_network_is_without_it():
    stack = [partial(layers.Dense, 4), GradientReversal]
    model = keras_mtl.build_shared_bottom(keras.Input((3,)), {"a": 2}, stack)
    frozen = keras_mtl.freeze(model)
    assert [layer.name for layer in frozen.layers] == ["inputs", "layer_1", "a"]
    np.testing.assert_array_equal(array(frozen(X)["a"]), array(model(X)["a"]))


@pytest.mark.parametrize("scale", [-0.1, float("inf"), float("nan"), "1"])
def test_a_scale_that_is_no_number_of_at_least_0_is_an_error(scale):
    with pytest.raises(ValueError, match="scale must be a number of at least 0. Received: "):
        GradientReversal(scale)
