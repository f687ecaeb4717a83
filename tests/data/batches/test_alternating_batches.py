"""Weights and the policy read parts of the data of their own."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import PolicyPhases
from keras_mtl.data import alternating_batches
from keras_mtl.layers import ResidualDense

PHASES = PolicyPhases(warm_up=3, weights=2, policy=1)
TASKS = {"a": "regression", "b": 3}


def part(start, number):
    """Returns examples whose only feature is their number."""
    x = np.arange(start, start + number, dtype="float32")[:, None]
    return x, {"a": x[:, 0], "b": (np.arange(number) % 3).astype("int32")}


def shared(**settings):
    return alternating_batches(part(0, 10), part(100, 4), PHASES, **{"batch_size": 4, **settings})


def read(batches, epochs):
    """Returns the numbers of the examples of each batch."""
    found = []
    for epoch in range(epochs):
        batches.epoch = epoch
        found += [batches[index][0][:, 0].astype(int).tolist() for index in range(len(batches))]
    return found


def test_each_phase_reads_its_part_and_an_epoch_is_a_cycle():
    batches = shared()
    assert len(batches) == 3
    of_policy = [rows[0] >= 100 for rows in read(batches, 4)]
    assert of_policy == [False] * 3 + [False, False, True] * 3


def test_a_part_goes_on_where_its_last_phase_ended():
    rows = [r for r in read(shared(), 5) if r[0] < 100]
    for first, second in zip(rows[::2], rows[1::2], strict=False):  # two full batches of ten
        assert len({*first, *second}) == 8
    assert rows[0] + rows[1] != rows[2] + rows[3]


def test_labels_and_sample_weights_stay_with_their_examples():
    x, y = part(0, 10)
    batches = alternating_batches((x, y, x[:, 0] * 2), (x, y, x[:, 0] * 2), PHASES, batch_size=3)
    for index in range(3):
        x, y, weight = batches[index]
        assert y["a"].tolist() == x[:, 0].tolist() and weight.tolist() == (2 * x[:, 0]).tolist()


def test_the_seed_makes_the_order():
    assert read(shared(seed=1), 4) == read(shared(seed=1), 4) != read(shared(seed=2), 4)


def test_batches_do_not_depend_on_what_was_read_before():
    batches = shared()
    whole = read(batches, 3)
    batches.epoch = 1
    assert batches[2][0][:, 0].astype(int).tolist() == whole[5]


def test_task_batches_alternate_too():
    def of(start):
        x, y = part(start, 8)
        data = {"a": (x, y["a"]), "b": (x, y["b"])}
        return keras_mtl.task_batches(TASKS, data, batch_size=4, seed=0)

    batches = alternating_batches(of(0), of(100), PHASES)
    found = []
    for epoch in range(2):
        batches.epoch = epoch
        found += [float(batches[index][0]["inputs"].min()) >= 100 for index in range(3)]
    assert found == [False] * 5 + [True]


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_network_learns_from_them(task_data):
    model = keras_mtl.build_adashare(
        keras.Input((1,)), TASKS, [[partial(ResidualDense, 4)]] * 2, phases=PHASES,
        cycles_per_block=0, task_data=task_data, seed=0,
    )  # fmt: skip
    optimizer = keras_mtl.alternating_optimizer(
        keras.optimizers.SGD(1e-3), keras.optimizers.Adam(0.1), PHASES
    )
    model.compile(optimizer)
    batches = shared()
    if task_data == "separate":
        x, y = part(0, 8)
        of = keras_mtl.task_batches(TASKS, {"a": (x, y["a"]), "b": (x, y["b"])}, batch_size=4)
        batches = alternating_batches(of, of, PHASES)
    seen = []
    model.fit(
        batches, epochs=3, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: seen.append(batches.epoch))],
    )  # fmt: skip
    assert seen == [0, 1, 2]
    counts = {type(o).__name__: int(o.iterations.numpy()) for o in optimizer.optimizers}
    assert counts == {"SGD": 7, "Adam": 2}


@pytest.mark.slow
def test_a_second_fit_reads_the_part_that_its_optimizer_learns_from():
    """Batches of the policy's part are read when the policy learns, whatever was before."""
    model = keras_mtl.build_adashare(
        keras.Input((1,)), TASKS, [[partial(ResidualDense, 4)]], phases=PHASES, seed=0
    )
    weights, policy = keras.optimizers.SGD(1e-3), keras.optimizers.Adam(0.1)
    model.compile(keras_mtl.alternating_optimizer(weights, policy, PHASES))
    x, y = part(0, 4)
    model.train_on_batch(x, y)  # and no whole number of cycles
    batches, steps = shared(), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: steps.append(batches.first_step)
    )
    for _ in range(2):
        model.fit(batches, epochs=2, callbacks=[note], verbose=0)
    assert steps == [1, 4, 7, 10]
    of_policy = [batches[index][0][0, 0] >= 100 for index in range(3)]
    assert of_policy == [bool(PHASES.policy_learns(10 + index)) for index in range(3)]
    assert of_policy == [False, True, False]


def test_wrong_labels_are_said_at_once():
    model = keras_mtl.build_adashare(keras.Input((1,)), TASKS, [[partial(ResidualDense, 4)]])
    model.compile("sgd")
    x, y = part(0, 8)
    wrong = (x, {**y, "b": y["b"] + 2})
    with pytest.raises(ValueError, match='"b"'):
        model.fit(alternating_batches((x, y), wrong, PHASES, batch_size=4), verbose=0)


def test_parts_have_one_form():
    of = keras_mtl.task_batches(
        {"a": "regression"}, {"a": (part(0, 8)[0], np.ones(8))}, batch_size=4
    )
    for parts in ((of, part(0, 8)), (part(0, 8), "batches"), (part(0, 8)[0], part(0, 8)[0])):
        with pytest.raises(ValueError, match=r"Both parts must be \(x, y\)"):
            alternating_batches(*parts, PHASES, batch_size=4)


def test_a_part_makes_a_batch():
    with pytest.raises(ValueError, match="A part of 4 examples makes no batch of 5"):
        shared(batch_size=5)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
        shared(batch_size=None)


def test_arrays_of_a_part_have_one_length():
    x, y = part(0, 8)
    wrong = (x, {**y, "a": y["a"][:4]})
    with pytest.raises(ValueError, match="have an entry for each example. Received lengths: 4, 8"):
        alternating_batches((x, y), wrong, PHASES, batch_size=4)
