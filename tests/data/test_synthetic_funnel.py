import numpy as np
import pytest

from keras_mtl import Task
from keras_mtl.data import synthetic_funnel

TRUE = 0.3275  # E[sigmoid(1.5 |t| + 0.5 t - 2)] of t ~ N(0, 1)
CLICKED = 0.4312  # the same of those who click


def means(truth):
    conversion = truth["conversion_given_click"]
    return conversion.mean(), np.average(conversion, weights=truth["click"])


def test_shapes_names_and_missing_labels():
    tasks, (x, y), (x_test, y_test), truth = synthetic_funnel(
        num_train=50, num_test=30, input_dim=3, estimator="ipw"
    )
    assert tasks == {
        "click": Task("binary"),
        "conversion": Task("binary", given="click", estimator="ipw"),
    }
    assert (x.shape, x.dtype, x_test.shape) == ((50, 3), "float32", (30, 3))
    assert list(y) == list(y_test) == list(tasks)
    np.testing.assert_array_equal(np.isnan(y["conversion"]), y["click"] == 0)
    assert truth["click"].shape == truth["conversion_given_click"].shape == (30,)
    assert np.linalg.norm(truth["direction"]) == pytest.approx(1)


def test_who_clicks_is_likelier_to_convert_by_a_known_amount():
    _, (_, y), _, truth = synthetic_funnel(num_train=200_000, num_test=200_000)
    assert means(truth) == pytest.approx((TRUE, CLICKED), abs=0.004)
    assert np.nanmean(y["conversion"]) == pytest.approx(CLICKED, abs=0.005)


def test_without_selection_who_clicks_is_like_all():
    _, (_, y), _, truth = synthetic_funnel(selection=0.0, num_train=100_000)
    assert np.nanmean(y["conversion"]) == pytest.approx(TRUE, abs=0.01)
    assert means(truth)[0] == pytest.approx(means(truth)[1])


def test_equal_seeds_draw_equal_numbers():
    first, second, third = (synthetic_funnel(num_train=9, seed=seed)[1][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.isclose(first, third).any()


@pytest.mark.parametrize(
    "wrong", [{"selection": -1}, {"num_train": 0}, {"num_test": 0}, {"input_dim": 0}]
)
def test_what_makes_no_funnel_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        synthetic_funnel(**wrong)
