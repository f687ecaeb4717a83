"""Small networks to serve, with allocations at random but certain."""

import importlib.util
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

TASKS = {
    "income": "binary",
    "age": 3,
    "height": "regression",
    "hobbies": keras_mtl.Task("multilabel", 4),
}
NUM_FEATURES = 5

BACKEND = keras.backend.backend()


def pytest_collection_modifyitems(items):
    has_tensorflow = importlib.util.find_spec("tensorflow") is not None
    for item in items:
        if item.get_closest_marker("saved_model") and (BACKEND == "torch" or not has_tensorflow):
            item.add_marker(
                pytest.mark.skip(reason="a SavedModel needs TensorFlow, on its backend or JAX")
            )


def pytest_configure(config):
    config.addinivalue_line("markers", "saved_model: writes a SavedModel")
    keras_gives_it_to_jax = "ignore:The `native_serialization` parameter:DeprecationWarning"
    config.addinivalue_line("filterwarnings", keras_gives_it_to_jax)


def _allocate(model, matrices, log_odds=15.0):
    """Gives the allocation layers of a model their matrices, as good as certainly."""
    layers = [layer for layer in model.layers if hasattr(layer, "row_blocks")]
    for layer, matrix in zip(layers, matrices, strict=True):
        logits = np.where(np.array(matrix) > 0, log_odds, -log_odds)
        layer.row_blocks[0].assign(np.stack([logits, 0 * logits], axis=-1))


def random_matrix(rng, num_tasks, num_components):
    """Returns a matrix in which every task has a component."""
    matrix = rng.random((num_tasks, num_components)) < 0.4
    matrix[np.arange(num_tasks), rng.integers(num_components, size=num_tasks)] = True
    return matrix


@pytest.fixture(scope="session")
def build():
    """Builds a network of two modular layers with 4 and 3 components."""
    dense = partial(keras.layers.Dense, 6, activation="relu")

    def build(inputs=None, tasks=TASKS, seed=0, **kwargs):
        inputs = keras.Input((NUM_FEATURES,)) if inputs is None else inputs
        layers = [[dense] * 4, [dense] * 3]
        model = keras_mtl.build_gumbel_matrix(inputs, tasks, layers, seed=seed, **kwargs)
        rng = np.random.default_rng(seed)
        _allocate(model, [random_matrix(rng, len(tasks), count) for count in (4, 3)])
        return model

    return build


@pytest.fixture
def features():
    """Returns examples for the networks of `build`."""
    rng = np.random.default_rng(7)
    return lambda batch: rng.normal(size=(batch, NUM_FEATURES)).astype("float32")


def _answers(model, x, task):
    """Returns the answers of a trained model to one task, cut to its own columns."""
    wanted = model.tasks[task]
    if model.task_data == "shared":
        output = model(x, training=False)[task]
    else:
        batch = len(keras.tree.flatten(x)[0])
        task_id = np.full(batch, list(model.tasks).index(task), "int32")
        output = model({"inputs": x, "task_id": task_id}, training=False)
        output = output[wanted.kind] if isinstance(output, dict) else output
    return keras.ops.convert_to_numpy(output)[..., : wanted.size]


@pytest.fixture
def allocate():
    return _allocate


@pytest.fixture
def answers():
    return _answers
