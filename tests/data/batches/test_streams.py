import keras
import numpy as np
import pytest

from keras_mtl.data import task_batches
from keras_mtl.data.batches import sources

TASKS = {"color": 3, "animal": 5}


def numbered(count, first=0, size=3):
    numbers = first + np.arange(count)
    return np.stack([numbers, -numbers], axis=1).astype("float32"), np.arange(count) % size


class Batches(keras.utils.PyDataset):
    """Arrays in batches of 3; `endless` starts again after the last."""

    def __init__(self, x, y, endless=False):
        super().__init__()
        self.x, self.y, self.endless = x, y, endless
        self.asked = []

    @property
    def num_batches(self):
        return None if self.endless else -(-len(self.x) // 3)

    def __getitem__(self, index):
        self.asked.append(index)
        rows = slice(index * 3, index * 3 + 3)
        if self.endless:
            rows = np.arange(index * 3, index * 3 + 3) % len(self.x)
        return self.x[rows], self.y[rows]


def tf_dataset(x, y):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y))


def py_dataset(x, y):
    return Batches(x, y)


streamed = pytest.mark.parametrize("stream", [tf_dataset, py_dataset])


def epoch_of(batches, epoch=0):
    batches.epoch = epoch
    return [inputs["inputs"][:, 0].astype(int).tolist() for inputs, _ in batches]


def flat(lists):
    return [item for items in lists for item in items]


@streamed
def test_streams_give_the_same_structure_as_arrays(stream):
    data = {"color": numbered(5), "animal": numbered(4, 100)}
    streams = {name: stream(*arrays) for name, arrays in data.items()}
    for order in ("shuffled", "mixed", "sequential"):
        of_arrays = task_batches(TASKS, data, batch_size=2, seed=0, order=order)
        of_streams = task_batches(TASKS, streams, batch_size=2, seed=0, order=order)
        assert len(of_arrays) == len(of_streams)
        for expected, batch in zip(of_arrays, of_streams, strict=True):
            np.testing.assert_array_equal(batch[0]["task_id"], expected[0]["task_id"])
            for array, other in zip(
                keras.tree.flatten(batch), keras.tree.flatten(expected), strict=True
            ):
                assert (array.dtype, array.shape) == (other.dtype, other.shape)


@streamed
def test_sequential_streams_give_every_example_once(stream):
    data = {"color": stream(*numbered(5)), "animal": numbered(4, 100)}
    batches = task_batches(TASKS, data, batch_size=4, order="sequential")
    assert epoch_of(batches) == [[0, 1, 2, 3], [4], [100, 101, 102, 103]]


@streamed
def test_the_longest_stream_is_read_whole_and_in_a_new_order(stream):
    data = {"color": stream(*numbered(8)), "animal": numbered(3, 100)}
    batches = task_batches(TASKS, data, batch_size=4, seed=0)
    first, second = (
        [number for number in flat(epoch_of(batches, epoch)) if number < 100] for epoch in (0, 1)
    )
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second
    assert [number for number in flat(epoch_of(batches, 0)) if number < 100] == first


@streamed
def test_the_order_of_streams_does_not_depend_on_global_seeds(stream):
    epochs = []
    for global_seed in (1, 2):
        keras.utils.set_random_seed(global_seed)
        batches = task_batches(TASKS, {"color": stream(*numbered(12))}, batch_size=4, seed=0)
        epochs.append(epoch_of(batches))
    assert epochs[0] == epochs[1]


def test_a_long_tf_dataset_is_shuffled_window_by_window(monkeypatch):
    monkeypatch.setattr(sources, "SHUFFLE_WINDOW", 4)
    batches = task_batches(TASKS, {"color": tf_dataset(*numbered(8))}, batch_size=4, seed=0)
    assert [sorted(numbers) for numbers in epoch_of(batches)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert epoch_of(batches) != [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_arrays_beside_streams_come_in_their_own_order():
    data = {"color": numbered(8), "animal": numbered(6, 100)}
    alone = flat(epoch_of(task_batches(TASKS, data, batch_size=4, seed=5)))
    data["animal"] = py_dataset(*data["animal"])
    beside = flat(epoch_of(task_batches(TASKS, data, batch_size=4, seed=5)))
    assert [n for n in beside if n < 100] == [n for n in alone if n < 100]


@streamed
def test_mixed_streams_keep_example_task_and_label_together(stream):
    data = {"color": stream(*numbered(6)), "animal": stream(*numbered(6, 100, size=5))}
    batches = task_batches(TASKS, data, batch_size=4, seed=0, order="mixed")
    assert any(len(set(inputs["task_id"])) > 1 for inputs, _ in batches)
    for inputs, y in batches:
        numbers = inputs["inputs"][:, 0].astype(int)
        np.testing.assert_array_equal(inputs["task_id"], numbers // 100)
        np.testing.assert_array_equal(y, numbers % 100 % np.array([3, 5])[numbers // 100])


def test_an_endless_py_dataset_is_read_on_epoch_after_epoch():
    data = {"color": Batches(*numbered(1000), endless=True)}
    batches = task_batches(TASKS, data, batch_size=4, seed=0, steps_per_epoch=2)
    assert flat(epoch_of(batches, 0) + epoch_of(batches, 1)) == list(range(16))
    assert flat(epoch_of(batches, 50)) == list(range(400, 408))


def test_an_endless_tf_dataset_is_read_on_epoch_after_epoch():
    data = {"color": tf_dataset(*numbered(1000)).repeat()}
    batches = task_batches(TASKS, data, batch_size=4, seed=0, steps_per_epoch=2)
    assert sorted(flat(epoch_of(batches, 3))) == list(range(24, 32))


def test_labels_of_streams_are_checked_in_every_batch():
    x, y = numbered(9)
    y[7] = 3
    batches = task_batches(TASKS, {"color": Batches(x, y, endless=True)}, 3, steps_per_epoch=3)
    batches[0]
    with pytest.raises(ValueError, match='"color" expects labels 0 to 2.*Received: 3'):
        list(batches)


def test_nan_class_labels_of_a_stream_become_minus_one():
    x, y = numbered(4)
    y = np.where(y == 2, np.nan, y)
    batches = task_batches(TASKS, {"color": py_dataset(x, y)}, 4, order="sequential")
    assert batches[0][1].tolist() == [0, 1, -1, 0]


def test_batch_0_starts_the_epoch_again():
    batches = task_batches(TASKS, {"color": py_dataset(*numbered(8))}, batch_size=2, seed=0)
    looked_at = [batches[0], batches[1]]
    again = list(batches)
    np.testing.assert_array_equal(looked_at[1][0]["inputs"], again[1][0]["inputs"])
    assert len(again) == 4


def test_streams_out_of_sequence_are_refused():
    batches = task_batches(TASKS, {"color": py_dataset(*numbered(8))}, batch_size=2)
    batches[0]
    with pytest.raises(ValueError, match="batch 3 was asked for, batch 1 is next"):
        batches[3]


def refused(message, data, **arguments):
    with pytest.raises(ValueError, match=message):
        task_batches(TASKS, {"color": data}, 4, **arguments)


def test_an_unknown_length_needs_steps_per_epoch():
    endless = Batches(*numbered(6), endless=True)
    refused('length of the data of "color" is not known.*steps_per_epoch', endless)
    refused("length of the data", tf_dataset(*numbered(6)).filter(lambda x, y: y > 0))


def test_an_unknown_length_fits_neither_shares_nor_evaluation():
    endless = Batches(*numbered(6), endless=True)
    refused("proportional.*known length.*color", endless, sampling="proportional")
    refused("sequential.*known length.*color", endless, order="sequential")


@streamed
def test_a_stream_without_examples_is_refused(stream):
    refused('Task "color" has no examples', stream(*numbered(0)))


def test_a_stream_without_labels_is_refused():
    tf = pytest.importorskip("tensorflow")
    refused(r'"color" must give \(x, y\)', tf.data.Dataset.from_tensor_slices(np.zeros((3, 2))))


def test_py_dataset_batches_of_uneven_sizes_are_refused():
    class Uneven(Batches):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return (x[:2], y[:2]) if index == 1 else (x, y)

    batches = task_batches(TASKS, {"color": Uneven(*numbered(9))}, 3, order="sequential")
    with pytest.raises(ValueError, match="must hold 3 examples.*Batch 1 holds 2"):
        list(batches)


def test_a_tf_dataset_shorter_than_it_says_is_refused():
    tf = pytest.importorskip("tensorflow")
    short = tf_dataset(*numbered(3)).filter(lambda x, y: True)
    short = short.apply(tf.data.experimental.assert_cardinality(5))
    batches = task_batches(TASKS, {"color": short}, 2, order="sequential")
    with pytest.raises((ValueError, tf.errors.FailedPreconditionError)):
        list(batches)
