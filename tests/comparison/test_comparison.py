"""What a comparison says of its runs, in numbers worked out by hand."""

import numpy as np
import pytest

from keras_mtl.comparison import Comparison


def run(accuracy, error, **costs):
    scores = {"income": {"accuracy": accuracy, "auc": 0.9}, "height": {"mae": error}}
    return {"scores": scores, "parameters": 10, "flops": 20, "seconds": 1.0, "milliseconds": 2.0}


RUNS = {
    "mine": [run(0.6, 0.5), run(0.7, 0.4), run(0.8, 0.6)],
    "Single task": [run(0.5, 0.25), run(0.5, 0.2), run(0.5, 0.3)],
}
COMPARISON = Comparison(("income", "height"), RUNS, {"No sharing": "too few components"})


def test_text():
    assert str(COMPARISON).splitlines() == [
        "| method | income accuracy | height mae | Delta, % | parameters | FLOPs | training, s "
        "| served, ms |",
        "|---|---|---|---|---|---|---|---|",
        "| mine | 0.7000 ± 0.2484 | 0.5000 ± 0.2484 | -30.00 | 10 | 20 | 1.0 | 2.00 |",
        "| Single task | 0.5000 ± 0.0000 | 0.2500 ± 0.1242 | +0.00 | 10 | 20 | 1.0 | 2.00 |",
        "| No sharing | - | - | - | - | - | - | - |",
        "",
        "Mean of 3 seeds ± half of the 95 % confidence interval.",
        "Delta: mean gain over single task. Served: a batch.",
        "No sharing was not built: too few components",
    ]


def test_a_single_seed_has_no_interval():
    one = Comparison(("income", "height"), {name: runs[:1] for name, runs in RUNS.items()}, {})
    assert "| mine | 0.6000 | 0.5000 | -40.00 |" in str(one)
    assert "Mean of 1 seed." in str(one)
    assert np.isnan([transfer.p for transfer in one.negative_transfer()]).all()


def test_gains_of_errors_are_what_is_less():
    assert COMPARISON.gains("mine", "height", "Single task") == pytest.approx([-0.25, -0.2, -0.3])
    assert COMPARISON.gains("mine", "income", "Single task") == pytest.approx([0.1, 0.2, 0.3])


def test_negative_transfer():
    income, height = COMPARISON.negative_transfer()
    # t = 0.2 / (0.1 / sqrt(3)) = 3.464 and -0.25 / (0.05 / sqrt(3)) = -8.660 at df 2
    assert income.p == pytest.approx(0.0742, abs=1e-4)
    assert height.p == pytest.approx(0.0131, abs=1e-4)
    assert income.corrected_p == pytest.approx(0.0742, abs=1e-4)
    assert height.corrected_p == pytest.approx(0.0262, abs=1e-4)
    assert height.loses and not height.gains and not income.gains and not income.loses
    assert str(COMPARISON.negative_transfer()).splitlines()[2:] == [
        "| mine | income | +0.2000 | 0.074 | 0.074 |  |",
        "| mine | height | -0.2500 | 0.013 | 0.026 | loses |",
    ]


def test_another_baseline():
    found = COMPARISON.negative_transfer(baseline="mine")
    assert [transfer.method for transfer in found] == ["Single task", "Single task"]
    with pytest.raises(ValueError, match="no runs of 'x' to compare with. Methods: mine, Single"):
        COMPARISON.negative_transfer("x")


def test_delta_needs_a_score_above_0():
    bad = {"mine": RUNS["mine"], "Single task": [run(0.0, 0.25)]}
    assert np.isnan(Comparison(("income", "height"), bad, {}).delta("mine"))
    alone = Comparison(("income", "height"), {"mine": RUNS["mine"]}, {})
    assert np.isnan(alone.delta("mine"))
    with pytest.raises(ValueError, match="no runs of 'Single task'.*baselines=True"):
        alone.plot()


def test_another_metric():
    assert COMPARISON.scores("mine", "income", "auc").tolist() == [0.9] * 3


def test_plot():
    ax = COMPARISON.plot()
    (bars,) = ax.containers
    assert bars.lines[0].get_xdata() == pytest.approx([0.2, -0.25])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["income", "height"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mine"]


# Costs against scores


def costly(accuracy, flops):
    scores = {task: {"accuracy": accuracy} for task in ("a", "b")}
    return [{"scores": scores, "parameters": 1, "flops": flops, "seconds": 1, "milliseconds": 1}]


SWEEP = {"dear": costly(0.9, 300), "middle": costly(0.6, 200), "cheap": costly(0.7, 100)}


def test_pareto_by_mean_scores():
    comparison = Comparison(("a", "b"), SWEEP, {})
    assert comparison.pareto() == ["cheap", "dear"]
    assert comparison.pareto("parameters") == ["dear"]


def test_pareto_by_delta_where_there_are_single_tasks():
    runs = {name: [run(0.5 + gain, 0.25)] for name, gain in (("mine", 0.1), ("Single task", 0))}
    comparison = Comparison(("income", "height"), runs, {})
    assert comparison.pareto() == ["mine"]
    ax = comparison.plot_costs("parameters")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("parameters", "Delta, %")
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[10, 10], [10, 0]])


def test_scores_of_several_kinds_are_not_added_up():
    alone = Comparison(("income", "height"), {"mine": RUNS["mine"]}, {})
    with pytest.raises(ValueError, match="several kinds.*: accuracy, mae. With baselines=True"):
        alone.pareto()
    with pytest.raises(ValueError, match='cost must be "parameters", "flops", .*watts'):
        COMPARISON.pareto("watts")


def test_errors_are_better_where_they_are_less():
    runs = {
        name: [{"scores": {"a": {"mae": error}}, "flops": flops}]
        for name, error, flops in (("good", 0.1, 2), ("bad", 0.3, 2), ("cheap", 0.3, 1))
    }
    assert Comparison(("a",), runs, {}).pareto() == ["cheap", "good"]
