import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import ResidualConv1D, ResidualConv2D, ResidualDense, SkippableBlock
from tests.gradients import gradients

X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
EXECUTE = np.array([[1.0], [0.0], [1.0], [0.25]], "float32")


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def built(block, shape=X.shape):
    layer = SkippableBlock(block)
    layer.build(shape, (shape[0], 1))
    rng = np.random.default_rng(1)
    for variable in layer.weights:
        low = 0.5 if "variance" in variable.path else -1.0
        variable.assign(rng.uniform(low, 1.0, variable.shape))
    return layer


@pytest.mark.parametrize("units", [5, 3], ids=["same shape", "new shape"])
def test_one_is_the_block_zero_what_skips_it(units):
    layer = built(ResidualDense(units))
    block, shortcut = array(layer.block(X)), array(layer.block.shortcut(X))
    assert (units == 5) == np.array_equal(shortcut, X)
    found = array(layer(X, EXECUTE))
    np.testing.assert_allclose(found[[0, 2]], block[[0, 2]], rtol=1e-6)
    np.testing.assert_array_equal(found[1], shortcut[1])
    np.testing.assert_allclose(found[3], 0.25 * block[3] + 0.75 * shortcut[3], rtol=1e-5)


def test_any_layer_that_keeps_the_shape_is_a_block():
    layer = built(keras.layers.Dense(5, activation="tanh"))
    found, block = array(layer(X, EXECUTE)), array(layer.block(X))
    np.testing.assert_allclose(found, EXECUTE * block + (1 - EXECUTE) * X, rtol=1e-5)


def test_the_gate_multiplies_the_policy():
    layer, gate = built(ResidualDense(5)), np.array([[1.0], [1.0], [0.0], [0.0]], "float32")
    found = array(layer(X, EXECUTE, gate))
    np.testing.assert_array_equal(found, array(layer(X, EXECUTE * gate)))
    np.testing.assert_array_equal(found[1:], X[1:])


@pytest.mark.parametrize("strides", [1, 2])
def test_a_gate_may_have_a_choice_for_each_step(strides):
    steps = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    layer = built(ResidualConv1D(3, strides=strides), steps.shape)
    block, shortcut = array(layer.block(steps)), array(layer.block.shortcut(steps))
    gate = np.random.default_rng(3).integers(0, 2, (*block.shape[:2], 1)).astype("float32")
    assert 0 < gate.mean() < 1
    part = EXECUTE[:, None] * gate
    found = array(layer(steps, EXECUTE, gate))
    np.testing.assert_allclose(found, part * block + (1 - part) * shortcut, rtol=1e-4, atol=1e-5)


def test_a_gate_has_the_steps_of_the_block():
    layer, steps = SkippableBlock(ResidualConv1D(3, strides=2, name="half")), np.ones((4, 6, 3))
    wanted = "gate of block 'half' decides at 6 steps, but the block answers at 3. Give the gate"
    with pytest.raises(ValueError, match=wanted):
        layer(steps, EXECUTE, np.ones((4, 6, 1)))


def test_a_skipped_block_learns_nothing_from_that_example():
    layer = built(keras.layers.Dense(5))
    kernel = layer.block.kernel
    for row in range(3):
        example = np.where(np.arange(4)[:, None] == row, X, 0)
        only = ops.convert_to_tensor(np.eye(4, dtype="float32")[row][:, None])

        def total(example=example, only=only):
            return ops.sum(ops.square(layer(example, EXECUTE) * only))

        (slope,) = gradients(total, [kernel])
        assert np.any(slope) == bool(EXECUTE[row, 0])


def test_batch_statistics_move_once_a_batch():
    layer = SkippableBlock(ResidualDense(3))
    layer(X, np.maximum(EXECUTE, 0.1), training=True)
    alone = ResidualDense(3)
    alone.build(X.shape)
    pairs = zip(alone.weights, layer.block.weights, strict=True)
    for variable, other in pairs:
        if "moving" not in variable.path:
            variable.assign(other)
    alone(X, training=True)
    for variable, other in zip(alone.weights, layer.block.weights, strict=True):
        np.testing.assert_allclose(array(variable), array(other), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", [ResidualConv2D(6, strides=2), ResidualConv2D(3)])
def test_images(block):
    images = np.random.default_rng(0).normal(size=(4, 7, 7, 3)).astype("float32")
    layer = built(block, images.shape)
    found = array(layer(images, EXECUTE))
    assert found.shape == layer.compute_output_shape(images.shape, (4, 1))
    np.testing.assert_allclose(found[0], array(layer.block(images))[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], array(layer.block.shortcut(images))[1], rtol=1e-5)


def test_a_mask_goes_on_and_padding_changes_nothing():
    steps = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    mask = np.arange(6) < np.array([[6], [4], [2], [5]])
    layer = built(ResidualConv1D(3), steps.shape)
    found = array(layer(steps, EXECUTE, x_mask=mask))
    changed = np.where(mask[..., None], steps, 9.0)
    other = array(layer(changed, EXECUTE, x_mask=mask))
    np.testing.assert_allclose(found[mask], other[mask], rtol=1e-5, atol=1e-6)
    assert layer.compute_mask(steps, [mask, None]) is mask


def test_a_block_that_changes_the_shape_needs_a_shortcut():
    with pytest.raises(ValueError, match=r"Block 'wide' makes \(9,\) of \(5,\), but a task that"):
        SkippableBlock(keras.layers.Dense(9, name="wide"))(X, EXECUTE)


def test_it_is_saved_with_its_block():
    layer = built(ResidualDense(3))
    copy = SkippableBlock.from_config(layer.get_config())
    copy.build(X.shape, (4, 1))
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(array(copy(X, EXECUTE)), array(layer(X, EXECUTE)))
