import numpy as np
import pytest

from keras_mtl.analysis import welch_test

pytest.importorskip("scipy")


def runs(mean, deviation):
    """Returns 5 runs of exactly this mean and sample deviation."""
    shape = np.array([-2.0, -1, 0, 1, 2])
    return mean + deviation * shape / shape.std(ddof=1)


def test_the_table_of_the_paper_gives_these_statistics():
    """Printed are -2.24 and -2.03, from values that were not rounded."""
    assert welch_test(runs(73.8, 0.45), runs(73.5, 0.30)).t == pytest.approx(1.24, abs=5e-3)
    assert welch_test(runs(96.4, 0.18), runs(96.2, 0.20)).t == pytest.approx(1.66, abs=5e-3)


def test_the_sign_is_that_of_the_difference_and_the_test_has_one_side():
    better, worse = [3.0, 4.0, 5.0], [1.0, 2.0, 3.0]
    assert welch_test(better, worse) == pytest.approx((6**0.5, 0.035242), abs=1e-5)
    assert welch_test(worse, better) == pytest.approx((-(6**0.5), 1 - 0.035242), abs=1e-5)


def test_variances_may_differ():
    # 7.5 - 6 over sqrt(12.5 / 2 + 1 / 3); with one variance for both it would be 0.82.
    test = welch_test([5.0, 10.0], [5.0, 6.0, 7.0])
    assert test.t == pytest.approx(1.5 / (12.5 / 2 + 1 / 3) ** 0.5)


@pytest.mark.parametrize(("results", "message"), [
    ([1.0], r"results must be at least two finite numbers, one per run. Received: \[1.0\]"),
    ([1.0, np.nan], "results must be at least two finite numbers"),
    ([3.0, 3.0], "there is no variance to compare the means"),
])  # fmt: skip
def test_wrong_numbers_are_named(results, message):
    with pytest.raises(ValueError, match=message):
        welch_test(results, [2.0, 2.0])


def test_students_test_by_hand():
    """The paper's table: 96.4 and 96.2, deviations .18 and .20 over 5 runs each, t = 1.66."""
    fixed, none = (runs(96.4, 0.18), runs(96.2, 0.20))
    found = welch_test(fixed, none, equal_variances=True)
    assert found.t == pytest.approx(0.2 / np.sqrt((0.18**2 + 0.20**2) / 5))
    assert found.p == pytest.approx(0.0677, abs=1e-3)  # at df 8
    assert found.p < welch_test(fixed, none).p  # at df 7.9
