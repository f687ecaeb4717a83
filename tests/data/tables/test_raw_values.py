"""Values of columns in one form, whatever they came in."""

import math

import numpy as np
import pytest

from keras_mtl.data.tables.raw_values import MISSING, kind_of, raw_values

pandas = pytest.importorskip("pandas")
GONE = MISSING["integer"]


@pytest.mark.parametrize(
    "values",
    [
        ["a", None, "b"],
        np.array(["a", "", "b"]),
        [b"a", None, b"b"],
        pandas.Series(["a", None, "b"]),
        pandas.Series(["a", None, "b"], dtype="string"),
        pandas.Series(["a", None, "b"], dtype="category"),
        ["a", float("nan"), "b"],
    ],
)
def test_strings_of_every_make_are_the_same(values):
    assert kind_of("c", values) == "string"
    found = raw_values("c", values, "string")
    assert found.dtype == object and found.tolist() == ["a", "", "b"]


@pytest.mark.parametrize(
    "values",
    [
        [5, None, 2**60],
        pandas.Series([5, None, 2**60], dtype="Int64"),
        np.array([5, None, 2**60], object),
    ],
)
def test_integers_of_every_make_are_the_same(values):
    assert kind_of("c", values) == "integer"
    assert raw_values("c", values, "integer").tolist() == [5, GONE, 2**60]


def test_what_pandas_makes_of_integers_with_a_gap_is_integers():
    values = pandas.Series([5, None, 7])
    assert values.dtype == float and kind_of("c", values) == "integer"
    assert raw_values("c", values, "integer").tolist() == [5, GONE, 7]


def test_a_flag_is_an_integer():
    assert kind_of("c", [True, False]) == "integer"
    assert raw_values("c", np.array([True, False]), "integer").tolist() == [1, 0]


@pytest.mark.parametrize(
    "values",
    [[1, None, 2.5], pandas.Series([1, None, 2.5]), pandas.Series([1, None, 2.5], dtype="Float64")],
)
def test_numbers_of_every_make_are_the_same(values):
    found = raw_values("c", values, "number")
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, np.float32([1, math.nan, 2.5]))


@pytest.mark.parametrize(
    "values",
    [
        [["a", "b"], None, [], ["c"]],
        [("a", None, "b"), float("nan"), [""], np.array(["c"])],
        pandas.Series([["a", "b"], None, [], ["c"]]),
        np.array([["a", "b"], ["", ""], ["", ""], ["c", ""]], object),
    ],
)
def test_lists_of_every_make_are_the_same(values):
    found = raw_values("c", values, "list of string")
    assert found.tolist() == [["a", "b"], ["", ""], ["", ""], ["c", ""]]


def test_a_length_cuts_and_fills():
    found = raw_values("c", [[1, 2, 3], [], [4]], "list of integer", 2)
    assert found.tolist() == [[1, 2], [GONE, GONE], [4, GONE]]


def test_no_list_has_a_step_all_the_same():
    assert raw_values("c", [[], None], "list of integer").tolist() == [[GONE], [GONE]]


def test_what_all_miss_is_of_no_kind():
    assert kind_of("c", [None, float("nan")]) is None
    assert kind_of("c", []) is None


@pytest.mark.parametrize(
    ("values", "form", "message"),
    [
        ([1.5, 2.0], "integer", "'c' has fractions, which are no categories: 1.5.*num_bins"),
        (["a", 5], "string", "'c' is of strings. Received: 5"),
        ([7, "a"], "integer", "'c' is of integers. Received: 'a'"),
        (["1"], "number", "'c' is of numbers. Received: '1'"),
        ([np.inf], "number", "'c' has an infinite number"),
        (["a"], "list of string", "'c' is a sequence, so each of its values must be a list.*'a'"),
        ([["a"]], "string", r"'c' must have one value in each row.*sequences=\[...\]"),
        (np.zeros((2, 3)), "number", r"one value in each row. Received shape \(2, 3\)"),
    ],
)
def test_other_values_are_refused_by_name(values, form, message):
    with pytest.raises(ValueError, match=message):
        raw_values("c", values, form)


def test_strings_beside_numbers_are_refused():
    with pytest.raises(ValueError, match=r"'c' has strings beside other values: 'a' and 5.*astype"):
        kind_of("c", ["a", 5])
