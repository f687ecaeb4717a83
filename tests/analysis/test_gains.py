import sys

import numpy as np
import pytest

from keras_mtl.analysis import error_reduction, gain_correlations, label_entropy

GAINS = {"pos": 0.1, "chunk": 0.2, "ner": 0.4}


def test_error_reduction_is_the_fraction_of_errors_that_is_gone():
    assert error_reduction(0.95, 0.9) == pytest.approx(0.5)
    assert error_reduction(1.0, 0.75) == 1.0
    assert error_reduction(0.75, 0.75) == 0.0


def test_more_errors_are_a_negative_reduction():
    assert error_reduction(0.5, 0.75) == pytest.approx(-1.0)


@pytest.mark.parametrize("new, base", [(93.48, 92.52), (0.9, -0.1), (np.nan, 0.5)])
def test_accuracies_that_are_no_fractions_are_refused(new, base):
    with pytest.raises(ValueError, match=r"fractions in \[0, 1\]; divide percentages by 100"):
        error_reduction(new, base)


def test_a_perfect_baseline_is_refused():
    with pytest.raises(ValueError, match="makes no errors"):
        error_reduction(1.0, 1.0)


def test_entropy_of_equally_frequent_labels_is_the_log_of_their_number():
    assert label_entropy(np.arange(8).reshape(2, 4)) == 3.0
    assert label_entropy([4, 4, 4]) == 0.0


def test_entropy_weighs_labels_by_frequency():
    # 3/4 log2(4/3) + 1/4 log2(4)
    assert label_entropy([0, 0, 0, 5]) == pytest.approx(0.8112781)


def test_entropy_skips_missing_labels():
    assert label_entropy([[0, 1, -1], [-1, -1, -1]]) == 1.0
    assert label_entropy([0.0, 1.0, np.nan]) == 1.0


def test_entropy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="Nothing is labelled"):
        label_entropy([-1, -1])


def test_correlations_of_three_tasks():
    # deviations (-4, -1, 5) / 30 and (-1, 0, 1): r = 9 / sqrt(42 * 2), in ranks 1
    found = gain_correlations(GAINS, {"entropy": {"ner": 3, "pos": 1, "chunk": 2}})["entropy"]
    assert found.pearson == pytest.approx(9 / np.sqrt(84))
    assert found.spearman == pytest.approx(1.0)


def test_p_values_of_three_tasks():
    found = gain_correlations(GAINS, {"entropy": {"pos": 1, "chunk": 2, "ner": 3}})["entropy"]
    # with 1 degree of freedom t is Cauchy: p = 2 acos(r) / pi
    assert found.pearson_p == pytest.approx(2 * np.arccos(9 / np.sqrt(84)) / np.pi)
    assert found.spearman_p == pytest.approx(2 / 6)  # one of 6 orders, on both sides


def test_each_property_has_its_own_correlation():
    sizes = {"pos": 900, "chunk": 400, "ner": 100}
    found = gain_correlations(GAINS, {"entropy": GAINS, "training size": sizes})
    assert list(found) == ["entropy", "training size"]
    assert found["entropy"].pearson == pytest.approx(1.0)
    assert found["training size"].spearman == pytest.approx(-1.0)


def test_permutations_of_many_tasks_are_seeded():
    rng = np.random.default_rng(1)
    gains, values = (dict(enumerate(rng.random(9))) for _ in range(2))
    first, second = (gain_correlations(gains, {"entropy": values}) for _ in range(2))
    assert first == second
    assert 0 < first["entropy"].spearman_p <= 1


def test_fewer_than_three_tasks_are_refused():
    with pytest.raises(ValueError, match="at least 3 tasks. Received 2: pos, ner"):
        gain_correlations({"pos": 0.1, "ner": 0.2}, {})


def test_a_property_of_other_tasks_is_refused():
    with pytest.raises(ValueError, match="Property 'size' must .* pos, chunk, ner, and no other"):
        gain_correlations(GAINS, {"size": {"pos": 1, "chunk": 2}})


@pytest.mark.parametrize("value", [2, np.nan])
def test_numbers_without_a_correlation_are_refused(value):
    with pytest.raises(ValueError, match="Property 'size' must be finite .* not all the same"):
        gain_correlations(GAINS, {"size": {"pos": 2, "chunk": 2, "ner": value}})


def test_gains_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="gains must be finite numbers that are not all the same"):
        gain_correlations(dict.fromkeys(GAINS, 0.1), {"size": GAINS})


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"keras_mtl\[tagging\]"):
        gain_correlations(GAINS, {})
