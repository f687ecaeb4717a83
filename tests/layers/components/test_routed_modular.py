"""It answers as Modular does, without computing what nobody chose."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import Modular, RoutedModular
from keras_mtl.layers.components.patches import patches
from keras_mtl.layers.components.row_blocks import row_blocks, sorted_rows
from tests.gradients import gradients

RNG = np.random.default_rng(0)
dense = partial(keras.layers.Dense, 4, activation="tanh", bias_initializer="normal")
conv = partial(keras.layers.Conv1D, 4, 3, padding="same", activation="tanh", use_bias=False)
KINDS = {
    "dense": (dense, (6,)),
    "dense per step": (dense, (7, 6)),
    "conv": (conv, (7, 6)),
    "lstm": (partial(keras.layers.LSTM, 4), (7, 6)),
}
EQUAL = [kind for kind in KINDS if kind != "lstm"]


def array(tensor):
    return ops.convert_to_numpy(tensor)


def inputs(kind, rows):
    return RNG.normal(size=(rows, *KINDS[kind][1])).astype("float32")


def one_hot(places, num_components=5):
    return np.eye(num_components, dtype="float32")[places]


def pair(kind, **settings):
    """Returns a `RoutedModular` and a `Modular` of the same 5 components."""
    return pair_of([KINDS[kind][0]() for _ in range(5)], **settings)


def pair_of(components, **settings):
    return RoutedModular(components, **settings), Modular(
        components, num_repeats=settings.get("num_repeats", 1)
    )


def spoil(layer, used):
    """Makes every component that is not used answer NaN, which times 0 is NaN too."""
    for place, component in enumerate(layer.components):
        if place not in used:
            for weight in component.weights:
                weight.assign(np.full(weight.shape, np.nan))


def assert_same(routed, modular, x, weights, used, **training):
    expected = array(modular(x, weights))
    np.testing.assert_allclose(
        array(routed(x, weights, **training)), expected, rtol=1e-5, atol=1e-6
    )
    spoil(routed, used)
    np.testing.assert_allclose(
        array(routed(x, weights, **training)), expected, rtol=1e-5, atol=1e-6
    )
    assert np.any(np.isnan(array(modular(x, weights))))


@pytest.mark.parametrize("kind", EQUAL)
def test_a_batch_of_one_component_computes_it_alone(kind):
    routed, modular = pair(kind)
    assert_same(routed, modular, inputs(kind, 6), one_hot([3] * 6), used=[3])


def test_convolutions_of_rows_in_any_order_are_computed_for_their_own_rows():
    routed, modular = pair("conv")
    for places in ([3, 0, 0, 4, 4, 3], [4, 4, 4, 4, 3, 4], [0, 3, 0, 3, 0, 3, 4]):
        routed, modular = pair("conv")
        assert_same(routed, modular, inputs("conv", len(places)), one_hot(places), used=[0, 3, 4])


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_blocks_hold_every_row_once_and_one_component_each(size):
    rng = np.random.default_rng(0)
    for num_rows, num_components in ((1, 4), (7, 4), (16, 4), (33, 5)):
        places = np.sort(rng.integers(0, num_components, num_rows) ** 2 % num_components)
        places = rng.permutation(places).astype("int32")
        rows, slots, components = (array(x) for x in row_blocks(places, num_components, size))
        assert len(rows) == len(components) * size
        assert len(components) == (num_rows + num_components * (size - 1)) // size
        assert len(set(slots)) == num_rows
        np.testing.assert_array_equal(rows[slots], np.arange(num_rows))
        np.testing.assert_array_equal(components[slots // size], places)


def test_sorted_rows_hold_every_row_once_and_every_component():
    places = np.array([3, 0, 3, 1, 3], "int32")
    rows, components, slots = (array(x) for x in sorted_rows(places, 5))
    assert components.tolist() == [0, 0, 1, 1, 2, 3, 3, 3, 3, 4]
    np.testing.assert_array_equal(rows[slots], np.arange(5))
    np.testing.assert_array_equal(components[slots], places)
    assert np.delete(rows, slots).tolist() == [0] * 5


@pytest.mark.parametrize("settings", [
    {}, {"padding": "same"}, {"strides": 2}, {"strides": 2, "padding": "same"},
    {"dilation_rate": 2}, {"dilation_rate": 2, "padding": "same"},
])  # fmt: skip
@pytest.mark.parametrize(("make", "width", "shape"), [
    (keras.layers.Conv1D, 4, (11, 3)), (keras.layers.Conv2D, (3, 2), (8, 7, 2)),
    (keras.layers.Conv3D, (2, 1, 3), (5, 3, 6, 2)),
])  # fmt: skip
def test_patches_are_what_a_convolution_reads(make, width, shape, settings):
    layer = make(4, width, use_bias=False, **settings)
    x = RNG.normal(size=(2, *shape)).astype("float32")
    expected = array(layer(x))
    found = ops.matmul(patches(layer, x), ops.reshape(layer.kernel, (-1, 4)))
    np.testing.assert_allclose(array(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "units"), [("dense", 2), ("dense", 40), ("conv", 40)])
def test_rows_with_kernels_of_many_outputs_are_answered_alike(kind, units):
    settings = {"dense": (keras.layers.Dense, units), "conv": (keras.layers.Conv1D, units, 3)}
    make, *sizes = settings[kind]
    routed, modular = pair_of([make(*sizes, activation="tanh") for _ in range(5)])
    x, weights = inputs(kind, 13), one_hot(np.arange(13) ** 2 % 5)
    np.testing.assert_allclose(
        array(routed(x, weights)), array(modular(x, weights)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_several_components_is_a_mixture(kind):
    routed, modular = pair(kind)
    x, weights = inputs(kind, 6), one_hot([3, 0, 0, 4, 1, 3])
    np.testing.assert_allclose(array(routed(x, weights)), array(modular(x, weights)), rtol=1e-5)


def test_a_row_that_is_nan_stays_nan():
    routed, _ = pair("dense")
    weights = one_hot([3, 3, 3])
    weights[1] = np.nan
    found = np.isnan(array(routed(inputs("dense", 3), weights)))
    np.testing.assert_array_equal(found.all(axis=1), [False, True, False])


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("kind", EQUAL)
def test_a_component_drawn_for_a_block_is_computed_for_it_alone(kind, repeated):
    routed, modular = pair(kind, num_blocks=3, num_repeats=3 if repeated else 1)
    x = inputs(kind, 2 if repeated else 6)
    weights = one_hot(np.repeat([2, 0, 2], 2))
    assert_same(routed, modular, x, weights, used=[0, 2], training=True)


@pytest.mark.parametrize("training", [True, False])
def test_blocks_whose_examples_draw_apart_do_so_in_training_only(training):
    routed, modular = pair("dense", num_blocks=3, draws="example")
    x = inputs("dense", 6)
    if training:
        weights = one_hot([2, 1, 0, 0, 4, 2])
        expected = array(modular(x, weights))
        np.testing.assert_allclose(
            array(routed(x, weights, training=True)), expected, rtol=1e-5, atol=1e-6
        )
    else:
        assert_same(routed, modular, x, one_hot(np.repeat([2, 0, 2], 2)), [0, 2], training=False)


@pytest.mark.parametrize(
    ("kind", "repeated"),
    [*((kind, True) for kind in KINDS), ("dense", False), ("conv", False)],
)
def test_routes_known_for_good_compute_what_lies_on_them(kind, repeated):
    routed, modular = pair(kind, num_blocks=3, routes=[4, 1, 4], num_repeats=3 if repeated else 1)
    x = inputs(kind, 2 if repeated else 6)
    assert_same(routed, modular, x, one_hot(np.repeat([4, 1, 4], 2)), used=[1, 4])
    assert [component.trainable for component in routed.components] == [
        False, True, False, False, True,
    ]  # fmt: skip


def test_one_block_of_one_route():
    routed, modular = pair("lstm", num_blocks=1, routes=[2])
    assert_same(routed, modular, inputs("lstm", 4), one_hot([2] * 4), used=[2])


@pytest.mark.parametrize("repeated", [True, False])
def test_components_of_several_tensors_are_routed_too(repeated):
    def adding():
        first, second = keras.Input((6,)), keras.Input((6,))
        return keras.Model([first, second], keras.layers.Add()([dense()(first), dense()(second)]))

    components = [adding() for _ in range(3)]
    settings = {"num_repeats": 2 if repeated else 1}
    routed = RoutedModular(components, num_blocks=2, routes=[2, 0], **settings)
    modular = Modular(components, **settings)
    rows = 3 if repeated else 6
    x = [inputs("dense", rows), inputs("dense", rows)]
    weights = one_hot(np.repeat([2, 0], 3), 3)
    assert_same(routed, modular, x, weights, used=[0, 2])


@pytest.mark.parametrize("settings", [
    {}, {"num_blocks": 3}, {"num_blocks": 3, "num_repeats": 3},
    {"num_blocks": 3, "routes": [4, 1, 4]}, {"num_blocks": 3, "draws": "example"},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_gradients_are_those_of_the_mixture(kind, settings):
    routed, modular = pair(kind, **settings)
    x = ops.convert_to_tensor(inputs(kind, 2 if "num_repeats" in settings else 6))
    weights = ops.convert_to_tensor(one_hot(np.repeat([4, 1, 4], 2)))
    training = {"training": True} if "draws" in settings else {}
    modular(x, weights)
    variables = [weight for place in (1, 4) for weight in routed.components[place].weights]
    slope = np.random.default_rng(1).normal(size=modular(x, weights).shape)
    slope = ops.convert_to_tensor(slope.astype("float32"))
    found, expected = (
        gradients(lambda call=call: ops.sum(slope * call(x, weights)), variables)
        for call in (partial(routed, **training), modular)
    )
    for one, other in zip(found, expected, strict=True):
        assert np.any(other != 0)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_masks_reach_the_components():
    embed = keras.layers.Embedding(9, 6, mask_zero=True)
    words = np.array([[3, 4, 0, 0], [5, 0, 0, 0], [1, 2, 3, 4], [8, 8, 0, 0]], "int32")
    routed, modular = pair("lstm", num_blocks=2, routes=[4, 1])
    weights = one_hot(np.repeat([4, 1], 2))
    tokens = keras.Input((4,), dtype="int32")
    given = keras.Input((5,))
    models = [
        keras.Model([tokens, given], layer(embed(tokens), given)) for layer in (routed, modular)
    ]
    found, expected = (array(model([words, weights])) for model in models)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    short = array(routed.components[4](embed(words[:1, :2])))
    np.testing.assert_allclose(found[:1], short, rtol=1e-5, atol=1e-6)


def test_routes_are_one_for_each_block():
    with pytest.raises(ValueError, match=r"a component for each of 3 blocks. Received: \[1, 0\]"):
        RoutedModular([dense(), dense()], num_blocks=3, routes=[1, 0])


def test_tensorflow_leaves_xla_out_where_a_branch_holds_convolutions():
    for kind, settings, branch in (
        ("conv", {}, True), ("dense", {}, False), ("conv", {"num_blocks": 3}, False),
    ):  # fmt: skip
        routed, _ = pair(kind, **settings)
        routed.build((6, *KINDS[kind][1]), (6, 5))
        assert routed.supports_jit == (not branch or keras.backend.backend() != "tensorflow")
