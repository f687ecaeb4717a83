"""What tasks of a recurrent modular network read, how alike they are, how fast groups learn."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import plots

figure = pytest.importorskip("matplotlib.figure")

TASKS = {"region": 3, "state": "binary", "age": 4}  # not in the order of letters
NAN = np.nan
# 8 steps, layers of 4 and 3 sub-encoders. A share says where it is, counted from 0: 0.15 of task
# `region` is step 1, layer 1, sub-encoder 1.
_shares = np.fromfunction(
    lambda t, layer, number: t * 0.1 + layer * 0.04 + number * 0.01, (8, 2, 4)
)
ROUTING = {"region": _shares, "state": _shares / 2, "age": _shares / 4}
for _shares in ROUTING.values():
    _shares[:, 1, 3] = NAN  # not there
USAGE = {
    "region": np.array([[0.25, 0, 1, 0], [0.5, 0.5, 0.125, NAN]]),
    "state": np.array([[0.75, 0, 0, 0.5], [0.25, 0, 0.125, NAN]]),
    "age": np.array([[0, 0, 0, 0.5], [0.25, 0.5, 0.75, NAN]]),
}
RELATEDNESS = np.random.default_rng(0).random((5, 3, 3))
RUNS = {
    "related": [{"loss": [1.0, 0.5], "val_loss": [4, 3]}, {"loss": [0.5, 0.25]}],
    "unrelated": [{"loss": [0.1, 0.2, 0.3]}],
}


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def lines_at(ax, which):
    """Returns where straight lines through the whole plot stand."""
    data = [getattr(line, f"get_{which}data")() for line in ax.lines]
    return [values[0] for values in data if values[0] == values[1]]


def test_routing_is_a_row_of_grids_for_each_task():
    ax = plots.plot_routing_over_time(ROUTING, num_steps=2)
    (image,) = ax.images
    drawn = image.get_array().filled(NAN)
    assert drawn.shape == (3 * 4, 2 * 2)
    np.testing.assert_allclose(
        drawn[:4],  # region: sub-encoders down; layers 1 and 2 at step 1, and at step 2, across
        [[0, 0.04, 0.1, 0.14], [0.01, 0.05, 0.11, 0.15], [0.02, 0.06, 0.12, 0.16]]
        + [[0.03, NAN, 0.13, NAN]],
    )
    np.testing.assert_allclose(drawn[4:8], drawn[:4] / 2)
    np.testing.assert_allclose(drawn[8:], drawn[:4] / 4)
    assert ax.yaxis_inverted()


def test_steps_and_tasks_are_separated_and_named():
    ax = plots.plot_routing_over_time(ROUTING, num_steps=3)
    assert lines_at(ax, "x") == [1.5, 3.5]
    assert lines_at(ax, "y") == [3.5, 7.5]
    top, right = ax.child_axes
    assert labels(top.xaxis) == ["step 1", "step 2", "step 3"]
    assert labels(right.yaxis) == ["region", "state", "age"]
    assert labels(ax.xaxis) == ["1", "2"] * 3
    assert labels(ax.yaxis) == ["1", "2", "3", "4"] * 3
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("layer", "sub-encoder", "")


def test_colors_of_routing_are_shares_and_what_is_not_there_is_grey():
    ax = plots.plot_routing_over_time(ROUTING)
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.images[0].colorbar.ax.get_ylabel() == "share of examples"
    assert ax.images[0].cmap.get_bad()[3] == 0  # see-through
    red, green, blue, _ = ax.get_facecolor()
    assert red == green == blue < 0.9


def test_routing_has_six_steps_or_fewer():
    assert plots.plot_routing_over_time(ROUTING).images[0].get_array().shape == (12, 6 * 2)
    short = {"region": ROUTING["region"][:3], "state": ROUTING["state"][:2]}
    drawn = plots.plot_routing_over_time(short).images[0].get_array().filled(NAN)
    assert drawn.shape == (8, 3 * 2)
    assert np.isnan(drawn[4:, 4:]).all() and not np.isnan(drawn[4:7, :4]).any()


def test_all_labels_of_routing_are_inside_the_figure():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for names in (["a"], ["region_of_the_brain", "b", "c"]):
        ax = plots.plot_routing_over_time({name: ROUTING["region"] for name in names}, num_steps=2)
        FigureCanvasAgg(ax.figure).draw()
        assert ax.yaxis.label.get_window_extent().x0 > 0
        assert ax.xaxis.label.get_window_extent().y0 > 0


def test_usage_is_a_bar_of_tasks_for_each_sub_encoder():
    ax = plots.plot_sub_encoder_usage(USAGE)
    bars = np.reshape(ax.patches, (3, 7))
    heights = np.vectorize(lambda bar: bar.get_height())(bars)
    np.testing.assert_array_equal(heights[0], [0.25, 0, 1, 0, 0.5, 0.5, 0.125])
    np.testing.assert_array_equal(heights[1], [0.75, 0, 0, 0.5, 0.25, 0, 0.125])
    bottoms = np.vectorize(lambda bar: bar.get_y())(bars)
    np.testing.assert_array_equal(bottoms[2], heights[0] + heights[1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(TASKS)
    assert (ax.get_ylabel(), ax.get_title()) == ("share of open connections", "")


def test_layers_of_unequal_size_have_as_many_bars():
    ax = plots.plot_sub_encoder_usage(USAGE)
    assert lines_at(ax, "x") == [3.5]
    assert labels(ax.xaxis) == ["1", "2", "3", "4", "1", "2", "3"]
    assert labels(ax.child_axes[0].xaxis) == ["layer 1", "layer 2"]


def test_relatedness_is_a_line_for_each_pair():
    ax = plots.plot_relatedness_over_time(RELATEDNESS, TASKS)
    assert [line.get_label() for line in ax.lines] == ["region, state", "region, age", "state, age"]
    for line, (a, b) in zip(ax.lines, [(0, 1), (0, 2), (1, 2)], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), RELATEDNESS[:, a, b])
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
    assert ax.get_ylim()[0] <= 0 and ax.get_ylim()[1] >= 1
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("step", "relatedness", "")


def test_many_pairs_are_told_apart():
    tasks = dict.fromkeys("abcdef", 2)
    lines = plots.plot_relatedness_over_time(np.ones((2, 6, 6)), tasks).lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 15


def test_relatedness_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(time, 3, 3\).*region.*Received: \(5, 2, 2\)"):
        plots.plot_relatedness_over_time(RELATEDNESS[:, :2, :2], TASKS)
    with pytest.raises(ValueError, match=r"at least two. Tasks: \['region'\]"):
        plots.plot_relatedness_over_time(np.ones((5, 1, 1)), {"region": 3})


def test_losses_of_groups_are_means_over_seeds():
    ax = plots.plot_loss_by_group(RUNS)
    related, unrelated = ax.lines
    np.testing.assert_allclose(related.get_ydata(), [0.75, 0.375])
    np.testing.assert_allclose(unrelated.get_ydata(), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(unrelated.get_xdata(), [1, 2, 3])
    assert [line.get_label() for line in ax.lines] == ["related", "unrelated"]
    (band,) = ax.collections  # one seed has no error
    low, high = band.get_datalim(ax.transData).intervaly
    np.testing.assert_allclose((low, high), (0.25, 1.0))  # standard errors: 0.25, 0.125
    assert (ax.get_ylabel(), ax.get_title()) == ("loss", "")


def test_another_log_of_what_fit_returns_is_drawn():
    runs = {"related": [SimpleNamespace(history=RUNS["related"][0])]}
    ax = plots.plot_loss_by_group(runs, log="val_loss")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4, 3])
    assert ax.get_ylabel() == "val_loss"


def test_histories_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"histories\['related'\] has no log 'val_loss'.*: loss$"):
        plots.plot_loss_by_group(RUNS, log="val_loss")
    with pytest.raises(ValueError, match=r"histories\['all'\] must have as many.*2, 3 epochs"):
        plots.plot_loss_by_group({"all": RUNS["related"] + RUNS["unrelated"]})
    with pytest.raises(ValueError, match="histories is empty"):
        plots.plot_loss_by_group({})
    with pytest.raises(ValueError, match=r"histories\['related'\] must be what fit returned"):
        plots.plot_loss_by_group({"related": []})


def test_empty_results_are_refused():
    with pytest.raises(ValueError, match="was given no task. Give what .*routing_over_time"):
        plots.plot_routing_over_time({})
    with pytest.raises(ValueError, match="was given no task. Give what .*sub_encoder_usage"):
        plots.plot_sub_encoder_usage({})


@pytest.mark.slow
def test_what_a_network_does_is_drawn():
    model = keras_mtl.build_recurrent_modular(
        keras.Input((None, 4)), TASKS, num_cells=2, cell_units=3, num_sub_encoders=(4, 3),
        units=(5,), seed=0,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(6, 5, 4))
    routing = keras_mtl.routing_over_time(model, x)
    drawn = plots.plot_routing_over_time(routing).images[0].get_array().filled(NAN)
    np.testing.assert_array_equal(drawn[4:8, 2:4], routing["state"][1].T)
    usage = keras_mtl.analysis.sub_encoder_usage(model, x)
    assert len(plots.plot_sub_encoder_usage(usage).patches) == 3 * 7
    relatedness = keras_mtl.analysis.relatedness_over_time(model, x)
    assert len(plots.plot_relatedness_over_time(relatedness, model).lines) == 3


DRAWN = [
    (plots.plot_routing_over_time, (ROUTING,)),
    (plots.plot_sub_encoder_usage, (USAGE,)),
    (plots.plot_relatedness_over_time, (RELATEDNESS, TASKS)),
    (plots.plot_loss_by_group, (RUNS,)),
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
