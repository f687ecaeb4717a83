"""Slopes of the negative log-likelihood are its differences, as the kinds' own answers have it."""

import numpy as np
import pytest
from keras import ops

from keras_mtl.kinds import KINDS

N, SIZE = 40, 4
RNG = np.random.default_rng(0)
GAPS = RNG.normal(size=SIZE - 2)
RANKS = RNG.integers(SIZE, size=N)
YES = RNG.integers(2, size=(N, SIZE))
CASES = {  # kind: logits, gaps, labels
    "classes": (3 * RNG.normal(size=(N, SIZE)), None, RANKS),
    "tagging": (RNG.normal(size=(N, SIZE)), None, RANKS),
    "binary": (RNG.normal(size=(N, 1)), None, YES[:, :1]),
    "multilabel": (RNG.normal(size=(N, SIZE)), None, YES),
    "ordinal": (2 * RNG.normal(size=(N, 1)), GAPS, RANKS),
}


def likelihood(kind, logits, gaps, y, factor):
    """Returns the mean negative log-likelihood, by what the kind's head would answer."""
    if gaps is not None:
        gaps = ops.array(np.log(np.expm1(factor * np.log1p(np.exp(gaps)))), "float32")
    answers = KINDS[kind].answers(ops.array(factor * logits, "float32"), gaps)
    p = ops.convert_to_numpy(answers).astype("float64")
    p = np.take_along_axis(p, y[:, None], -1) if KINDS[kind].has_classes else abs(1 - y - p)
    return -np.mean(np.log(p))


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("kind", CASES)
def test_a_slope_is_that_of_the_likelihood(kind, factor):
    case, step = CASES[kind], 1e-2
    above, below = (likelihood(kind, *case, factor + sign * step) for sign in (1, -1))
    slope = KINDS[kind].slope(*case, factor)
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("kind", CASES)
def test_slopes_grow_and_stay_finite(kind):
    slopes = [KINDS[kind].slope(*CASES[kind], factor) for factor in (1e-9, 0.1, 1, 10, 1e12)]
    assert np.all(np.isfinite(slopes)) and np.all(np.diff(slopes) > 0)


def test_where_all_is_right_the_slope_never_exceeds_0():
    right = np.array([[2.0, -1.0, 0.5], [0.0, 0.25, 0.0]])
    for factor in (0.1, 1.0, 1e6, 1e12):
        assert KINDS["classes"].slope(right, None, np.array([0, 1]), factor) <= 0
        assert KINDS["binary"].slope(right, None, right > 0.1, factor) <= 0
        assert (
            KINDS["ordinal"].slope(np.array([[0.1], [-0.1]]), GAPS, np.array([1, 0]), factor) <= 0
        )


def test_kinds_without_probabilities_have_none():
    without = [name for name, kind in KINDS.items() if kind.slope is None]
    assert without == ["regression", "count", "amount"]
    assert [name for name, kind in KINDS.items() if kind.shifts] == ["binary", "multilabel"]
