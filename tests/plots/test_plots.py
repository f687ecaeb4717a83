import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import plots

figure = pytest.importorskip("matplotlib.figure")

TASKS = {"upright": 7, "rotated": "binary", "mirrored": 3}
FIRST = [[0.9, 0.2], [0.5, 0.8], [0.1, 0.3]]
SECOND = [[0.1, 0.6, 0.7, 0.1], [0.9, 0.1, 0.1, 0.1], [0.9, 0.9, 0.8, 0.2]]
USED = [[1, 0, 0, 1, 1, 0], [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0]]  # mirrored keeps one in FIRST


@pytest.fixture(scope="module")
def model():
    dense = partial(keras.layers.Dense, 4)
    return keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), TASKS, [[dense] * 2, [dense] * 4], init_probability=[FIRST, SECOND]
    )


@pytest.fixture
def recorder():
    recorder = keras_mtl.AllocationRecorder()
    recorder.epochs = [0, 1]
    recorder.probabilities = [
        [np.array(FIRST), np.array(SECOND)],
        [np.array(FIRST) / 2, np.array(SECOND) / 2],
    ]
    return recorder


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def lines_at(ax, which):
    """Returns where straight lines through the whole plot stand."""
    data = [getattr(line, f"get_{which}data")() for line in ax.lines]
    return [values[0] for values in data if values[0] == values[1]]


def test_allocation_is_drawn_as_it_is(model):
    ax = plots.plot_allocation(model)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), USED)
    np.testing.assert_array_equal(image.get_array(), keras_mtl.task_embeddings(model))
    assert image.get_clim() == (0, 1)
    assert labels(ax.yaxis) == ["upright", "rotated", "mirrored"]
    assert ax.yaxis_inverted()


def test_layers_are_separated_and_named(model):
    ax = plots.plot_allocation(model)
    assert lines_at(ax, "x") == [1.5]
    assert labels(ax.xaxis) == ["1", "2", "1", "2", "3", "4"]
    (top,) = ax.child_axes
    assert labels(top.xaxis) == ["layer 1", "layer 2"]
    np.testing.assert_allclose(top.get_xticks(), [0.5, 3.5])


def test_probabilities_are_drawn_with_their_scale(model):
    ax = plots.plot_allocation(model, probabilities=True)
    np.testing.assert_allclose(ax.images[0].get_array(), np.hstack([FIRST, SECOND]), atol=1e-6)
    assert ax.images[0].colorbar.ax.get_ylabel() == "probability of use"


def test_similarity_has_its_numbers_in_the_cells(model):
    ax = plots.plot_task_similarity(model)
    similarity = keras_mtl.task_similarity(model)
    np.testing.assert_array_equal(ax.images[0].get_array(), similarity)
    assert [text.get_text() for text in ax.texts] == [f"{v:.2f}" for v in similarity.ravel()]
    assert ax.texts[2].get_position() == (2, 0)
    assert ax.texts[2].get_text() == "0.58"  # two common components of three and four
    assert labels(ax.xaxis) == labels(ax.yaxis) == list(TASKS)


def test_usage_is_a_bar_for_each_component(model):
    ax = plots.plot_usage_by_depth(model)
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, np.mean(USED, axis=0))
    assert lines_at(ax, "x") == [1.5]
    assert ax.get_ylabel() == "share of 3 tasks"


def test_history_has_components_down_and_epochs_across(recorder):
    ax = plots.plot_allocation_history(recorder, TASKS, "mirrored")
    expected = np.stack([FIRST[2] + SECOND[2], np.divide(FIRST[2] + SECOND[2], 2)], axis=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert lines_at(ax, "y") == [1.5]
    assert labels(ax.yaxis) == ["1", "2", "1", "2", "3", "4"]
    assert ax.get_title() == "Allocation of task mirrored"


def test_history_takes_the_model_and_counts_resumed_epochs(model, recorder):
    recorder.epochs = [0, 5]
    ax = plots.plot_allocation_history(recorder, model, "upright")
    label = ax.xaxis.get_major_formatter()
    assert [label(place) for place in (-1, 0, 1, 2)] == ["", "0", "5", ""]


@pytest.mark.slow
def test_history_of_a_real_training_starts_with_the_first_probabilities(model):
    trained = keras.models.clone_model(model)
    trained.compile("sgd")
    recorder = keras_mtl.AllocationRecorder()
    y = {"upright": np.zeros(6, int), "rotated": np.zeros(6), "mirrored": np.zeros(6, int)}
    trained.fit(np.ones((6, 5)), y, epochs=2, verbose=0, callbacks=[recorder])
    ax = plots.plot_allocation_history(recorder, trained, "rotated")
    history = ax.images[0].get_array()
    assert history.shape == (6, 3)
    np.testing.assert_allclose(history[:, 0], FIRST[1] + SECOND[1], atol=1e-6)


def test_unknown_task_is_refused(recorder):
    with pytest.raises(ValueError, match="Unknown task 'braille'. Tasks: upright, rotated"):
        plots.plot_allocation_history(recorder, TASKS, "braille")


@pytest.mark.parametrize("probabilities", [[], [[]]])
def test_empty_recorder_is_refused(probabilities):
    recorder = keras_mtl.AllocationRecorder()
    recorder.probabilities = probabilities
    with pytest.raises(ValueError, match="holds no probabilities.*callbacks="):
        plots.plot_allocation_history(recorder, TASKS, "upright")


@pytest.mark.parametrize(
    "draw", [plots.plot_allocation, plots.plot_task_similarity, plots.plot_usage_by_depth]
)
def test_given_axes_are_used_and_pyplot_is_left_alone(model, draw):
    ax = figure.Figure().add_subplot()
    assert draw(model, ax=ax) is ax
    assert draw(model) is not ax
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_history_uses_given_axes(recorder):
    ax = figure.Figure().add_subplot()
    assert plots.plot_allocation_history(recorder, TASKS, "upright", ax=ax) is ax


def test_every_plot_can_be_rendered(model, recorder, tmp_path):
    drawn = [
        plots.plot_allocation(model, probabilities=True),
        plots.plot_task_similarity(model),
        plots.plot_usage_by_depth(model),
        plots.plot_allocation_history(recorder, TASKS, "upright"),
    ]
    for index, ax in enumerate(drawn):
        ax.figure.savefig(tmp_path / f"{index}.png")
        assert (tmp_path / f"{index}.png").stat().st_size > 0


def test_missing_matplotlib_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "keras_mtl\[plots\]"'):
        plots.plot_allocation(model)
