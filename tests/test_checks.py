"""Arguments are returned as plain Python, or named with what is wanted."""

from fractions import Fraction

import keras
import numpy as np
import pytest

from keras_mtl import checks

NAN, INF = float("nan"), float("inf")


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize(
    ("given", "plain"),
    [(2, 2), (2.5, 2.5), (np.int64(2), 2), (np.float32(0.5), 0.5), (Fraction(1, 2), 0.5)],
)
def test_numbers_come_back_as_those_of_python(given, plain):
    found = checks.number("weight", given)
    assert found == plain and type(found) is type(plain)


@pytest.mark.parametrize(
    "given", [None, "1", NAN, INF, -INF, True, np.True_, [1], 1j, slice(3), 1e300, 10**400], ids=str
)
def test_what_is_no_finite_number_of_32_bits_is_refused(given):
    with refused("weight must be a number. Received: "):
        checks.number("weight", given)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "said"),
    [
        ({"above": 0}, [1e-30, 5], [0, -1], "above 0"),
        ({"least": 0}, [0, 5], [-1e-9], "of at least 0"),
        ({"below": 1}, [-5, 0.5], [1], "below 1"),
        ({"most": 1}, [-5, 1], [1.5], "of at most 1"),
        ({"above": 0, "most": 1}, [0.5, 1], [0, 1.5], r"in \(0, 1\]"),
        ({"least": 0, "below": 1}, [0, 0.5], [-1, 1], r"in \[0, 1\)"),
    ],
)
def test_numbers_lie_between_bounds(bounds, inside, outside, said):
    for number in inside:
        assert checks.number("rate", number, **bounds) == number
    for number in outside:
        with refused(f"rate must be a number {said}. Received: {number}"):
            checks.number("rate", number, **bounds)


@pytest.mark.parametrize("probability", [0.99999999, 1e-46])
def test_a_probability_stays_one_in_32_bits(probability):
    with refused(
        rf"chance must be a number in \(0, 1\), also as a float32. Received: {probability}"
    ):
        checks.probability("chance", probability)
    assert checks.probability("chance", 0.9999999) == 0.9999999


def test_what_may_be_given_instead_is_said():
    with refused("weight must be a number above 0 or a schedule. Received: 'x'"):
        checks.number("weight", "x", above=0, or_else=" or a schedule")


def test_counts_are_integers():
    found = checks.count("units", np.int32(3))
    assert found == 3 and type(found) is int
    for given in (0, -1, 1.0, "1", None, True, [1], NAN, 2**31):
        with refused("units must be an integer of at least 1. Received: "):
            checks.count("units", given)
    with refused("place must be an integer from 0 to 3. Received: 4"):
        checks.count("place", 4, 0, 3)


def test_sizes_are_a_tuple_of_counts():
    found = checks.sizes("units", [np.int64(3), 2])
    assert found == (3, 2) and [type(size) for size in found] == [int, int]
    assert checks.sizes("units", np.array([4])) == (4,) and checks.sizes("units", ()) == ()
    for given in (3, "x", None, {}, NAN):
        with refused(r"units must be a tuple of sizes, such as \(32,\). Received: "):
            checks.sizes("units", given)
    with refused(r"units\[1\] must be an integer of at least 1. Received: 1.5"):
        checks.sizes("units", (3, 1.5))
    with refused("units must be a tuple of at least 1 sizes"):
        checks.sizes("units", (), length=1)


def test_places_may_be_0():
    assert checks.counts("routes", [0, 2], most=2) == (0, 2)
    with refused(r"routes\[0\] must be an integer from 0 to 2. Received: 3"):
        checks.counts("routes", [3], most=2)


def test_flags_are_true_or_false():
    assert checks.flag("hard", np.True_) is True
    for given in (1, 0, None, NAN, "True"):
        with refused("hard must be True or False. Received: "):
            checks.flag("hard", given)


def test_words_are_listed_with_what_they_mean():
    assert checks.word("combine", "sum", ("mean", "sum")) == "sum"
    assert checks.word("preset", None, (None, "a")) is None
    with refused('combine must be "mean" or "sum". Received: nan'):
        checks.word("combine", NAN, ("mean", "sum"))
    with refused('preset must be None, "a" or "b". Received: \\[\\]'):
        checks.word("preset", [], (None, "a", "b"))
    with refused(r'mode must be "a" \(first\) or "b" \(second\). Received: None'):
        checks.word("mode", None, {"a": "first", "b": "second"})


def test_seeds_have_32_bits():
    assert checks.seed("seed", None) is None and checks.seed("seed", 2**32 - 1) == 2**32 - 1
    assert type(checks.seed("seed", np.int64(3))) is int
    for given in (-1, 1.5, "x", True, 2**32):
        with refused("seed must be an integer from 0 to 4294967295. Received: "):
            checks.seed("seed", given)


def test_arrays_hold_finite_numbers():
    np.testing.assert_array_equal(checks.array("alpha", [[1, 0.5]], "numbers"), [[1, 0.5]])
    for given in (None, "x", [NAN], [[1], [1, 2]], {}, [object()], [10**400], [INF]):
        with refused("alpha must be two numbers. Received: "):
            checks.array("alpha", given, "two numbers")


def test_long_values_are_cut():
    with pytest.raises(ValueError, match=r"Received: \[0, 0, .*\.\.\.$") as caught:
        checks.sizes("units", {"x": 0} and [0] * 999, length=9999)
    assert len(str(caught.value)) < 400


def test_what_keras_does_not_know_is_named():
    get = keras.regularizers.get
    assert checks.known_to_keras("penalty", None, get) is None
    for given in ("x", 1.5, object(), {}):
        with refused("penalty is nothing that Keras knows. Received: "):
            checks.known_to_keras("penalty", given, get)
