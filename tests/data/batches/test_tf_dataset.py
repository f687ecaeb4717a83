import numpy as np
import pytest

from keras_mtl.data import ArrayBatches, task_batches
from keras_mtl.data.batches import stacks

tf = pytest.importorskip("tensorflow")

TASKS = {"color": 3, "height": "regression"}


def data(weighted=False):
    rng = np.random.default_rng(0)
    color = rng.random((7, 4, 2)), rng.integers(0, 3, 7)
    height = rng.random((10, 4, 2)), rng.random(10)
    return {"color": (*color, np.arange(7)) if weighted else color, "height": height}


def assert_same(dataset, batches):
    given = list(dataset.as_numpy_iterator())
    expected = list(batches)
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        for array, wanted in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("order", ["shuffled", "mixed", "sequential"])
@pytest.mark.parametrize("weighted", [False, True])
def test_tf_dataset_gives_the_same_batches(order, weighted):
    batches = task_batches(TASKS, data(weighted), batch_size=3, seed=0, order=order)
    assert_same(batches.as_tf_dataset(), batches)


def test_stacks_of_any_size_give_the_same_batches(monkeypatch):
    for size in (1, 400, 10**6):
        monkeypatch.setattr(stacks, "STACK_BYTES", size)
        for order in ("shuffled", "sequential"):
            batches = task_batches(TASKS, data(), batch_size=3, seed=0, order=order)
            assert_same(batches.as_tf_dataset(), batches)


@pytest.mark.parametrize("size", [1, 400, 10**6])
@pytest.mark.parametrize("batch_size", [3, 5, 40])
@pytest.mark.parametrize("seed", [None, [0]])
def test_tf_dataset_of_arrays_gives_the_same_batches(size, batch_size, seed, monkeypatch):
    monkeypatch.setattr(stacks, "STACK_BYTES", size)
    batches = ArrayBatches(data()["height"], batch_size, seed)
    dataset = batches.as_tf_dataset()
    for epoch in (0, 3):
        batches.epoch = epoch
        assert_same(dataset, [batches[index] for index in range(len(batches))])
    assert dataset.element_spec[0].shape == (5 if batch_size == 5 else None, 4, 2)


@pytest.mark.parametrize("order", ["shuffled", "sequential"])
def test_tf_dataset_of_streams_gives_the_same_batches(order):
    streams = {name: tf.data.Dataset.from_tensor_slices(arrays) for name, arrays in data().items()}
    batches = task_batches(TASKS, streams, batch_size=3, seed=0, order=order)
    assert_same(batches.as_tf_dataset(), batches)


def test_every_iteration_gives_the_epoch_that_is_set():
    batches = task_batches(TASKS, data(), batch_size=3, seed=0)
    dataset = batches.as_tf_dataset()
    for epoch in (0, 1, 4, 0):
        batches.epoch = epoch
        assert_same(dataset, batches)


def test_cardinality_and_shapes_are_static_when_all_batches_are_full():
    dataset = task_batches(TASKS, data(), batch_size=3).as_tf_dataset()
    assert int(dataset.cardinality()) == 8
    inputs, y = dataset.element_spec
    assert inputs["inputs"] == tf.TensorSpec((3, 4, 2), "float32")
    assert inputs["task_id"] == tf.TensorSpec((3,), "int32")
    assert y["classes"] == tf.TensorSpec((3,), "int32")
    assert y["regression"] == tf.TensorSpec((3,), "float32")


def test_the_batch_axis_is_open_when_a_last_batch_is_smaller():
    dataset = task_batches(TASKS, data(), batch_size=3, order="sequential").as_tf_dataset()
    assert int(dataset.cardinality()) == 7
    assert dataset.element_spec[0]["inputs"] == tf.TensorSpec((None, 4, 2), "float32")
