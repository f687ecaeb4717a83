import numpy as np
import pytest

from keras_mtl.data import task_batches
from keras_mtl.tasks import Task

TASKS = {"color": 3, "animal": 5, "shape": 4}


def numbered(count, first=0, size=3):
    numbers = first + np.arange(count)
    return np.stack([numbers, -numbers], axis=1).astype("float32"), np.arange(count) % size


def refused(message, tasks=None, data=None, **arguments):
    arguments = {"batch_size": 4, **arguments}
    with pytest.raises(ValueError, match=message):
        task_batches(tasks or TASKS, {"color": numbered(10)} if data is None else data, **arguments)


def test_unknown_words_are_refused():
    refused('order must be "shuffled", "mixed" or "sequential". Received: .random', order="random")
    refused('sampling must be "uniform", "prop.*equal', sampling="equal")


def test_numbers_out_of_range_are_refused():
    refused("batch_size must be an integer of at least 1.*0", batch_size=0)
    refused("steps_per_epoch must be an integer of at least 1.*2.5", steps_per_epoch=2.5)
    refused("sampling_temperature must be a number above 0.*0", sampling_temperature=0)
    refused("seed must be an integer from 0 to .*-1", seed=-1)


def test_sequential_has_no_number_of_steps():
    refused("every example once.*steps_per_epoch=3", order="sequential", steps_per_epoch=3)


def test_unknown_task_names_are_refused():
    refused("data names 'colour'.*tasks are color, animal, shape", data={"colour": numbered(2)})


def test_empty_data_are_refused():
    refused("at least one of the tasks color, animal, shape.*an empty dict", data={})
    refused("data must be a dict.*Received.*tuple", data=numbered(3))


def test_a_task_without_examples_is_refused():
    refused('Task "animal" has no examples', data={"animal": numbered(0)})


def test_lengths_that_differ_are_refused():
    x, y = numbered(4)
    refused(r'"color".*same number.*x \(4, 2\), y \(3,\)', data={"color": (x, y[:3])})
    refused(r"y \(4,\), sample_weight \(2,\)", data={"color": (x, y, [1, 1])})


def test_labels_are_checked_when_the_batches_are_made():
    x, y = numbered(4)
    refused('"color" expects labels 0 to 2.*Received: 3', data={"color": (x, y + 1)})


def test_inputs_of_different_shapes_name_both_tasks():
    data = {"color": numbered(3), "shape": (np.zeros((2, 7)), [0, 1])}
    refused(r'"color" has float32 \(2,\), task "shape" has float32 \(7,\)', data=data)


def test_inputs_of_different_dtypes_name_both_tasks():
    data = {"color": numbered(3), "shape": (np.zeros((2, 2), "uint8"), [0, 1])}
    refused(r'"color" has float32 \(2,\), task "shape" has uint8 \(2,\)', data=data)


def test_tagging_tasks_of_different_steps_are_refused():
    tasks = {"chunk": Task("tagging", 3), "pos": Task("tagging", 4)}
    data = {
        "chunk": (np.zeros((2, 6)), np.zeros((2, 6))),
        "pos": (np.zeros((2, 6)), np.zeros((2, 5))),
    }
    refused('"chunk" has 6, task "pos" has 5.*Pad', tasks=tasks, data=data)


def test_data_of_another_type_are_refused():
    refused('data of task "color" must be.*Received.*tuple_iterator', data={"color": iter(())})
    refused('data of task "color" must be', data={"color": np.zeros((3, 2))})
