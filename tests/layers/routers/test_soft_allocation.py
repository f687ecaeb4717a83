import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import SoftAllocation
from tests.gradients import gradient

SCORES = np.log([[1.0, 2.0, 5.0, 2.0], [1.0, 1.0, 1.0, 7.0], [4.0, 3.0, 2.0, 1.0]])  # T = 3, C = 4
WEIGHTS = np.array([[0.1, 0.2, 0.5, 0.2], [0.1, 0.1, 0.1, 0.7], [0.4, 0.3, 0.2, 0.1]])
TASK_ID = np.array([2, 0, 0, 1, 2], "int32")


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def scored(**settings):
    layer = SoftAllocation(num_tasks=3, num_components=4, **settings)
    layer.build((None,))
    layer.scores.assign(SCORES)
    return layer


def test_every_component_weighs_the_same_at_first():
    rows = array(SoftAllocation(num_tasks=3, num_components=4)(TASK_ID))
    np.testing.assert_array_equal(rows, np.full((5, 4), 0.25))


@pytest.mark.parametrize("training", [False, True])
def test_rows_are_the_softmax_of_the_scores_and_the_same_in_training(training):
    np.testing.assert_allclose(
        array(scored()(TASK_ID, training=training)), WEIGHTS[TASK_ID], rtol=1e-5
    )


def test_the_matrix_and_the_probabilities_are_the_weights():
    layer = scored()
    np.testing.assert_allclose(layer.matrix(), WEIGHTS, rtol=1e-5)
    np.testing.assert_allclose(array(layer.probabilities()), WEIGHTS, rtol=1e-5)
    assert isinstance(layer.matrix(), np.ndarray)


def test_a_constant_added_to_a_row_of_scores_changes_nothing():
    layer = scored()
    layer.scores.assign(SCORES + [[3.0], [-7.0], [50.0]])
    np.testing.assert_allclose(layer.matrix(), WEIGHTS, rtol=1e-4)


def test_an_id_out_of_range_gives_nan():
    rows = array(scored()(np.array([0, -1, 3, 2])))
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [False, True, True, False])


def test_a_task_moves_its_own_scores_only():
    layer = scored()
    slope = gradient(lambda: ops.sum(layer(np.array([1, 1], "int32"))[:, 3]), layer.scores)
    expected = np.zeros((3, 4))
    expected[1] = 2 * 0.7 * np.array([-0.1, -0.1, -0.1, 0.3])  # p4 (1[j = 4] - pj), two examples
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_stay_in_full_precision(policy):
    layer = scored(dtype=policy)
    rows = layer(TASK_ID)
    assert keras.backend.standardize_dtype(rows.dtype) == policy.removeprefix("mixed_")
    assert layer.scores.dtype == "float32" and layer.matrix().dtype == "float32"
    np.testing.assert_allclose(array(rows), WEIGHTS[TASK_ID], atol=0.005)


def test_rows_are_not_bound_to_be_the_same():
    assert not SoftAllocation(num_tasks=3, num_components=4).same_for_all
