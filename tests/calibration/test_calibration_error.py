"""The expected calibration error, worked out by hand."""

import numpy as np
import pytest

from keras_mtl import calibration_error
from keras_mtl.analysis.scores.calibration_error import reliability


def test_bins_of_one_width_include_their_upper_ends():
    y, p = [0, 1, 1, 0, 1], [0.0, 0.5, 0.5, 0.75, 1.0]
    counts, predicted, observed = reliability(y, p, 2, "width")
    np.testing.assert_allclose(counts, [3, 2])
    np.testing.assert_allclose(predicted, [1 / 3, 0.875])
    np.testing.assert_allclose(observed, [2 / 3, 0.5])
    np.testing.assert_allclose(calibration_error(y, p, bins=2), (3 * 1 / 3 + 2 * 0.375) / 5)


def test_bins_of_equal_mass_keep_equal_probabilities_together():
    y = np.array([0, 0, 1, 0, 1, 1])
    p = np.array([0.1, 0.2, 0.2, 0.2, 0.7, 0.9])
    counts, predicted, observed = reliability(y, p, 2, "mass")
    np.testing.assert_allclose(counts, [4, 2])
    np.testing.assert_allclose(predicted, [0.175, 0.8])
    np.testing.assert_allclose(observed, [0.25, 1.0])
    expected = (4 * 0.075 + 2 * 0.2) / 6
    np.testing.assert_allclose(calibration_error(y, p, 2, "mass"), expected)
    order = np.random.default_rng(0).permutation(6)
    assert calibration_error(y[order], p[order], 2, "mass") == pytest.approx(expected)


def test_of_classes_it_is_that_of_the_largest_probability():
    p = np.array([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.0, 0.1, 0.9], [0.3, 0.3, 0.4]])
    y = [0, 2, 2, -1]  # right, wrong, right, not labelled
    expected = (2 * abs(0.5 - 0.6) + 1 * abs(1 - 0.9)) / 3
    np.testing.assert_allclose(calibration_error(y, p, bins=10), expected)
    np.testing.assert_allclose(calibration_error([0, 2, 2, np.nan], p, bins=10), expected)


def test_missing_labels_do_not_count_and_shapes_may_differ_by_1():
    y, p = np.array([0, 1, np.nan, 1]), np.array([0.25, 0.75, 0.1, 0.5])
    expected = (0.25 + 0.25 + 0.5) / 3
    for labels, answers in ((y, p), (y, p[:, None]), (y[:, None], p[:, None])):
        np.testing.assert_allclose(calibration_error(labels, answers), expected)
    steps = y.reshape(2, 2), p.reshape(2, 2, 1)
    np.testing.assert_allclose(calibration_error(*steps), expected)


def test_right_probabilities_have_no_error():
    assert calibration_error([0, 1, 1, 0], [0.5] * 4) == 0
    rng = np.random.default_rng(0)
    p = rng.random(100_000)
    assert calibration_error(rng.random(100_000) < p, p) < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.5, 1.5]), "p must be probabilities, in .0, 1.. Received: 1.5"),
        (([0, 1], [0.5, np.nan]), "p must be probabilities, in .0, 1.. Received: nan"),
        (([0, 2], [0.5, 0.5]), "Labels must be 0 to 1. Received: 2"),
        (([0, 3], [[0.5, 0.5], [1, 0]]), "Labels must be 0 to 1. Received: 3"),
        (([0, 1], [0.5]), r"p must have the shape of y.*y of shape \(2,\), p of shape \(1,\)"),
        (([np.nan], [0.5]), "Nothing is labelled"),
        (([0], [0.5], 0), "bins must be an integer of at least 1"),
        (([0], [0.5], 2, "equal"), 'binning must be "width" .bins of one width. or "mass"'),
    ],
)
def test_what_has_no_error_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(*arguments)
