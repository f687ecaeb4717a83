from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl import build_recursive_routing, build_shared_bottom
from tests.models.networks import array, assert_equal_answers, copy_weights
from tests.models.recurrent_networks import (
    LABELS,
    MIXED,
    PADDED,
    SENTENCES,
    answered,
    assert_frozen,
    assert_learns,
)
from tests.models.recurrent_networks import network as built
from tests.models.tower_networks import (
    TAGS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    embed,
    reloaded,
    trained,
)

WIDE = (embed, partial(layers.Dense, 12))  # 12 = 4 * 3 units, for a depth above 1
ROUTES = [[2, 0], [1, 0], [1, 1]]  # of up to T = 3 tasks, depth 2


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(tasks=SENTENCES, routes=ROUTES, **settings):
    """Builds a small network with random weights, whose tasks have the given routes."""
    settings = {"stem": WIDE, "units": 3, "num_functions": 3, "depth": 2} | settings
    model = built(build_recursive_routing, tasks, **settings)
    table = 20.0 * np.eye(settings["num_functions"])[routes]
    model.get_layer("routed_lstm").logits.assign(table[: len(tasks)])
    return model


# Limiting cases


def test_one_function_of_depth_one_is_a_shared_lstm():
    settings = {"stem": [embed], "num_functions": 1, "depth": 1}
    model = network(routes=[[0]] * 3, **settings)
    bottom = build_shared_bottom(
        keras.Input((None,), dtype="int32"), SENTENCES, [partial(layers.LSTM, 3)],
        stem=[embed],
    )  # fmt: skip
    for name in ["stem_1", *SENTENCES]:
        bottom.get_layer(name).set_weights(model.get_layer(name).get_weights())
    routed = model.get_layer("routed_lstm")
    weights = (routed.kernel[0], routed.recurrent_kernel, routed.bias[0])
    bottom.get_layer("layer_1").set_weights([array(weight) for weight in weights])
    assert_equal_answers(answered(model), answered(bottom), 1e-5)


def test_tasks_of_one_route_have_the_same_features():
    tasks = {"first": 4, "second": 4, "third": 4}
    model = network(tasks, routes=[[2, 0], [1, 0], [2, 0]])
    for task in ("second", "third"):
        model.get_layer(task).set_weights(model.get_layer("first").get_weights())
    found = answered(model)
    np.testing.assert_allclose(found["first"], found["third"], rtol=1e-6)
    assert np.abs(found["first"] - found["second"]).max() > 1e-3


# Both forms of data, steps, padding


def test_both_forms_of_data_answer_equally_with_equal_weights():
    shared, separate = network(), network(task_data="separate")
    copy_weights(shared, separate)
    assert_equal_answers(answered(shared), answered(separate), 1e-5)


def test_with_separate_data_an_example_takes_the_route_of_its_task():
    model = network({"a": 3, "b": 5, "c": 2}, task_data="separate")
    task_id = np.array([2, 0, 1, 1, 2, 0], "int32")
    mixed, alone = array(model({"inputs": PADDED, "task_id": task_id})), answered(model)
    for row, place in enumerate(task_id):
        name, task = list(model.tasks.items())[place]
        np.testing.assert_allclose(mixed[row, : task.size], alone[name][row], rtol=1e-5, atol=1e-6)


def test_tasks_per_step_and_others_stand_side_by_side():
    assert {task: y.shape for task, y in answered(network(MIXED)).items()} == {
        "mood": (6, 1), "pos": (6, 4, 5), "topic": (6, 4)
    }  # fmt: skip


def test_padded_steps_change_nothing():
    assert_padding_is_ignored(network(TAGS, task_data="separate"))


# Training, files


@pytest.mark.slow
def test_it_learns(task_data):
    assert_learns(network(task_data=task_data))


@pytest.mark.slow
def test_the_table_learns(task_data):
    model = network(task_data=task_data, temperature=2.0)
    routed = model.get_layer("routed_lstm")
    routed.logits.assign(np.zeros((3, 2, 3)))
    trained(model, PADDED, LABELS)
    assert np.all(np.any(array(routed.logits) != 0, axis=-1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "task_data"), [("mixed_float16", "shared"), ("mixed_bfloat16", "separate")]
)
def test_half_precision_trains(policy, task_data):
    assert_trains_in(policy, partial(network, task_data=task_data), PADDED, LABELS)


def test_networks_are_saved(tmp_path):
    model = network()
    assert_equal_answers(answered(reloaded(model, tmp_path)), answered(model), 0)


def test_seeds_reproduce():
    def make(seed):
        return build_recursive_routing(keras.Input((7, 8)), SENTENCES, units=2, seed=seed)

    assert_seeds_reproduce(make)


# Freezing


@pytest.mark.parametrize(
    ("tasks", "task_data"), [(SENTENCES, "separate"), (TAGS, "shared")], ids=["last", "steps"]
)
def test_frozen_networks_are_stock_layers(tasks, task_data):
    assert_frozen(network(tasks, task_data=task_data), {task: set() for task in tasks})


def routes_left(frozen):
    return {layer.name for layer in frozen.layers if layer.name.startswith("routed_lstm")}


def test_a_frozen_task_keeps_the_functions_on_its_route():
    model = network()
    left = {task: routes_left(keras_mtl.freeze(model, task)) for task in SENTENCES}
    assert left == {
        "mood": {"routed_lstm_function_3", "routed_lstm_lstm_1"},
        "topic": {"routed_lstm_function_2", "routed_lstm_lstm_1"},
        "stars": {"routed_lstm_function_2", "routed_lstm_lstm_2"},
    }


def test_frozen_tasks_share_what_their_routes_have_in_common():
    model = network()
    frozen = keras_mtl.freeze(model)
    names = {"function_2", "function_3", "lstm_1", "lstm_2"}
    assert routes_left(frozen) == {f"routed_lstm_{name}" for name in names}
    function, lstm = (12 + 1) * 12, (12 + 3 + 1) * 12
    stem, heads = 9 * 3 + (3 + 1) * 12, (3 + 1) * (1 + 4 + 1)
    assert frozen.count_params() == stem + 2 * function + 2 * lstm + heads


def test_freezing_again_follows_the_table():
    model = network()
    keras_mtl.freeze(model, "mood")
    routed = model.get_layer("routed_lstm")
    routed.kernel.assign(-routed.kernel)
    routed.logits.assign(20.0 * np.eye(3)[[[0, 2], [2, 0], [2, 2]]])
    assert_frozen(model, {task: set() for task in SENTENCES})


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_recursion_needs_a_wide_stem():
    wanted = r"width 4 \* units = 12. Received: \(None, None, 3\). End the stem with .*Dense\(12\)"
    with refused(wanted):
        network(stem=[embed])


def test_one_sequence_is_read():
    with refused(r"reads one sequence, \(batch, steps, features\).*Received: \(None, 5\)"):
        build_recursive_routing(keras.Input((5,)), SENTENCES)
