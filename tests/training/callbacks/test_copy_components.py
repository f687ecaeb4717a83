"""Components that start as equals after a warm-up."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

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
    model = network(warm_up=2)
    before = [kernels(model, index) for index in (1, 2)]
    train(model, 0, 2)
    trained = [kernels(model, index) for index in (1, 2)]
    for now, then in zip(trained, before, strict=True):
        assert np.abs(now[0] - then[0]).max() > 1e-3
        for other, unused in zip(now[1:], then[1:], strict=True):
            np.testing.assert_array_equal(other, unused)
    model.optimizer.learning_rate.assign(0.0)  # what follows leaves the copies as they are
    train(model, 2, 3)
    for index, (first, *_) in enumerate(trained, start=1):
        for kernel in kernels(model, index):
            np.testing.assert_array_equal(kernel, first)


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.5),
    "adam": lambda: keras.optimizers.Adam(0.1, amsgrad=True),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, centered=True, momentum=0.5),
    "adafactor": lambda: keras.optimizers.Adafactor(0.1),
    "groups": lambda: keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.1), 0.2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.1), 0.2)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equal_gradients_move_copies_equally(name):
    model = network(warm_up=2, projection="softmax")
    model.compile(OPTIMIZERS[name]())
    train(model, 0, 2)
    kept = [np.array(variable.numpy()) for variable in model.optimizer.variables]
    copied(model)
    assert any(
        not np.array_equal(old, variable.numpy())
        for old, variable in zip(kept, model.optimizer.variables, strict=True)
    )
    gradients = [ops.ones(variable.shape) for variable in model.trainable_variables]
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for _ in range(2):
        optimizer.apply(gradients, model.trainable_variables)
    optimizer.finalize_variable_values(model.trainable_variables)  # averages of weights
    for index in (1, 2):
        first, *others = kernels(model, index)
        for other in others:
            np.testing.assert_array_equal(first, other)


def copied(model, epoch=2):
    copy = keras_mtl.CopyComponents(epoch)
    copy.set_model(model)
    copy.on_epoch_begin(epoch)


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
    copied(model)
    np.testing.assert_array_equal(others[0].get_weights()[-2], first.get_weights()[-2])
    np.testing.assert_array_equal(others[0].get_weights()[-2], others[1].get_weights()[-2])


# An epoch at which the warm-up is not over, or over already


@pytest.mark.parametrize("warm_up", [3, 1])
def test_a_warm_up_that_ends_elsewhere_is_told_before_anything_is_trained(warm_up):
    model = network(warm_up=warm_up)
    message = (
        rf"CopyComponents\(2\) copies components after 2 training batches, but the warm-up of "
        rf"layer 'allocation_1' is {warm_up} batches. Build the network with warm_up=2, or give "
        rf"CopyComponents the epoch that begins after {warm_up} batches. Batches of an epoch: 1."
    )
    with pytest.raises(ValueError, match=message):
        train(model, 0, 3)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.slow
def test_a_warm_up_that_was_over_is_told_in_a_later_fit():
    model = network(warm_up=1)
    model.fit(X, Y, epochs=2, verbose=0)
    with pytest.raises(ValueError, match="after 2 training batches, but the warm-up .* is 1 batch"):
        train(model, 2, 3)


@pytest.mark.slow
def test_epochs_of_unknown_length_are_told_of_when_the_time_comes():
    model, copy = network(warm_up=5), keras_mtl.CopyComponents(2)
    copy.set_params = lambda params: None  # batches whose number Keras does not know
    with pytest.warns(UserWarning, match="after 2 training batches, but the warm-up .* is 5 batch"):
        model.fit(X, Y, epochs=3, callbacks=[copy], verbose=0)
    assert int(model.optimizer.iterations) == 3


@pytest.mark.slow
def test_a_run_that_goes_on_after_the_copies_copies_nothing():
    """As one that is resumed within the epoch, whose components have begun to differ."""
    model = network(warm_up=2)
    train(model, 0, 2)
    copied(model)
    model.get_layer("modular_1").components[1].kernel.assign(np.full((2, 3), 7.0))
    for layer in model.layers:
        if layer.name.startswith("allocation"):
            layer.batches.assign(3)
    model.optimizer.learning_rate.assign(0.0)
    y = {name: labels[:3] for name, labels in Y.items()}
    with pytest.warns(UserWarning, match="after 3 training batches, .* is 2 .*Nothing is copied"):
        model.fit(
            X[:3], y, batch_size=2, initial_epoch=2, epochs=3, verbose=0,
            callbacks=[keras_mtl.CopyComponents(2)],
        )  # fmt: skip
    np.testing.assert_array_equal(kernels(model, 1)[1], np.full((2, 3), 7.0))


@pytest.mark.slow
@pytest.mark.parametrize("backup", [keras.callbacks.BackupAndRestore, keras_mtl.AtomicBackup])
def test_a_run_that_is_resumed_as_the_warm_up_ends_copies(backup, tmp_path):
    found = []
    for ends in ([4], [2, 4]):  # without and with an interruption
        folder = tmp_path / str(len(ends))
        for end in ends:
            model = network(warm_up=2, seed=3)
            model.compile(keras.optimizers.Adam(0.1))
            callbacks = [backup(folder, delete_checkpoint=False), keras_mtl.CopyComponents(2)]
            model.fit(X, Y, epochs=end, callbacks=callbacks, shuffle=False, verbose=0)
        found.append([*kernels(model, 1), *kernels(model, 2)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


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
