"""Channels that tasks keep."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import TaskMask
from tests.gradients import gradients

TASK_ID = np.array([2, 0, 1, 1, 2], "int32")  # B = 5, T = 3
X = np.random.default_rng(0).normal(size=(5, 4, 7)).astype("float32")  # 4 steps, 7 channels
MASKS = np.array([[1, 0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0]])


def array(tensor):
    return ops.convert_to_numpy(tensor)


def masks(keep_ratio, seed=0, num_channels=7):
    mask = TaskMask(3, keep_ratio, seed)
    mask.build((None, num_channels), (None,))
    return array(mask.masks)


@pytest.mark.parametrize(
    ("keep_ratio", "kept"), [(0.01, 1), (0.2, 1), (0.5, 4), (0.6, 4), (0.8, 6), (1, 7), (1.0, 7)]
)
def test_every_task_keeps_the_same_number_of_channels(keep_ratio, kept):
    drawn = masks(keep_ratio)
    assert drawn.shape == (3, 7) and set(np.unique(drawn)) <= {0, 1}
    np.testing.assert_array_equal(drawn.sum(axis=1), [kept] * 3)


def test_tasks_and_seeds_draw_apart():
    first = masks(0.5, 0, 40)
    np.testing.assert_array_equal(first, masks(0.5, 0, 40))
    assert np.any(first != masks(0.5, 1, 40))
    assert np.any(first != masks(0.5, None, 40))
    assert len(np.unique(first, axis=0)) == 3


@pytest.mark.parametrize("x", [X, X[:, 0]], ids=["steps", "flat"])
def test_channels_are_kept_as_they_are_or_zero(x):
    mask = TaskMask(3)
    mask(x, TASK_ID)
    mask.masks.assign(MASKS)
    wanted = [row * MASKS[task] for row, task in zip(x, TASK_ID, strict=True)]
    np.testing.assert_array_equal(array(mask(x, TASK_ID)), np.array(wanted, "float32"))


def test_a_ratio_of_one_changes_nothing():
    np.testing.assert_array_equal(array(TaskMask(3, 1.0)(X, TASK_ID)), X)


def test_a_dropped_channel_learns_nothing():
    dense, mask = keras.layers.Dense(7), TaskMask(3)
    mask(dense(X), TASK_ID)
    mask.masks.assign(MASKS)
    both = np.array([0, 0, 2, 2, 0], "int32")  # tasks that keep channels 0, 3 and 5
    kernel, bias = gradients(lambda: ops.sum(mask(dense(X), both) ** 3), dense.variables)
    np.testing.assert_array_equal(np.any(kernel != 0, axis=0), [1, 0, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(bias != 0, [1, 0, 0, 1, 0, 1, 0])


def test_an_id_out_of_range_gives_nan():
    answers = array(TaskMask(3, seed=0)(X, np.array([0, 3, -1, 2, 1])))
    np.testing.assert_array_equal(np.isnan(answers).all(axis=(1, 2)), [0, 1, 1, 0, 0])
    assert np.isfinite(answers[[0, 3, 4]]).all()


@pytest.mark.parametrize("keep_ratio", [0, -0.5, 1.01, float("nan")])
def test_a_ratio_is_above_0_and_at_most_1(keep_ratio):
    with pytest.raises(ValueError, match=r"keep_ratio must be a number in \(0, 1\]. Received"):
        TaskMask(3, keep_ratio)


def test_the_number_of_channels_is_known():
    with pytest.raises(ValueError, match="'mask_1' masks channels, the last axis, so their number"):
        TaskMask(3, name="mask_1")(keras.Input((4, None)), keras.Input((), dtype="int32"))
