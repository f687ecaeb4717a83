import numpy as np
import pytest

from keras_mtl.data.batches.order import SequentialOrder, TrainingOrder, passes, sampling_shares


def training_order(seed=0, num_batches=6, mixed=False, shares=None):
    return TrainingOrder({0: 10, 2: 4, 5: 7}, 4, num_batches, seed, mixed, shares)


def test_passes_are_whole_and_reshuffled():
    rows = passes(np.random.default_rng(0), length=5, count=13)
    assert sorted(rows[:5]) == sorted(rows[5:10]) == [0, 1, 2, 3, 4]
    assert rows[:5].tolist() != rows[5:10].tolist()
    assert len(set(rows[10:])) == 3


def test_passes_without_random_numbers_come_as_they_lie():
    assert passes(None, length=3, count=4).tolist() == [0, 1, 2, 0]


def test_a_shuffled_round_holds_each_task_once():
    slots = training_order(num_batches=300).slots(epoch=0)
    assert slots.shape == (300, 4)
    assert (slots == slots[:, :1]).all()
    rounds = slots[:, 0].reshape(100, 3)
    assert (np.sort(rounds, axis=1) == [0, 2, 5]).all()
    assert len({tuple(tasks) for tasks in rounds.tolist()}) == 6


def test_a_last_round_may_be_cut():
    assert training_order(num_batches=5).slots(epoch=0).shape == (5, 4)


def test_mixed_slots_are_the_shuffled_ones_permuted():
    shuffled = training_order().slots(epoch=3)
    mixed = training_order(mixed=True).slots(epoch=3)
    assert np.bincount(mixed.ravel()).tolist() == np.bincount(shuffled.ravel()).tolist()
    assert any(len(set(batch)) > 1 for batch in mixed.tolist())


def test_slots_are_a_function_of_seed_and_epoch():
    slots = training_order(num_batches=60).slots(epoch=1)
    assert (training_order(num_batches=60).slots(epoch=1) == slots).all()
    assert (training_order(num_batches=60).slots(epoch=2) != slots).any()
    assert (training_order(num_batches=60, seed=1).slots(epoch=1) != slots).any()


def test_each_task_and_epoch_has_random_numbers_of_its_own():
    order = training_order()
    draws = {order.rng(epoch, place).random() for epoch in range(3) for place in (0, 2, 5)}
    assert len(draws) == 9


@pytest.mark.parametrize(
    "sampling, expected", [("proportional", [0.1, 0.9]), ("temperature", [0.25, 0.75])]
)
def test_shares_follow_the_number_of_examples(sampling, expected):
    shares = sampling_shares({0: 100, 1: 900}, sampling, sampling_temperature=2.0)
    np.testing.assert_allclose(shares, expected)


def test_drawn_tasks_follow_their_shares():
    order = training_order(num_batches=3000, shares=np.array([0.6, 0.3, 0.1]))
    tasks = order.slots(epoch=0)[:, 0]
    found = [np.mean(tasks == place) for place in (0, 2, 5)]
    np.testing.assert_allclose(found, [0.6, 0.3, 0.1], atol=0.04)


def test_sequential_batches_end_with_their_task():
    order = SequentialOrder({1: 5, 3: 2}, batch_size=3)
    assert [slots.tolist() for slots in order.slots(epoch=0)] == [[1, 1, 1], [1, 1], [3, 3]]
    assert order.num_batches == 3
    assert not order.same_sizes
