"""Real images through the whole line, where they are at hand."""

import importlib.util
import pathlib
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

DATA = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tfds"

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason="the prepared datasets are not here"),
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads tf.data"),
    pytest.mark.skipif(
        not importlib.util.find_spec("tensorflow_datasets"), reason="no tensorflow-datasets"
    ),
]


@pytest.mark.slow
def test_tfds_datasets_train_a_shared_network():
    import tensorflow_datasets as tfds

    def examples(name, split):
        dataset = tfds.load(name, split=split, data_dir=DATA, download=False, as_supervised=True)
        return dataset.map(lambda image, label: (keras.ops.cast(image, "float32") / 255, label))

    tasks = {"digit": 10, "garment": 10}
    sources = {"digit": "mnist", "garment": "fashion_mnist"}
    train = {task: examples(name, "train[:2000]") for task, name in sources.items()}
    test = {task: examples(name, "test[:500]") for task, name in sources.items()}
    layers = [
        [partial(keras.layers.Conv2D, 8, 5, strides=3, activation="relu")] * 3,
        keras.layers.Flatten,
    ]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((28, 28, 1)), tasks, layers, task_data="separate", init_probability=0.8, seed=0
    )
    model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.003), 0.006))
    model.fit(keras_mtl.task_batches(tasks, train, 32, seed=0), epochs=2, verbose=0)
    batches = keras_mtl.task_batches(tasks, test, 100, order="sequential")
    logs = model.evaluate(batches, return_dict=True, verbose=0)
    assert logs["digit_accuracy"] > 0.8 and logs["garment_accuracy"] > 0.65
    frozen = keras_mtl.freeze(model, "garment")
    images, labels = map(np.stack, zip(*test["garment"].as_numpy_iterator(), strict=True))
    accuracy = (frozen.predict(images, verbose=0).argmax(axis=1) == labels).mean()
    assert accuracy == pytest.approx(logs["garment_accuracy"], abs=1e-6)
