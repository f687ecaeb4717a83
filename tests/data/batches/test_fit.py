import functools

import keras
import numpy as np
import pytest

from keras_mtl.data import synthetic_pairs, task_batches

TASKS = {"color": 3, "animal": 5, "shape": 4}


def numbered(count, first=0, size=3):
    numbers = first + np.arange(count)
    return np.stack([numbers, -numbers], axis=1).astype("float32"), np.arange(count) % size


def three_tasks():
    return {"shape": numbered(4, 200), "color": numbered(10), "animal": numbered(7, 100)}


def small_model(outputs, loss):
    inputs = {
        "inputs": keras.Input((2,), name="inputs"),
        "task_id": keras.Input((), dtype="int32", name="task_id"),
    }
    merged = keras.layers.Concatenate()(
        [inputs["inputs"], keras.layers.Embedding(3, 2)(inputs["task_id"])]
    )
    model = keras.Model(inputs, outputs(merged))
    model.compile(keras.optimizers.SGD(1e-6), loss=loss)
    return model


@functools.cache
def classifier():
    """Returns a network whose steps are compiled once, for batches of any order."""
    return small_model(keras.layers.Dense(5), keras.losses.SparseCategoricalCrossentropy(True))


@pytest.mark.parametrize("order", ["shuffled", "mixed", "sequential"])
def test_keras_fits_and_evaluates_the_batches(order):
    model = classifier()
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0, order=order)
    history = model.fit(batches, epochs=2, shuffle=False, validation_data=batches, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_plain_keras_fit_walks_through_the_epochs():
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batches.epoch)

    model = classifier()
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    model.fit(batches, epochs=2, callbacks=[Seen()], verbose=0)
    model.fit(batches, epochs=1, callbacks=[Seen()], verbose=0)
    assert seen == [0] * 9 + [1] * 9 + [2] * 9


def test_keras_fits_and_evaluates_streams():
    tasks, data = synthetic_pairs(num_pairs=1, input_dim=2)
    batches = task_batches(tasks, data, batch_size=4, seed=0, steps_per_epoch=6)
    model = small_model(keras.layers.Dense(1), "mean_squared_error")
    history = model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert batches.epoch == 2
    assert np.isfinite(float(model.evaluate(batches, verbose=0)))


@pytest.mark.slow
def test_labels_keep_structure_and_dtype_through_fit():
    tasks = {"color": 3, "height": "regression", "sick": "binary"}
    data = {
        "color": numbered(5),
        "height": (numbered(7, 100)[0], np.linspace(0, 1, 7)),
        "sick": (numbered(3, 200)[0], [1, 0, 1]),
    }
    batches = task_batches(tasks, data, batch_size=2, seed=0)
    specs = {
        str(keras.tree.map_structure(lambda array: (array.dtype.name, array.shape), batch))
        for batch in batches
    }
    assert len(specs) == 1

    def masked(y_true, y_pred):
        y_true = keras.ops.cast(y_true, "float32")
        known = keras.ops.where(keras.ops.isnan(y_true), 0.0, y_true)
        return keras.ops.square(known - y_pred[:, 0])

    def outputs(merged):
        kinds = ("classes", "regression", "binary")
        return {kind: keras.layers.Dense(1, name=kind)(merged) for kind in kinds}

    model = small_model(outputs, dict.fromkeys(("classes", "regression", "binary"), masked))
    history = model.fit(batches, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
