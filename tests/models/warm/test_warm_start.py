from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl import Task, warm_start
from tests.conformance.ways import answers

TASKS = {"a": 3, "b": "binary", "c": Task("regression", 2)}
X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
dense = partial(layers.Dense, 4, activation="tanh")


def network(tasks=TASKS, build=keras_mtl.build_gumbel_matrix, lists=None, **settings):
    lists = [[dense] * 3] if lists is None else lists
    return build(keras.Input((6,)), tasks, lists, **settings)


def moved(model, step=0.1):
    """Returns a network whose numbers are no longer those that it started with."""
    for index, variable in enumerate(model.trainable_weights):
        variable.assign(variable.numpy() + step * (1 + index % 3))
    return model


def array(variable):
    return keras.ops.convert_to_numpy(variable)


def off(model, other, tasks):
    before, after = answers(other, X), answers(model, X)
    return max(np.abs(before[task] - after[task]).max() for task in tasks)


def test_rows_and_columns_go_by_the_name_of_the_task():
    old = network(task_data="separate")
    old.get_layer("allocation_1").row_blocks[0].assign(np.arange(18).reshape(3, 3, 2))
    heads = old.get_layer("heads").blocks[0]
    heads[0].assign(np.tile([1, 2, 3, 4, 5, 6], (4, 1)))
    heads[1].assign([10, 20, 30, 40, 50, 60])
    new = network({"c": TASKS["c"], "new": 2, "a": 3}, task_data="separate")
    start = [array(variable).copy() for variable in new.get_layer("heads").blocks[0]]
    report = warm_start(new, old)
    rows = array(new.get_layer("allocation_1").row_blocks[0])
    np.testing.assert_array_equal(rows[[0, 2]], np.arange(18).reshape(3, 3, 2)[[2, 0]])
    kernel, bias = map(array, new.get_layer("heads").blocks[0])
    np.testing.assert_array_equal(kernel[0, [0, 1, 4, 5, 6]], [5, 6, 1, 2, 3])
    np.testing.assert_array_equal(bias[[0, 1, 4, 5, 6]], [50, 60, 10, 20, 30])
    np.testing.assert_array_equal(kernel[:, 2:4], start[0][:, 2:4])
    assert report.tasks == {"c": "copied", "new": "new", "a": "copied", "b": "left out"}
    assert report.grown == {
        "allocation_1/logits": (12, 18), "heads/kernel": (20, 28), "heads/bias": (5, 7),
    }  # fmt: skip
    assert not report.new and not report.left_out and report.optimizer == "new"


@pytest.mark.parametrize("forms", [("shared", "separate"), ("separate", "shared")])
def test_one_form_of_data_starts_from_the_other(forms):
    tasks = TASKS | {"d": Task("ordinal", 4)}
    old, new = (network(tasks, task_data=form, tower_units=(5,)) for form in forms)
    report = warm_start(new, moved(old))
    assert off(new, old, tasks) <= 1e-6
    assert not report.new and not report.grown and not report.left_out


def test_a_task_of_another_kind_or_size_is_new():
    old = moved(network({"a": 3, "b": "binary", "c": 4}))
    new = network({"a": 4, "b": "regression", "c": 4})
    before = [array(variable).copy() for variable in new.get_layer("b").weights]
    report = warm_start(new, old)
    assert report.tasks == {"a": "new", "b": "new", "c": "copied"}
    assert report.new == {
        "a/kernel": "of tasks or values that were not there",
        "a/bias": "of tasks or values that were not there",
        "b/kernel": "of tasks or values that were not there",
        "b/bias": "of tasks or values that were not there",
    }
    for variable, value in zip(new.get_layer("b").weights, before, strict=True):
        np.testing.assert_array_equal(array(variable), value)
    assert report.left_out == ("a/kernel", "a/bias", "b/kernel", "b/bias")


def test_what_has_another_shape_is_new_and_never_copied_in_part():
    wide = partial(layers.Dense, 7, activation="tanh")
    old, new = moved(network(lists=[dense, [dense] * 3])), network(lists=[dense, [wide] * 3])
    before = array(new.get_layer("modular_1").components[0].kernel).copy()
    report = warm_start(new, old)
    assert report.new["modular_1/component_1_1/kernel"] == "shape (4, 7), (4, 4) before"
    assert report.new["a/kernel"] == "shape (7, 3), (4, 3) before"
    np.testing.assert_array_equal(array(new.get_layer("modular_1").components[0].kernel), before)
    assert "layer_1/kernel" in report.copied and "allocation_1/logits" in report.copied


def test_more_components_are_new_and_so_is_who_uses_them():
    old, new = moved(network()), network(lists=[[dense] * 4])
    report = warm_start(new, old)
    assert report.new == {
        "allocation_1/logits": "shape (3, 4, 2), (3, 3, 2) before",
        "modular_1/component_1_4/kernel": "not in the trained network",
        "modular_1/component_1_4/bias": "not in the trained network",
    }
    assert report.left_out == ("allocation_1/logits",)


def test_counters_temperatures_and_returns_go_on():
    old = network()
    old.get_layer("allocation_1").router.updates.assign(123)
    old.compile(keras.optimizers.Adam())
    new = network()
    new.compile(keras.optimizers.Adam())
    warm_start(new, old)
    assert int(array(new.get_layer("allocation_1").router.updates)) == 123
    assert int(array(new.optimizer.iterations)) == 0
    old, new = (network(build=keras_mtl.build_routing_network) for _ in range(2))
    policy = old.get_layer("allocation_1")
    policy.policy.assign([[0.7, 0.2, 0.1]] * 3)
    policy.returns.assign([[0.5, 0.2, 0.0]] * 3)
    policy.batches.assign(9)
    warm_start(new, old)
    own = new.get_layer("allocation_1")
    np.testing.assert_allclose(array(own.policy), [[0.7, 0.2, 0.1]] * 3)
    np.testing.assert_allclose(array(own.returns), [[0.5, 0.2, 0.0]] * 3)
    assert int(array(own.batches)) == 9


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_grown_network_is_trained_anew_with_all_tasks(task_data):
    grown = network({"a": 3, "b": "binary"}, task_data=task_data)
    for name, task in (("c", TASKS["c"]), ("d", Task("ordinal", 5))):
        grown = moved(keras_mtl.add_task(grown, name, task))
    tasks = {name: grown.tasks[name] for name in ("d", "b", "a", "c")}
    new = network(tasks, task_data=task_data)
    report = warm_start(new, grown)
    assert off(new, grown, tasks) <= 1e-6
    assert not report.new and not report.grown and not report.left_out
    assert all(variable.trainable for variable in new.get_layer("allocation_1").row_blocks)


@pytest.mark.parametrize("name", ["recurrent_modular", "communicating", "recursive_routing"])
def test_a_grown_recurrent_network_is_trained_anew_with_all_tasks(name):
    settings = {
        "recurrent_modular": {"cell_units": 4, "num_sub_encoders": (2,), "units": (5,)},
        "communicating": {"units": 4, "graph": "star"},
        "recursive_routing": {
            "units": 4, "num_functions": 2, "stem": [partial(layers.Dense, 16)],
        },
    }[name]  # fmt: skip
    build = partial(getattr(keras_mtl, f"build_{name}"), keras.Input((7, 6)), **settings)
    grown = moved(keras_mtl.add_task(build({"a": 3, "b": "binary"}), "c", TASKS["c"]), 0.03)
    new = build({"c": TASKS["c"], "a": 3, "b": "binary"})
    report = warm_start(new, grown)
    x = np.random.default_rng(1).normal(size=(5, 7, 6)).astype("float32")
    before, after = answers(grown, x), answers(new, x)
    assert max(np.abs(before[task] - after[task]).max() for task in TASKS) <= 1e-6
    assert not report.new and not report.left_out and not report.grown


@pytest.mark.parametrize("name", ["build_no_sharing", "build_single_tasks"])
def test_components_of_one_task_go_by_its_name(name):
    build = getattr(keras_mtl, name)
    old = moved(network({"a": 3, "b": 2}, build, [[dense] * 2]))
    alone = network({"b": 2}, build, [[dense]])
    report = warm_start(alone, old)
    assert off(alone, old, ["b"]) <= 1e-6
    assert len(report.left_out) == 4  # the component and the head of `a`
    again = network({"a": 3, "b": 2}, build, [[dense] * 2])
    warm_start(again, alone)
    assert off(again, alone, ["b"]) <= 1e-6


def test_owned_components_may_be_several():
    build = partial(keras_mtl.build_no_sharing, partition=["a", "b", "a", "b"])
    old = moved(network({"a": 3, "b": 2}, build, [[dense] * 4]))
    build = partial(keras_mtl.build_no_sharing, partition=["b", "b", "a", "a"])
    new = network({"a": 3, "b": 2}, build, [[dense] * 4])
    report = warm_start(new, old)
    assert off(new, old, "ab") <= 1e-6 and not report.different


def test_tied_weights_between_towers_go_by_what_they_tie():
    build = partial(keras_mtl.build_sluice, preset="easy_adaptation")
    old = network({"a": 3, "b": 2}, build, [[dense] * 2] * 2)
    ties = old.get_layer("stitch_1").free_weights
    ties.assign(np.arange(1, 1 + len(ties.numpy())))
    new = network({"b": 2, "a": 3}, build, [[dense] * 2] * 2)
    warm_start(new, old)
    assert off(new, old, "ab") <= 1e-5


def test_own_experts_of_progressive_extraction_may_become_more():
    build = partial(keras_mtl.build_ple, task_experts=1)
    old = network({"a": 3, "b": 2}, build, [[dense] * 4])
    build = partial(keras_mtl.build_ple, task_experts=2)
    new = network({"b": 2, "a": 3}, build, [[dense] * 6])
    experts = {name: m.get_layer("experts_1").components for name, m in (("o", old), ("n", new))}
    warm_start(new, old)
    for index, before in ((0, 1), (2, 0), (4, 2), (5, 3)):  # of b, of a, shared, shared
        np.testing.assert_array_equal(
            array(experts["n"][index].kernel), array(experts["o"][before].kernel)
        )


def test_given_components_that_differ_warn_by_the_name_of_the_task():
    build = partial(keras_mtl.build_fixed_random, routes=[[0], [1], [2]])
    old = network(build=build)
    new = network(build=partial(keras_mtl.build_fixed_random, routes=[[0], [2], [2]]))
    with pytest.warns(UserWarning, match="b in allocation_1. Build the new network with the same"):
        report = warm_start(new, old)
    assert report.different == {"allocation_1": ("b",)}
    build = partial(keras_mtl.build_fixed_random, routes=[[2], [0], [1]])
    assert not warm_start(network({"c": TASKS["c"], "a": 3, "b": "binary"}, build), old).different


def test_layers_that_keras_numbers_go_by_their_place():
    def block():
        return keras.Sequential([layers.Dense(4), layers.LayerNormalization(), layers.Dense(4)])

    old, new = moved(network(lists=[block, [dense] * 2])), network(lists=[block, [dense] * 2])
    report = warm_start(new, old)
    assert off(new, old, TASKS) <= 1e-6 and not report.new and not report.left_out


def test_a_base_of_recurrent_modular_networks_goes_by_the_name_of_the_task():
    lstm = partial(layers.LSTM, 4, return_sequences=True)
    bases = {
        "girnet": partial(keras_mtl.build_girnet, primary="b", units=4, gate_units=3),
        "communicating": partial(keras_mtl.build_communicating, units=4),
        "stitched": partial(keras_mtl.build_cross_stitch, layers=[[lstm] * 3]),
        None: None,
    }
    x = np.random.default_rng(1).normal(size=(5, 7, 6)).astype("float32")
    for base in bases.values():
        old, new = (
            keras_mtl.build_recurrent_modular(
                keras.Input((7, 6)), tasks, base=base, num_cells=2, cell_units=4,
                num_sub_encoders=(2,), units=(5,), seed=seed,
            )
            for seed, tasks in enumerate([TASKS, {task: TASKS[task] for task in "cab"}])
        )  # fmt: skip
        report = warm_start(new, moved(old, 0.03))
        before, after = answers(old, x), answers(new, x)
        assert max(np.abs(before[task] - after[task]).max() for task in TASKS) <= 1e-6
        assert not report.new and not report.left_out and not report.grown


@pytest.mark.parametrize("statistics", ["old", "new"])
def test_statistics_of_inputs_are_those_asked_for_and_batch_statistics_the_old(statistics):
    def normalized(shift):
        layer = layers.Normalization()
        layer.adapt(X + shift)
        return network(stem=[lambda: layer, layers.BatchNormalization])

    old, new = normalized(3.0), normalized(0.0)
    old.get_layer("stem_2").moving_mean.assign(np.full(6, 0.5))
    mean = {"old": X.mean(axis=0) + 3.0, "new": X.mean(axis=0)}[statistics]
    report = warm_start(new, moved(old), statistics=statistics)
    layer = new.get_layer("stem_1")
    np.testing.assert_allclose(array(layer.mean).ravel(), mean, rtol=1e-5)
    np.testing.assert_allclose(array(layer(mean[None])), np.zeros((1, 6)), atol=1e-5)
    np.testing.assert_array_equal(array(new.get_layer("stem_2").moving_mean), np.full(6, 0.5))
    assert report.statistics == statistics
    assert ("stem_1/mean" in report.copied) == (statistics == "old")
    assert not report.new and not report.left_out


def test_it_trains_on_and_is_saved_and_frozen(tmp_path):
    old, new = moved(network()), network()
    warm_start(new, old)
    y = {"a": np.arange(5) % 3, "b": np.arange(5) % 2, "c": np.zeros((5, 2))}
    new.save(tmp_path / "new.keras")
    loaded = keras.models.load_model(tmp_path / "new.keras")
    assert off(loaded, old, TASKS) <= 1e-6
    again = network()
    report = warm_start(again, loaded)
    assert off(again, old, TASKS) <= 1e-6 and not report.new and not report.left_out
    frozen, before = keras_mtl.freeze(new)(X), answers(old, X)
    assert max(np.abs(array(frozen[task]) - before[task]).max() for task in TASKS) <= 1e-6
    new.compile(keras.optimizers.Adam(0.01))
    before = array(new.get_layer("modular_1").components[0].kernel).copy()
    new.fit(X, y, epochs=1, verbose=0)
    assert np.abs(array(new.get_layer("modular_1").components[0].kernel) - before).max() > 1e-4
    assert int(array(new.optimizer.iterations)) == 1
    assert int(array(new.get_layer("allocation_1").router.updates)) == 1


def test_the_report_prints_what_happened():
    old = moved(network({"a": 3, "b": 2, "gone": 2}, tower_units=(5,)))
    report = warm_start(network({"b": 2, "a": 3, "c": 4}, tower_units=(5,)), old)
    text = str(report)
    assert text.splitlines()[0].startswith("15 variables copied, 1 grown, 4 new: ")
    for line in (
        "Tasks copied: b, a",
        "Tasks new: c",
        "Tasks left out: gone",
        "  allocation_1/logits  grown: 12 of 18",
        "  c/kernel             new: of tasks or values that were not there",
        "Statistics of Normalization: old",
        "State of the optimizer: new. Counters and temperatures: go on",
    ):
        assert line in text.splitlines()
    assert repr(report) == text


def test_wrong_networks_are_refused():
    model = network()
    with pytest.raises(ValueError, match="model and trained are one network"):
        warm_start(model, model)
    with pytest.raises(ValueError, match="trained must be a network made by a keras_mtl builder"):
        warm_start(model, keras_mtl.freeze(network()))
    with pytest.raises(ValueError, match="model must be a network made .* Received: 'a.keras'"):
        warm_start("a.keras", model)
    with pytest.raises(ValueError, match='statistics must be "old" or "new"'):
        warm_start(model, network(), statistics="both")
    other = network({"z": 2}, keras_mtl.build_shared_bottom, [dense])
    with pytest.raises(ValueError, match="nothing in common .* layer_1, z"):
        warm_start(model, other)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_network_is_refused():
    old = network()
    old.quantize("int8")
    with pytest.raises(ValueError, match="trained is quantized"):
        warm_start(network(), old)
