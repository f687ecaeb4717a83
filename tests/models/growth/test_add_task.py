import re
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl.layers import AllocationMatrix
from tests.models.networks import (
    BUILDERS,
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    dense,
    force,
    network,
)

FIXED_ROWS = {
    "single_tasks": [[1, 0, 0], [0, 1, 1]],
    "no_sharing": [[1, 0, 0], [0, 1, 1]],
    "fixed_random": [[1, 0, 0], [0, 1, 1]],
}
LABELS = {"color": 2, "animal": 7, "shape": 4, "braille": 5, "digit": 3}
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.5),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "by part": lambda: keras_mtl.allocation_optimizer(
        keras.optimizers.AdamW(0.1, weight_decay=0.5), 0.2
    ),
}


class Block(layers.Layer):
    """A user's own component: one sublayer made at the start, one when built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(4, activation="tanh")

    def build(self, shape):
        self.inner.build(shape)
        self.outer = layers.Dense(4)
        self.outer.build((None, 4))

    def call(self, x):
        return self.outer(self.inner(x))

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


RICH = [
    [dense, dense, layers.BatchNormalization, lambda: keras.Sequential([layers.Dense(4)])],
    partial(layers.Dropout, 0.3),
    layers.BatchNormalization,
    [dense, Block],
]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def gumbel(task_data="shared", stack=None, **settings):
    """A trained Gumbel-Matrix: probabilities away from their start, tasks apart."""
    stack = RICH if stack is None else stack
    stem = [partial(layers.Dense, 4)] if stack is RICH else []
    model = network(
        keras_mtl.build_gumbel_matrix, stack, stem=stem, task_data=task_data, **settings
    )
    rng = np.random.default_rng(2)
    force(model, *(rng.integers(0, 2, layer.row_blocks[0].shape[:2]) for layer in routed(model)))
    for layer in routed(model):
        layer.router.updates.assign(40)
    return model


def routed(model):
    return [layer for layer in model.layers if isinstance(layer, AllocationMatrix)]


def train(model, optimizer):
    """Three updates; with separate data every task is in every batch."""
    model.compile(OPTIMIZERS[optimizer](), run_eagerly=True)
    for update in range(3):
        task_id = (np.arange(6) + update).astype("int32") % len(model.tasks)
        y = np.arange(6, dtype="int32") % 2
        if model.task_data == "separate":
            model.train_on_batch({"inputs": X, "task_id": task_id}, y)
        else:
            model.train_on_batch(X, {name: y for name in model.tasks})


def settled(model):
    """Returns every number of a model that training its newest task must leave as it is."""
    newest, added = list(model.tasks)[-1], len(model.tasks) - len(TASKS)
    new = re.compile(rf"{newest}/.*|.*_added_{added}|.*/updates|heads/.*_added_{added}")
    return {
        f"{index} {v.path}": array(v)
        for index, v in enumerate(sorted(model.weights, key=lambda v: v.path))
        if not new.fullmatch(v.path)
    }


def assert_same_bits(before, after):
    assert len(before) > 4 and before.keys() == after.keys()
    for path in before:
        np.testing.assert_array_equal(before[path], after[path], err_msg=path)


def assert_old_answers_agree(old, new, tolerance=1e-6):
    before, after = answers(old), answers(new)
    for name in old.tasks:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=tolerance)


# What is added


def test_a_task_comes_last_with_its_own_output(task_data):
    grown = keras_mtl.add_task(gumbel(task_data), "braille", 5)
    assert list(grown.tasks) == [*TASKS, "braille"]
    assert grown.task_data == task_data
    outputs = answers(grown)
    assert outputs["braille"].shape == (6, 5)
    np.testing.assert_allclose(outputs["braille"].sum(axis=1), np.ones(6), rtol=1e-5)


def test_old_answers_agree(task_data):
    model = gumbel(task_data)
    assert_old_answers_agree(model, keras_mtl.add_task(model, "braille", 5))


def test_padding_is_nothing_to_a_grown_network(task_data):
    words = np.array(
        [[3, 5, 0, 0], [7, 0, 0, 0], [2, 2, 6, 8], [1, 4, 0, 0], [5, 6, 7, 0], [8] * 4]
    )
    stem = [partial(layers.Embedding, 9, 4, mask_zero=True)]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((None,), dtype="int32"), TASKS, [[dense] * 2, partial(layers.LSTM, 3)],
        stem=stem, task_data=task_data,
    )  # fmt: skip
    grown = keras_mtl.add_task(model, "braille", 5)
    found = answers(grown, words)
    for name, answer in answers(model, words).items():
        np.testing.assert_allclose(found[name], answer, rtol=1e-6, atol=1e-6)
    longer = answers(grown, np.pad(words, ((0, 0), (0, 3))))
    frozen = keras_mtl.freeze(grown)(words)
    for name, answer in found.items():
        np.testing.assert_allclose(longer[name], answer, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(array(frozen[name]), answer, rtol=1e-6, atol=1e-6)


def test_a_task_of_another_kind_may_be_added(task_data):
    model = gumbel(task_data)
    grown = keras_mtl.add_task(model, "width", keras_mtl.Task("regression", 2))
    assert answers(grown)["width"].shape == (6, 2)
    assert_old_answers_agree(model, grown)


@pytest.mark.parametrize("kind", ["binary", "regression"])  # before and after the old in a dict
@pytest.mark.parametrize("old", [3, "regression", keras_mtl.Task("multilabel", 2)])
def test_a_task_of_another_kind_answers_as_its_kind(task_data, old, kind, tmp_path):
    model = network(
        keras_mtl.build_shared_bottom,
        [[dense] * 3],
        tasks={"color": 3, "shape": old},
        task_data=task_data,
    )
    grown = keras_mtl.add_task(model, "braille", kind)
    if task_data == "separate":
        assert set(grown.output) == {task.kind for task in grown.tasks.values()}
    new = answers(grown)
    frozen = keras_mtl.freeze(grown)(X)
    assert_equal_answers(new, {name: array(frozen[name]) for name in new})
    grown.save(tmp_path / "grown.keras")
    assert_equal_answers(answers(keras.saving.load_model(tmp_path / "grown.keras")), new)
    assert new.pop("braille").shape == (6, 1)
    assert_equal_answers(new, answers(model))


WORD_IDS = np.array([[3, 9, 4], [7, 0, 0], [2, 8, 0], [5, 6, 1], [4, 0, 0], [1, 2, 0]], "int32")


def test_padding_stays_padding_in_a_grown_network(task_data):
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((None,), dtype="int32"),
        {"color": 3, "shape": 4},
        [[dense] * 3, dense, [dense] * 2, partial(layers.LSTM, 4)],
        task_data=task_data,
        stem=[partial(layers.Embedding, 10, 4, mask_zero=True)],
    )
    grown = keras_mtl.add_task(model, "braille", 5)
    new = answers(grown, WORD_IDS)
    longer = answers(grown, np.pad(WORD_IDS, ((0, 0), (0, 2))))
    assert_equal_answers(new, longer)
    assert new.pop("braille").shape == (6, 5)
    assert_equal_answers(new, answers(model, WORD_IDS))


def test_only_the_new_rows_and_head_train(task_data):
    grown = keras_mtl.add_task(gumbel(task_data), "braille", 5)
    rows = ["allocation_1/logits_added_1", "allocation_2/logits_added_1"]
    if task_data == "separate":
        head = ["heads/kernel_added_1", "heads/bias_added_1"]
    else:
        head = ["braille/kernel", "braille/bias"]
    assert sorted(v.path for v in grown.trainable_variables) == sorted(rows + head)
    (_, row), (_, second) = (layer.row_blocks for layer in routed(grown))
    assert tuple(row.shape) == (1, 4, 2) and tuple(second.shape) == (1, 2, 2)


def test_the_new_rows_start_at_the_models_probability():
    grown = keras_mtl.add_task(gumbel(init_probability=[0.8, 0.3]), "braille", 5)
    first, second = keras_mtl.allocation_probabilities(grown)
    np.testing.assert_allclose(first[3], [0.8] * 4, rtol=1e-5)
    np.testing.assert_allclose(second[3], [0.3] * 2, rtol=1e-5)


def test_the_new_rows_may_start_elsewhere():
    grown = keras_mtl.add_task(gumbel(init_probability=0.8), "braille", 5, init_probability=0.1)
    for probabilities in keras_mtl.allocation_probabilities(grown):
        np.testing.assert_allclose(probabilities[3], 0.1, rtol=1e-5)


def test_a_model_that_started_from_a_matrix_takes_a_number_for_the_new_task():
    matrix = np.full((3, 4), 0.4).tolist()
    model = gumbel(init_probability=[matrix, 0.6])
    grown = keras_mtl.add_task(model, "braille", 5, init_probability=0.9)
    for probabilities in keras_mtl.allocation_probabilities(grown):
        np.testing.assert_allclose(probabilities[3], 0.9, rtol=1e-5)


def test_the_new_rows_cool_from_the_start_and_old_rows_do_not_sample(task_data):
    wide = [[dense] * 20]
    grown = keras_mtl.add_task(gumbel(task_data, wide), "braille", 5)
    (layer,) = routed(grown)
    assert int(layer.router.updates.value) == 0
    old, new = layer.matrix(), array(layer.rows(training=True))
    np.testing.assert_array_equal(new[:3], old[:3])
    assert np.any(new[3] != old[3])


def test_the_original_stays_as_it_is(task_data):
    model = gumbel(task_data)
    before = {v.path: array(v) for v in model.weights}
    trainable = [v.path for v in model.trainable_variables]
    train(keras_mtl.add_task(model, "braille", 5), "adam")
    assert_same_bits(before, {v.path: array(v) for v in model.weights})
    assert [v.path for v in model.trainable_variables] == trainable
    assert list(model.tasks) == list(TASKS)


# Nothing is forgotten


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_leaves_old_weights_bit_for_bit(task_data, optimizer):
    model = gumbel(task_data)
    grown = keras_mtl.add_task(model, "braille", 5)
    before, new = settled(grown), [array(v) for v in grown.trainable_variables]
    train(grown, optimizer)
    assert_same_bits(before, settled(grown))
    moved = [np.any(n != array(v)) for n, v in zip(new, grown.trainable_variables, strict=True)]
    assert all(moved)
    assert_old_answers_agree(model, grown)


def test_old_weights_are_those_of_the_trained_network():
    model = gumbel("separate")
    train(model, "adam")
    grown = keras_mtl.add_task(model, "braille", 5)
    for layer in model.layers:
        copy = grown.get_layer(layer.name)
        if isinstance(layer, AllocationMatrix):
            pairs = [(layer.row_blocks[0], copy.row_blocks[0])]
        elif layer.name == "heads":
            pairs = zip(layer.blocks[0], copy.blocks[0], strict=True)
        else:
            pairs = zip(layer.weights, copy.weights, strict=True)
        for old, new in pairs:
            np.testing.assert_array_equal(array(old), array(new), err_msg=old.path)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_a_reloaded_network_still_forgets_nothing(task_data, optimizer, tmp_path):
    model = gumbel(task_data)
    grown = keras_mtl.add_task(model, "braille", 5)
    train(grown, "adam")
    grown.save(tmp_path / "grown.keras")
    loaded = keras.models.load_model(tmp_path / "grown.keras", custom_objects={"Block": Block})
    expected = sorted(v.path.split("/")[-1] for v in grown.trainable_variables)
    assert sorted(v.path.split("/")[-1] for v in loaded.trainable_variables) == expected
    before = settled(loaded)
    train(loaded, optimizer)
    assert_same_bits(before, settled(loaded))
    assert_old_answers_agree(model, loaded)


@pytest.mark.slow
def test_two_tasks_can_be_added_one_after_the_other(task_data):
    model = gumbel(task_data)
    once = keras_mtl.add_task(model, "braille", 5)
    train(once, "adam")
    twice = keras_mtl.add_task(once, "digit", 3)
    assert list(twice.tasks) == [*TASKS, "braille", "digit"]
    assert_old_answers_agree(once, twice)
    names = {path.split("/")[-1] for path in (v.path for v in twice.trainable_variables)}
    head = {"kernel_added_2", "bias_added_2"} if task_data == "separate" else {"kernel", "bias"}
    assert names == {"logits_added_2"} | head and len(twice.trainable_variables) == 4
    before = settled(twice)
    train(twice, "adamw")
    assert_same_bits(before, settled(twice))
    assert_old_answers_agree(once, twice)


def test_a_reloaded_layer_that_every_task_passes_forgets_nothing(tmp_path):
    grown = keras_mtl.add_task(gumbel(stack=[Block, [dense] * 3]), "braille", 5)
    assert len(grown.trainable_variables) == 3
    grown.save(tmp_path / "grown.keras")
    loaded = keras.models.load_model(tmp_path / "grown.keras", custom_objects={"Block": Block})
    assert len(loaded.trainable_variables) == 3


def test_a_task_can_be_added_to_a_reloaded_network(task_data, tmp_path):
    once = keras_mtl.add_task(gumbel(task_data), "braille", 5)
    once.save(tmp_path / "once.keras")
    loaded = keras.models.load_model(tmp_path / "once.keras", custom_objects={"Block": Block})
    twice = keras_mtl.add_task(loaded, "digit", 3)
    assert_old_answers_agree(once, twice)
    assert len(twice.trainable_variables) == 4


def test_a_grown_network_trains_on_batches_of_the_new_task():
    grown = keras_mtl.add_task(gumbel("separate"), "braille", 5)
    batches = keras_mtl.task_batches(
        {**TASKS, "braille": 5}, {"braille": (X, np.arange(6) % 5)}, batch_size=3
    )
    grown.compile("adam", run_eagerly=True)
    history = grown.fit(batches, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all() and np.isfinite(history["braille_loss"]).all()
    assert np.isnan(history["color_loss"]).all()


def test_penalties_of_old_tasks_stay_and_the_new_one_pays(task_data):
    model = gumbel(task_data, [[dense] * 4], budget=0.25, budget_weight=2.0)
    grown = keras_mtl.add_task(model, "braille", 5, init_probability=0.75)
    x = X if task_data == "shared" else {"inputs": X, "task_id": np.full(6, 3, "int32")}
    grown(x)
    old = np.maximum(keras_mtl.allocation(model)[0].mean(axis=1) - 0.25, 0) * 2
    expected = 1.0 + (old.sum() if task_data == "shared" else 0.0)
    np.testing.assert_allclose(sum(float(array(v)) for v in grown.losses), expected, rtol=1e-4)


def test_a_frozen_allocation_still_learns_the_new_rows():
    model = gumbel("separate", [[dense] * 4])
    routed(model)[0].freeze()
    grown = keras_mtl.add_task(model, "braille", 5)
    assert "allocation_1/logits_added_1" in {v.path for v in grown.trainable_variables}
    assert_old_answers_agree(model, grown)


@pytest.mark.parametrize("name", ["cross_stitch", "sluice", "soft_ordering"])
def test_a_network_made_for_its_own_tasks_is_refused(name, task_data):
    model = network(BUILDERS[name], task_data=task_data)
    with pytest.raises(ValueError, match="Layer '.*_1' of this one is made for its own tasks only"):
        keras_mtl.add_task(model, "braille", 5)


def test_tasks_that_are_predicted_from_different_layers_are_refused():
    model = network(BUILDERS["low_supervision"])
    with pytest.raises(ValueError, match="predicted from different layers.*cannot know which"):
        keras_mtl.add_task(model, "braille", 5)


# Given allocations


@pytest.mark.parametrize("name", FIXED_ROWS)
def test_given_allocations_take_a_row_per_routed_layer(name, task_data):
    model = network(BUILDERS[name], task_data=task_data)
    grown = keras_mtl.add_task(model, "braille", 5, allocation=FIXED_ROWS[name])
    for matrix, row, old in zip(
        keras_mtl.allocation(grown), FIXED_ROWS[name], keras_mtl.allocation(model), strict=True
    ):
        np.testing.assert_array_equal(matrix, [*old, row])
    assert_old_answers_agree(model, grown)
    assert len(grown.trainable_variables) == 2  # the head
    before = settled(grown)
    train(grown, "adamw")
    assert_same_bits(before, settled(grown))


def test_shared_bottom_gives_the_new_task_every_component(task_data):
    model = network(keras_mtl.build_shared_bottom, task_data=task_data)
    grown = keras_mtl.add_task(model, "braille", 5)
    np.testing.assert_array_equal(keras_mtl.allocation(grown)[0], np.ones((4, 3)))
    assert_old_answers_agree(model, grown)


def test_shared_bottom_may_give_the_new_task_some_components_of_separate_data():
    model = network(keras_mtl.build_shared_bottom, task_data="separate")
    grown = keras_mtl.add_task(model, "braille", 5, allocation=[[1, 0, 0], [0, 0, 1]])
    assert_old_answers_agree(model, grown)
    hidden = array(model.get_layer("modular_1").components[0](X))
    hidden = array(model.get_layer("modular_2").components[2](hidden))
    powers = np.exp(hidden @ array(grown.get_layer("heads").blocks[-1][0]))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers(grown)["braille"], expected, rtol=1e-4)


def test_a_network_without_routed_layers_grows_by_a_head(task_data):
    model = network(keras_mtl.build_gumbel_matrix, [[dense]], task_data=task_data)
    grown = keras_mtl.add_task(model, "braille", 5)
    assert_old_answers_agree(model, grown)
    assert len(grown.trainable_variables) == 2


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_a_plain_or_frozen_model_is_an_error():
    frozen = keras_mtl.freeze(network(keras_mtl.build_shared_bottom))
    with refused("add_task needs a model made by a keras_mtl builder, not a frozen one"):
        keras_mtl.add_task(frozen, "braille", 5)
    with refused("add_task needs a model made by a keras_mtl builder"):
        keras_mtl.add_task(keras.Sequential([layers.Dense(2)]), "braille", 5)


def test_a_taken_name_is_an_error():
    with refused("The model has a task 'animal' already. Tasks: color, animal, shape"):
        keras_mtl.add_task(gumbel(), "animal", 5)


@pytest.mark.parametrize("name", ["mean", "task_id", "variables"])
def test_a_reserved_name_is_an_error(name):
    with refused(f"Task name '{name}' is reserved"):
        keras_mtl.add_task(gumbel(), name, 5)


@pytest.mark.parametrize("name", ["allocation_1", "component_1_2", "stem_1", "layer_2"])
def test_the_name_of_a_layer_is_an_error(task_data, name):
    with refused(f"Task name '{name}' is also the name of a layer"):
        keras_mtl.add_task(gumbel(task_data), name, 5)


@pytest.mark.parametrize("name", ["2d", "a b", 7])
def test_an_impossible_name_is_an_error(name):
    with refused(f"Task name {name!r} cannot be used"):
        keras_mtl.add_task(gumbel(), name, 5)


def test_a_task_of_an_unknown_form_is_an_error():
    with refused('A task is a number of classes, "binary", "regression" or a keras_mtl.Task'):
        keras_mtl.add_task(gumbel(), "braille", "letters")


def test_a_task_whose_head_does_not_fit_is_an_error(task_data):
    with refused("Task 'pos' of kind 'tagging' needs features of shape"):
        keras_mtl.add_task(gumbel(task_data), "pos", keras_mtl.Task("tagging", 4))


def test_a_start_from_a_matrix_needs_a_number():
    model = gumbel(stack=[[dense] * 4], init_probability=np.full((3, 4), 0.4))
    with refused("'allocation_1' started from a matrix of prob.*'braille'. Give init_probability"):
        keras_mtl.add_task(model, "braille", 5)


@pytest.mark.parametrize("probability", [0, 1.0, -3])
def test_a_probability_outside_0_and_1_is_an_error(probability):
    with refused("init_probability must be strictly between 0 and 1"):
        keras_mtl.add_task(gumbel(), "braille", 5, init_probability=probability)


def test_own_components_need_a_row_for_the_new_task():
    model = network(keras_mtl.build_no_sharing)
    with refused(
        "'allocation_1' gives each task its own.*'braille' uses: allocation=.row for each"
    ):
        keras_mtl.add_task(model, "braille", 5)


@pytest.mark.parametrize("rows", [[[1, 0]] * 2, [[1, 0, 1, 1]] * 2, [[1, 0, 0], [2, 0, 0]]])
def test_rows_fit_the_layers(rows):
    model = network(keras_mtl.build_no_sharing)
    wanted = r"allocation must have a row of 3 numbers in \[0, 1\] for 'allocation_[12]'. Received"
    with refused(wanted):
        keras_mtl.add_task(model, "braille", 5, allocation=rows)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_a_row_for_each_layer(count):
    model = network(keras_mtl.build_no_sharing)
    with refused(f"allocation has {count} rows, but 2 layers have a given allocation"):
        keras_mtl.add_task(model, "braille", 5, allocation=[[1, 0, 0]] * count)


@pytest.mark.parametrize("allocation", [5, "x", {}, 0.5])
def test_an_allocation_is_a_list_of_rows(allocation):
    with refused("allocation must be a list of rows, one for each of 2 layers with a given"):
        keras_mtl.add_task(network(keras_mtl.build_no_sharing), "braille", 5, allocation=allocation)


@pytest.mark.parametrize("row", [5, "x", None, [1, "x", 0], [1, float("nan"), 0]])
def test_a_row_is_numbers(row):
    with refused("allocation of a new task must be a row of 3 numbers|must have a row of 3 numb"):
        keras_mtl.add_task(network(keras_mtl.build_no_sharing), "braille", 5, allocation=[row] * 2)


def test_tasks_that_are_computed_as_one_row_stay_on_it():
    model = network(keras_mtl.build_shared_bottom)
    with refused(
        "With shared data 'allocation_1' computes one row for all tasks, .* 'braille' cannot"
    ):
        keras_mtl.add_task(model, "braille", 5, allocation=[[1, 0, 0], [1, 1, 1]])


def test_one_task_with_shared_data_cannot_be_joined_by_another():
    model = network(keras_mtl.build_gumbel_matrix, tasks={"only": 3})
    with refused('A model of one task with shared data has no rows.*task_data="separate"'):
        keras_mtl.add_task(model, "braille", 5)


def test_an_allocation_for_a_learned_one_is_an_error():
    with refused("allocation has 1 rows, but 0 layers have a given allocation"):
        keras_mtl.add_task(gumbel(stack=[[dense] * 3]), "braille", 5, allocation=[[1, 0, 0]])


def test_a_probability_for_a_given_allocation_is_an_error():
    model = network(keras_mtl.build_shared_bottom)
    with refused("init_probability was given, but no layer learns an allocation"):
        keras_mtl.add_task(model, "braille", 5, init_probability=0.5)
