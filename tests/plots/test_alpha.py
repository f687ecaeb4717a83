"""What towers and heads read, and how fast methods learn."""

import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import plots

figure = pytest.importorskip("matplotlib.figure")

TASKS = {"pos": 7, "chunk": "binary", "ner": 3}  # not in the order of letters
dense = partial(keras.layers.Dense, 4)
CURVES = {"single task": [[0.5, 0.75], [0.25, 0.75], [0.75, 0.75]], "sluice": [[0.1, 0.2, 0.3]]}


@pytest.fixture(scope="module")
def sluice():
    """Returns a network of 3 tasks, 2 subspaces and 2 layers whose weights are all different."""
    model = keras_mtl.build_sluice(keras.Input((5,)), TASKS, [[dense] * 3] * 2)
    rng = np.random.default_rng(0)
    for number in (1, 2):
        model.get_layer(f"stitch_{number}").free_weights.assign(rng.normal(size=(6, 6)))
    for number in (1, 2, 3):
        model.get_layer(f"mixture_{number}").layer_weights.assign(rng.normal(size=2))
    return model


def cross_stitch(**settings):
    return keras_mtl.build_cross_stitch(keras.Input((5,)), TASKS, [[dense] * 3], **settings)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_alpha_is_drawn_as_it_is_layer_by_layer(sluice):
    ax = plots.plot_alpha(sluice)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), np.hstack(keras_mtl.analysis.alphas(sluice)))
    assert ax.yaxis_inverted()  # the first row is on top
    assert [line.get_xdata()[0] for line in ax.lines] == [5.5]
    (top,) = ax.child_axes
    assert labels(top.xaxis) == ["layer 1", "layer 2"]
    np.testing.assert_allclose(top.get_xticks(), [2.5, 8.5])


def test_rows_are_targets_and_columns_sources_by_task_and_subspace(sluice):
    ax = plots.plot_alpha(sluice)
    names = ["pos 1", "pos 2", "chunk 1", "chunk 2", "ner 1", "ner 2"]
    assert labels(ax.yaxis) == names
    assert labels(ax.xaxis) == names * 2
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("target", "source")


def test_towers_without_subspaces_are_named_as_the_tasks():
    ax = plots.plot_alpha(cross_stitch(alpha=[[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]))
    assert labels(ax.yaxis) == labels(ax.xaxis) == ["pos", "chunk", "ner"]
    (texts,) = [[t.get_text() for t in ax.texts if t.get_position() == (1, 0)]]
    assert texts == ["0.50"]  # what pos reads of chunk: column 1 of row 0


def test_colors_of_alpha_are_palest_at_zero():
    ax = plots.plot_alpha(cross_stitch(alpha=[[0, -2, 0], [0, 1, 0], [0, 0, 1]]))
    assert ax.images[0].get_clim() == (-2, 2)
    assert ax.images[0].colorbar.ax.get_ylabel() == "weight"
    red, _, blue, _ = ax.images[0].cmap(0.0)
    assert red > blue  # negative
    assert plots.plot_alpha(cross_stitch(alpha=0.0)).images[0].get_clim() == (-1, 1)


def test_values_stand_in_the_cells_when_there_are_few(sluice):
    alpha = np.hstack(keras_mtl.analysis.alphas(sluice))
    texts = plots.plot_alpha(sluice).texts
    assert [text.get_text() for text in texts] == [f"{value:z.2f}" for value in alpha.ravel()]
    largest = np.argmax(np.abs(alpha))
    assert texts[largest].get_color() == "white"
    many = keras_mtl.build_sluice(keras.Input((5,)), TASKS, [[dense] * 3] * 6)
    assert len(plots.plot_alpha(many).texts) == 0


def test_values_that_round_to_zero_have_no_sign():
    ax = plots.plot_alpha(cross_stitch(alpha=[[1, -0.001, 0], [0, 1, 0], [0, 0, 1]]))
    assert ax.texts[1].get_text() == "0.00"


def test_weights_per_channel_are_drawn_as_their_mean():
    model = cross_stitch(per_channel=True)
    alpha = np.random.default_rng(0).normal(size=(3, 3, 4)).astype("float32")
    model.get_layer("stitch_1").pair_weights.assign(alpha)
    image = plots.plot_alpha(model).images[0]
    np.testing.assert_allclose(image.get_array(), alpha.mean(axis=-1), rtol=1e-6)


def test_beta_is_a_bar_for_each_task_and_layer(sluice):
    ax = plots.plot_beta(sluice)
    heights = np.reshape([bar.get_height() for bar in ax.patches], (2, 3))
    np.testing.assert_array_equal(heights.T, keras_mtl.analysis.betas(sluice))
    centers = np.reshape([bar.get_x() + bar.get_width() / 2 for bar in ax.patches], (2, 3))
    np.testing.assert_allclose(centers, [[-0.2, 0.8, 1.8], [0.2, 1.2, 2.2]])
    assert labels(ax.xaxis) == ["pos", "chunk", "ner"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["layer 1", "layer 2"]


def test_learning_curves_are_means_with_a_standard_error():
    ax = plots.plot_learning_curves(CURVES)
    single, sluice = ax.lines
    np.testing.assert_allclose(single.get_ydata(), [0.5, 0.75])
    np.testing.assert_array_equal(sluice.get_xdata(), [1, 2, 3])
    assert [line.get_label() for line in ax.lines] == list(CURVES)
    (band,) = ax.collections  # one seed has no error
    error = 0.25 / np.sqrt(3)
    low, high = band.get_datalim(ax.transData).intervaly
    np.testing.assert_allclose((low, high), (0.5 - error, 0.75))  # no error in epoch 2


def test_curves_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"curves\['sluice'\] must be .*Received: \[\[\[0.1, 0.2"):
        plots.plot_learning_curves({"sluice": [[[0.1, 0.2, 0.3]]]})
    with pytest.raises(ValueError, match="curves is empty"):
        plots.plot_learning_curves({})


def test_models_without_alpha_or_beta_are_refused():
    bottom = keras_mtl.build_shared_bottom(keras.Input((5,)), {"a": 3}, [dense])
    with pytest.raises(ValueError, match="stitches no towers"):
        plots.plot_alpha(bottom)
    with pytest.raises(ValueError, match="mixes no layers"):
        plots.plot_beta(cross_stitch())


@pytest.mark.parametrize("draw", [plots.plot_alpha, plots.plot_beta, plots.plot_learning_curves])
def test_given_axes_are_used_and_pyplot_is_left_alone(sluice, draw, tmp_path):
    drawn = CURVES if draw is plots.plot_learning_curves else sluice
    ax = figure.Figure().add_subplot()
    assert draw(drawn, ax=ax) is ax
    new = draw(drawn)
    assert new is not ax
    new.figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize("draw", [plots.plot_alpha, plots.plot_beta, plots.plot_learning_curves])
def test_missing_matplotlib_names_the_extra(sluice, draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "keras_mtl\[plots\]"'):
        draw(CURVES if draw is plots.plot_learning_curves else sluice)
