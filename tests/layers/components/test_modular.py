import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_mtl.layers import AllocationMatrix, FixedAllocation, Modular
from tests.gradients import gradient, gradients

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")  # B = 5 examples, D = 3


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def constant(value, units=2):
    """A component that answers `value * sum(x)` in every unit."""
    initializer = keras.initializers.Constant(value)
    return layers.Dense(units, kernel_initializer=initializer, use_bias=False)


def dense_components(count, units=2):
    return [layers.Dense(units, activation="tanh") for _ in range(count)]


def other_components(count, units=2):
    """Components that cannot be computed as one operation."""
    return [keras.Sequential([layers.Dense(units, activation="tanh")]) for _ in range(count)]


@pytest.fixture(params=[dense_components, other_components], ids=["fused", "looped"])
def components_of(request):
    return request.param


# Values


def test_active_components_are_averaged():
    layer = Modular([constant(1.0), constant(3.0), constant(8.0)])
    weights = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 1]], "float32")
    x = np.array([[1, 0], [1, 0], [2, 1], [0.5, 0]], "float32")
    np.testing.assert_allclose(array(layer(x, weights))[:, 0], [4.0, 5.5, 3.0, 4.0], rtol=1e-6)


def test_sum_adds_active_components():
    layer = Modular([constant(1.0), constant(3.0), constant(8.0)], combine="sum")
    weights = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 0]], "float32")
    np.testing.assert_allclose(array(layer(np.ones((3, 1)), weights))[:, 1], [12, 11, 0])


def test_weights_below_one_in_sum_are_not_divided():
    layer = Modular([constant(1.0), constant(3.0)])
    weights = np.array([[0.25, 0.25], [0.5, 0.0]], "float32")
    np.testing.assert_allclose(array(layer(np.ones((2, 1)), weights))[:, 0], [1.0, 0.5])


def test_all_ones_are_the_plain_mean_of_the_components(components_of):
    components = components_of(4)
    outputs = array(Modular(components)(X, np.ones((5, 4), "float32")))
    mean = np.mean([array(component(X)) for component in components], axis=0)
    np.testing.assert_allclose(outputs, mean, rtol=1e-5, atol=1e-6)


def test_no_active_component_gives_exactly_zero(components_of):
    components = components_of(4)
    outputs = array(Modular(components)(X * 1e6, np.zeros((5, 4), "float32")))
    assert outputs.shape == (5, 2) and np.all(outputs == 0)


def test_a_nan_weight_gives_nan(components_of):
    weights = np.array([[1, 1], [np.nan, np.nan], [0, 1], [1, 0], [0, 0]], "float32")
    outputs = array(Modular(components_of(2))(X, weights))
    np.testing.assert_array_equal(np.isnan(outputs).all(axis=1), [False, True] + [False] * 3)
    assert np.isfinite(outputs[[0, 2, 3, 4]]).all()


def test_copies_of_a_component_leave_the_output_as_it_is(components_of):
    single, *copies = components_of(4)
    weights = [layer.build((None, 3)) or layer.get_weights() for layer in [single]][0]
    for copy in copies:
        copy.build((None, 3))
        copy.set_weights(weights)
    outputs = Modular([single, *copies])(X, np.array([[1, 0, 1, 1]] * 5, "float32"))
    np.testing.assert_allclose(array(outputs), array(single(X)), rtol=1e-5, atol=1e-6)


def test_components_and_columns_can_be_permuted_together(components_of):
    components, order = components_of(4), [2, 0, 3, 1]
    weights = np.random.default_rng(1).integers(0, 2, (5, 4)).astype("float32")
    plain = array(Modular(components)(X, weights))
    permuted = array(Modular([components[i] for i in order])(X, weights[:, order]))
    np.testing.assert_allclose(permuted, plain, rtol=1e-5, atol=1e-6)


def test_equal_rows_give_equal_features(components_of):
    allocation = FixedAllocation([[1, 0, 1, 0], [0, 1, 1, 1], [1, 0, 1, 0]])
    layer = Modular(components_of(4))
    first, other, second = (
        array(layer(X, allocation(np.full(5, task_id)))) for task_id in range(3)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_mixed_batches_and_batches_of_one_task_agree_row_by_row(components_of):
    allocation = FixedAllocation([[1, 0, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
    layer = Modular(components_of(4))
    task_id = np.array([2, 0, 1, 1, 0])
    mixed = array(layer(X, allocation(task_id)))
    for task in range(3):
        alone = array(layer(X[task_id == task], allocation(task_id[task_id == task])))
        np.testing.assert_allclose(mixed[task_id == task], alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("input_shape", [(5, 7, 3), (5, 6, 7, 3)])
def test_features_may_have_steps_or_positions(input_shape):
    x = np.random.default_rng(2).normal(size=input_shape).astype("float32")
    components = dense_components(2) + other_components(2)
    weights = np.random.default_rng(3).integers(0, 2, (5, 4)).astype("float32")
    outputs = array(Modular(components)(x, weights))
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    share = share.reshape(5, 4, *[1] * (x.ndim - 1))
    expected = sum(share[:, i] * array(c(x)) for i, c in enumerate(components))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_repeats_answer_one_input_for_several_tasks(components_of):
    layer = Modular(components_of(2), num_repeats=3)
    weights = np.repeat([[1, 0], [0, 1], [1, 1]], 5, axis=0).astype("float32")
    outputs = array(layer(X, weights)).reshape(3, 5, 2)
    first, second = (array(component(X)) for component in layer.components)
    np.testing.assert_allclose(outputs, [first, second, (first + second) / 2], rtol=1e-5, atol=1e-6)


def test_repeats_answer_images_for_several_tasks(components_of):
    layer = Modular(components_of(2), num_repeats=3)
    x = np.random.default_rng(2).normal(size=(5, 6, 7, 3)).astype("float32")
    weights = np.repeat([[1, 0], [0, 1], [1, 1]], 5, axis=0).astype("float32")
    outputs = array(layer(x, weights)).reshape(3, 5, 6, 7, 2)
    first, second = (array(component(x)) for component in layer.components)
    np.testing.assert_allclose(outputs, [first, second, (first + second) / 2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_repeats", [1, 3])
def test_every_step_may_have_weights_of_its_own(components_of, num_repeats):
    layer = Modular(components_of(2), "sum", num_repeats)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    weights = rng.normal(size=(num_repeats * 5, 7, 2)).astype("float32")
    outputs = array(layer(x, weights))
    first, second = (
        np.tile(array(component(x)), (num_repeats, 1, 1)) for component in layer.components
    )
    expected = weights[..., :1] * first + weights[..., 1:] * second
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_repeats_repeat_the_mask_too():
    steps = np.array([[4, 2, 0], [1, 0, 0]])
    embedded = layers.Embedding(5, 3, mask_zero=True)
    tokens = keras.Input((3,), dtype="int32")
    weights = keras.Input((2,))
    features = Modular(dense_components(2), num_repeats=2)(embedded(tokens), weights)
    model = keras.Model([tokens, weights], layers.GlobalAveragePooling1D()(features))
    per_step = keras.Model([tokens, weights], features)
    inputs = [steps, np.ones((4, 2), "float32")]
    answer, by_step = array(model(inputs)), array(per_step(inputs))
    expected = [row[:length].mean(axis=0) for row, length in zip(by_step, [2, 1] * 2, strict=True)]
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)


def test_components_may_take_a_dict():
    def total():
        a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
        return keras.Model({"a": a, "b": b}, layers.Dense(4)(layers.Concatenate()([a, b])))

    components = [total(), total()]
    x = {"a": X, "b": X[:, :2]}
    outputs = array(Modular(components)(x, np.ones((5, 2), "float32")))
    expected = (array(components[0](x)) + array(components[1](x))) / 2
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


# Gradients


def expected_gradient(active, values):
    """Of `sum(a * values) / max(sum(a), 1)` with respect to `a`, in numbers."""
    total = active.sum()
    if total < 1:
        return values
    return values / total - (active * values).sum() / total**2


@pytest.mark.parametrize("active", list(itertools.product([0.0, 1.0], repeat=3)))
def test_the_gradient_of_a_weight_flows_through_the_mean(active):
    layer = Modular([constant(1.0, 1), constant(3.0, 1), constant(8.0, 1)])
    weights = keras.Variable(np.array([active], "float32"))
    layer.build((1, 1), (1, 3))
    found = gradient(lambda: ops.sum(layer(np.ones((1, 1), "float32"), weights)), weights)
    expected = expected_gradient(np.array(active), np.array([1.0, 3.0, 8.0]))
    np.testing.assert_allclose(found, [expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_reaches_the_logits_through_the_mean(seed):
    allocation = AllocationMatrix(2, 3, temperature=2.0, parameterization="log_odds", seed=seed)
    layer = Modular([constant(1.0, 1), constant(3.0, 1), constant(8.0, 1)])
    allocation.build((None,))
    layer.build((1, 1), (1, 3))
    from keras_mtl.layers.routers.gumbel import logistic_noise

    def loss():
        weights = allocation(np.array([1], "int32"), training=True)
        return ops.sum(layer(np.ones((1, 1), "float32"), weights))

    noise = array(logistic_noise((2, 3), keras.random.SeedGenerator(seed)))[1]
    soft = 1 / (1 + np.exp(-noise / 2.0))
    through = expected_gradient((noise >= 0).astype("float64"), np.array([1.0, 3.0, 8.0]))
    found = gradient(loss, allocation.row_blocks[0])
    np.testing.assert_allclose(found[1], through * soft * (1 - soft) / 2, rtol=1e-3, atol=1e-6)
    assert np.all(found[0] == 0)


def test_no_active_component_still_gives_the_logits_a_finite_gradient(components_of):
    allocation = AllocationMatrix(
        1, 3, init_probability=1e-3, temperature=5.0, min_components=0, seed=0
    )
    layer = Modular(components_of(3))
    allocation.build((None,))
    layer.build((5, 3), (5, 3))

    def loss():
        return ops.sum(layer(X, allocation(np.zeros(5, "int32"))))

    assert array(loss()) == 0.0
    found, *of_components = gradients(loss, [allocation.row_blocks[0], *layer.trainable_variables])
    assert np.all(np.isfinite(found)) and np.all(found != 0)
    assert all(np.all(slope == 0) for slope in of_components)


def test_an_inactive_component_has_no_gradient_but_its_logit_has(components_of):
    allocation = AllocationMatrix(1, 3, init_probability=[[0.9, 0.1, 0.8]], temperature=1.0)
    layer = Modular(components_of(3))
    allocation.build((None,))
    layer.build((5, 3), (5, 3))

    def loss():
        return ops.sum(layer(X, allocation(np.zeros(5, "int32"))) ** 2)

    active, inactive, _ = layer.components
    for slope in gradients(loss, inactive.trainable_variables):
        assert np.all(slope == 0)
    for slope in gradients(loss, active.trainable_variables):
        assert np.any(slope != 0)
    assert np.all(gradient(loss, allocation.row_blocks[0])[0, 1] != 0)


def test_the_identity_shares_nothing(components_of):
    allocation = FixedAllocation(np.eye(3))
    layer = Modular(components_of(3))
    layer.build((5, 3), (5, 3))
    for task_id in range(3):
        for component_id, component in enumerate(layer.components):
            slopes = gradients(
                lambda task_id=task_id: ops.sum(layer(X, allocation(np.full(5, task_id))) ** 2),
                component.trainable_variables,
            )
            assert all(np.any(s != 0) == (task_id == component_id) for s in slopes)


# Errors


def test_components_with_different_output_shapes_are_an_error():
    layer = Modular(
        [layers.Dense(2, name="narrow"), layers.Dense(7, name="wide")], name="modular_1"
    )
    wanted = r"layer 'modular_1' must have one output shape.*narrow: \(5, 2\), wide: \(5, 7\).*same"
    with pytest.raises(ValueError, match=wanted):
        layer(X, np.ones((5, 2), "float32"))


def test_convolutions_that_shrink_differently_are_an_error():
    layer = Modular([layers.Conv2D(4, 3), layers.Conv2D(4, 5)])
    with pytest.raises(ValueError, match="same units, filters, strides and padding"):
        layer(np.zeros((1, 8, 8, 2), "float32"), np.ones((1, 2), "float32"))


def test_no_component_is_an_error():
    with pytest.raises(
        ValueError, match=r"components must be a list of at least one Keras layer. Received: \[\]"
    ):
        Modular([])


def test_an_unknown_combination_is_an_error():
    with pytest.raises(ValueError, match='combine must be "mean" or "sum". Received: \'max\''):
        Modular([layers.Dense(2)], combine="max")
