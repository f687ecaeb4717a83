"""How often blocks are executed, how many an example takes, what that costs."""

import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import plots
from keras_mtl.analysis import executed_blocks, executed_flops
from tests.models.gates import half_open

figure = pytest.importorskip("matplotlib.figure")

EXECUTED = {  # tasks not in the order of letters; 4 and 5 examples, 3 blocks
    "region": np.array([[1, 0, 1], [1, 1, 1], [1, 0, 0], [1, 0, 0.0]]),
    "age": np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1.0]]),
}
FLOPS = {
    "all blocks": {"region": 3000, "age": 5000},
    "gates": {"region": np.array([1000.0, 2000]), "age": np.array([2500.0])},
}
SCORES = {"gates": 0.75, "all blocks": 0.5}


def drawn(ax):
    """Returns the numbers of a matrix, as it is colored and as it is written."""
    matrix = np.array(ax.images[0].get_array())
    written = np.array([float(text.get_text()) for text in ax.texts]).reshape(matrix.shape)
    places = [text.get_position() for text in ax.texts]
    rows, columns = np.indices(matrix.shape)
    assert places == list(zip(columns.ravel(), rows.ravel(), strict=True))
    return matrix, written


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_rates_are_means_over_the_examples_of_a_task():
    ax = plots.plot_gate_rates(EXECUTED)
    for matrix in drawn(ax):
        np.testing.assert_allclose(matrix, [[1, 0.25, 0.5], [0.8, 0.6, 0.6]])
    assert labels(ax.yaxis) == ["region", "age"] and ax.yaxis_inverted()
    assert labels(ax.xaxis) == ["1", "2", "3"] and ax.get_xlabel() == "block"
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.images[0].colorbar.ax.get_ylabel() == "execution rate"


def test_with_labels_a_task_has_a_row_for_each():
    ax = plots.plot_gate_rates(EXECUTED, labels={"age": [2, 0, -1, 0, 2]})
    matrix, _ = drawn(ax)
    np.testing.assert_allclose(matrix, [[1, 0.25, 0.5], [1, 0.5, 1], [0.5, 0.5, 0.5]])
    assert labels(ax.yaxis) == ["region", "age: 0", "age: 2"]
    both = {"age": [np.nan, 0, 0, 1, 1], "region": [0.5, 0.5, 1, 1]}
    matrix, _ = drawn(ax := plots.plot_gate_rates(EXECUTED, labels=both))
    expected = [[1, 0.5, 1], [1, 0, 0], [1, 1, 0.5], [1, 0.5, 1]]
    np.testing.assert_allclose(matrix, expected)
    assert labels(ax.yaxis) == ["region: 0.5", "region: 1", "age: 0", "age: 1"]


def test_bars_are_shares_of_examples_by_number_of_blocks():
    ax = plots.plot_executed_blocks(EXECUTED)
    bars = np.reshape(ax.patches, (2, 4))
    heights = np.vectorize(lambda bar: bar.get_height())(bars)
    np.testing.assert_allclose(heights, [[0, 0.5, 0.25, 0.25], [0.2, 0, 0.4, 0.4]])
    centers = np.vectorize(lambda bar: bar.get_x() + bar.get_width() / 2)(bars)
    np.testing.assert_allclose(centers, np.arange(4) + np.array([[-0.2], [0.2]]), atol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["region", "age"]
    assert labels(ax.xaxis) == ["0", "1", "2", "3"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("blocks executed", "share of examples")


def test_numbers_of_blocks_that_are_means_over_steps_are_rounded():
    shares = np.array([[0.25, 0.5, 0.5], [0.5, 0.75, 0.5], [0.1, 0.1, 0.1], [1, 1, 1]])
    heights = [bar.get_height() for bar in plots.plot_executed_blocks({"a": shares}).patches]
    assert heights == [0.25, 0.25, 0.25, 0.25]


def test_each_network_is_a_point_by_its_name():
    ax = plots.plot_compute(FLOPS, SCORES)
    points = np.array(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, [[4000, 0.5], [2000, 0.75]])
    names = {text.get_text(): text.xy for text in ax.texts}
    assert names == {"all blocks": (4000, 0.5), "gates": (2000, 0.75)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("FLOPs per example", "score")
    assert ax.xaxis.get_major_formatter()(4000) == "4 k"


def test_a_line_joins_the_networks_that_none_beats():
    flops = {"cheap": 1.0, "beaten": 2.0, "dear": 3.0}
    ax = plots.plot_compute(flops, {"cheap": 0.5, "beaten": 0.4, "dear": 0.9}, cost="milliseconds")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.5], [3, 0.9]])
    assert ax.get_xlabel() == "milliseconds"


@pytest.mark.slow
def test_what_a_network_does_is_drawn():
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    block = partial(keras_mtl.layers.ResidualDense, 5)
    model = keras_mtl.build_dynashare(
        keras.Input((5,)), {"a": 3, "b": "binary"}, [[block]] * 3, policy=[[1, 1, 1], [1, 0, 1]],
        target_rates=0.5, seed=0,
    )  # fmt: skip
    executed = executed_blocks(half_open(model, x), x)
    matrix, _ = drawn(plots.plot_gate_rates(executed))
    assert matrix[0, 0] == 0.5 and matrix[1, 1] == 0
    bars = plots.plot_executed_blocks(executed).patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(2)
    flops = {"gates": executed_flops(model, x), "all": keras_mtl.sharing_report(model).flops}
    (gates, _), (report, _) = (
        plots.plot_compute(flops, {"gates": 0, "all": 1}).collections[0].get_offsets()
    )
    assert gates < report


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"height": [0] * 4}, "an entry 'height', which is no task of executed. Tasks: region"),
        ({"age": [0] * 4}, r"labels\['age'\] must be .* each of 5 examples.*Received: \(4,\)"),
        ({"age": np.zeros((5, 1))}, r"each of 5 examples, shape \(5,\). Received: \(5, 1\)"),
        ({"age": [-1] * 5}, r"No example of task 'age' has a label in labels\['age'\]"),
    ],
)
def test_labels_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_gate_rates(EXECUTED, labels=given)


@pytest.mark.parametrize("draw", [plots.plot_gate_rates, plots.plot_executed_blocks])
def test_empty_results_are_refused(draw):
    with pytest.raises(ValueError, match="was given no task. Give what .*executed_blocks"):
        draw({})


def test_networks_have_flops_and_a_score():
    with pytest.raises(ValueError, match="flops of all blocks, gates; scores of gates"):
        plots.plot_compute(FLOPS, {"gates": 0.75})
    with pytest.raises(ValueError, match="flops of none; scores of none"):
        plots.plot_compute({}, {})


DRAWN = [
    (plots.plot_gate_rates, (EXECUTED,)),
    (plots.plot_executed_blocks, (EXECUTED,)),
    (plots.plot_compute, (FLOPS, SCORES)),
]


@pytest.mark.parametrize("draw, given", DRAWN)
def test_given_axes_are_used_and_pyplot_is_left_alone(draw, given, tmp_path):
    ax = figure.Figure().add_subplot()
    assert draw(*given, ax=ax) is ax
    new = draw(*given)
    assert new is not ax
    new.figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize("draw, given", DRAWN)
def test_missing_matplotlib_names_the_extra(draw, given, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "keras_mtl\[plots\]"'):
        draw(*given)
