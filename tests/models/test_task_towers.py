"""Dense layers of each task before its head, in every network that is built of `layers`."""

import inspect
import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.conformance import registry
from tests.conformance.methods import METHODS
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    force,
    head_of,
    network,
    softmax,
)
from tests.models.tower_networks import reached, scrambled

BUILDERS = [*registry.BUILDERS, *registry.BLOCK_BUILDERS]
GROWS = [name for name in BUILDERS if METHODS[name].grows]
gumbel = partial(network, keras_mtl.build_gumbel_matrix, [[dense] * 3])


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def build(name, task_data, **changes):
    """Builds a network of an entry of the registry, of plain rows."""
    keras.backend.clear_session()  # names count from the start
    block = partial(keras_mtl.layers.ResidualDense, 4)
    several = [block if name in registry.BLOCK_BUILDERS else dense] * METHODS[name].num_components
    return registry.built(
        name, task_data, keras.Input((6,)), [several, dense, several], seed=3, **changes
    )


def paths(model):
    return [variable.path for variable in model.variables]


def tower_paths(model):
    return [path for path in paths(model) if re.search(r"(^|/)tower_\d_\d/", path)]


# What they are


def test_every_builder_of_layers_takes_them():
    for name in BUILDERS:
        tower_units = inspect.signature(getattr(keras_mtl, name)).parameters["tower_units"]
        assert tower_units.default == () and tower_units.kind is tower_units.KEYWORD_ONLY, name


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_without_towers_is_as_before(name, task_data):
    plain = build(name, task_data, tower_units=())
    towers = build(name, task_data, tower_units=(5,))
    assert not tower_paths(plain)
    assert len(tower_paths(towers)) == 2 * len(registry.TASKS)
    assert [path for path in paths(towers) if path not in tower_paths(towers)] == paths(plain)


@pytest.mark.parametrize(
    ("name", "task_data"),
    [(name, ("shared", "separate")[place % 2]) for place, name in enumerate(BUILDERS)],
)
def test_a_task_has_its_own_tower(name, task_data):
    model = build(name, task_data, tower_units=(5, 3))
    for number in (1, 2, 3):
        assert [model.get_layer(f"tower_{depth}_{number}").units for depth in (1, 2)] == [5, 3]
    head = model.get_layer("animal" if task_data == "shared" else "heads")
    assert head.get_weights()[0].shape[0] == 3


def test_a_tower_is_dense_and_ends_below_zero():
    model = scrambled(gumbel(tower_units=(7, 6)))
    force(model, np.ones((3, 3)))
    components = model.get_layer("modular_1").components
    read = np.mean([array(component(X)) for component in components], axis=0)
    for place, name in enumerate(TASKS):
        features = read
        for depth in (1, 2):
            kernel, bias = model.get_layer(f"tower_{depth}_{place + 1}").get_weights()
            features = np.maximum(features @ kernel + bias, 0)
        kernel, bias = model.get_layer(name).get_weights()
        expected = softmax(features @ kernel + bias)
        np.testing.assert_allclose(answers(model)[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["build_gumbel_matrix", "build_shared_bottom", "build_mmoe"])
def test_both_forms_of_data_answer_equally(name):
    settings = {"stem": [dense], "tower_units": (5,)}
    shared, separate = (
        network(getattr(keras_mtl, name), [[dense] * 3], task_data=form, **settings)
        for form in ("shared", "separate")
    )
    copy_weights(scrambled(shared), separate)
    if name == "build_gumbel_matrix":
        for model in (shared, separate):
            force(model, [[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    assert_equal_answers(answers(shared), answers(separate), 1e-5)


def test_nobody_else_reads_a_tower(task_data):
    model = scrambled(gumbel(tower_units=(5,), task_data=task_data))
    for number, task in enumerate(TASKS, start=1):
        own = {name for name in reached(model, task) if name.startswith("tower")}
        assert own == {f"tower_1_{number}"}


def test_towers_stand_at_every_step():
    tasks = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 5)}
    lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
    model = keras_mtl.build_shared_bottom(
        keras.Input((None, 6)), tasks, [[lstm] * 2], tower_units=(7,)
    )
    assert model.get_layer("tower_1_2").output.shape == (None, None, 7)
    assert model.output["pos"].shape == (None, None, 5)


# By task


def test_tasks_may_have_towers_of_different_sizes():
    model = gumbel(tower_units={"color": (5, 2), "shape": (3,)})
    sizes = {layer.name: layer.units for layer in model.layers if "tower" in layer.name}
    assert sizes == {"tower_1_1": 5, "tower_2_1": 2, "tower_1_3": 3}
    widths = [head_of(model, place, name).shape[0] for place, name in enumerate(TASKS)]
    assert widths == [2, 4, 3]


def test_towers_of_separate_data_end_in_one_size():
    units = {"color": (5, 3), "animal": (3,), "shape": (3,)}
    model = gumbel(tower_units=units, task_data="separate")
    assert model.get_layer("heads").get_weights()[0].shape == (3, 13)
    with pytest.raises(ValueError, match="one shape for all tasks.*Give the layers equal units"):
        gumbel(tower_units={"color": (5,)}, task_data="separate")


@pytest.mark.parametrize(
    ("tower_units", "message"),
    [
        (8, r"tower_units must be a tuple of sizes, such as \(32,\). Received: 8"),
        ("x", "tower_units must be a tuple of sizes.* Received: 'x'"),
        (None, "tower_units must be a tuple of sizes.* Received: None"),
        ((0,), r"tower_units\[0\] must be an integer of at least 1. Received: 0"),
        ((4, 1.5), r"tower_units\[1\] must be an integer of at least 1. Received: 1.5"),
        ((True,), r"tower_units\[0\] must be an integer of at least 1. Received: True"),
        ({"colour": (4,)}, "tower_units names 'colour', which is no task. Tasks: color, animal"),
        ({"color": 4}, r"tower_units\['color'\] must be a tuple of sizes"),
    ],
)
def test_sizes_are_whole_numbers_from_1(tower_units, message, task_data):
    with pytest.raises(ValueError, match=message):
        gumbel(tower_units=tower_units, task_data=task_data)


def test_sizes_may_be_numbers_of_numpy(tmp_path):
    model = gumbel(tower_units=(np.int64(5),))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_equal_answers(answers(loaded), answers(model))


# A new task


def grown(model, **changes):
    given = [x for x in model.layers if isinstance(x, keras_mtl.layers.FixedAllocation)]
    rows = [layer.allocation[0].tolist() for layer in given] or None
    return keras_mtl.add_task(model, "new", 4, allocation=rows, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWS)
def test_a_new_task_has_a_tower_and_the_old_ones_answer_as_before(name, task_data):
    model = scrambled(build(name, task_data, tower_units=(5, 3)))
    larger = grown(model)
    assert [larger.get_layer(f"tower_{depth}_4").units for depth in (1, 2)] == [5, 3]
    x = registry.inputs_of(model)
    before, after = (
        [array(leaf) for leaf in keras.tree.flatten(m(x, training=False))] for m in (model, larger)
    )
    if task_data == "shared":
        answers_before, answers_after = model(x, training=False), larger(x, training=False)
        before, after = (
            [array(a[t]) for t in model.tasks] for a in (answers_before, answers_after)
        )
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new[..., : old.shape[-1]], old, rtol=1e-6, atol=1e-6)
    learns = {variable.path.split("/")[0] for variable in larger.trainable_variables}
    assert {"tower_1_4", "tower_2_4"} <= learns
    assert not learns & {f"tower_{depth}_{old}" for depth in (1, 2) for old in (1, 2, 3)}


def test_training_a_new_task_leaves_old_towers_bit_for_bit(task_data):
    model = scrambled(gumbel(tower_units=(5,), task_data=task_data))
    larger = keras_mtl.add_task(model, "new", 4)
    old = {v.path: array(v) for v in model.variables if v.path in tower_paths(model)}
    new = {v.path: array(v) for v in larger.variables if "tower_1_4" in v.path}
    larger.compile(keras.optimizers.AdamW(0.1, weight_decay=0.5), run_eagerly=True)
    y = np.arange(6, dtype="int32") % 2
    for update in range(2):
        if task_data == "separate":
            task_id = (np.arange(6) + update).astype("int32") % 4
            larger.train_on_batch({"inputs": X, "task_id": task_id}, y)
        else:
            larger.train_on_batch(X, dict.fromkeys(larger.tasks, y))
    found = {variable.path: array(variable) for variable in larger.variables}
    assert len(old) == 6 and len(new) == 2
    for path, value in old.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)
    for path, value in new.items():
        assert np.any(found[path] != value), path


def test_two_tasks_can_be_added_one_after_the_other(task_data, tmp_path):
    model = keras_mtl.add_task(gumbel(tower_units=(5,), task_data=task_data), "new", 4)
    model.save(tmp_path / "model.keras")
    larger = keras_mtl.add_task(keras.models.load_model(tmp_path / "model.keras"), "newest", 3)
    learns = {variable.path.split("/")[0] for variable in larger.trainable_variables}
    assert learns & {f"tower_1_{number}" for number in range(1, 6)} == {"tower_1_5"}
    frozen = keras_mtl.freeze(larger, "newest")
    assert {layer.name for layer in frozen.layers if "tower" in layer.name} == {"tower_1_5"}


SEQUENCES = np.random.default_rng(1).normal(size=(4, 5, 6)).astype("float32")
CELLS = {
    "LSTM": partial(keras.layers.LSTM, 4, return_sequences=True),
    "BiLSTM": partial(keras_mtl.layers.BiLSTM, 4),
}


@pytest.mark.parametrize("towers", [(), (5,)], ids=["plain", "towers"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_new_task_reads_sequences_as_the_others_do(cell, towers):
    tagging = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 4)}
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((None, 6)), tagging, [[CELLS[cell]] * 2], tower_units=towers
    )
    larger = keras_mtl.add_task(model, "ner", keras_mtl.Task("tagging", 5))
    largest = keras_mtl.add_task(larger, "topic", 6)
    found, expected = largest(SEQUENCES, training=False), larger(SEQUENCES, training=False)
    for task in larger.tasks:
        np.testing.assert_allclose(array(found[task]), array(expected[task]), atol=1e-6)
    assert found["ner"].shape == (4, 5, 5) and found["topic"].shape == (4, 6)
    frozen = keras_mtl.freeze(largest, "topic")
    np.testing.assert_allclose(array(frozen(SEQUENCES)), array(found["topic"]), atol=1e-6)


def test_a_new_task_cannot_guess_among_different_towers(task_data):
    units = {"color": (5, 3), "animal": (3,), "shape": (3,)}
    model = gumbel(tower_units=units, task_data=task_data)
    wanted = r"towers of this model are of different sizes.*'color': \[5, 3\]"
    with pytest.raises(ValueError, match=wanted):
        keras_mtl.add_task(model, "new", 4)


# Frozen, searched


@pytest.mark.parametrize("name", ["build_gumbel_matrix", "build_cross_stitch", "build_adashare"])
def test_a_frozen_task_keeps_its_own_tower(name, task_data):
    model = scrambled(build(name, task_data, tower_units=(5,)))
    frozen = keras_mtl.freeze(model, "animal")
    assert [layer.name for layer in frozen.layers if "tower" in layer.name] == ["tower_1_2"]
    assert keras_mtl.sharing_report(model).parameters["animal"] == frozen.count_params()


def test_dynashare_starts_from_an_adashare_with_the_same_towers():
    block = partial(keras_mtl.layers.ResidualDense, 4)
    start = scrambled(network(keras_mtl.build_adashare, [[block]] * 2, tower_units=(5,)))
    dynashare = partial(network, keras_mtl.build_dynashare, [[block]] * 2, start_from=start)
    model = dynashare(tower_units=(5,))
    np.testing.assert_array_equal(
        model.get_layer("tower_1_3").kernel, start.get_layer("tower_1_3").kernel
    )
    with pytest.raises(ValueError, match="start_from must be .* same tasks, layers, tower_units"):
        dynashare(tower_units=(6,))
