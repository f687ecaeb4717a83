"""Rows that do not use a component leave its state alone, batch statistics first of all."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import ExpertStreams, Modular, ResidualDense, RoutedModular, SkippableBlock
from tests.gradients import gradient

RNG = np.random.default_rng(0)
SCALES = np.array([1, 1, 50, 1, 50, 50], "float32")  # two tasks whose inputs differ
X = (RNG.normal(size=(6, 3)) * SCALES[:, None] + SCALES[:, None]).astype("float32")
OWN = SCALES == 1  # rows of the first task
EPSILON = 1e-3  # of a batch normalization


class Calls(layers.Layer):
    """Counts its calls in training, as a layer of somebody's own might."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="count"
        )

    def call(self, x, training=False):
        if training:
            self.count.assign_add(1)
        return x


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def normalization(**settings):
    return layers.BatchNormalization(momentum=0.75, **settings)


def nested():
    inner = keras.Sequential([normalization()])
    x = keras.Input((3,))
    return keras.Sequential([keras.Model(x, inner(x))])


KINDS = {"bare": normalization, "nested": nested}


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def statistics(component):
    """Returns moving means and variances, which start at 0 and 1."""
    (found,) = [x for x in component._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    return array(found.moving_mean), array(found.moving_variance)


def assert_moved_by(component, rows, momentum=0.75):
    """Asserts that a first batch moved the statistics by these rows of features alone."""
    rows = rows.reshape(-1, rows.shape[-1])
    mean, variance = statistics(component)
    np.testing.assert_allclose(mean, (1 - momentum) * rows.mean(axis=0), rtol=1e-5, atol=1e-6)
    expected = momentum + (1 - momentum) * rows.var(axis=0)
    np.testing.assert_allclose(variance, expected, rtol=1e-5)


def assert_not_moved(component):
    mean, variance = statistics(component)
    assert np.all(mean == 0) and np.all(variance == 1)


def normalized(rows):
    places = tuple(range(rows.ndim - 1))
    return (rows - rows.mean(axis=places)) / np.sqrt(rows.var(axis=places) + EPSILON)


def weights_of(*columns):
    return np.stack(columns, axis=-1).astype("float32")


LAYERS = {"modular": Modular, "routed": RoutedModular}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_component_is_normalized_by_the_rows_that_use_it(layer, make):
    first, second = make(), make()
    outputs = array(layer([first, second])(X, weights_of(OWN, ~OWN), training=True))
    np.testing.assert_allclose(outputs[OWN], normalized(X[OWN]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs[~OWN], normalized(X[~OWN]), rtol=1e-4, atol=1e-5)
    assert_moved_by(first, X[OWN])
    assert_moved_by(second, X[~OWN])


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_component_that_no_row_uses_does_not_move(layer, make):
    first, second, counting = make(), make(), keras.Sequential([make(), Calls()])
    modular = layer([first, second, counting])
    modular(X, weights_of(OWN * 0, OWN * 0 + 1, OWN * 0), training=True)
    assert_not_moved(first)
    assert_moved_by(second, X)
    assert_not_moved(counting)
    assert counting.layers[1].count.numpy() == 0
    modular(X, weights_of(OWN * 0, OWN * 0, OWN * 0 + 1), training=True)
    assert_moved_by(counting, X)
    assert counting.layers[1].count.numpy() == 1


def test_a_component_that_rows_share_is_normalized_by_both(make):
    first, second = make(), make()
    outputs = Modular([first, second])(X, weights_of(OWN, OWN * 0 + 1), training=True)
    both, own = normalized(X), normalized(X[OWN])
    np.testing.assert_allclose(array(outputs)[~OWN], both[~OWN], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(outputs)[OWN], (both[OWN] + own) / 2, rtol=1e-4, atol=1e-5)
    assert_moved_by(first, X[OWN])
    assert_moved_by(second, X)


def test_inference_moves_nothing(make):
    component = make()
    outputs = Modular([component, make()])(X, weights_of(OWN, ~OWN))
    np.testing.assert_allclose(array(outputs), X / np.sqrt(1 + EPSILON), rtol=1e-5)
    assert_not_moved(component)


def test_a_component_that_does_not_train_stays_as_it_is(make):
    component = make()
    component.trainable = False
    modular = Modular([component, make()])
    outputs = array(modular(X, weights_of(OWN, ~OWN), training=True))
    np.testing.assert_allclose(outputs[OWN], X[OWN] / np.sqrt(1 + EPSILON), rtol=1e-5)
    assert_not_moved(component)


def test_a_component_that_is_left_out_is_still_told_what_it_is_worth():
    components = [normalization(beta_initializer="ones"), normalization()]
    modular = Modular(components, combine="sum")
    weights = keras.Variable(weights_of(OWN * 0, OWN * 0 + 1))
    modular.build(X.shape, weights.shape)
    slope = np.arange(18, dtype="float32").reshape(6, 3)

    def loss():
        outputs = modular(X, ops.convert_to_tensor(weights), training=True)
        return ops.sum(ops.multiply(outputs, slope))

    slopes = array(gradient(loss, weights))
    expected = (slope * (1 + normalized(X))).sum(axis=-1)
    np.testing.assert_allclose(slopes[:, 0], expected, rtol=1e-3, atol=1e-4)
    assert_not_moved(components[0])


def test_half_precision_gives_finite_answers_and_gradients():
    modular = Modular([normalization(dtype="mixed_float16") for _ in range(2)], dtype="float16")
    x = np.where(OWN[:, None], 1e-4 * X, 6e4 * np.sign(X)).astype("float32")
    weights = keras.Variable(weights_of(OWN, ~OWN))
    modular.build(x.shape, weights.shape)

    def loss():
        outputs = modular(x, ops.convert_to_tensor(weights), training=True)
        return ops.sum(ops.cast(outputs, "float32"))

    assert np.isfinite(array(gradient(loss, weights))).all()


def test_images_are_normalized_by_the_rows_that_use_them():
    x = RNG.normal(size=(6, 5, 4, 3)).astype("float32") * SCALES[:, None, None, None]
    component = keras.Sequential([normalization()])
    outputs = Modular([component, normalization()])(x, weights_of(OWN, ~OWN), training=True)
    np.testing.assert_allclose(array(outputs)[OWN], normalized(x[OWN]), rtol=1e-4, atol=1e-5)
    assert_moved_by(component, x[OWN])


def test_rows_that_a_component_folds_into_the_batch_count_with_their_example():
    x = RNG.normal(size=(6, 4, 3)).astype("float32") * SCALES[:, None, None]

    class Folded(layers.Layer):
        def build(self, shape):
            self.normalization = normalization()
            self.normalization.build((None, shape[-1]))

        def call(self, x):
            return ops.reshape(self.normalization(ops.reshape(x, (-1, 3))), ops.shape(x))

        def compute_output_shape(self, shape):
            return shape

    component = Folded()
    Modular([component, normalization()])(x, weights_of(OWN, ~OWN), training=True)
    assert_moved_by(component, x[OWN])


def test_steps_that_do_not_use_a_component_do_not_move_it():
    x = RNG.normal(size=(6, 4, 3)).astype("float32")
    steps = RNG.integers(0, 2, (6, 4)).astype(bool)
    component = keras.Sequential([normalization()])
    Modular([component, normalization()])(x, weights_of(steps, ~steps), training=True)
    assert_moved_by(component, x[steps])


def test_padding_of_rows_in_use_does_not_move_a_component():
    words = np.array([[1, 2, 0], [2, 0, 0], [1, 1, 2], [2, 2, 0], [0, 0, 0], [1, 0, 0]])
    embedded = layers.Embedding(3, 4, mask_zero=True)(words)
    component = normalization()
    layer = RoutedModular([component, normalization()])
    layer(embedded, weights_of(OWN, ~OWN), training=True)
    assert_moved_by(component, array(embedded)[OWN][words[OWN] > 0])


def test_in_shared_data_rows_of_all_tasks_that_use_a_component_move_it(make):
    components = [make() for _ in range(3)]
    weights = np.zeros((2, 6, 3), "float32")
    weights[0, :, 0] = weights[1, :, :2] = 1
    weights[1, 2:, 1] = 0
    Modular(components, num_repeats=2)(X, weights.reshape(12, 3), training=True)
    assert_moved_by(components[0], X)
    assert_moved_by(components[1], X[:2])
    assert_not_moved(components[2])


def test_routes_that_are_known_run_components_on_their_rows(make):
    components = [make() for _ in range(3)]
    layer = RoutedModular(components, num_blocks=3, routes=[2, 0, 2])
    layer(X, weights_of(*np.eye(3)[[2, 2, 0, 0, 2, 2]].T), training=True)
    assert_moved_by(components[0], X[2:4])
    assert_not_moved(components[1])
    assert_moved_by(components[2], X[[0, 1, 4, 5]])


def test_experts_are_moved_by_rows_that_any_stream_weighs(make):
    experts = [make() for _ in range(3)]
    own = weights_of(OWN, OWN * 0, ~OWN)
    other = weights_of(OWN * 0, OWN * 0, OWN * 0 + 0.5)
    ExpertStreams(experts, reads=[0, 1, 2])([X, 2 * X, 3 * X], [own, other], training=True)
    assert_moved_by(experts[0], X[OWN])
    assert_not_moved(experts[1])
    assert_moved_by(experts[2], 3 * X)


def test_a_block_that_rows_skip_is_moved_by_the_others(make):
    block = make()
    outputs = SkippableBlock(block)(X, OWN[:, None].astype("float32"), training=True)
    np.testing.assert_allclose(array(outputs)[OWN], normalized(X[OWN]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(outputs)[~OWN], X[~OWN])
    assert_moved_by(block, X[OWN])


def test_what_skips_a_residual_block_is_projected_and_moves_the_projection_alone():
    block = SkippableBlock(ResidualDense(4))
    block(X, OWN[:, None].astype("float32"), training=True)
    first, norm, second, last = block.block.residual_layers
    projection, its_norm = block.block.projection_layers
    hidden = array(first(X))
    momentum = {"momentum": 0.99}
    assert_moved_by(norm, hidden[OWN], **momentum)
    assert_moved_by(its_norm, array(projection(X)), **momentum)
    block(X, np.zeros((6, 1), "float32"), training=True)
    assert_moved_by(norm, hidden[OWN], **momentum)


def test_gates_and_policies_that_close_a_block_together_leave_it_alone(make):
    block = make()
    gate = np.array([1, 0, 1, 1, 0, 1], "float32")[:, None]
    SkippableBlock(block)(X, OWN[:, None].astype("float32"), gate, training=True)
    assert_moved_by(block, X[OWN & (gate[:, 0] == 1)])


def test_a_component_that_fails_is_called_as_before_afterwards():
    class Fails(layers.Layer):
        def call(self, x):
            if not keras.backend.is_keras_tensor(x):
                raise ValueError("no such thing")
            return x

        def compute_output_shape(self, shape):
            return shape

    failing = keras.Sequential([normalization(), Fails()])
    with pytest.raises(ValueError, match="no such thing"):
        Modular([failing, normalization()])(X, weights_of(OWN, ~OWN), training=True)
    failing.set_weights([np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)])
    failing.layers[0](X, training=True)
    assert_moved_by(failing, X)


@pytest.mark.parametrize("axis", [1, -1])
def test_renormalization_and_other_axes_are_moved_by_the_same_rows(axis):
    x = RNG.normal(size=(6, 3, 3)).astype("float32") * SCALES[:, None, None]
    make = partial(normalization, axis=axis, renorm=True)
    routed, alone = make(), make()
    for _ in range(2):
        Modular([routed, make()])(x, weights_of(OWN, ~OWN), training=True)
        alone(x[OWN], training=True)
    for found, expected in zip(routed.weights, alone.weights, strict=True):
        np.testing.assert_allclose(array(found), array(expected), rtol=1e-4, atol=1e-5)
