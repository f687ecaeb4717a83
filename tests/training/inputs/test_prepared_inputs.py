"""`fit` on arrays: the same examples in batches, whoever reads them."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import ArrayBatches
from keras_mtl.training.inputs import prepared_inputs

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends read arrays as Keras does"
)
TASKS = {"price": "regression", "color": 3}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 4))
Y = {"price": np.where(np.arange(10) % 3, X[:, 0], np.nan), "color": np.arange(10) % 4 - 1}
WEIGHT = np.arange(10) / 5


def network(**options):
    model = keras_mtl.build_shared_bottom(
        keras.Input((4,)),
        TASKS,
        [lambda: keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(1))],
        seed=0,
    )
    for layer, seed in (("price", 2), ("color", 3)):
        kernel = model.get_layer(layer).trainable_variables[0]
        kernel.assign(keras.initializers.GlorotUniform(seed)(kernel.shape))
    model.compile(keras.optimizers.SGD(0.1), **options)
    return model


def history(model, *data, **options):
    return model.fit(*data, batch_size=4, epochs=3, verbose=0, **options).history


def read_by_keras(monkeypatch):
    monkeypatch.setattr("keras_mtl.training.model.with_batches", lambda model, given: given)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [None, WEIGHT, {"price": WEIGHT, "color": 1 - WEIGHT / 2}])
def test_in_their_own_order_arrays_train_as_with_keras(weight, monkeypatch):
    validation = (X[:5], {task: labels[:5] for task, labels in Y.items()})
    options = {"sample_weight": weight, "validation_data": validation, "shuffle": False}
    ours = history(network(), X, Y, **options)
    read_by_keras(monkeypatch)
    keras_own = history(network(), X, Y, **options)
    assert list(ours) == list(keras_own)
    for log, values in ours.items():
        np.testing.assert_allclose(values, keras_own[log], rtol=1e-6)


@pytest.mark.slow
def test_validation_has_weights_and_a_batch_size_of_its_own(monkeypatch):
    options = {"validation_data": (X, Y, WEIGHT), "validation_batch_size": 3, "shuffle": False}
    ours = history(network(), X, Y, **options)
    read_by_keras(monkeypatch)
    keras_own = history(network(), X, Y, **options)
    np.testing.assert_allclose(ours["val_loss"], keras_own["val_loss"], rtol=1e-6)


@pytest.mark.slow
def test_a_seed_decides_on_the_order():
    found = []
    for seed in (0, 0, 1):
        model = network()
        keras.utils.set_random_seed(seed)
        found.append(history(model, X, Y)["loss"])
    assert found[0] == found[1] != found[2]


@on_tensorflow
def test_orders_are_those_of_the_epochs(monkeypatch):
    made = []

    class Spy(ArrayBatches):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append((self, read := []))
            order = self._order
            self._order = lambda: read.append((self.epoch, order().tolist())) or order()

    monkeypatch.setattr(prepared_inputs, "ArrayBatches", Spy)
    keras.utils.set_random_seed(0)
    model = network()
    model.compile("sgd", run_eagerly=True)
    model.fit(X, Y, batch_size=10, epochs=5, initial_epoch=2, verbose=0)
    [(batches, read)] = made
    assert [epoch for epoch, _ in read] == [2, 3, 4]
    assert all(sorted(order) == list(range(10)) for _, order in read)
    assert read[0][1] != read[1][1] != read[2][1]


@on_tensorflow
@pytest.mark.parametrize(
    "given",
    [
        {"x": X.tolist(), "y": Y},
        {"x": X.astype("U9"), "y": Y},
        {"x": X, "y": {"price": Y["price"], "color": Y["color"][:9]}},
        {"x": X, "y": None},
        {"x": X, "y": Y, "shuffle": "batch"},
        {"x": X, "y": Y, "steps_per_epoch": 2},
        {"x": X, "y": Y, "validation_split": 0.2},
    ],
    ids=["lists", "words", "lengths", "no labels", "by batch", "steps", "split"],
)
def test_what_asks_for_more_is_left_to_keras(given):
    assert prepared_inputs.with_batches(network(), given) == given


@on_tensorflow
def test_several_replicas_are_left_to_keras():
    given = {"x": X, "y": Y}
    model = network()
    model._distribute_strategy = type("Two", (), {"num_replicas_in_sync": 2})()
    assert prepared_inputs.with_batches(model, given) is given


@pytest.mark.slow
def test_steps_and_splits_train():
    assert len(history(network(), X, Y, steps_per_epoch=3)["loss"]) == 3
    assert len(history(network(), X, Y, validation_split=0.3)["val_loss"]) == 3


def test_stock_losses_train_on_arrays_too():
    y = {"price": X[:, :1], "color": np.arange(10) % 3}
    losses = {"price": "mse", "color": "sparse_categorical_crossentropy"}
    model = network(loss=losses)
    found = history(model, X, y, sample_weight={"price": WEIGHT, "color": WEIGHT})
    assert found["loss"][-1] < found["loss"][0]


@on_tensorflow
@pytest.mark.parametrize("batch_size", [-1, 2.5])
def test_a_batch_size_that_is_none_is_named(batch_size):
    message = f"batch_size must be an integer of at least 1. Received: {batch_size}"
    with pytest.raises(ValueError, match=message):
        network().fit(X, Y, batch_size=batch_size, verbose=0)
