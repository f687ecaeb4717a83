import itertools
from functools import partial

import keras
import numpy as np
import pytest

from keras_mtl import build_low_supervision, build_shared_bottom, build_sluice
from keras_mtl.layers import JoinDirections
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    network,
)
from tests.models.tower_networks import (
    TAGS,
    TOKENS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    bilstm,
    lstm,
    reached,
    reloaded,
    scrambled,
    tagger,
    tags,
)

LEVELS = {"animal": 1, "shape": 2}


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def low(layers=None, levels=LEVELS, **settings):
    """Builds three layers, after each of which a task is predicted, with random weights."""
    layers = [dense] * 3 if layers is None else layers
    return scrambled(network(build_low_supervision, layers, levels=levels, **settings))


# Who learns from whom


def test_a_tasks_loss_has_no_gradient_above_its_level():
    model = low(stem=[dense])
    expected = {
        "animal": {"stem_1", "layer_1"},
        "shape": {"stem_1", "layer_1", "layer_2"},
        "color": {"stem_1", "layer_1", "layer_2", "layer_3"},
    }
    for task, layers in expected.items():
        assert reached(model, task) == layers | {task}


def test_a_task_is_predicted_after_its_level():
    model = low()
    features = X
    for name, level in (("animal", 1), ("shape", 2), ("color", 3)):
        features = array(model.get_layer(f"layer_{level}")(features))
        kernel, bias = model.get_layer(name).get_weights()
        expected = array(keras.ops.softmax(features @ kernel + bias))
        np.testing.assert_allclose(answers(model)[name], expected, rtol=1e-5)


def test_tagging_from_levels_is_a_stack_of_stock_lstms():
    model = tagger(build_low_supervision, [bilstm, bilstm], levels={"pos": 1})
    x = model.get_layer("stem_1")(TOKENS)
    for task, level in (("pos", 1), ("chunk", 2)):
        x = model.get_layer(f"layer_{level}")(x)
        kernel, bias = model.get_layer(task).get_weights()
        expected = array(keras.ops.softmax(array(JoinDirections()(x)) @ kernel + bias))
        np.testing.assert_allclose(tags(model)[task], expected, rtol=1e-5, atol=1e-6)


# Limiting cases


def test_without_levels_it_is_a_shared_bottom():
    layers = [dense, [dense] * 3, dense]
    shared = scrambled(network(build_shared_bottom, layers))
    model = low(layers, levels={})
    copy_weights(shared, model)
    assert_equal_answers(answers(model), answers(shared), 1e-5)


def test_sluice_networks_contain_it():
    model = low([dense] * 3)
    towers = network(
        build_sluice,
        [[dense] * 3] * 3,
        preset="low_supervision",
        levels=LEVELS,
        num_subspaces=1,
    )
    for depth, number in itertools.product((1, 2, 3), (1, 2, 3)):
        weights = model.get_layer(f"layer_{depth}").get_weights()
        towers.get_layer(f"component_{depth}_{number}").set_weights(weights)
    for head in TASKS:
        towers.get_layer(head).set_weights(model.get_layer(head).get_weights())
    assert_equal_answers(answers(towers), answers(model), 1e-5)


def test_both_forms_of_data_answer_equally_with_equal_weights():
    settings = {"layers": [dense, [dense] * 2, dense], "stem": [dense]}
    shared, separate = low(**settings), low(task_data="separate", **settings)
    copy_weights(shared, separate)
    assert_equal_answers(answers(shared), answers(separate), 1e-5)


@pytest.mark.parametrize(("combine", "divisor"), [("mean", 2), ("sum", 1)])
def test_all_tasks_use_all_components_of_a_list(combine, divisor):
    model = low([[dense] * 2, dense], levels={"animal": 1}, combine=combine)
    components = model.get_layer("modular_1").components
    features = sum(array(component(X)) for component in components) / divisor
    kernel, bias = model.get_layer("animal").get_weights()
    expected = array(keras.ops.softmax(features @ kernel + bias))
    np.testing.assert_allclose(answers(model)["animal"], expected, rtol=1e-5)


def test_levels_count_lists_and_bare_layers_but_not_the_stem():
    drop = partial(keras.layers.Dropout, 0.5)
    model = low([drop, [dense] * 2, dense], levels={"animal": 2}, stem=[dense, drop])
    names = {"stem_1", "component_1_1", "component_1_2", "animal"}
    assert reached(model, "animal") == names
    assert reached(model, "color") == names - {"animal"} | {"layer_3", "color"}


def test_levels_may_have_different_widths_when_all_tasks_share_their_data():
    wide = partial(keras.layers.Dense, 7)
    model = low([dense, wide, dense])
    sizes = {name: model.get_layer(name).get_weights()[0].shape[0] for name in TASKS}
    assert sizes == {"color": 4, "animal": 4, "shape": 7}
    with refused(r"features before the heads must have one shape.*\(None, 4\), \(None, 7\)"):
        low([dense, wide, dense], task_data="separate")


def test_one_task_is_a_plain_network():
    model = low(levels={"only": 2}, tasks={"only": 3})
    assert reached(model, "only") == {"layer_1", "layer_2", "only"}


# Masks, precision, files, seeds


def test_padded_steps_change_nothing():
    model = tagger(
        build_low_supervision, [lstm, [lstm] * 2], levels={"pos": 1}, task_data="separate"
    )
    assert_padding_is_ignored(model)


def test_half_precision_trains():
    settings = {"levels": LEVELS, "task_data": "separate"}
    make = partial(network, build_low_supervision, [dense] * 3, **settings)
    assert_trains_in("mixed_float16", make)


def test_networks_are_saved(tmp_path):
    model = low([dense, [dense] * 2, dense])
    assert_equal_answers(answers(reloaded(model, tmp_path)), answers(model), 0)


def test_convolutions_may_be_predicted_from():
    conv = partial(keras.layers.Conv2D, 2, 3, padding="same", activation="relu")
    pool = keras.layers.GlobalAveragePooling2D
    layers = [[conv] * 2, pool, dense]
    model = scrambled(
        build_low_supervision(keras.Input((4, 6, 3)), {"a": 2, "b": 5}, layers, levels={"a": 2})
    )
    x = np.random.default_rng(0).normal(size=(6, 4, 6, 3)).astype("float32")
    assert {name: y.shape for name, y in answers(model, x).items()} == {"a": (6, 2), "b": (6, 5)}
    assert "layer_3" not in reached(model, "a", x)


def test_seeds_reproduce():
    assert_seeds_reproduce(partial(network, build_low_supervision, levels=LEVELS))


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("level", [0, 4, -1, 1.5])
def test_a_level_is_an_entry_of_layers(level):
    wanted = "levels gives task 'animal' the level .*, but `layers` has 3 entries: .* from 1 to 3"
    with refused(wanted):
        low(levels={"animal": level})


def test_levels_name_tasks():
    with refused("levels names 'pos', which is no task. Tasks: color, animal, shape"):
        low(levels={"pos": 1})


def test_a_task_cannot_be_predicted_where_features_are_no_vector():
    conv = partial(keras.layers.Conv1D, 2, 2)
    with refused("Task 'a' of kind 'classes' needs features of shape .*Flatten"):
        build_low_supervision(
            keras.Input((4, 3)), {"a": 2, "b": 5}, [conv, keras.layers.Flatten], levels={"a": 1}
        )


def test_tags_need_the_axis_of_time():
    pool = keras.layers.GlobalAveragePooling1D
    with refused("Task 'chunk' of kind 'tagging' needs features of shape .*Keep the time axis"):
        tagger(build_low_supervision, [lstm, pool], levels={"pos": 1})
    assert set(TAGS) == {"chunk", "pos"}
