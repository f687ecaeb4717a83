"""Plots draw a network, histories or numbers alike, or say what they need."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import plots
from keras_mtl.analysis import alphas, betas, expert_usage, usage_by_depth
from tests.models.networks import X, dense, network

pytest.importorskip("matplotlib.figure")


@pytest.fixture(scope="module")
def gumbel():
    start = np.array([[0.9, 0.2, 0.6], [0.9, 0.8, 0.1], [0.1, 0.9, 0.9]])
    return network(keras_mtl.build_gumbel_matrix, [[dense] * 3], init_probability=start)


@pytest.fixture(scope="module")
def sluice():
    return network(keras_mtl.build_sluice)


@pytest.fixture(scope="module")
def mmoe():
    return network(keras_mtl.build_mmoe, [[dense] * 4, [dense] * 3])


def history(**logs):
    found = keras.callbacks.History()
    found.history = logs
    return found


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def refused(message):
    return pytest.raises(ValueError, match=message)


# Networks and numbers


@pytest.mark.parametrize(
    ("plot", "numbers_of"),
    [
        (plots.plot_allocation, keras_mtl.allocation),
        (plots.plot_allocation, lambda model: np.array(keras_mtl.allocation(model))),
        (plots.plot_task_similarity, keras_mtl.task_similarity),
        (plots.plot_task_similarity, lambda model: keras_mtl.task_similarity(model).tolist()),
    ],
)
def test_numbers_of_a_network_are_drawn_as_the_network_is(gumbel, plot, numbers_of):
    drawn, numbers = plot(gumbel), plot(numbers_of(gumbel))
    np.testing.assert_array_equal(
        np.ma.getdata(numbers.images[0].get_array()), np.ma.getdata(drawn.images[0].get_array())
    )
    assert labels(drawn.yaxis) == ["color", "animal", "shape"]
    assert labels(numbers.yaxis) == ["task 1", "task 2", "task 3"]
    assert numbers.get_title() == drawn.get_title()


def test_bars_of_numbers_are_those_of_the_network(gumbel, sluice):
    for plot, model, numbers in (
        (plots.plot_usage_by_depth, gumbel, usage_by_depth(gumbel)),
        (plots.plot_beta, sluice, betas(sluice)),
    ):
        heights, expected = (
            [bar.get_height() for bar in plot(drawn).patches] for drawn in (numbers, model)
        )
        assert heights == expected and len(heights) > 2


def test_alphas_are_drawn_as_their_network_is(sluice):
    drawn, numbers = plots.plot_alpha(sluice), plots.plot_alpha(alphas(sluice))
    np.testing.assert_array_equal(numbers.images[0].get_array(), drawn.images[0].get_array())
    assert labels(numbers.child_axes[0].xaxis) == labels(drawn.child_axes[0].xaxis)


# What is none of these

ALL = {
    plots.plot_allocation: "a network that allocates components, or a .tasks, components. matrix",
    plots.plot_usage_by_depth: "a network that allocates components, or what .*usage_by_depth",
    plots.plot_task_similarity: "a network that allocates .*, or a .tasks, tasks. matrix",
    plots.plot_alpha: "a network of stitched towers, or what keras_mtl.analysis.alphas returns",
    plots.plot_beta: "a network whose heads mix layers, or what keras_mtl.analysis.betas returns",
    plots.plot_expert_usage: r"what keras_mtl.analysis.expert_usage\(model, x\) returns",
    plots.plot_gate_rates: r"what keras_mtl.analysis.executed_blocks\(model, x\) returns",
    plots.plot_executed_blocks: r"what keras_mtl.analysis.executed_blocks\(model, x\) returns",
    plots.plot_routing_over_time: r"what keras_mtl.routing_over_time\(model, x\) returns",
    plots.plot_sub_encoder_usage: r"what keras_mtl.analysis.sub_encoder_usage\(model, x\) returns",
    plots.plot_learning_curves: "a dict, name of a curve -> what fit returned, a list of that",
    plots.plot_loss_by_group: "a dict, name of a group -> what fit returned, or a list of that",
    lambda x: plots.plot_compute(x, {"a": 1}): "dicts, name of a network -> its FLOPs by task",
    lambda x: plots.plot_compute({"a": 1}, x): "dicts, name of a network -> its FLOPs by task",
    lambda x: plots.plot_allocation_history(x, {"a": 3}, "a"): "a keras_mtl.AllocationRecorder",
}
NUMBERS_OF_A_DICT = list(ALL.items())


@pytest.mark.parametrize("given", [None, "x", 3, slice(3), []], ids=str)
@pytest.mark.parametrize(("plot", "wanted"), NUMBERS_OF_A_DICT)
def test_a_plot_says_what_it_draws(plot, wanted, given):
    with refused(f"plot_[a-z_]+ draws {wanted}.* Received: {type(given).__name__}"):
        plot(given)


@pytest.mark.parametrize(("plot", "wanted"), NUMBERS_OF_A_DICT[:5])
def test_a_history_is_no_network(plot, wanted):
    with refused(f"plot_[a-z_]+ draws {wanted}.* Received: History"):
        plot(history(loss=[1.0]))


@pytest.mark.parametrize(("plot", "wanted"), NUMBERS_OF_A_DICT[5:])
def test_a_network_has_no_numbers_without_examples(plot, wanted, gumbel):
    with refused(f"plot_[a-z_]+ draws {wanted}.* Received: MultiTaskModel"):
        plot(gumbel)


def test_relatedness_is_not_drawn_of_a_network(gumbel):
    with refused(r"draws what keras_mtl.analysis.relatedness_over_time\(model, x\) returns"):
        plots.plot_relatedness_over_time(gumbel, gumbel)


def test_allocations_have_a_row_for_each_task():
    with refused("plot_allocation draws one row for each task. Received arrays of 2, 3 rows"):
        plots.plot_allocation([np.ones((2, 3)), np.ones((3, 3))])


# Learning curves


def test_a_history_is_a_curve():
    ax = plots.plot_learning_curves(history(loss=[2.0, 1.0], accuracy=[0.25, 0.5]))
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert (ax.get_ylabel(), ax.lines[0].get_label()) == ("loss", "loss")
    ax = plots.plot_learning_curves(history(loss=[2.0, 1.0], accuracy=[0.25, 0.5]), log="accuracy")
    assert ax.lines[0].get_ydata().tolist() == [0.25, 0.5]
    assert (ax.get_ylabel(), ax.lines[0].get_label()) == ("accuracy", "accuracy")


@pytest.mark.parametrize(
    "runs",
    [
        [history(loss=[2.0, 1.0]), history(loss=[1.0, 0.5])],
        [{"loss": [2.0, 1.0]}, {"loss": [1.0, 0.5]}],
        [[2.0, 1.0], [1.0, 0.5]],
        np.array([[2.0, 1.0], [1.0, 0.5]]),
    ],
    ids=["histories", "dicts", "lists", "array"],
)
def test_runs_are_histories_or_numbers(runs):
    ax = plots.plot_learning_curves({"MMoE": runs})
    assert ax.lines[0].get_ydata().tolist() == [1.5, 0.75]
    assert len(ax.collections) == 1 and ax.lines[0].get_label() == "MMoE"
    is_logged = not isinstance(runs, np.ndarray) and not isinstance(runs[0], list)
    assert ax.get_ylabel() == ("loss" if is_logged else "value")


def test_one_run_needs_no_list():
    for run in (history(loss=[2.0, 1.0]), {"loss": [2.0, 1.0]}, [2.0, 1.0]):
        ax = plots.plot_learning_curves({"MMoE": run})
        assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0] and not ax.collections


def test_a_log_that_is_missing_is_named_with_those_there_are():
    with refused(r"curves\['MMoE'\] has no log 'acc'. Logs of its runs: loss, accuracy"):
        plots.plot_learning_curves({"MMoE": history(loss=[1.0], accuracy=[1.0])}, log="acc")
    with refused(r"curves\['MMoE'\] must be what fit returned, .* Received: 'x'"):
        plots.plot_learning_curves({"MMoE": "x"})


def test_groups_may_have_one_history_each():
    ax = plots.plot_loss_by_group({"related": history(loss=[2.0, 1.0])})
    assert ax.lines[0].get_ydata().tolist() == [2.0, 1.0] and ax.get_ylabel() == "loss"


# Experts


def test_experts_are_weights_of_tasks_list_by_list(mmoe):
    usage = expert_usage(mmoe, X)
    ax = plots.plot_expert_usage(usage)
    matrix = [np.concatenate(usage[task]) for task in mmoe.tasks]
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
    assert labels(ax.yaxis) == ["color", "animal", "shape"]
    assert labels(ax.xaxis) == ["1", "2", "3", "4", "1", "2", "3"]
    assert labels(ax.child_axes[0].xaxis) == ["list 1", "list 2"]
    assert [text.get_text() for text in ax.texts] == [f"{v:.2f}" for v in np.ravel(matrix)]
    low, high = ax.images[0].get_clim()
    assert low == 0 and high == np.max(matrix)
    assert ax.images[0].colorbar.ax.get_ylabel() == "mean weight"


def test_tasks_weigh_as_many_experts_each():
    with refused("plot_expert_usage draws as many experts for each task"):
        plots.plot_expert_usage({"a": [[0.5, 0.5]], "b": [[1.0]]})
    with refused("plot_expert_usage was given no task. Give what keras_mtl.analysis.expert_usage"):
        plots.plot_expert_usage({})


@pytest.mark.parametrize("plot", [plots.plot_allocation, plots.plot_task_similarity])
def test_an_allocation_of_experts_says_what_to_call(mmoe, sluice, plot):
    with refused(r"allocates no components .*analysis.expert_usage\(model, x\).*plot_expert_usage"):
        plot(mmoe)
    with refused(r"allocates no components .*analysis.alphas\(model\).*plots.plot_alpha"):
        plot(sluice)


# Colors


def luminance(color):
    channels = np.asarray(color[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def cell_color(image, row, column):
    return image.cmap(image.norm(image.get_array()))[row, column]


def test_similar_tasks_are_told_apart_from_equal_ones():
    similarity = np.array([[1, 0.87, 1.0], [0.87, 1, 0.87], [1.0, 0.87, 1]])
    ax = plots.plot_task_similarity(similarity)
    (image,) = ax.images
    assert image.get_clim() == (0.87, 1.0)
    assert contrast(cell_color(image, 0, 1), cell_color(image, 0, 2)) > 3
    assert image.get_array().mask.tolist() == np.eye(3, dtype=bool).tolist()
    assert image.colorbar.ax.get_ylabel() == "similarity of tasks"


def test_differences_that_are_next_to_nothing_look_so():
    similarity = np.array([[1, 0.9, 0.899], [0.9, 1, 0.9], [0.899, 0.9, 1]])
    (image,) = plots.plot_task_similarity(similarity).images
    assert image.get_clim() == pytest.approx((0.85, 0.9))
    assert contrast(cell_color(image, 0, 1), cell_color(image, 0, 2)) < 1.1


def test_one_task_is_alike_itself():
    (image,) = plots.plot_task_similarity([[1.0]]).images
    assert image.get_clim() == (0, 1)


@pytest.mark.parametrize("plot", [plots.plot_task_similarity, plots.plot_expert_usage])
def test_numbers_are_legible_on_every_cell(plot):
    values = np.linspace(0, 1, 16).reshape(4, 4)
    values = values if plot is plots.plot_task_similarity else {"a": values}
    ax = plot(values)
    (image,) = ax.images
    for text in ax.texts:
        column, row = text.get_position()
        ink = {"white": (1, 1, 1), "black": (0, 0, 0)}[text.get_color()]
        assert contrast(cell_color(image, row, column), ink) > 4.5
