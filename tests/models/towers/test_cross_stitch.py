from functools import partial

import keras
import numpy as np
import pytest

from keras_mtl import build_cross_stitch, build_single_tasks
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
    after,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    bilstm,
    give,
    randomized_like,
    reached,
    reloaded,
    scrambled,
    tagger,
    tags,
    trained,
)

ALPHA = np.array([[1, 2, -1], [0.5, 0, 3], [-2, 0.25, 1]], "float32")
NAMES = list(TASKS)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def stitched(**settings):
    """Builds two layers of a tower for each of three tasks, with random weights."""
    return scrambled(network(build_cross_stitch, **settings))


# Limiting cases


def test_the_identity_is_single_tasks():
    single = scrambled(network(build_single_tasks))
    towers = randomized_like(single, network(build_cross_stitch, alpha="identity"))
    assert_equal_answers(answers(towers), answers(single))


def test_the_identity_passes_no_gradient_between_tasks():
    model = give(stitched(), np.eye(3))
    for number, task in enumerate(NAMES, start=1):
        own = {f"component_{layer}_{number}" for layer in (1, 2)}
        assert reached(model, task) - {task} == own | {"stitch_1", "stitch_2"}


def test_other_weights_let_every_tower_learn_from_every_task():
    model = give(stitched(), ALPHA)
    towers = {f"component_{layer}_{number}" for layer in (1, 2) for number in (1, 2, 3)}
    assert towers - reached(model, "color") == set()
    assert towers - reached(model, "animal") == {"component_2_2"}  # alpha[1, 1] = 0


def test_the_identity_is_a_stock_network_per_task():
    model = give(tagger(build_cross_stitch, [[bilstm] * 2] * 2), np.eye(2))
    for number, task in enumerate(TAGS, start=1):
        layers = [model.get_layer(f"component_{depth}_{number}") for depth in (1, 2)]
        x = model.get_layer("stem_1")(TOKENS)
        features = keras.ops.concatenate(stock_directions(layers, x), axis=-1)
        kernel, bias = model.get_layer(task).get_weights()
        expected = array(keras.ops.softmax(array(features) @ kernel + bias))
        np.testing.assert_allclose(tags(model)[task], expected, rtol=1e-5, atol=1e-6)


def stock_directions(layers, x):
    """Returns what two stacks of stock LSTMs say, one on the reversed sequence."""
    ways = []
    for place in (slice(0, 3), slice(3, 6)):
        features = x if place.start == 0 else keras.ops.flip(x, axis=1)
        for layer in layers:
            stock = keras.layers.LSTM(4, return_sequences=True)
            stock.build(features.shape)
            stock.set_weights(layer.get_weights()[place])
            features = stock(features)
        ways.append(features if place.start == 0 else keras.ops.flip(features, axis=1))
    return ways


def test_equal_weights_give_all_tasks_the_same_features():
    model = give(stitched(), np.full((3, 3), 0.4))
    for layer in ("stitch_1", "stitch_2"):
        first, *others = after(model, layer)
        assert np.abs(first).max() > 0.01
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_equal_towers_that_are_averaged_are_one_tower():
    one = scrambled(keras.Sequential([keras.Input((5,)), dense(), dense()]))
    model = stitched(alpha="balanced")
    for depth, layer in enumerate(one.layers, start=1):
        for number in (1, 2, 3):
            model.get_layer(f"component_{depth}_{number}").set_weights(layer.get_weights())
    give(model, np.full((3, 3), 1 / 3))
    heads = {name: keras.layers.Dense(size, "softmax") for name, size in TASKS.items()}
    expected = {}
    for name, head in heads.items():
        head.build((None, 4))
        head.set_weights(model.get_layer(name).get_weights())
        expected[name] = array(head(one(X)))
    assert_equal_answers(answers(model), expected, 1e-5)


def test_a_list_is_mixed_after_its_components():
    model = give(stitched(), ALPHA)
    first = [array(model.get_layer(f"component_1_{number}")(X)) for number in (1, 2, 3)]
    np.testing.assert_allclose(
        after(model, "stitch_1"), np.tensordot(ALPHA, first, axes=1), rtol=1e-5, atol=1e-5
    )
    second = [
        array(model.get_layer(f"component_2_{number}")(x))
        for number, x in enumerate(after(model, "stitch_1"), start=1)
    ]
    np.testing.assert_allclose(
        after(model, "stitch_2"), np.tensordot(ALPHA, second, axes=1), rtol=1e-5, atol=1e-5
    )


def test_tasks_can_be_permuted_with_their_towers():
    model, order = give(stitched(), ALPHA), [2, 0, 1]
    tasks = {NAMES[old]: TASKS[NAMES[old]] for old in order}
    permuted = randomized_like(model, network(build_cross_stitch, tasks=tasks))
    for depth in (1, 2):
        for new, old in enumerate(order):
            weights = model.get_layer(f"component_{depth}_{old + 1}").get_weights()
            permuted.get_layer(f"component_{depth}_{new + 1}").set_weights(weights)
    found = answers(give(permuted, ALPHA[order][:, order]))
    assert_equal_answers({name: found[name] for name in NAMES}, answers(model), 1e-5)


def test_both_forms_of_data_answer_equally_with_equal_weights():
    settings = {"tower_units": (3,), "stem": [dense]}
    shared, separate = stitched(**settings), stitched(task_data="separate", **settings)
    copy_weights(shared, separate)
    assert_equal_answers(answers(shared), answers(separate), 1e-5)


def test_every_tower_reads_every_example_of_every_task():
    model = give(stitched(task_data="separate"), ALPHA)
    mixed = array(model({"inputs": X, "task_id": np.array([2, 0, 1, 1, 2, 0])}))
    alone = answers(model)
    for row, task_id in enumerate([2, 0, 1, 1, 2, 0]):
        name = NAMES[task_id]
        np.testing.assert_allclose(
            mixed[row, : TASKS[name]], alone[name][row], rtol=1e-5, atol=1e-6
        )


# Parts


def test_layers_are_named_by_role_and_place(task_data):
    model = network(
        build_cross_stitch,
        [[dense] * 3, partial(keras.layers.Dropout, 0.5), [dense] * 3],
        stem=[dense],
        tower_units=(3, 2),
        task_data=task_data,
    )
    names = {layer.name for layer in model.layers}
    assert {"stem_1", "stitch_1", "layer_2", "stitch_2", "component_2_3"} <= names
    assert {f"tower_{depth}_{number}" for depth in (1, 2) for number in (1, 2, 3)} <= names
    assert model.get_layer("tower_2_1").units == 2
    assert [stitch.alpha.shape for stitch in stitches(model)] == [(3, 3)] * 2
    assert model.get_layer("stitch_1").weights[0].path.endswith("stitch_1/alpha")


def stitches(model):
    return [layer for layer in model.layers if layer.name.startswith("stitch")]


def test_stem_and_bare_layers_are_the_same_for_all_towers():
    model = stitched(layers=[dense, [dense] * 3, dense, [dense] * 3], stem=[dense], alpha=ALPHA)
    for task in NAMES:
        assert {"stem_1", "layer_1", "layer_3"} <= reached(model, task)
    before = after(model, "stitch_1")
    again = [array(model.get_layer("layer_3")(x)) for x in before]
    second = [
        array(model.get_layer(f"component_2_{number}")(x)) for number, x in enumerate(again, 1)
    ]
    np.testing.assert_allclose(
        after(model, "stitch_2"),
        np.tensordot(model.get_layer("stitch_2").alpha, second, axes=1),
        rtol=1e-4,
        atol=1e-5,
    )


def test_there_is_a_weight_for_each_pair_of_tasks_and_list():
    count = {}
    for per_channel in (False, True):
        model = network(build_cross_stitch, per_channel=per_channel)
        count[per_channel] = sum(stitch.count_params() for stitch in stitches(model))
    assert count == {False: 2 * 9, True: 2 * 9 * 4}


def test_convolutional_towers_may_mix_channel_by_channel():
    conv = partial(keras.layers.Conv2D, 2, 3, padding="same", activation="relu")
    pool = partial(keras.layers.AveragePooling2D, 2)
    layers = [[conv] * 2, pool, [conv] * 2, keras.layers.Flatten]
    model = scrambled(
        build_cross_stitch(keras.Input((4, 6, 3)), {"a": 2, "b": 5}, layers, per_channel=True)
    )
    x = np.random.default_rng(1).normal(size=(6, 4, 6, 3)).astype("float32")
    features = [array(model.get_layer(f"component_1_{number}")(x)) for number in (1, 2)]
    alpha = model.get_layer("stitch_1").alpha
    assert alpha.shape == (2, 2, 2)
    np.testing.assert_allclose(
        after(model, "stitch_1", x),
        np.einsum("tsc,s...c->t...c", alpha, features),
        rtol=1e-4,
        atol=1e-5,
    )
    assert {name: y.shape for name, y in answers(model, x).items()} == {"a": (6, 2), "b": (6, 5)}


def test_one_task_is_a_plain_network():
    model = scrambled(network(build_cross_stitch, [[dense]], {"only": 3}))
    give(model, [[1.0]])
    head = model.get_layer("only").get_weights()
    features = array(model.get_layer("component_1_1")(X))
    expected = keras.ops.softmax(features @ head[0] + head[1])
    np.testing.assert_allclose(answers(model)["only"], array(expected), rtol=1e-5)


# Masks, precision, files, seeds


def test_padded_steps_change_nothing():
    assert_padding_is_ignored(tagger(build_cross_stitch, [[bilstm] * 2] * 2))


def test_half_precision_trains():
    make = partial(network, build_cross_stitch, task_data="separate")
    assert_trains_in("mixed_bfloat16", make)


@pytest.mark.slow
def test_weights_of_pairs_learn_and_are_saved(tmp_path, task_data):
    model = network(build_cross_stitch, task_data=task_data)
    before = model.get_layer("stitch_1").alpha
    trained(model)
    assert np.abs(model.get_layer("stitch_1").alpha - before).max() > 1e-4
    loaded = reloaded(model, tmp_path)
    assert_equal_answers(answers(loaded), answers(model), 0)
    for layer in ("stitch_1", "stitch_2"):
        np.testing.assert_array_equal(loaded.get_layer(layer).alpha, model.get_layer(layer).alpha)


def test_seeds_reproduce():
    assert_seeds_reproduce(partial(network, build_cross_stitch))


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_a_list_has_a_component_per_task():
    wanted = "List 2 of `layers` has 2 components, but towers need one for each of 3 tasks: color"
    with refused(wanted):
        network(build_cross_stitch, [[dense] * 3, dense, [dense] * 2])


@pytest.mark.parametrize("layers", [[], [dense]], ids=["none", "bare"])
def test_towers_need_a_list(layers):
    with refused("layers has no list of components, one per task, so there is nothing to stitch"):
        network(build_cross_stitch, layers)


def test_towers_have_one_shape_where_they_meet():
    wide = partial(keras.layers.Dense, 6)
    with refused(r"list 1 of `layers` must have one output shape.*component_1_2: \(None, 6\)"):
        network(build_cross_stitch, [[dense, wide, dense]])


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ("diagonal", "alpha must be one of 'imbalanced', .*Received: 'diagonal'"),
        (np.eye(2), r"alpha must be a number or an array of shape \(3, 3\)"),
    ],
    ids=["name", "shape"],
)
def test_the_start_is_known(alpha, message):
    with refused(message):
        network(build_cross_stitch, alpha=alpha)
