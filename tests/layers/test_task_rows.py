import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import PickTask, RepeatRows, SplitTasks, TaskRows
from tests.gradients import gradients

array = ops.convert_to_numpy


def test_rows_come_task_by_task():
    assert array(TaskRows(3)(np.zeros((2, 5), "float32"))).tolist() == [0, 0, 1, 1, 2, 2]


def test_rows_of_a_dict_count_its_first_entry():
    x = {"a": np.zeros((2, 5), "float32"), "b": np.zeros((2, 7, 3), "float32")}
    assert array(TaskRows(2)(x)).tolist() == [0, 0, 1, 1]


def test_rows_are_integers_also_under_mixed_precision():
    rows = TaskRows(2, dtype="mixed_bfloat16")(np.zeros((3, 4), "float32"))
    assert keras.backend.standardize_dtype(rows.dtype) == "int32"


def test_splitting_undoes_repeating():
    x = np.arange(24, dtype="float32").reshape(3, 4, 2)
    rows = ops.cast(TaskRows(5)(x), "float32")
    repeated = ops.tile(x, (5, 1, 1)) + 100.0 * ops.reshape(rows, (-1, 1, 1))
    parts = SplitTasks(5)(repeated)
    assert len(parts) == 5
    for task_id, part in enumerate(parts):
        np.testing.assert_array_equal(array(part), x + 100 * task_id)


def test_both_work_in_a_functional_model_at_any_batch_size():
    inputs = keras.Input((4,))
    rows = ops.cast(ops.expand_dims(TaskRows(3)(inputs), -1), "float32")
    parts = SplitTasks(3)(rows * ops.ones((1, 2)))
    assert [tuple(part.shape) for part in parts] == [(None, 2)] * 3
    model = keras.Model(inputs, parts)
    for batch in (1, 6):
        answers = model(np.zeros((batch, 4), "float32"))
        expected = [np.full((batch, 2), task_id) for task_id in range(3)]
        np.testing.assert_array_equal([array(answer) for answer in answers], expected)


def test_splitting_splits_the_mask_too():
    tokens = np.array([[1, 2, 0], [1, 0, 0], [2, 0, 0], [2, 2, 2]])
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)
    first, second = (array(keras.src.backend.get_keras_mask(p)) for p in SplitTasks(2)(embedded))
    np.testing.assert_array_equal(first, tokens[:2] != 0)
    np.testing.assert_array_equal(second, tokens[2:] != 0)


# One batch, a block per task


def test_repeated_rows_come_block_after_block():
    x = np.arange(6, dtype="float32").reshape(3, 2)
    np.testing.assert_array_equal(array(RepeatRows(2)(x)), np.concatenate([x, x]))


def test_splitting_undoes_repeating_with_the_mask():
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    embedded = keras.layers.Embedding(3, 4, mask_zero=True)(tokens)
    for part in SplitTasks(3)(RepeatRows(3)(embedded)):
        np.testing.assert_array_equal(array(part), array(embedded))
        np.testing.assert_array_equal(array(keras.src.backend.get_keras_mask(part)), tokens != 0)


def test_repeated_rows_fit_the_ids_of_their_rows_at_any_batch_size():
    inputs = keras.Input((7, 4))
    repeated = RepeatRows(3)(inputs)
    assert tuple(repeated.shape) == (None, 7, 4)
    model = keras.Model(inputs, [repeated, TaskRows(3)(inputs)])
    for batch in (1, 6):
        rows, task_id = model(np.zeros((batch, 7, 4), "float32"))
        assert tuple(rows.shape) == (3 * batch, 7, 4) and tuple(task_id.shape) == (3 * batch,)


def test_repeated_rows_keep_their_type_under_mixed_precision():
    layer = RepeatRows(2, dtype="mixed_bfloat16")
    for dtype in ("int32", "float32"):
        assert keras.backend.standardize_dtype(layer(np.ones((3, 4), dtype)).dtype) == dtype


# A task's features of several


STREAMS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")  # T = 3, B = 5
TASK_ID = np.array([2, 0, 1, 1, 2], "int32")


@pytest.mark.parametrize("shape", [(4,), (7, 4), (6, 7, 4)], ids=str)
def test_every_example_gets_the_features_of_its_task(shape):
    streams = np.random.default_rng(1).normal(size=(3, 5, *shape)).astype("float32")
    picked = array(PickTask()(list(streams), TASK_ID))
    np.testing.assert_array_equal(picked, streams[TASK_ID, np.arange(5)])


def test_an_example_of_no_task_gets_zeros():
    picked = array(PickTask()(list(STREAMS), np.array([0, -1, 3, 2, 99])))
    np.testing.assert_array_equal(picked[[1, 2, 4]], np.zeros((3, 4)))
    np.testing.assert_array_equal(picked[[0, 3]], [STREAMS[0, 0], STREAMS[2, 3]])


def test_what_another_task_says_does_not_matter_not_even_nan():
    broken = STREAMS.copy()
    broken[0] = np.nan
    picked = array(PickTask()(list(broken), TASK_ID))
    np.testing.assert_array_equal(np.isnan(picked).all(axis=1), TASK_ID == 0)


def test_only_the_picked_features_get_a_gradient():
    streams = [keras.Variable(stream) for stream in STREAMS]
    layer = PickTask()
    layer(streams, TASK_ID)
    slopes = gradients(lambda: ops.sum(layer(streams, TASK_ID)), streams)
    for task_id, slope in enumerate(slopes):
        np.testing.assert_array_equal(slope, np.repeat(TASK_ID[:, None] == task_id, 4, axis=1))


def test_picking_keeps_the_mask_and_the_type():
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    embedded = keras.layers.Embedding(3, 4, mask_zero=True, dtype="mixed_bfloat16")(tokens)
    picked = PickTask(dtype="mixed_bfloat16")([embedded, embedded], np.array([1, 0]))
    assert keras.backend.standardize_dtype(picked.dtype) == "bfloat16"
    np.testing.assert_array_equal(array(keras.src.backend.get_keras_mask(picked)), tokens != 0)


def test_features_of_different_shapes_cannot_be_picked():
    wanted = (
        r"With separate data the features before the heads must have one shape for all tasks.*"
        r'\(5, 4\), \(5, 2\). Give the layers equal units, or use task_data="shared"'
    )
    with pytest.raises(ValueError, match=wanted):
        PickTask()([STREAMS[0], STREAMS[1][:, :2]], TASK_ID)
