"""Routers hear from `fit` how long training is."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import AnnealingSchedule
from keras_mtl.training.callbacks.epochs import FollowEpochs

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = {"a": np.arange(8) % 2, "b": np.arange(8) % 3}


class Temperatures(keras.callbacks.Callback):
    """Notes the temperature at the beginning and the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        router = self.model.get_layer("allocation_1").router
        self.seen.append(round(float(ops.convert_to_numpy(router.temperature_now())), 4))

    on_epoch_end = on_epoch_begin


def network(temperature):
    dense = partial(keras.layers.Dense, 2)
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((3,)), {"a": 2, "b": 3}, [[dense] * 2], temperature=temperature, seed=0
    )
    model.compile(keras.optimizers.SGD(0.1))
    return model


def temperatures(model, *data, **settings):
    callback = Temperatures()
    model.fit(*data, callbacks=[callback], verbose=0, **settings)
    return callback.seen


@pytest.mark.parametrize("batch_size", [2, 4])
def test_the_temperature_ends_at_its_final_value_with_the_last_batch(batch_size):
    found = temperatures(
        network(AnnealingSchedule(8.0, 0.5)), X, Y, batch_size=batch_size, epochs=2
    )
    assert found == [8, 2, 2, 0.5]


def test_a_second_fit_is_a_longer_training():
    model = network(AnnealingSchedule(8.0, 0.5))
    assert temperatures(model, X, Y, batch_size=4, epochs=1) == [8, 0.5]
    assert temperatures(model, X, Y, batch_size=4, epochs=1) == [2, 0.5]


def test_a_resumed_training_is_as_long_as_it_was():
    model = network(AnnealingSchedule(8.0, 0.5))
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True)
    )
    model.fit(X, Y, batch_size=4, epochs=4, callbacks=[stop], verbose=0)
    found = temperatures(model, X, Y, batch_size=4, epochs=4, initial_epoch=1)
    assert found == [4, 2, 2, 1, 1, 0.5]


def test_what_a_schedule_knows_itself_holds():
    model = network(AnnealingSchedule(8.0, 0.5, num_steps=8))
    assert temperatures(model, X, Y, batch_size=4, epochs=1) == [8, 4]
    assert temperatures(model, X, Y, batch_size=4, epochs=1) == [4, 2]


def test_a_number_of_batches_that_keras_does_not_know_is_known_after_an_epoch():
    model = network(AnnealingSchedule(8.0, 0.5))
    router = model.get_layer("allocation_1").router
    follow = FollowEpochs(None)
    follow.set_model(model)
    follow.set_params({"steps": None, "epochs": 3})
    follow.on_epoch_begin(0)
    assert int(router.length.numpy()) == 0
    for batch in range(4):
        model.train_on_batch(X[:2], {task: y[:2] for task, y in Y.items()})
        follow.on_train_batch_end(batch)
    follow.on_epoch_begin(1)
    assert int(router.length.numpy()) == 12


def test_a_saved_network_knows_the_length(tmp_path):
    model = network(AnnealingSchedule(8.0, 0.5))
    model.fit(X, Y, batch_size=4, epochs=1, verbose=0)
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    router = loaded.get_layer("allocation_1").router
    assert (int(router.length.numpy()), int(router.updates.numpy())) == (2, 2)
    assert float(ops.convert_to_numpy(router.temperature_now())) == pytest.approx(0.5)
