import functools
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import SharingReport, sharing_report

TASKS = {"upright": 7, "rotated": "binary", "mirrored": 3}


def layers():
    conv = partial(keras.layers.Conv2D, 4, 3, activation="relu")
    dense = partial(keras.layers.Dense, 6)
    return [[conv] * 4, keras.layers.Flatten, [dense] * 5]


@functools.cache
def learned_model(task_data):
    rng = np.random.default_rng(3)
    start = [rng.uniform(0.2, 0.7, (3, width)) for width in (4, 5)]
    return keras_mtl.build_gumbel_matrix(
        keras.Input((8, 7, 2)),
        TASKS,
        layers(),
        task_data=task_data,
        init_probability=start,
        budget=0.5,
        stem=[partial(keras.layers.Conv2D, 2, 1), keras.layers.BatchNormalization],
        seed=0,
    )


def hand_made_report(usage):
    usage = np.array(usage, bool)
    tasks = ("a", "b", "c")[: len(usage)]
    return SharingReport(
        tasks=tasks,
        component_names=tuple(f"component_1_{index + 1}" for index in range(usage.shape[1])),
        usage=usage,
        parameters=dict.fromkeys(tasks, 1234),
        flops=dict.fromkeys(tasks, 5_000_000),
        trained_parameters=2000,
        kept_parameters=1500,
        not_counted=("PReLU",),
    )


@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_report_agrees_with_freezing(task_data):
    model = learned_model(task_data)
    report = sharing_report(model)
    for task in TASKS:
        assert report.parameters[task] == keras_mtl.freeze(model, task).count_params()
    frozen = keras_mtl.freeze(model)
    assert report.kept_parameters == frozen.count_params()
    assert report.trained_parameters == model.count_params()
    left = {layer.name for layer in frozen.layers}
    assert set(report.unused) == set(report.component_names) - left
    assert 0 < len(report.unused) < len(report.component_names)


@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_usage_is_the_allocation(task_data):
    model = learned_model(task_data)
    report = sharing_report(model)
    np.testing.assert_array_equal(report.usage, keras_mtl.task_embeddings(model))
    assert report.component_names[3:5] == ("component_1_4", "component_2_1")
    assert report.tasks == tuple(TASKS)


def test_mixed_kinds_with_separate_data_are_reported():
    tasks = {"a": 3, "b": "binary", "c": "regression"}
    model = keras_mtl.build_no_sharing(
        keras.Input((5,)), tasks, [[partial(keras.layers.Dense, 4)] * 3], task_data="separate"
    )
    report = sharing_report(model)
    assert report.parameters == {"a": 24 + 15, "b": 24 + 5, "c": 24 + 5}
    assert report.flops == {"a": 2 * (20 + 12), "b": 2 * (20 + 4), "c": 2 * (20 + 4)}


def test_named_inputs_pass_through_a_model_as_stem():
    dense = keras.layers.Dense

    def joined():
        x, z = keras.Input((5,), name="x"), keras.Input((3,), name="z")
        return keras.Model({"z": z, "x": x}, keras.layers.Concatenate()([dense(4)(x), z]))

    inputs = {"x": keras.Input((5,), name="x"), "z": keras.Input((3,), name="z")}
    model = keras_mtl.build_shared_bottom(
        inputs, {"a": 3, "b": "binary"}, [[partial(dense, 8)] * 2], stem=[joined]
    )
    report = sharing_report(model)
    assert report.flops == {"a": 2 * (5 * 4 + 2 * 7 * 8 + 8 * 3), "b": 2 * (20 + 112 + 8)}
    assert report.parameters["a"] == keras_mtl.freeze(model, "a").count_params()


def test_a_task_without_components_needs_its_head_only():
    allocation = [[0.9, 0.9], [0.1, 0.1]]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)),
        {"a": 3, "b": "binary"},
        [[partial(keras.layers.Dense, 4)] * 2],
        init_probability=allocation,
        min_components=0,
    )
    report = sharing_report(model)
    assert report.components == {"a": 2, "b": 0}
    assert report.parameters["b"] == 5
    assert report.flops["b"] == 8
    assert np.isnan(report.shared["b"])


def test_single_task_networks_share_nothing():
    model = keras_mtl.build_single_tasks(
        keras.Input((5,)), {"a": 3, "b": "binary"}, [partial(keras.layers.Dense, 4)]
    )
    report = sharing_report(model)
    assert report.shared == {"a": 0.0, "b": 0.0}
    assert report.parameters == {"a": 39, "b": 29}
    assert report.kept_parameters == 68


def test_model_without_parallel_components_has_parameters_and_flops():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 3}, [partial(keras.layers.Dense, 4)]
    )
    report = sharing_report(model)
    assert report.parameters == {"a": 39}
    assert report.components == {"a": 0}
    assert "components" not in str(report).splitlines()[-1]


def test_report_leaves_the_model_as_it_is():
    model = learned_model("shared")
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    weights = model.get_weights()
    sharing_report(model)
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_layers_that_cannot_be_counted_are_named():
    report = sharing_report(learned_model("shared"))
    assert report.not_counted == ("BatchNormalization",)


def test_numbers_over_tasks():
    report = hand_made_report([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 1, 0]])
    assert report.components == {"a": 2, "b": 3, "c": 2}
    assert report.shared == {"a": 1.0, "b": 2 / 3, "c": 0.5}
    assert report.unused == ("component_1_5",)
    assert report.components_by_num_tasks == (1, 2, 1, 1)
    assert report.distinct_embeddings == 3
    assert report.overlap == pytest.approx((2 / 3 + 1 / 3 + 1 / 4) / 3)


def test_equal_rows_are_one_embedding_and_empty_rows_overlap_nothing():
    report = hand_made_report([[1, 0], [1, 0], [0, 0]])
    assert report.distinct_embeddings == 2
    assert report.overlap == pytest.approx(1 / 3)
    assert np.isnan(hand_made_report([[1, 0]]).overlap)


def test_report_prints_an_aligned_table():
    report = hand_made_report([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    assert repr(report) == str(report)
    assert str(report).splitlines() == [
        "task  parameters      FLOPs  components  shared",
        "-----------------------------------------------",
        "a          1,234  5,000,000       2 / 5    100%",
        "b          1,234  5,000,000       3 / 5     67%",
        "c          1,234  5,000,000       0 / 5       -",
        "",
        "Parameters: 2,000 trained, 1,500 kept when frozen (75.0%)",
        "Components by number of tasks: 2 by 0, 1 by 1, 2 by 2",
        "Unused components: component_1_4, component_1_5",
        "Distinct embeddings: 3 of 3 tasks",
        "Mean overlap of two tasks: 22%",
        "FLOPs not counted: PReLU",
    ]


def unlikely(min_components):
    """Returns a network whose task b has no likely component in two layers of three."""
    start = [[[0.9] * 3, [probability] * 3] for probability in (0.3, 0.8, 0.3)]
    return keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 4)] * 3] * 3,
        init_probability=start, min_components=min_components,
    )  # fmt: skip


def test_a_task_without_a_component_in_a_layer_is_marked():
    report = sharing_report(unlikely(min_components=0))
    assert report.empty == {"b": ("allocation_1", "allocation_3")}
    assert report.kept_below_half == {}
    lines = str(report).splitlines()
    assert [line[-17:] for line in lines[2:4]] == ["   9 / 9      33%", "   3 / 9*    100%"]
    assert lines[-1] == (
        "* Sees zeros, without a component in a layer: b (allocation_1, allocation_3)"
    )


def test_a_task_that_has_a_component_by_the_minimum_only_is_marked():
    report = sharing_report(unlikely(min_components=1))
    assert report.kept_below_half == {"b": ("allocation_1", "allocation_3")}
    assert report.empty == {} and "5 / 9*" in str(report).splitlines()[3]
    assert str(report).endswith(
        "* Has components by min_components only: b (allocation_1, allocation_3)"
    )


def test_a_task_that_was_given_no_component_is_marked():
    model = keras_mtl.build_no_sharing(
        keras.Input((5,)), {"a": 3, "b": 4}, [[partial(keras.layers.Dense, 4)] * 3],
        partition=["a", "b", "a"], task_data="separate",
    )  # fmt: skip
    grown = keras_mtl.add_task(model, "c", 2, allocation=[[0, 0, 0]])
    assert sharing_report(grown).empty == {"c": ("allocation_1",)}


def test_frozen_model_is_refused():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 3}, [partial(keras.layers.Dense, 4)]
    )
    with pytest.raises(ValueError, match="has no tasks to report on.*before it is frozen"):
        sharing_report(keras_mtl.freeze(model))


def towers(alpha, component=None, shape=(5,), **settings):
    component = component or partial(keras.layers.Dense, 4)
    tasks = settings.pop("tasks", {"chunk": 3, "pos": "binary"})
    return keras_mtl.build_cross_stitch(
        keras.Input(shape), tasks, [[component] * 2] * 3, alpha=alpha, **settings
    )


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_towers_that_feed_each_other_share_their_components(task_data):
    report = sharing_report(towers("imbalanced", task_data=task_data))
    assert report.component_names == tuple(
        f"component_{index}_{number}" for index in (1, 2, 3) for number in (1, 2)
    )
    assert report.components == {"chunk": 6, "pos": 6}
    assert str(report).splitlines()[2].endswith("6 / 6    100%")


def test_towers_that_read_themselves_only_share_nothing():
    report = sharing_report(towers("identity"))
    np.testing.assert_array_equal(report.usage, [[1, 0] * 3, [0, 1] * 3])
    assert str(report).splitlines()[2].endswith("3 / 6      0%")
    assert "Distinct embeddings: 2 of 2 tasks" in str(report)


def test_the_last_stitch_of_a_task_uses_all_that_feeds_it():
    model = towers("identity")
    model.get_layer("stitch_2").pair_weights.assign([[1.0, 0.5], [0.0, 1.0]])
    report = sharing_report(model)
    np.testing.assert_array_equal(report.usage, [[1, 1, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1]])
    assert report.shared == {"chunk": 2 / 5, "pos": 2 / 3}


def test_cut_ties_between_towers_are_reported_as_freezing_leaves_them():
    model = towers([[0.9, 0.05], [0.2, 0.8]])
    report = sharing_report(model, cut_below=0.1)
    assert report.components == {"chunk": 3, "pos": 6}
    for task in model.tasks:
        frozen = keras_mtl.freeze(model, task, cut_below=0.1)
        assert report.parameters[task] == frozen.count_params()


def test_components_that_freezing_replaces_are_found_by_their_weights():
    lstm = partial(keras_mtl.layers.BiLSTM, 4)
    tasks = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 7)}
    report = sharing_report(towers("identity", lstm, (None, 5), tasks=tasks))
    assert report.components == {"chunk": 3, "pos": 3}
    routed = keras_mtl.build_no_sharing(keras.Input((None, 5)), tasks, [[lstm] * 2])
    np.testing.assert_array_equal(sharing_report(routed).usage, np.eye(2))


def test_components_without_weights_are_found_too():
    report = sharing_report(towers("identity", keras.layers.ReLU))
    assert report.components == {"chunk": 3, "pos": 3}


def test_a_list_of_one_component_is_a_layer_that_all_pass():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)),
        {"a": 3, "b": "binary"},
        [[partial(keras.layers.Dense, 4)], [partial(keras.layers.Dense, 4)] * 2],
    )
    assert model.get_layer("component_1_1")
    assert sharing_report(model).component_names == ("component_2_1", "component_2_2")
