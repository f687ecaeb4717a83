from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

dense = partial(keras.layers.Dense, 3)
TASKS = {"a": 2, "b": "binary", "c": 4}
X = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
Y = {"a": np.array([0, 1, 1, 0]), "b": np.ones(4), "c": np.array([3, 2, 1, 0])}


def model_of(init_probability=0.25):
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((2,)), TASKS, [[dense] * 4, [dense] * 2], init_probability=init_probability
    )
    model.compile(keras_mtl.allocation_optimizer(keras.optimizers.SGD(0.1), 5.0))
    return model


@pytest.mark.slow
def test_recorder_notes_probabilities_at_the_start_and_after_every_epoch():
    model, recorder = model_of(), keras_mtl.AllocationRecorder()
    model.fit(X, Y, epochs=2, callbacks=[recorder], verbose=0)
    assert recorder.epochs == [0, 1, 2]
    for entry in recorder.probabilities:
        assert [layer.shape for layer in entry] == [(3, 4), (3, 2)]
    for layer in recorder.probabilities[0]:
        np.testing.assert_allclose(layer, 0.25, rtol=1e-6)
    latest = keras_mtl.allocation_probabilities(model)
    for layer, expected in zip(recorder.probabilities[-1], latest, strict=True):
        np.testing.assert_array_equal(layer, expected)
    assert np.abs(recorder.probabilities[2][0] - recorder.probabilities[1][0]).max() > 1e-6


@pytest.mark.slow
def test_recorder_goes_on_in_a_later_fit():
    model, recorder = model_of(), keras_mtl.AllocationRecorder()
    model.fit(X, Y, epochs=1, callbacks=[recorder], verbose=0)
    model.fit(X, Y, initial_epoch=1, epochs=3, callbacks=[recorder], verbose=0)
    assert recorder.epochs == [0, 1, 2, 3]
    assert len(recorder.probabilities) == 4


@pytest.mark.slow
def test_recorder_of_a_resumed_run_starts_where_the_run_does():
    recorder = keras_mtl.AllocationRecorder()
    model_of().fit(X, Y, initial_epoch=2, epochs=4, callbacks=[recorder], verbose=0)
    assert recorder.epochs == [2, 3, 4]


@pytest.mark.slow
def test_recorder_keeps_copies():
    model, recorder = model_of(), keras_mtl.AllocationRecorder()
    model.fit(X, Y, callbacks=[recorder], verbose=0)
    kept = [layer.copy() for layer in recorder.probabilities[-1]]
    model.fit(X, Y, verbose=0)
    for layer, copy in zip(recorder.probabilities[-1], kept, strict=True):
        np.testing.assert_array_equal(layer, copy)


@pytest.mark.slow
def test_recorder_of_a_model_without_learned_allocation_notes_nothing():
    model = keras_mtl.build_shared_bottom(keras.Input((2,)), TASKS, [[dense] * 4])
    model.compile("sgd")
    recorder = keras_mtl.AllocationRecorder()
    model.fit(X, Y, callbacks=[recorder], verbose=0)
    assert recorder.probabilities == [[], []]
