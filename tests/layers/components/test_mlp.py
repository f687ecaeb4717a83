import keras
import numpy as np
import pytest

from keras_mtl.layers import MLP
from tests.layers.modular import array, linear, mlp, normal, scrambled


def network(*arguments, shape):
    layer = MLP(*arguments)
    layer.build(shape)
    return scrambled(layer)


def test_two_layers_by_hand():
    layer = network((2, 1), "linear", shape=(None, 2))
    layer.set_weights(
        [np.array([[1, 2], [0, 1]]), np.array([0, -9]), np.array([[-3], [5]]), np.array([0.5])]
    )
    found = array(layer(np.array([[1, 2], [4, 2]], "float32")))
    np.testing.assert_allclose(found, [[-2.5], [-6.5]])  # of (1, relu(-5)) and (4, 1)


@pytest.mark.parametrize(("activation", "last"), [("linear", linear), ("tanh", np.tanh)])
def test_only_the_last_layer_has_the_activation(activation, last):
    layer, x = network((9, 7, 3), activation, shape=(5, 4)), normal(5, 4)
    np.testing.assert_allclose(array(layer(x)), mlp(layer, x, last), rtol=1e-4, atol=1e-4)


def test_the_last_layer_has_relu_too_unless_said():
    layer, x = network((9, 3), shape=(5, 4)), normal(5, 4)
    found = array(layer(x))
    np.testing.assert_allclose(found, mlp(layer, x), rtol=1e-4, atol=1e-4)
    assert found.min() == 0 < found.max()


def test_a_step_and_a_sequence_are_both_welcome():
    layer, x = network((7, 4), shape=(None, None, 6)), normal(5, 3, 2, 6)
    whole = array(layer(x))
    assert whole.shape == (5, 3, 2, 4)
    np.testing.assert_allclose(array(layer(x[:, 1, 0])), whole[:, 1, 0], rtol=1e-5, atol=1e-5)


def test_an_activation_may_be_a_function():
    config = MLP((5,), keras.activations.tanh).get_config()
    assert config["activation"] == "tanh"
    assert MLP.from_config(config).get_config() == config


def test_a_network_needs_a_layer():
    with pytest.raises(ValueError, match="units must be a tuple of at least 1 sizes"):
        MLP((), name="tower")
