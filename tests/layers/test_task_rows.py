import keras
import numpy as np
from keras import ops

from keras_mtl.layers import SplitTasks, TaskRows

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
