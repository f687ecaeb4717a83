import numpy as np
import pytest

from keras_mtl.analysis import Delta, task_delta

# Area under the curve of income, marital status and education.
CENSUS = {"income": 88.95, "never_married": 97.48, "college": 87.23}
CENSUS_ROWS = {
    "AdaShare": ((89.44, 96.79, 84.56), -1.07),
    "MMoE": ((90.86, 96.70, 86.33), 0.11),  # as its row gives, not the -0.28 in print
    "shared bottom": ((91.09, 97.98, 86.99), 0.88),
    "MMoEEx": ((92.51, 98.47, 87.19), 1.66),
    "DynaShare": ((91.01, 98.32, 87.31), 1.09),
}
# Phenotypes, length of stay, decompensation, mortality.
MIMIC = {"pheno": 77.0, "los": 45.0, "decomp": 91.0, "mortality": 86.0}
MIMIC_ROWS = {
    "shared bottom": ((73.36, 30.60, 94.12, 82.71), -9.28),
    "MCW-LSTM": ((77.40, 45.00, 90.50, 87.00), 0.28),
    "MMoE": ((75.09, 54.48, 96.20, 90.44), 7.36),
    "MMoEEx-RNN": ((72.44, 63.45, 96.82, 90.73), 11.74),
    "DynaShare": ((76.50, 71.86, 84.98, 94.25), 15.50),
}


@pytest.mark.parametrize(
    "single, row, expected",
    [(CENSUS, *row) for row in CENSUS_ROWS.values()]
    + [(MIMIC, *row) for row in MIMIC_ROWS.values()],
    ids=[f"census {name}" for name in CENSUS_ROWS] + [f"mimic {name}" for name in MIMIC_ROWS],
)
def test_the_papers_tables_come_out(single, row, expected):
    delta = task_delta(dict(zip(single, row, strict=True)), single)
    assert delta.mean == pytest.approx(expected, abs=0.01)  # printed ones are rounded or cut


def test_the_gain_of_a_task_is_the_mean_of_its_metrics_and_tasks_count_alike():
    single = {"a": {"x": 0.5, "y": 0.8}, "b": {"z": 4.0}}
    shared = {"b": {"z": 5.0}, "a": {"y": 0.72, "x": 0.6}}  # in any order
    delta = task_delta(shared, single)
    assert delta.tasks == pytest.approx({"a": 5.0, "b": 25.0})  # a: 20 and -10
    assert list(delta.tasks) == ["b", "a"]
    assert delta.mean == pytest.approx(15.0)  # over metrics it would be 35 / 3


def test_single_task_networks_gain_nothing():
    assert task_delta(CENSUS, CENSUS) == Delta(dict.fromkeys(CENSUS, 0.0), 0.0)


def test_less_of_an_error_is_a_gain():
    single = {"depth": {"error": 0.5, "within": 0.8}, "income": 0.8}
    shared = {"depth": {"error": 0.4, "within": 0.8}, "income": 0.6}
    assert task_delta(shared, single).tasks == pytest.approx({"depth": -10, "income": -25})
    turned = task_delta(shared, single, lower_is_better=["error"])
    assert turned.tasks == pytest.approx({"depth": 10, "income": -25})
    named_as_its_task = task_delta(shared, single, lower_is_better={"income"})
    assert named_as_its_task.tasks == pytest.approx({"depth": -10, "income": 25})


def test_scores_of_numpy_are_numbers_too():
    delta = task_delta({"income": np.float32(0.75)}, {"income": np.float64(0.5)})
    assert delta == Delta({"income": 50.0}, 50.0)


def test_other_tasks_and_metrics_are_refused():
    message = "same tasks, at least one. Received: income; in single_task: income, college"
    with pytest.raises(ValueError, match=message):
        task_delta({"income": 0.9}, {"income": 0.9, "college": 0.9})
    with pytest.raises(ValueError, match="same tasks, at least one. Received: none"):
        task_delta({}, {})
    message = "same metrics of task 'income', at least one. Received: auc; in single_task: error"
    with pytest.raises(ValueError, match=message):
        task_delta({"income": {"auc": 0.9}}, {"income": {"error": 0.9}})
    with pytest.raises(ValueError, match="metrics of task 'income'.*: auc; in single_task: income"):
        task_delta({"income": {"auc": 0.9}}, {"income": 0.9})


@pytest.mark.parametrize("single", [0, -0.1, float("nan")])
def test_single_task_values_that_nothing_is_relative_to_are_refused(single):
    message = f"value above 0. Received: {single} for 'kappa' of task 'los'"
    with pytest.raises(ValueError, match=message):
        task_delta({"los": {"kappa": 0.4}}, {"los": {"kappa": single}})


def test_a_direction_of_no_metric_is_refused():
    values = {"depth": {"error": 0.5, "within": 0.8}}
    message = "lower_is_better names 'eror', which no task has. The metrics are error, within."
    with pytest.raises(ValueError, match=message):
        task_delta(values, values, lower_is_better=["eror"])
