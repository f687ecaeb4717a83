import numpy as np
import pytest

from keras_mtl.data import task_batches
from keras_mtl.tasks import Task

TASKS = {"color": 3, "animal": 5, "shape": 4}


def numbered(count, first=0, size=3):
    """Examples whose first feature is their number."""
    numbers = first + np.arange(count)
    x = np.stack([numbers, -numbers], axis=1).astype("float32")
    return x, np.arange(count) % size


def three_tasks():
    return {
        "shape": numbered(4, 200, 4),
        "color": numbered(10, 0, 3),
        "animal": numbered(7, 100, 5),
    }


def numbers_in(batch):
    return batch[0]["inputs"][:, 0].astype(int).tolist()


def epoch_of(batches, epoch=0):
    batches.epoch = epoch
    return [numbers_in(batch) for batch in batches]


def flat(lists):
    return [item for items in lists for item in items]


# Structure


def test_a_batch_is_inputs_task_id_and_labels():
    inputs, y = task_batches(TASKS, three_tasks(), batch_size=4, order="sequential")[0]
    np.testing.assert_array_equal(inputs["inputs"], [[0, 0], [1, -1], [2, -2], [3, -3]])
    assert inputs["task_id"].tolist() == [0, 0, 0, 0]
    assert inputs["task_id"].dtype == y.dtype == "int32"
    assert y.tolist() == [0, 1, 2, 0]


def test_task_id_is_the_place_in_tasks_not_in_data():
    batches = task_batches(TASKS, {"shape": numbered(2)}, batch_size=4, order="sequential")
    assert batches[0][0]["task_id"].tolist() == [2, 2]


def test_one_kind_of_all_tasks_gives_one_array_and_two_kinds_a_dict():
    data = {"color": numbered(4)}
    _, y = task_batches({"color": 3, "animal": 5}, data, batch_size=4)[0]
    assert y.shape == (4,)
    _, y = task_batches({"color": 3, "height": "regression"}, data, batch_size=4)[0]
    assert y["classes"].shape == (4,)
    np.testing.assert_array_equal(y["regression"], np.full(4, np.nan, "float32"))


def test_tagging_steps_of_a_task_left_out_are_those_of_the_inputs():
    tasks = {"topic": 3, "pos": Task("tagging", 4)}
    _, y = task_batches(tasks, {"topic": (np.zeros((2, 6), "int32"), [0, 1])}, batch_size=2)[0]
    np.testing.assert_array_equal(y["tagging"], np.full((2, 6), -1))


def test_tagging_steps_come_from_the_labels():
    tasks = {"topic": 3, "pos": Task("tagging", 4)}
    data = {
        "topic": (np.zeros((2, 6)), [0, 1]),
        "pos": (np.zeros((3, 6)), np.ones((3, 5), "int64")),
    }
    _, y = task_batches(tasks, data, batch_size=2, order="mixed")[0]
    assert y["tagging"].shape == (2, 5)


@pytest.mark.parametrize(
    "given, kept",
    [("float64", "float32"), ("uint8", "uint8"), ("bool", "bool"), ("float16", "float16")],
)
def test_only_float64_inputs_change_their_dtype(given, kept):
    data = {"color": (np.zeros((4, 2), given), [0, 1, 2, 0])}
    inputs, _ = task_batches({"color": 3}, data, batch_size=4)[0]
    assert inputs["inputs"].dtype == kept


def test_inputs_may_be_lists_or_a_dict_of_arrays():
    inputs, _ = task_batches({"color": 3}, {"color": ([[1, 2], [3, 4]], [0, 1])}, 2)[0]
    assert inputs["inputs"].shape == (2, 2)
    x = {"image": np.zeros((5, 3)), "length": np.arange(5)}
    batches = task_batches({"color": 3}, {"color": (x, np.zeros(5))}, 2, order="sequential")
    inputs, _ = batches[2]
    assert inputs["inputs"]["image"].shape == (1, 3)
    assert inputs["inputs"]["length"].tolist() == [4]


def test_weights_of_one_task_give_weights_to_all():
    data = {"color": (*numbered(2), [0.5, 2.0]), "animal": numbered(3, 100)}
    batches = task_batches(TASKS, data, batch_size=2, order="sequential")
    assert [batch[2].tolist() for batch in batches] == [[0.5, 2.0], [1, 1], [1]]
    assert batches[0][2].dtype == "float32"


# Orders


def test_shuffled_batches_are_full_and_hold_one_task():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    assert len(batches) == 9
    for start in (0, 3, 6):
        ids = [batches[start + place][0]["task_id"] for place in range(3)]
        assert all(len(set(task_id)) == 1 and len(task_id) == 4 for task_id in ids)
        assert {task_id[0] for task_id in ids} == {0, 1, 2}


def test_an_epoch_holds_every_example_and_shorter_tasks_repeat():
    numbers = flat(epoch_of(task_batches(TASKS, three_tasks(), batch_size=4, seed=0)))
    counts = {number: numbers.count(number) for number in numbers}
    assert sorted(counts) == [*range(10), *range(100, 107), *range(200, 204)]
    assert all(counts[number] in (1, 2) for number in range(107) if number in counts)
    assert all(counts[number] == 3 for number in range(200, 204))


def test_a_mixed_epoch_holds_the_examples_of_the_shuffled_one():
    shuffled = epoch_of(task_batches(TASKS, three_tasks(), 4, seed=3), epoch=1)
    mixed = epoch_of(task_batches(TASKS, three_tasks(), 4, seed=3, order="mixed"), epoch=1)
    assert sorted(flat(mixed)) == sorted(flat(shuffled))
    assert mixed != shuffled


def test_a_mixed_batch_keeps_example_task_and_label_together():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0, order="mixed")
    assert any(len(set(inputs["task_id"])) > 1 for inputs, _ in batches)
    for inputs, y in batches:
        numbers = inputs["inputs"][:, 0].astype(int)
        np.testing.assert_array_equal(inputs["task_id"], numbers // 100)
        np.testing.assert_array_equal(y, numbers % 100 % np.array([3, 5, 4])[numbers // 100])


def test_a_sequential_epoch_holds_every_example_once_in_the_order_of_tasks():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, order="sequential")
    assert epoch_of(batches) == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
        [100, 101, 102, 103], [104, 105, 106],
        [200, 201, 202, 203],
    ]  # fmt: skip
    assert epoch_of(batches, epoch=5) == epoch_of(batches)


@pytest.mark.parametrize("sampling", ["proportional", "temperature"])
def test_drawn_tasks_give_as_many_full_batches(sampling):
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0, sampling=sampling)
    assert len(batches) == 9
    assert [len(numbers) for numbers in epoch_of(batches)] == [4] * 9


def test_drawn_tasks_follow_the_number_of_examples():
    data = {"color": numbered(90), "animal": numbered(10)}
    batches = task_batches(TASKS, data, 1, seed=0, sampling="proportional", steps_per_epoch=1000)
    share = np.mean([inputs["task_id"][0] == 0 for inputs, _ in batches])
    assert abs(share - 0.9) < 0.04


def test_a_task_that_is_never_drawn_does_no_harm():
    data = {"color": numbered(5000), "animal": numbered(1)}
    batches = task_batches(TASKS, data, 4, seed=0, sampling="proportional", steps_per_epoch=2)
    assert [len(numbers) for numbers in epoch_of(batches)] == [4, 4]


def test_steps_per_epoch_overrides_the_length():
    assert len(task_batches(TASKS, three_tasks(), batch_size=4, steps_per_epoch=5)) == 5


# Seed and epoch


@pytest.mark.parametrize("order", ["shuffled", "mixed"])
def test_batches_are_a_function_of_seed_and_epoch(order):
    def epoch(seed, number):
        return epoch_of(task_batches(TASKS, three_tasks(), 4, seed=seed, order=order), number)

    assert epoch(7, 2) == epoch(7, 2)
    assert epoch(7, 2) != epoch(7, 3)
    assert epoch(7, 2) != epoch(8, 2)


def test_the_order_is_the_same_on_every_backend_and_machine():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    assert epoch_of(batches)[:2] == [[200, 201, 203, 202], [5, 1, 6, 3]]


def test_no_seed_draws_one_and_keeps_it():
    batches = task_batches(TASKS, three_tasks(), batch_size=4)
    assert epoch_of(batches) == epoch_of(batches)
    assert epoch_of(batches) != epoch_of(task_batches(TASKS, three_tasks(), batch_size=4))


def test_arrays_are_random_access():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    in_sequence = [numbers_in(batch) for batch in batches]
    assert numbers_in(batches[7]) == in_sequence[7]
    assert numbers_in(batches[2]) == in_sequence[2]


def test_no_epoch_moves_on_before_all_its_batches_were_given():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    list(batches)  # a look from outside
    batches.on_epoch_end()  # Keras does this before training
    batches.on_epoch_begin()
    assert batches.epoch == 0
    batches[8]  # the last index, and nothing else
    batches.on_epoch_end()
    batches.on_epoch_begin()
    assert batches.epoch == 0
    list(batches)
    batches.on_epoch_end()
    assert batches.epoch == 0
    batches.on_epoch_begin()
    assert batches.epoch == 1


def test_an_epoch_that_was_set_is_the_one_that_begins():
    batches = task_batches(TASKS, three_tasks(), batch_size=4, seed=0)
    batches.on_epoch_begin()
    list(batches)
    batches.epoch = 5
    batches.on_epoch_begin()
    assert batches.epoch == 5
