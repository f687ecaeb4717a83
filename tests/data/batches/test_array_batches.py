"""Batches of arrays, in another order each epoch."""

import keras
import numpy as np
import pytest

from keras_mtl.data import ArrayBatches

NUMBERS = np.arange(10)


def epoch_of(batches, epoch):
    batches.epoch = epoch
    return [batches[index] for index in range(len(batches))]


def test_without_a_seed_examples_come_as_they_are():
    batches = epoch_of(ArrayBatches(NUMBERS, 4), 0)
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_every_epoch_has_every_example_once_in_an_order_of_its_own():
    batches = ArrayBatches({"a": NUMBERS, "b": NUMBERS + 0.5}, 4, [3])
    orders = []
    for epoch in range(3):
        given = epoch_of(batches, epoch)
        assert [len(batch["a"]) for batch in given] == [4, 4, 2]
        orders.append(np.concatenate([batch["a"] for batch in given]).tolist())
        halves = np.concatenate([batch["b"] for batch in given])
        assert halves.tolist() == [number + 0.5 for number in orders[-1]]
        assert sorted(orders[-1]) == NUMBERS.tolist()
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert np.concatenate([batch["a"] for batch in epoch_of(batches, 1)]).tolist() == orders[1]
    other = epoch_of(ArrayBatches({"a": NUMBERS}, 4, [4]), 0)
    assert np.concatenate([batch["a"] for batch in other]).tolist() != orders[0]


@pytest.mark.parametrize("came", ["float16", "float32", "float64"])
def test_floats_come_in_keras_default_precision_and_other_numbers_as_they_are(came):
    x, y = ArrayBatches((np.zeros((3, 2), came), np.zeros(3, "int64")), 2)[0]
    assert (x.dtype, y.dtype) == (keras.config.floatx(), "int64")
