from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import synthetic_bandits


def said(x, y):
    """Returns which arms are right in each example."""
    return x[..., 0] == 2 * y[:, None] - 1


def test_shapes_and_types():
    tasks, train, test, chances = synthetic_bandits(2, 4, num_train=5, num_test=7)
    assert tasks == {"task_1": "binary", "task_2": "binary"}
    assert list(train) == list(test) == list(tasks)
    for part, number in ((train, 5), (test, 7)):
        for x, y in part.values():
            assert (x.shape, x.dtype) == ((number, 4, 1), "float32")
            assert (y.shape, y.dtype) == ((number,), "int32")
            assert set(np.unique(x)) <= {-1, 1} and set(np.unique(y)) <= {0, 1}
    assert chances.shape == (2, 4)


def test_arms_are_right_as_often_as_is_returned():
    _, train, _, chances = synthetic_bandits(3, 5, success=0.7, gap=0.2, num_train=40000)
    for row, (x, y) in zip(chances, train.values(), strict=True):
        np.testing.assert_allclose(said(x, y).mean(axis=0), row, atol=0.01)
        assert sorted(row) == pytest.approx([0.7] * 4 + [0.9])
        assert y.mean() == pytest.approx(0.5, abs=0.01)


def test_the_best_arm_is_right_wherever_another_is():
    _, train, _, chances = synthetic_bandits()
    for best, (x, y) in zip(chances.argmax(axis=1), train.values(), strict=True):
        right = said(x, y)
        assert np.all(right[:, [best]] >= right)
        others = np.delete(right, best, axis=1)
        assert np.all(others == others[:, :1])


def test_tasks_have_different_best_arms_as_far_as_there_are_arms():
    for seed in range(5):
        *_, chances = synthetic_bandits(6, 4, num_train=1, num_test=1, seed=seed)
        best = chances.argmax(axis=1)
        assert sorted(best[:4]) == [0, 1, 2, 3] and best[4:].tolist() == best[:2].tolist()


def test_seeds_tasks_and_parts_have_data_of_their_own():
    drawn = [synthetic_bandits(2, num_train=50, num_test=50, seed=seed) for seed in (0, 0, 1)]
    first, same, other = (
        [x for part in (train, test) for x, _ in part.values()] for _, train, test, _ in drawn
    )
    np.testing.assert_array_equal(first, same)
    different = [*first, *other]
    for index, one in enumerate(different):
        assert all(np.any(one != another) for another in different[index + 1 :])


def test_a_component_that_passes_one_arm_is_worth_what_the_arm_is():
    tasks, _, test, chances = synthetic_bandits(2, 3)
    arms = [partial(keras.layers.Cropping1D, (arm, 2 - arm)) for arm in range(3)]
    model = keras_mtl.build_fixed_random(
        keras.Input((3, 1)), tasks, [arms, keras.layers.Flatten], task_data="separate",
        routes=[[chances[0].argmax()], [chances[1].argmin()]],
    )  # fmt: skip
    kernel, bias = model.get_layer("heads").weights
    kernel.assign(np.ones(kernel.shape))
    bias.assign(np.zeros(bias.shape))
    model.compile()
    batches = keras_mtl.task_batches(tasks, test, batch_size=500, order="sequential")
    logs = model.evaluate(batches, return_dict=True, verbose=0)
    assert logs["task_1_accuracy"] == pytest.approx(0.95, abs=0.02)
    assert logs["task_2_accuracy"] == pytest.approx(0.85, abs=0.02)


@pytest.mark.parametrize(("settings", "message"), [
    ({"num_tasks": 0}, "num_tasks must be an integer of at least 1. Received: 0"),
    ({"num_arms": 1}, "num_arms must be an integer of at least 2. Received: 1"),
    ({"success": 0.4}, r"success must be a number in \[0.5, 1\). Received: 0.4"),
    ({"gap": 0}, "gap must be a number above 0. Received: 0"),
    ({"success": 0.9, "gap": 0.2}, r"at most 1. Received: 0.9 \+ 0.2"),
    ({"num_train": 0}, "num_train must be an integer of at least 1. Received: 0"),
    ({"num_test": 0}, "num_test must be an integer of at least 1. Received: 0"),
    ({"seed": -1}, "seed must be an integer from 0"),
])  # fmt: skip
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        synthetic_bandits(**settings)
