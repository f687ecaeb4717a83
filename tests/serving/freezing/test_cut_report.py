"""What it costs and saves to cut weak ties between towers."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import CutReport, cut_report

X = np.array([[1.0], [2.0], [-3.0]], "float32")


def linear_network(alpha, task_data="shared"):
    """Returns towers that answer x, 10 x and 100 x, of two weights each, as their heads have."""
    tasks = {"c": "regression", "a": "regression", "b": "regression"}
    model = keras_mtl.build_cross_stitch(
        keras.Input((1,)), tasks, [[partial(keras.layers.Dense, 1)] * 3],
        alpha=alpha, task_data=task_data,
    )  # fmt: skip
    for number, factor in enumerate((1.0, 10.0, 100.0), start=1):
        model.get_layer(f"component_1_{number}").set_weights([np.array([[factor]]), np.zeros(1)])
    for head in tasks if task_data == "shared" else ["heads"]:
        layer = model.get_layer(head)
        layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    return model


ALPHA = [[1.0, 0.04, 0.3], [0.0, 1.0, -0.05], [0.0, 0.2, 1.0]]  # rows c, a, b


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_numbers_by_hand(task_data):
    report = cut_report(linear_network(ALPHA, task_data), X, cut_below=0.05)
    # c no longer reads 0.04 * 10 x, a no longer 0.05 * 100 x; |x| is 3 at most
    assert list(report.change) == ["c", "a", "b"]
    assert report.change == pytest.approx({"c": 1.2, "a": 15.0, "b": 0.0}, rel=1e-5)
    assert report.towers == {"c": ("c", "b"), "a": ("a",), "b": ("a", "b")}
    assert report.parameters == {"c": (8, 6), "a": (6, 4), "b": (6, 6)}
    assert report.loss == {}


@pytest.mark.slow
def test_parameters_and_changes_are_those_of_freezing_one_task():
    model = linear_network(ALPHA)
    report = cut_report(model, X, cut_below=0.05)
    for task in model.tasks:
        whole, cut = (keras_mtl.freeze(model, task, cut_below=below) for below in (0.0, 0.05))
        assert report.parameters[task] == (whole.count_params(), cut.count_params())
        difference = whole.predict(X, verbose=0) - cut.predict(X, verbose=0)
        assert report.change[task] == pytest.approx(np.abs(difference).max())


@pytest.mark.slow
def test_losses_are_over_labelled_examples():
    model = linear_network(ALPHA)
    # c answers 31.4 x + 1, cut 31 x + 1
    report = cut_report(model, X, 0.05, y={"c": [32.0, np.nan, -92.0]})
    assert list(report.loss) == ["c"]
    before, after = report.loss["c"]
    assert before == pytest.approx((0.4**2 + 1.2**2) / 2, rel=1e-4)
    assert after == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(cut_report(model, X, 0.05, y={"c": np.full(3, np.nan)}).loss["c"]).all()


def test_cutting_nothing_changes_nothing():
    report = cut_report(linear_network(ALPHA), X, cut_below=0.0)
    assert report.change == {"c": 0.0, "a": 0.0, "b": 0.0}
    assert all(before == after for before, after in report.parameters.values())


@pytest.mark.slow
def test_a_tower_that_is_needed_in_its_lower_layers_is_named():
    model = keras_mtl.build_sluice(
        keras.Input((None, 5)),
        {"pos": keras_mtl.Task("tagging", 7), "chunk": keras_mtl.Task("tagging", 3)},
        [[partial(keras_mtl.layers.BiLSTM, 4)] * 2] * 2,
        alpha="identity",
    )
    alpha = np.eye(4)
    alpha[0, 3] = 0.02  # pos reads the second subspace of chunk, in layer 1 only
    model.get_layer("stitch_1").free_weights.assign(alpha)
    x = np.random.default_rng(0).normal(size=(2, 6, 5)).astype("float32")
    labels = {"pos": np.full((2, 6), 1), "chunk": np.full((2, 6), -1)}
    kept, cut = (cut_report(model, x, below, y=labels) for below in (0.01, 0.02))
    assert kept.towers == {"pos": ("pos", "chunk"), "chunk": ("chunk",)}
    assert cut.towers == {"pos": ("pos",), "chunk": ("chunk",)}
    assert kept.change["pos"] == 0.0 < cut.change["pos"]
    first = 2 * 4 * (5 * 4 + 4 * 4 + 4)  # both directions of a BiLSTM
    before, after = cut.parameters["pos"]
    assert before - after == first
    assert np.isfinite(cut.loss["pos"]).all() and np.isnan(cut.loss["chunk"]).all()


def test_report_prints_a_table():
    model = linear_network(ALPHA)
    report = cut_report(model, X, cut_below=0.05)
    assert repr(report) == str(report)
    assert str(report).splitlines() == [
        "Without weights between tasks of at most 0.05:",
        "",
        "task  output change  parameters  left  towers left",
        "--------------------------------------------------",
        "c               1.2           8     6         c, b",
        "a                15           6     4            a",
        "b                 0           6     6         a, b",
    ]


def test_losses_have_columns_of_their_own():
    report = CutReport(
        cut_below=0.1,
        change={"pos": 0.0123, "chunk": 0.0},
        towers={"pos": ("pos",), "chunk": ("pos", "chunk")},
        parameters={"pos": (12345, 6789), "chunk": (12000, 12000)},
        loss={"pos": (0.25, 0.26789)},
    )
    assert str(report).splitlines()[2:] == [
        "task   output change  parameters    left  loss  loss after  towers left",
        "-----------------------------------------------------------------------",
        "pos            0.012      12,345   6,789  0.25      0.2679          pos",
        "chunk              0      12,000  12,000     -           -   pos, chunk",
    ]


def test_models_without_stitches_are_refused():
    model = keras_mtl.build_shared_bottom(
        keras.Input((1,)), {"a": 3}, [partial(keras.layers.Dense, 2)]
    )
    with pytest.raises(ValueError, match="stitches no towers together"):
        cut_report(model, X, cut_below=0.1)


@pytest.fixture(scope="module")
def network():
    return linear_network(ALPHA)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ({"d": [1.0, 2.0, 3.0]}, "labels of 'd', which is no task of this model. Tasks: c, a, b"),
        ({"a": [1.0, 2.0]}, "Task 'a' has 2 labels for 3 examples"),
        ({"a": [["x"], ["y"], ["z"]]}, 'labels of task "a" must be numbers'),
    ],
)
def test_labels_that_do_not_fit_are_refused(network, y, message):
    with pytest.raises(ValueError, match=message):
        cut_report(network, X, 0.05, y=y)
