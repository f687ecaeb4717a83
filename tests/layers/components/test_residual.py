import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import ResidualBlock, ResidualConv1D, ResidualConv2D, ResidualDense
from tests.gradients import gradients
from tests.layers.frozen import frozen
from tests.layers.modular import array, normal, relu

IMAGES = normal(5, 6, 7, 3)  # B = 5 examples, of 3 features
SEQUENCES = normal(5, 8, 3)
ROWS = normal(9, 3)
EPSILON = 1e-3  # of batch normalization

KEEPS_SHAPE = {
    "images": (lambda **own: ResidualConv2D(3, **own), IMAGES),
    "sequences": (lambda **own: ResidualConv1D(3, dilation_rate=2, **own), SEQUENCES),
    "around": (lambda **own: ResidualConv1D(3, causal=False, **own), SEQUENCES),
    "rows": (lambda **own: ResidualDense(3, **own), ROWS),
}
CHANGES_SHAPE = {
    "images": (lambda **own: ResidualConv2D(4, 2, **own), IMAGES),
    "fewer pixels": (lambda **own: ResidualConv2D(3, 2, **own), IMAGES),
    "more channels": (lambda **own: ResidualConv2D(4, kernel_size=2, **own), IMAGES),
    "sequences": (lambda **own: ResidualConv1D(4, 2, **own), SEQUENCES),
    "fewer steps": (lambda **own: ResidualConv1D(3, 3, causal=False, **own), SEQUENCES),
    "dilated": (lambda **own: ResidualConv1D(4, dilation_rate=2, **own), SEQUENCES),
    "rows": (lambda **own: ResidualDense(4, **own), ROWS),
}
ALL = [*KEEPS_SHAPE.values(), *CHANGES_SHAPE.values()]
NAMES = [*(f"keeps {name}" for name in KEEPS_SHAPE), *(f"changes {name}" for name in CHANGES_SHAPE)]
every_block = pytest.mark.parametrize(("make", "x"), ALL, ids=NAMES)
keeping = pytest.mark.parametrize(("make", "x"), KEEPS_SHAPE.values(), ids=KEEPS_SHAPE)
changing = pytest.mark.parametrize(("make", "x"), CHANGES_SHAPE.values(), ids=CHANGES_SHAPE)


def scrambled(layer):
    """Gives every weight, moving statistics too, random values."""
    rng = np.random.default_rng(3)
    for variable in layer.weights:
        value = rng.normal(0, 0.5, variable.shape)
        if variable.path.endswith("moving_variance"):
            value = 0.5 + abs(value)
        variable.assign(value)
    return layer


def built(make, x, **own):
    layer = make(**own)
    layer.build((None, *x.shape[1:]))
    return scrambled(layer)


def tensor(x):
    return ops.convert_to_tensor(x)


def assert_close(first, second, tolerance=1e-5):
    np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance)


def normalized(norm, x):
    """Returns what batch normalization answers in inference."""
    gamma, beta, mean, variance = norm.get_weights()
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


# By hand


def test_a_dense_block_by_hand():
    layer = ResidualDense(2)
    layer.build((None, 2))
    unchanged = [np.ones(2), np.zeros(2), np.zeros(2), np.full(2, 1 - EPSILON)]
    first, norm_1, second, norm_2 = layer.residual_layers
    first.set_weights([np.array([[1, 0], [0, -1]])])
    norm_1.set_weights(unchanged)
    second.set_weights([np.array([[2, 0], [0, 3]])])
    norm_2.set_weights([np.ones(2), np.array([0, -5]), np.array([1, 0]), unchanged[-1]])
    x = np.array([[1, 2], [-3, -4], [4, 1]], "float32")
    # relu(first) = (1, 0), (0, 4), (4, 0); times 2 and 3; less 1 and 5
    residual = [[1, -5], [-1, 7], [7, -5]]
    assert_close(array(layer.residual(x)), residual)
    assert_close(array(layer(x)), [[2, 0], [0, 3], [11, 0]])


def test_a_dense_block_that_projects_by_its_formula():
    layer = built(lambda: ResidualDense(4), ROWS)
    first, norm_1, second, norm_2 = layer.residual_layers
    project, norm = layer.projection_layers
    hidden = relu(normalized(norm_1, ROWS @ first.get_weights()[0]))
    residual = normalized(norm_2, hidden @ second.get_weights()[0])
    shortcut = normalized(norm, ROWS @ project.get_weights()[0])
    assert_close(array(layer.residual(ROWS)), residual)
    assert_close(array(layer.shortcut(ROWS)), shortcut)
    assert_close(array(layer(ROWS)), relu(shortcut + residual))


def test_a_causal_block_by_hand():
    layer = ResidualConv1D(1, kernel_size=2, dilation_rate=2)
    layer.build((None, 5, 1))
    unchanged = [np.ones(1), np.zeros(1), np.zeros(1), np.full(1, 1 - EPSILON)]
    first, norm_1, second, norm_2 = layer.residual_layers
    first.set_weights([np.array([10, 1]).reshape(2, 1, 1)])  # 10 times two steps ago, and now
    second.set_weights([np.array([-1, 2]).reshape(2, 1, 1)])
    norm_1.set_weights(unchanged)
    norm_2.set_weights(unchanged)
    x = np.array([1, 2, -3, -30, 4], "float32").reshape(1, 5, 1)
    # first: 1, 2, 7, -10, -26, of which ReLU leaves 1, 2, 7, 0, 0
    assert_close(array(layer.residual(x)).ravel(), [2, 4, 13, -2, -7])
    assert_close(array(layer(x)).ravel(), [3, 6, 10, 0, 0])


def test_an_image_block_is_two_convolutions_and_a_projection():
    layer = built(lambda: ResidualConv2D(4, 2), IMAGES)
    kernels = [
        each.get_weights()[0] for each in (*layer.residual_layers[::2], layer.projection_layers[0])
    ]
    assert [kernel.shape for kernel in kernels] == [(3, 3, 3, 4), (3, 3, 4, 4), (1, 1, 3, 4)]

    def convolved(x, kernel, strides):
        return array(ops.conv(tensor(x), tensor(kernel), strides, padding="same"))

    _, norm_1, _, norm_2 = layer.residual_layers
    hidden = relu(normalized(norm_1, convolved(IMAGES, kernels[0], 2)))
    residual = normalized(norm_2, convolved(hidden.astype("float32"), kernels[1], 1))
    projected = IMAGES[:, ::2, ::2] @ kernels[2][0, 0]
    shortcut = normalized(layer.projection_layers[1], projected)
    assert_close(array(layer(IMAGES)), relu(shortcut + residual), 1e-4)


# Shortcut and residual


@every_block
@pytest.mark.parametrize("training", [False, True])
def test_the_answer_is_the_relu_of_shortcut_and_residual(make, x, training):
    layer = built(make, x)
    found = array(layer(x, training=training))
    parts = [array(part(tensor(x), training=training)) for part in (layer.shortcut, layer.residual)]
    assert_close(found, relu(parts[0] + parts[1]))
    assert found.min() == 0 < found.max()
    assert parts[0].min() < 0 and parts[1].min() < 0  # neither has a ReLU of its own at its end


@keeping
def test_the_shortcut_of_a_block_that_keeps_the_shape_is_the_input(make, x):
    layer, x = built(make, x), tensor(x)
    assert layer.shortcut(x) is x
    assert layer.projection_layers == []
    assert frozen(layer, x, method="frozen_shortcut")[0] is x


@changing
def test_the_shortcut_of_a_block_that_changes_the_shape_is_its_projection(make, x):
    layer = built(make, x)
    project, norm = layer.projection_layers
    every = slice(None, None, layer.strides)
    kept = x[(slice(None), *[every] * (x.ndim - 2))]
    kernel = project.get_weights()[0]
    assert kernel.shape == (*[1] * (x.ndim - 2), 3, layer.compute_output_shape(x.shape)[-1])
    expected = normalized(norm, kept @ kernel.reshape(kernel.shape[-2:]))
    assert_close(array(layer.shortcut(x)), expected)


@changing
def test_parts_called_inside_a_layer_know_whether_it_trains(make, x):
    class Parts(layers.Layer):
        def __init__(self):
            super().__init__()
            self.block = built(make, x)

        def build(self, shape):
            pass  # so that nothing is called before the first call

        def call(self, x):
            return self.block.shortcut(x), self.block.residual(x)

    for training in (False, True):
        found = Parts()(x, training=training)
        block = built(make, x)
        expected = [part(tensor(x), training=training) for part in (block.shortcut, block.residual)]
        for one, two in zip(found, expected, strict=True):
            assert_close(array(one), array(two))


def test_training_uses_and_learns_the_statistics_of_the_batch():
    layer = built(lambda: ResidualDense(4), ROWS)
    norms = [*layer.residual_layers[1::2], layer.projection_layers[1]]
    before = [norm.get_weights()[2:] for norm in norms]
    shortcut = array(layer.shortcut(ROWS, training=True))
    gamma, beta, _, _ = norms[2].get_weights()
    projected = ROWS @ layer.projection_layers[0].get_weights()[0]
    whitened = (projected - projected.mean(0)) / np.sqrt(projected.var(0) + EPSILON)
    assert_close(shortcut, gamma * whitened + beta, 1e-4)
    layer.residual(ROWS, training=True)
    for norm, (mean, variance) in zip(norms, before, strict=True):
        assert np.all(norm.get_weights()[2] != mean) and np.all(norm.get_weights()[3] != variance)


@changing
def test_the_parts_depend_on_weights_of_their_own(make, x):
    layer = built(make, x)
    variables = layer.trainable_variables
    projects = ["projection" in variable.path for variable in variables]
    for part, expected in ((layer.shortcut, projects), (layer.residual, np.invert(projects))):
        slopes = gradients(lambda part=part: ops.sum(part(tensor(x)) ** 2), variables)
        assert [bool(np.any(slope)) for slope in slopes] == list(expected)


# Shapes


@pytest.mark.parametrize("steps", [1, 4, 5, 7])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("causal", [True, False])
def test_odd_lengths_are_rounded_up(steps, strides, causal):
    layer = ResidualConv1D(4, strides, causal=causal)
    found = layer(np.zeros((2, steps, 3), "float32"))
    assert tuple(found.shape) == (2, -(-steps // strides), 4)
    assert layer.compute_output_shape((2, steps, 3)) == tuple(found.shape)


@pytest.mark.parametrize(("size", "expected"), [((7, 4), (4, 2)), ((1, 9), (1, 5))])
def test_odd_sizes_of_images_are_rounded_up(size, expected):
    layer = ResidualConv2D(4, 2)
    assert tuple(layer(np.zeros((2, *size, 3), "float32")).shape) == (2, *expected, 4)
    assert layer.compute_output_shape((2, *size, 3)) == (2, *expected, 4)


def test_unknown_sizes_stay_unknown():
    assert ResidualConv1D(4, 2)(keras.Input((None, 3))).shape == (None, None, 4)
    assert ResidualConv2D(4, 2)(keras.Input((None, 9, 3))).shape == (None, None, 5, 4)
    assert ResidualDense(4)(keras.Input((None, 3))).shape == (None, None, 4)


def test_rows_may_be_the_steps_of_sequences():
    layer = built(lambda: ResidualDense(4), SEQUENCES)
    found = array(layer(SEQUENCES))
    alone = built(lambda: ResidualDense(4), ROWS)
    assert_close(array(alone(SEQUENCES[:, 2])), found[:, 2])


# Time


@pytest.mark.parametrize(("strides", "dilation_rate"), [(1, 1), (1, 2), (2, 1), (3, 1)])
def test_a_step_knows_the_past_alone(strides, dilation_rate):
    layer = built(lambda: ResidualConv1D(4, strides, dilation_rate=dilation_rate), SEQUENCES)
    for changed_step in range(8):
        changed = SEQUENCES.copy()
        changed[:, changed_step:] += 1.0
        for part in (layer, layer.shortcut, layer.residual):
            moved = np.any(
                array(part(tensor(SEQUENCES))) != array(part(tensor(changed))), axis=(0, 2)
            )
            assert not moved[np.arange(len(moved)) * strides < changed_step].any()
            first = -(-changed_step // strides)
            assert first >= len(moved) or moved[first]


def test_a_block_that_is_not_causal_knows_the_future_too():
    layer, changed = built(lambda: ResidualConv1D(3, causal=False), SEQUENCES), SEQUENCES.copy()
    changed[:, 4] += 1.0
    moved = np.any(array(layer.residual(SEQUENCES)) != array(layer.residual(changed)), axis=(0, 2))
    np.testing.assert_array_equal(moved, [False, False, True, True, True, True, True, False])


# Masks

LENGTHS = [8, 5, 3, 1, 7]
MASK = np.arange(8) < np.array(LENGTHS)[:, None]
PADDED = np.where(MASK[..., None], SEQUENCES, 99.0).astype("float32")


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("strides", [1, 3])
def test_the_mask_goes_on_with_the_steps_that_are_left(strides, causal):
    layer = ResidualConv1D(4, strides, causal=causal)
    masked = layers.Masking(99.0)(PADDED)
    found = keras.src.backend.get_keras_mask(layer(masked))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), MASK[:, ::strides])
    assert layer.compute_mask(masked, None) is None


def test_the_mask_of_rows_goes_on():
    found = keras.src.backend.get_keras_mask(ResidualDense(4)(layers.Masking(99.0)(PADDED)))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), MASK)


@pytest.mark.parametrize(("strides", "causal"), [(1, True), (1, False), (2, True)])
def test_padding_changes_nothing_at_the_steps_before_it(strides, causal):
    layer = built(lambda: ResidualConv1D(4, strides, causal=causal), SEQUENCES)
    found = array(layer(PADDED, mask=MASK))
    for row, length in enumerate(LENGTHS):
        alone = array(layer(SEQUENCES[row : row + 1, :length]))[0]
        assert_close(found[row, : len(alone)], alone, 1e-4)


def test_padding_before_a_sequence_is_the_nothing_before_it():
    layer = built(lambda: ResidualConv1D(4), SEQUENCES)
    after = np.concatenate([np.full((5, 2, 3), 99, "float32"), SEQUENCES], axis=1)
    found = array(layer(after, mask=np.arange(10)[None] >= np.full((5, 1), 2)))
    assert_close(found[:, 2:], array(layer(SEQUENCES)), 1e-4)


@pytest.mark.parametrize("make", [lambda: ResidualConv1D(4, 2), lambda: ResidualDense(4)])
def test_the_statistics_of_a_batch_leave_padding_out(make):
    padding = [(0, 0), (0, 4), (0, 0)]
    longer = np.pad(PADDED, padding, constant_values=-7)
    short, long = built(make, SEQUENCES), built(make, SEQUENCES)
    first = array(short(PADDED, mask=MASK, training=True))
    second = array(long(longer, mask=np.pad(MASK, padding[:2]), training=True))
    kept = MASK[:, :: short.strides]
    assert_close(first[kept], second[:, : first.shape[1]][kept], 1e-4)
    for one, two in zip(short.get_weights(), long.get_weights(), strict=True):
        assert_close(one, two, 1e-4)


# Freezing


@every_block
def test_stock_layers_answer_the_same(make, x):
    layer = built(make, x, name="block_3")
    for call in ("call", "shortcut", "residual"):
        method = "frozen" if call == "call" else f"frozen_{call}"
        found, names = frozen(layer, x, method=method)
        assert_close(array(found), array(getattr(layer, call)(tensor(x))))
        parts = layer.residual_layers if call != "shortcut" else []
        parts = [*parts, *(layer.projection_layers if call != "residual" else [])]
        assert sorted(names) == sorted(f"block_3_{part.name}" for part in parts)
        assert len(set(names)) == len(names)


def test_stock_layers_read_padding_as_zeros_too():
    layer = built(lambda: ResidualConv1D(4, 2, causal=False), SEQUENCES)
    found = array(frozen(layer, PADDED, mask=tensor(MASK))[0])
    assert_close(found, array(layer(PADDED, mask=MASK)), 1e-4)
    assert np.abs(found - array(layer(PADDED))).max() > 1


# Weights, settings


@every_block
def test_a_saved_block_answers_equally(make, x, tmp_path):
    layer = built(make, x, name="block_3")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model.save(tmp_path / "block.keras")
    loaded = keras.models.load_model(tmp_path / "block.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(array(model(x)), array(loaded(x)))


def test_every_setting_survives_a_config():
    settings = {"filters": 4, "strides": 1, "kernel_size": 5, "dilation_rate": 2, "causal": False}
    config = ResidualConv1D(**settings).get_config()
    assert settings.items() <= config.items()
    assert ResidualConv1D.from_config(config).get_config() == config
    config = ResidualConv2D(4, 2, 5).get_config()
    assert (config["filters"], config["strides"], config["kernel_size"]) == (4, 2, 5)
    assert ResidualDense(7).get_config()["units"] == 7


def test_kernels_start_as_he_does_and_differ():
    layer = ResidualDense(300)
    layer.build((None, 200))
    kernels = [
        each.get_weights()[0] for each in (*layer.residual_layers[::2], layer.projection_layers[0])
    ]
    for kernel in kernels:
        assert kernel.std() == pytest.approx(np.sqrt(2 / len(kernel)), rel=0.02)
    assert np.any(kernels[0] != kernels[2])


@every_block
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_computes_in_halves_with_full_weights(make, x, policy):
    full = built(make, x)
    half = built(make, x, dtype=policy)
    outputs = half(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in half.weights} == {"float32"}
    parts = [*half.residual_layers, *half.projection_layers]
    assert {part.dtype_policy.name for part in parts} == {policy}
    np.testing.assert_allclose(array(outputs), array(full(x)), rtol=0.05, atol=0.2)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("strides", [0, -1, 1.5, (2, 2)])
@pytest.mark.parametrize("block", [ResidualConv1D, ResidualConv2D])
def test_strides_are_an_integer_of_at_least_1(block, strides):
    with refused("strides must be an integer of at least 1. Received: "):
        block(4, strides, name="tower")


def test_strides_and_dilation_are_not_for_one_block():
    wanted = "'tower' can skip steps or spread its reading over them, not both: set strides or"
    with refused(f"{wanted} dilation_rate to 1. Received: strides=2, dilation_rate=3"):
        ResidualConv1D(4, 2, dilation_rate=3, name="tower")


@pytest.mark.parametrize(
    ("block", "shape", "wanted"),
    [
        (ResidualConv2D, (5, 6, 3), r"'tower' reads images, \(batch, height, width, channels\)"),
        (ResidualConv1D, (5, 6, 7, 3), r"'tower' reads sequences, \(batch, steps, channels\)"),
        (ResidualConv1D, (5, 3), r"Received: \(5, 3\). For images take ResidualConv2D, for tables"),
        (ResidualDense, (5,), r"'tower' reads rows of features, \(batch, features\)"),
    ],
)
def test_an_input_of_another_kind_is_an_error(block, shape, wanted):
    with refused(wanted):
        block(4, name="tower")(np.zeros(shape, "float32"))


def test_a_block_of_its_own_says_what_projects():
    with pytest.raises(NotImplementedError):
        ResidualBlock().new_projection()
