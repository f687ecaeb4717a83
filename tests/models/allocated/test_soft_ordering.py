from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import build_shared_bottom, build_soft_ordering
from tests.gradients import gradients
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
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    bilstm,
    inputs_for,
    lstm,
    paths_reached,
    reached,
    reloaded,
    scrambled,
    tagger,
    trained,
)

NAMES = list(TASKS)
ORDERS = np.array([[0, 1, 2], [2, 0, 1], [1, 1, 0]])  # (task, depth) -> component
embed = [dense]  # 5 features to the 4 that components keep


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def soft(layers=None, stem=embed, **settings):
    """Builds three components to be put in order, with random weights and scores."""
    layers = [[dense] * 3] if layers is None else layers
    return scrambled(network(build_soft_ordering, layers, stem=stem, **settings))


def in_order(model, orders):
    """Gives scores that choose one component for every task and depth, as good as certainly."""
    for depth, chosen in enumerate(np.transpose(orders), start=1):
        allocation = model.get_layer(f"allocation_{depth}")
        scores = np.full(allocation.scores.shape, -200.0)
        scores[np.arange(len(chosen)), chosen] = 0
        allocation.scores.assign(scores)
    return model


def expected_answers(model, through):
    """Returns what heads say to the features that `through(x, task_id)` makes of the stem's."""
    found = {}
    for task_id, name in enumerate(NAMES):
        features = through(array(model.get_layer("stem_1")(X)), task_id)
        kernel, bias = model.get_layer(name).get_weights()
        found[name] = array(keras.ops.softmax(features @ kernel + bias))
    return found


# Limiting cases


def test_each_component_at_its_own_depth_is_a_plain_stack():
    model = in_order(soft(), [[0, 1, 2]] * 3)
    stack = network(build_shared_bottom, [dense] * 3, stem=embed)
    for number, component in enumerate(model.get_layer("modular_1").components, start=1):
        stack.get_layer(f"layer_{number}").set_weights(component.get_weights())
    for name in ["stem_1", *TASKS]:
        stack.get_layer(name).set_weights(model.get_layer(name).get_weights())
    assert_equal_answers(answers(model), answers(stack), 1e-5)


def test_every_task_may_have_its_own_order():
    model = in_order(soft(), ORDERS)
    components = model.get_layer("modular_1").components

    def through(x, task_id):
        for component in ORDERS[task_id]:
            x = array(components[component](x))
        return x

    assert_equal_answers(answers(model), expected_answers(model, through), 1e-5)


def test_at_first_every_depth_averages_the_components():
    model = network(build_soft_ordering, [[dense] * 3], stem=embed)
    shared = network(build_soft_ordering, [[dense] * 3], stem=embed)
    copy_weights(shared, model)
    components = shared.get_layer("modular_1").components

    def through(x, task_id):
        for _ in range(3):
            x = np.mean([array(component(x)) for component in components], axis=0)
        return x

    assert_equal_answers(answers(model), expected_answers(shared, through), 1e-5)


def test_scores_weigh_the_components_of_a_depth():
    model = soft(num_depths=2)
    components = model.get_layer("modular_1").components
    weights = keras_mtl.allocation(model)

    def through(x, task_id):
        for row in (matrix[task_id] for matrix in weights):
            x = sum(w * array(c(x)) for w, c in zip(row, components, strict=True))
        return x

    assert_equal_answers(answers(model), expected_answers(model, through), 1e-5)


# The two forms of data


def test_both_forms_of_data_answer_equally_with_equal_weights():
    settings = {"layers": [dense, [dense] * 3, dense, [dense] * 2]}
    shared, separate = soft(**settings), soft(task_data="separate", **settings)
    for layer in separate.layers:
        if layer.name.startswith("allocation"):
            layer.set_weights(shared.get_layer(layer.name).get_weights())
    copy_weights(shared, separate)
    for training in (False, True):
        assert_equal_answers(
            answers(shared, training=training), answers(separate, training=training), 1e-5
        )


def test_one_batch_may_hold_examples_of_all_tasks():
    model = soft(task_data="separate")
    task_id = np.array([2, 0, 1, 1, 2, 0], "int32")
    mixed = array(model({"inputs": X, "task_id": task_id}))
    alone = answers(model)
    for row, task in enumerate(NAMES[place] for place in task_id):
        np.testing.assert_allclose(
            mixed[row, : TASKS[task]], alone[task][row], rtol=1e-5, atol=1e-6
        )


def test_shared_data_is_repeated_for_every_task_only_where_tasks_differ():
    model = soft([[dense] * 3, dense])
    stem = keras.Model(model.input, model.get_layer("stem_1").output)
    ordered = keras.Model(model.input, model.get_layer("layer_2").output)
    assert tuple(stem(X).shape) == (6, 4) and tuple(ordered(X).shape) == (18, 4)


# Parts


@pytest.mark.parametrize(("num_depths", "expected"), [(None, 3), (1, 1), (5, 5)])
def test_components_are_the_same_at_every_depth(num_depths, expected):
    model = soft(num_depths=num_depths)
    assert [m.shape for m in keras_mtl.allocation(model)] == [(3, 3)] * expected
    count = model.count_params() - expected * 9
    assert count == (5 * 4 + 4) + 3 * (4 * 4 + 4) + (4 + 1) * (2 + 7 + 4)


def test_depths_are_numbered_through_all_lists():
    model = soft([[dense] * 2, dense, [dense] * 3], num_depths=None)
    assert [matrix.shape for matrix in keras_mtl.allocation(model)] == [(3, 2)] * 2 + [(3, 3)] * 3
    names = {layer.name for layer in model.layers}
    assert {"modular_1", "modular_2", "layer_2", "allocation_1", "allocation_5"} <= names
    assert "allocation_6" not in names


def test_all_tasks_learn_all_components_and_their_own_scores():
    model = soft()
    components = {"component_1_1", "component_1_2", "component_1_3"}
    for task in NAMES:
        assert components | {"stem_1"} <= reached(model, task)
    rows = scores_reached(model, "animal")
    np.testing.assert_array_equal(rows, np.tile([[False], [True], [False]], (3, 1, 1)))
    assert sum(path.endswith("scores") for path in paths_reached(model, "color")) == 3


def scores_reached(model, task):
    """Returns for each depth which rows of the scores a task's answer has a gradient on."""
    scores = [v for v in model.trainable_variables if v.path.endswith("scores")]

    def answer():
        outputs = model(inputs_for(model, task, X))
        outputs = outputs[task] if model.task_data == "shared" else outputs
        return keras.ops.sum(outputs[:, 0])

    return [np.any(slope != 0, axis=1, keepdims=True) for slope in gradients(answer, scores)]


def test_one_component_is_used_at_every_depth_without_scores():
    model = soft([[dense]], num_depths=2)
    component = model.get_layer("component_1_1")
    features = array(component(component(model.get_layer("stem_1")(X))))
    kernel, bias = model.get_layer("color").get_weights()
    expected = array(keras.ops.softmax(features @ kernel + bias))
    np.testing.assert_allclose(answers(model)["color"], expected, rtol=1e-5)
    assert not any("allocation" in layer.name for layer in model.layers)


def test_one_task_learns_an_order_too():
    model = trained(soft(tasks={"color": 2}))
    assert [matrix.shape for matrix in keras_mtl.allocation(model)] == [(1, 3)] * 3
    assert answers(model)["color"].shape == (6, 2)


def test_convolutions_may_be_put_in_order():
    conv = partial(keras.layers.Conv2D, 3, 2, padding="same", activation="relu")
    layers = [[conv] * 2, keras.layers.Flatten]
    model = scrambled(build_soft_ordering(keras.Input((4, 6, 3)), {"a": 2, "b": 5}, layers))
    x = np.random.default_rng(0).normal(size=(6, 4, 6, 3)).astype("float32")
    assert {name: y.shape for name, y in answers(model, x).items()} == {"a": (6, 2), "b": (6, 5)}


# Masks, precision, files, seeds


def test_padded_steps_change_nothing():
    same = partial(keras.layers.LSTM, 3, return_sequences=True)  # embeddings have 3 features
    assert_padding_is_ignored(tagger(build_soft_ordering, [[same] * 2]))


@pytest.mark.slow
def test_sequences_of_both_directions_may_be_put_in_order():
    model = tagger(build_soft_ordering, [bilstm, [bilstm] * 2])
    assert_padding_is_ignored(model)


def test_half_precision_trains():
    make = partial(network, build_soft_ordering, [[dense] * 3], stem=embed)
    assert_trains_in("mixed_float16", make)


def test_scores_learn_and_are_saved(tmp_path):
    model = trained(network(build_soft_ordering, [[dense] * 3], stem=embed))
    matrices = keras_mtl.allocation(model)
    assert all(np.abs(matrix - 1 / 3).max() > 1e-5 for matrix in matrices)
    loaded = reloaded(model, tmp_path)
    assert_equal_answers(answers(loaded), answers(model), 0)
    np.testing.assert_array_equal(keras_mtl.allocation(loaded), matrices)


def test_seeds_reproduce():
    assert_seeds_reproduce(partial(network, build_soft_ordering, [[dense] * 3], stem=embed))


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("num_depths", [0, -1])
def test_there_is_at_least_one_depth(num_depths):
    with refused(f"num_depths must be an integer of at least 1. Received: {num_depths}"):
        soft(num_depths=num_depths)


def test_components_keep_the_shape_of_their_input():
    wanted = r"list 2 of `layers` are used at several depths.*\(None, 4\) became \(None, 6\)"
    wide = partial(keras.layers.Dense, 6)
    with refused(wanted):
        soft([[dense] * 2, [wide] * 3])


def test_sequences_may_not_become_vectors():
    with refused(r"list 1 of `layers` .*output must have the shape of their input"):
        tagger(build_soft_ordering, [lstm, [partial(keras.layers.LSTM, 4)] * 2])
