import numpy as np
import pytest

from keras_mtl.data import ICUStays, standardize_stays
from keras_mtl.data.datasets.icu_stays import forward_fill

NAN = np.nan


def stays(x, columns=("HR", "mask->HR", "pH"), scaled=(0, 2)):
    x = np.array(x, "float32")
    return ICUStays(
        x=x,
        lengths=np.full(len(x), x.shape[1], "int32"),
        labels={"death": np.arange(len(x)), "each_step": np.ones(x.shape[:2])},
        ids=[f"stay {row}" for row in range(len(x))],
        columns=list(columns),
        channels=[[0, 1], [2]],
        scaled=list(scaled),
    )


TRAIN = stays([[[50, 1, NAN], [70, 0, 7]], [[NAN, 0, NAN], [90, 1, NAN]], [[70, 1, 7]] * 2])


def test_a_value_stands_until_the_next():
    first = [[NAN, 1], [2, NAN], [NAN, NAN], [3, 4]]
    second = [[5, NAN], [NAN, NAN], [6, NAN], [NAN, NAN]]
    filled = forward_fill(np.array([first, second]))
    np.testing.assert_array_equal(filled[0], [[NAN, 1], [2, 1], [2, 1], [3, 4]])
    np.testing.assert_array_equal(filled[1], [[5, NAN], [5, NAN], [6, NAN], [6, NAN]])
    np.testing.assert_array_equal(forward_fill(np.array(first)), filled[0])


def test_quantities_get_mean_0_and_deviation_1_of_what_is_known_in_train():
    # HR 50, 70, 90, 70, 70: mean 70, variance 800 / 5 = 160
    train, test = standardize_stays(TRAIN, stays([[[70 + np.sqrt(640), 1, 7], [NAN, 0, NAN]]]))
    np.testing.assert_allclose(train.x[0, :, 0], [-20 / np.sqrt(160), 0], atol=1e-6)
    np.testing.assert_allclose(test.x[0, :, 0], [2, 0], atol=1e-6)
    assert train.x.dtype == test.x.dtype == np.float32


def test_what_is_0_or_1_stays_and_what_is_not_known_becomes_0():
    (train,) = standardize_stays(TRAIN)
    np.testing.assert_array_equal(train.x[..., 1], TRAIN.x[..., 1])
    assert train.x[1, 0, 0] == 0 and not np.isnan(train.x).any()


def test_a_quantity_without_two_values_in_train_becomes_0():
    other = stays([[[60, 1, 7.4]]])
    assert standardize_stays(TRAIN, other)[1].x[0, 0, 2] == 0
    unmeasured = stays([[[60, 1, NAN], [70, 1, NAN]]])
    assert standardize_stays(unmeasured, other)[1].x[0, 0, 2] == 0
    constant = stays([[[60, 1, 0.1], [70, 1, 0.1]]] * 500)
    assert standardize_stays(constant, other)[1].x[0, 0, 2] == 0


def test_standardizing_leaves_what_it_was_given():
    train, test = stays([[[50, 1, NAN], [70, 0, 7]]]), stays([[[60, 1, 7], [NAN, 0, NAN]]])
    standardize_stays(train, test)
    np.testing.assert_array_equal(train.x, [[[50, 1, NAN], [70, 0, 7]]])
    np.testing.assert_array_equal(test.x, [[[60, 1, 7], [NAN, 0, NAN]]])


def test_stays_of_other_columns_are_refused():
    with pytest.raises(ValueError, match="columns of train, in the same order. They differ in K, "):
        standardize_stays(TRAIN, stays(TRAIN.x, columns=("HR", "mask->HR", "K")))
    with pytest.raises(ValueError, match="They differ in their order"):
        standardize_stays(TRAIN, stays(TRAIN.x, columns=("pH", "mask->HR", "HR")))


@pytest.mark.parametrize("rows", [[2, 0], np.array([2, 0]), [False, True, True], slice(1, None)])
def test_taken_stays_keep_all_that_belongs_to_them(rows):
    some = TRAIN.take(rows)
    expected = [2, 0] if some.ids[0] == "stay 2" else [1, 2]
    assert some.ids == [f"stay {row}" for row in expected]
    np.testing.assert_array_equal(some.x, TRAIN.x[expected])
    assert some.labels["death"].tolist() == expected
    assert some.labels["each_step"].shape == (2, 2) and some.lengths.shape == (2,)
    assert some.columns == TRAIN.columns and some.channels == TRAIN.channels
