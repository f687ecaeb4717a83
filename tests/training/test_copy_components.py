"""Components that start as equals after a warm-up."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

dense = partial(keras.layers.Dense, 3)
TASKS = {"a": 2, "b": "binary", "c": 4}
X = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
Y = {"a": np.array([0, 1, 1, 0]), "b": np.ones(4), "c": np.array([3, 2, 1, 0])}


def network(layers=((dense,) * 4, (dense,) * 2), **settings):
    layers = [list(entry) for entry in layers]
    model = keras_mtl.build_routing_network(keras.Input((2,)), TASKS, layers, **settings)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def kernels(model, index):
    components = model.get_layer(f"modular_{index}").components
    return [component.get_weights()[0] for component in components]


def train(model, start, end):
    callbacks = [keras_mtl.CopyComponents(2)]
    model.fit(X, Y, initial_epoch=start, epochs=end, callbacks=callbacks, verbose=0)


@pytest.mark.slow
def test_after_the_warm_up_all_begin_as_the_first():
    model = network(warm_up=3)  # the copies are made after two batches of it
    before, before_2 = kernels(model, 1), kernels(model, 2)
    train(model, 0, 2)
    trained = kernels(model, 1)
    assert np.abs(trained[0] - before[0]).max() > 1e-3
    for now, then in zip(trained[1:], before[1:], strict=True):
        np.testing.assert_array_equal(now, then)
    train(model, 2, 3)
    first, *others = kernels(model, 1)
    for other in others:  # the first alone was trained on
        np.testing.assert_array_equal(other, trained[0])
    assert np.abs(first - trained[0]).max() > 1e-3
    _, second = kernels(model, 2)
    assert not np.array_equal(second, before_2[1])


@pytest.mark.slow
def test_other_epochs_copy_nothing():
    model = network(epsilon=0.1)
    train(model, 0, 2)
    train(model, 3, 4)
    first, *others = kernels(model, 1)
    assert all(np.abs(other - first).max() > 0.3 for other in others)


@pytest.mark.slow
def test_statistics_are_copied_too():
    normalized = lambda: keras.Sequential([dense(), keras.layers.BatchNormalization()])  # noqa: E731
    model = network([[normalized] * 3], warm_up=2)
    train(model, 0, 2)
    first, *others = model.get_layer("modular_1").components
    assert np.abs(first.get_weights()[-2]).max() > 1e-4  # the moving mean began at zero
    assert not any(other.get_weights()[-2].any() for other in others)  # nobody used these yet
    copy = keras_mtl.CopyComponents(2)
    copy.set_model(model)
    copy.on_epoch_begin(2)
    np.testing.assert_array_equal(others[0].get_weights()[-2], first.get_weights()[-2])
    np.testing.assert_array_equal(others[0].get_weights()[-2], others[1].get_weights()[-2])


def test_a_network_without_parallel_components_is_named():
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), TASKS, [dense], name="bottom")
    model.compile("sgd")
    with pytest.raises(ValueError, match="'bottom' has no parallel components.*Leave"):
        train(model, 0, 1)


def test_components_that_cannot_be_copies_are_named():
    deep = lambda: keras.Sequential([keras.layers.Dense(5), dense()])  # noqa: E731
    with pytest.raises(ValueError, match=r"'modular_1' differ in the shapes.*\(2, 3\).*\(2, 5\)"):
        train(network([[dense, deep]]), 0, 1)


@pytest.mark.parametrize("epoch", [-1, 1.5, "2"])
def test_an_epoch_is_an_integer_of_at_least_0(epoch):
    message = f"epoch must be an integer of at least 0. Received: {epoch!r}"
    with pytest.raises(ValueError, match=message):
        keras_mtl.CopyComponents(epoch)
