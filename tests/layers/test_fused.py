from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import Modular, RoutedModular
from keras_mtl.layers.fusion import fused_groups

FIRST = keras.backend.backend() != "tensorflow"  # TensorFlow has no channels first on a CPU

CASES = {
    "dense": ((3,), partial(layers.Dense, 4)),
    "dense with steps": ((6, 3), partial(layers.Dense, 4, activation="relu")),
    "dense without bias": ((3,), partial(layers.Dense, 4, use_bias=False, activation="tanh")),
    "dense softmax": ((3,), partial(layers.Dense, 4, activation="softmax")),
    "conv1d": ((9, 3), partial(layers.Conv1D, 4, 3)),
    "conv1d strides": ((9, 3), partial(layers.Conv1D, 4, 3, strides=2, padding="same")),
    "conv1d causal": ((9, 3), partial(layers.Conv1D, 4, 3, padding="causal", dilation_rate=2)),
    "conv1d softmax": ((9, 3), partial(layers.Conv1D, 4, 3, activation="softmax")),
    "conv2d": ((8, 7, 3), partial(layers.Conv2D, 4, (3, 2), activation="relu")),
    "conv2d strides": ((8, 7, 3), partial(layers.Conv2D, 4, 3, strides=(2, 1), padding="same")),
    "conv2d dilation": ((8, 7, 3), partial(layers.Conv2D, 4, 2, dilation_rate=(3, 2))),
    "conv2d without bias": ((8, 7, 3), partial(layers.Conv2D, 4, 3, use_bias=False)),
    "conv2d softmax": ((8, 7, 3), partial(layers.Conv2D, 4, 3, activation="softmax")),
}
if FIRST:
    CASES["conv2d channels first"] = (
        (3, 8, 7),
        partial(layers.Conv2D, 4, 3, data_format="channels_first", padding="same"),
    )


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def random_weights(components, scale=0.5):
    rng = np.random.default_rng(7)
    for component in components:
        component.set_weights(
            [
                np.abs(values) if values.ndim == 1 else values  # a variance is not negative
                for weight in component.get_weights()
                for values in [scale * rng.normal(size=weight.shape).astype("float32")]
            ]
        )


def compare(components, input_shape, tolerance):
    """Compares a modular layer with a loop over its components."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(5, *input_shape)).astype("float32")
    weights = rng.integers(0, 2, (5, len(components))).astype("float32")
    layer = Modular(components)
    layer.build(x.shape, weights.shape)
    random_weights(components)
    outputs = array(layer(x, weights))
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    looped = [array(component(ops.cast(x, layer.compute_dtype))) for component in components]
    share = share.reshape(5, len(components), *[1] * (looped[0].ndim - 1))
    expected = sum(share[:, place] * output for place, output in enumerate(looped))
    assert outputs.shape == expected.shape
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_a_fused_call_equals_a_loop_over_the_components(name):
    input_shape, make = CASES[name]
    compare([make() for _ in range(3)], input_shape, 1e-6)


@pytest.mark.parametrize("name", ["dense", "dense softmax", "conv2d", "conv1d strides"])
def test_a_fused_call_equals_a_loop_in_bfloat16(name):
    input_shape, make = CASES[name]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        compare([make() for _ in range(3)], input_shape, 0.03)
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_component_keeps_its_own_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        modular = Modular([layers.Dense(1, dtype="float32") for _ in range(2)])
        modular.build((None, 1), (None, 2))
        for component in modular.components:  # in bfloat16 the kernel would be 1
            component.set_weights([np.full((1, 1), 1 + 2**-10), np.full((1,), -1.0)])
        outputs = modular(np.ones((1, 1), "float32"), np.ones((1, 2), "float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert array(outputs).tolist() == [[2**-10]]


def test_fusible_and_other_components_mix():
    same = {"padding": "same"}
    components = [
        layers.Conv2D(3, 3, **same),
        layers.MaxPooling2D(3, strides=1, **same),
        layers.Conv2D(3, 5, **same),
        layers.Identity(),
        layers.Conv2D(3, 3, **same),
        keras.Sequential([layers.Conv2D(3, 1), layers.BatchNormalization(), layers.ReLU()]),
        layers.AveragePooling2D(3, strides=1, **same),
        layers.BatchNormalization(),
    ]
    compare(components, (6, 5, 3), 1e-6)


# What is fused


def groups(*components):
    for component in components:
        component.build((None, 6, 3))
    return fused_groups(components, "float32")


def test_components_of_one_kind_are_one_group_in_order_of_appearance():
    conv, dense = partial(layers.Conv1D, 4, 3), partial(layers.Dense, 4)
    assert groups(dense(), conv(), dense(), conv(), dense()) == [[0, 2, 4], [1, 3]]


def test_components_that_start_differently_are_fused():
    makes = [layers.Dense(4, kernel_initializer=name) for name in ("zeros", "ones")]
    assert groups(*makes) == [[0, 1]]


@pytest.mark.parametrize(
    "different",
    [{"units": 5}, {"activation": "relu"}, {"use_bias": False}, {"dtype": "bfloat16"}],
)
def test_components_with_different_settings_are_not_fused(different):
    assert groups(layers.Dense(4), layers.Dense(**{"units": 4, **different})) == [[0], [1]]


def test_subclasses_are_not_fused():
    class Twice(layers.Dense):
        def call(self, x):
            return 2 * super().call(x)

    assert groups(Twice(4), Twice(4)) == [[0], [1]]


@pytest.mark.parametrize(
    "own",
    [
        lambda: {"activity_regularizer": "l2"},
        lambda: {"activation": layers.PReLU(name="slope")},
    ],
    ids=["activity regularizer", "layer as activation"],
)
def test_components_with_a_state_of_their_own_are_not_fused(own):
    assert groups(layers.Dense(4, **own()), layers.Dense(4, **own())) == [[0], [1]]


def test_activations_that_look_alike_are_not_fused():
    def scaled(factor):
        def activation(x):
            return factor * x

        return activation

    compare([layers.Dense(4, activation=scaled(f)) for f in (1.0, 3.0, -2.0)], (3,), 1e-6)


def test_grouped_convolutions_are_not_fused():
    makes = [layers.Conv1D(4, 3, groups=2), layers.Conv1D(4, 3, groups=2)]
    for component in makes:
        component.build((None, 6, 2))
    assert fused_groups(makes, "float32") == [[0], [1]]


def test_regularizers_of_fused_components_count_once_each():
    components = [layers.Dense(2, kernel_regularizer="l2", use_bias=False) for _ in range(3)]
    layer = Modular(components)
    layer(np.ones((4, 3), "float32"), np.ones((4, 3), "float32"))
    expected = [0.01 * np.sum(component.get_weights()[0] ** 2) for component in components]
    found = sorted(float(array(loss)) for loss in layer.losses)
    np.testing.assert_allclose(found, sorted(expected), rtol=1e-5)


def test_a_lambda_as_activation_works():
    compare([layers.Dense(4, activation=lambda x: x * x) for _ in range(2)], (3,), 1e-6)


@pytest.mark.parametrize("layer", [Modular, RoutedModular])
@pytest.mark.parametrize("name", ["dense", "conv2d"])
def test_a_lora_that_comes_later_counts(name, layer):
    shape, make = CASES[name]
    components = [make() for _ in range(3)]
    x = np.random.default_rng(5).normal(size=(5, *shape)).astype("float32")
    weights = np.eye(3, dtype="float32")[[0, 1, 1, 2, 0]]
    modular = layer(components)
    before = array(modular(x, weights))
    for component in components:
        component.enable_lora(2)
        for weight in (component.lora_kernel_a, component.lora_kernel_b):
            weight.assign(np.random.default_rng(6).normal(size=weight.shape))
    alone = [array(component(x))[weights[:, n] == 1] for n, component in enumerate(components)]
    found = array(modular(x, weights))
    np.testing.assert_allclose(found[[0, 4, 1, 2, 3]], np.concatenate(alone), rtol=1e-4, atol=1e-4)
    assert np.abs(found - before).max() > 0.1


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (Modular, "int8"),
        (Modular, "float8"),
        (RoutedModular, "int4"),
        pytest.param(Modular, "int4", marks=pytest.mark.slow),
        pytest.param(RoutedModular, "int8", marks=pytest.mark.slow),
        pytest.param(RoutedModular, "float8", marks=pytest.mark.slow),
    ],
)
def test_components_that_are_quantized_later_are_called_one_by_one(layer, mode):
    components = [layers.Dense(16, activation="tanh") for _ in range(3)]
    x = np.random.default_rng(5).normal(size=(4, 16)).astype("float32")
    weights = np.eye(3, dtype="float32")[[1, 1, 0, 2]]
    modular = layer(components)
    before = array(modular(x, weights))
    for component in components:
        component.quantize(mode)
    alone = np.stack([array(component(x)) for component in components])
    found = array(modular(x, weights))
    np.testing.assert_allclose(found, alone[[1, 1, 0, 2], range(4)], rtol=1e-6, atol=1e-6)
    assert 0 < np.abs(found - before).max() < 0.3
