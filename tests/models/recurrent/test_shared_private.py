from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mtl
from keras_mtl import build_shared_bottom, build_shared_private
from keras_mtl.layers import SubspaceOrthogonality
from tests.gradients import gradients
from tests.models.networks import array, assert_equal_answers, copy_weights
from tests.models.tower_networks import (
    TAGS,
    TOKENS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    called,
    compiled,
    embed,
    inputs_for,
    reloaded,
    scrambled,
    trained,
)

SENTENCES = {"mood": "binary", "topic": 4, "stars": "regression"}  # T = 3, one label each
MIXED = {"mood": "binary", "pos": keras_mtl.Task("tagging", 5), "topic": 4}
LABELS = {
    "mood": np.arange(6) % 2,
    "topic": np.arange(6) % 4,
    "stars": np.linspace(-1, 1, 6).astype("float32"),
    "pos": np.tile(np.arange(4), (6, 1)),
}
PADDED = np.where(np.arange(4) < np.array([4, 2, 3, 1, 4, 3])[:, None], TOKENS, 0)
NAMES = ["shared", "private_1", "private_2", "private_3"]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(tasks=SENTENCES, seed=0, **settings):
    """Builds a small network that reads tokens, with random weights."""
    tokens = keras.Input((None,), dtype="int32")
    settings = {"stem": [embed], "units": 3} | settings
    return scrambled(build_shared_private(tokens, tasks, seed=seed, **settings))


def plain(**settings):
    weights = {"adversarial_weight": 0, "orthogonality_weight": 0}
    return network(**weights | settings)


def state(model, name, x=PADDED):
    """Returns what an LSTM of the network says at the last token of each sentence."""
    tokens = model.input["inputs"] if model.task_data == "separate" else model.input
    features = keras.Model(tokens, model.get_layer(name).output)(x)
    return array(features)[np.arange(len(x)), (x != 0).sum(axis=1) - 1]


def answered(model, x=PADDED):
    """Returns each task's answers, from a compiled model where an eager one is slow."""
    found = {}
    for task, spec in model.tasks.items():
        outputs = called(model, inputs_for(model, task, x))
        if isinstance(outputs, dict):
            outputs = outputs[task if model.task_data == "shared" else spec.kind]
        found[task] = array(outputs)[..., : spec.size]
    return found


# Limiting cases


def test_a_zero_private_part_is_fully_shared():
    model = network(task_data="separate")
    for name in NAMES[1:]:
        lstm = model.get_layer(name)
        lstm.set_weights([np.zeros_like(weight) for weight in lstm.get_weights()])
    bottom = build_shared_bottom(
        keras.Input((None,), dtype="int32"), SENTENCES, [partial(layers.LSTM, 3)],
        stem=[embed], task_data="separate",
    )  # fmt: skip
    bottom.get_layer("stem_1").set_weights(model.get_layer("stem_1").get_weights())
    bottom.get_layer("layer_1").set_weights(model.get_layer("shared").get_weights())
    kernel, bias = model.get_layer("heads").get_weights()
    bottom.get_layer("heads").set_weights([kernel[3:], bias])
    assert_equal_answers(answered(model), answered(bottom), 1e-5)


def test_without_penalties_it_is_plain_shared_private(task_data):
    model = plain(task_data=task_data)
    names = {layer.name for layer in model.layers}
    assert not {"adversarial_penalty", "orthogonality_penalty", "last_state"} & names
    assert model.losses == []
    lstms = 4 * (4 * 3 * (3 + 3 + 1))
    assert model.count_params() == 9 * 3 + lstms + (6 + 1) * (1 + 4 + 1)


@pytest.mark.slow
def test_a_head_reads_private_then_shared_states():
    model = plain()
    for number, task in enumerate(SENTENCES, start=1):
        own, shared = state(model, f"private_{number}"), state(model, "shared")
        kernel, bias = model.get_layer(task).get_weights()
        logits = np.concatenate([own, shared], axis=-1) @ kernel + bias
        activation = {"mood": ops.sigmoid, "topic": ops.softmax, "stars": lambda x: x}[task]
        expected = array(activation(logits))
        np.testing.assert_allclose(answered(model)[task], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_penalties_change_no_answer(task_data):
    model = network(task_data=task_data, orthogonality_weight=7.0)
    other = plain(task_data=task_data)
    copy_weights(model, other)
    assert_equal_answers(answered(model), answered(other), 0)


@pytest.mark.slow
def test_both_forms_of_data_answer_equally_with_equal_weights():
    shared, separate = network(), network(task_data="separate", adversarial_weight=0)
    copy_weights(shared, separate)
    assert_equal_answers(answered(shared), answered(separate), 1e-5)


@pytest.mark.slow
def test_with_separate_data_an_examples_private_state_is_that_of_its_task():
    model = network(task_data="separate", tasks={"a": 3, "b": 5, "c": 2})
    task_id = np.array([2, 0, 1, 1, 2, 0], "int32")
    mixed, alone = array(model({"inputs": PADDED, "task_id": task_id})), answered(model)
    for row, place in enumerate(task_id):
        name, task = list(model.tasks.items())[place]
        np.testing.assert_allclose(mixed[row, : task.size], alone[name][row], rtol=1e-5, atol=1e-6)


# Who learns from what


def reached(model, what):
    """Returns the layers in which a number has a gradient on a variable."""
    variables = model.trainable_variables
    pairs = zip(variables, gradients(what, variables), strict=True)
    return {variable.path.split("/")[0] for variable, slope in pairs if np.any(slope != 0)}


def test_a_task_learns_in_the_shared_part_and_in_its_own():
    model = network()
    given = inputs_for(model, "topic", PADDED)

    def answer():
        return ops.sum(model(given)["topic"][:, 0])

    assert reached(model, answer) == {"stem_1", "shared", "private_2", "topic"}


def penalty_of(model, given, name):
    def penalty():
        model(given)
        return sum(model.get_layer(name).losses)

    return penalty


def test_the_adversary_teaches_the_shared_part_only():
    model = network(task_data="separate", orthogonality_weight=0)
    given = {"inputs": PADDED, "task_id": np.array([2, 0, 2, 2, 0, 2], "int32")}
    found = reached(model, penalty_of(model, given, "adversarial_penalty"))
    assert found == {"stem_1", "shared", "adversarial_penalty"}


@pytest.mark.slow
def test_orthogonality_teaches_the_shared_part_and_the_tasks_of_the_batch():
    model = network(task_data="separate", orthogonality_weight=1.0)
    given = {"inputs": PADDED, "task_id": np.array([2, 0, 2, 2, 0, 2], "int32")}
    found = reached(model, penalty_of(model, given, "orthogonality_penalty"))
    assert found == {"stem_1", "shared", "private_1", "private_3"}
    model = network(orthogonality_weight=1.0)
    found = reached(model, penalty_of(model, PADDED, "orthogonality_penalty"))
    assert found == {"stem_1", *NAMES}


def test_penalties_judge_the_last_states_that_are_no_padding():
    model = network(
        task_data="separate", orthogonality_weight=0.5, orthogonality_reduction="sum",
        adversarial_weight=0.2,
    )  # fmt: skip
    task_id = np.array([2, 0, 1, 1, 2, 0], "int32")
    model({"inputs": PADDED, "task_id": task_id})
    shared = state(model, "shared")
    expected = 0.0
    for place in range(3):
        rows = task_id == place
        expected += np.sum((shared[rows].T @ state(model, f"private_{place + 1}")[rows]) ** 2)
    penalty = model.get_layer("orthogonality_penalty").penalties["orthogonality_penalty"]
    np.testing.assert_allclose(array(penalty.value), 0.5 * expected, rtol=1e-4)
    kernel, bias = model.get_layer("adversarial_penalty").get_weights()[:2]
    guesses = array(ops.log_softmax(shared @ kernel + bias))[np.arange(6), task_id]
    penalty = model.get_layer("adversarial_penalty").penalties["adversarial_penalty"]
    np.testing.assert_allclose(array(penalty.value), -0.2 * guesses.mean(), rtol=1e-4)


# Training


@pytest.mark.slow
def test_penalties_are_in_the_loss_and_in_the_logs(task_data):
    model = compiled(network(task_data=task_data, orthogonality_weight=0.7))
    if task_data == "shared":
        labels = {task: LABELS[task] for task in SENTENCES}
        logs = model.evaluate(PADDED, labels, batch_size=6, return_dict=True, verbose=0)
        of_tasks = sum(logs[f"{task}_loss"] for task in SENTENCES)
        names = ["orthogonality_penalty"]
    else:
        data = {task: (PADDED[:4], LABELS[task][:4]) for task in SENTENCES}
        batches = keras_mtl.task_batches(model.tasks, data, batch_size=4, seed=0)
        logs = model.evaluate(batches, return_dict=True, verbose=0)
        of_tasks = sum(logs[f"{task}_loss"] for task in SENTENCES) / 3
        names = ["adversarial_penalty", "orthogonality_penalty"]
    assert [name for name in logs if name.endswith("penalty")] == names
    assert all(logs[name] > 1e-3 for name in names)
    np.testing.assert_allclose(
        logs["loss"], of_tasks + sum(logs[name] for name in names), rtol=1e-4
    )


def test_a_regularizer_of_the_same_name_adds_up():
    weight = SubspaceOrthogonality(weight=1.0)
    stem = [embed, partial(layers.Dense, 4, kernel_regularizer=weight)]
    model = compiled(network(stem=stem, orthogonality_weight=0.7))
    labels = {task: LABELS[task] for task in SENTENCES}
    logs = model.evaluate(PADDED, labels, batch_size=6, return_dict=True, verbose=0)
    own = array(model.get_layer("orthogonality_penalty").weights[0].value)
    other = array(weight(ops.convert_to_tensor(model.get_layer("stem_2").kernel)))
    assert own > 1e-3 and other > 1e-3
    np.testing.assert_allclose(logs["orthogonality_penalty"], own + other, rtol=1e-5)


@pytest.mark.slow
def test_every_part_learns_and_is_saved(tmp_path, task_data):
    model = network(MIXED if task_data == "shared" else SENTENCES, task_data=task_data)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    trained(model, PADDED, LABELS)
    parts = NAMES + (["adversarial_penalty"] if task_data == "separate" else [])
    for name in parts:
        assert np.any(model.get_layer(name).get_weights()[0] != before[name][0]), name
    assert_equal_answers(answered(reloaded(model, tmp_path)), answered(model), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "task_data"), [("mixed_float16", "shared"), ("mixed_bfloat16", "separate")]
)
def test_half_precision_trains(policy, task_data):
    assert_trains_in(policy, partial(network, task_data=task_data), PADDED, LABELS)


def test_seeds_reproduce():
    def make(seed):
        tokens = keras.Input((None,), dtype="int32")
        return build_shared_private(
            tokens, SENTENCES, stem=[embed], units=3, task_data="separate", seed=seed
        )

    assert_seeds_reproduce(make)


# Steps and padding


def test_tasks_per_step_and_others_stand_side_by_side():
    model = network(tasks=MIXED)
    outputs = answered(model)
    assert {name: y.shape for name, y in outputs.items()} == {
        "mood": (6, 1), "pos": (6, 4, 5), "topic": (6, 4)
    }  # fmt: skip
    kernel, bias = model.get_layer("pos").get_weights()
    both = [
        array(keras.Model(model.input, model.get_layer(name).output)(PADDED))
        for name in ("private_2", "shared")
    ]
    expected = array(ops.softmax(np.concatenate(both, axis=-1) @ kernel + bias))
    np.testing.assert_allclose(outputs["pos"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [TAGS, SENTENCES], ids=["steps", "last"])
def test_padding_changes_no_answer(tasks, task_data):
    model = network(tasks=tasks, task_data=task_data)
    if tasks is TAGS:
        assert_padding_is_ignored(model)
        return
    padded = np.pad(PADDED, ((0, 0), (0, 3)))
    assert_equal_answers(answered(model, padded), answered(model), 1e-5)


# Freezing


@pytest.mark.parametrize(
    ("tasks", "task_data"),
    [(MIXED, "shared"), (SENTENCES, "separate")],
    ids=["shared-mixed", "separate-last"],
)
def test_a_frozen_network_answers_equally_and_holds_stock_layers(tasks, task_data):
    model = network(tasks=tasks, task_data=task_data)
    expected = answered(model)
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    assert not any("penalty" in variable.path for variable in frozen.variables)
    outputs = called(frozen, PADDED)
    assert_equal_answers({name: array(outputs[name]) for name in tasks}, expected)


def test_a_tasks_frozen_network_holds_its_own_private_part():
    model = network()
    alone = keras_mtl.freeze(model, "topic")
    lstms = {layer.name for layer in alone.layers if isinstance(layer, layers.LSTM)}
    assert lstms == {"shared", "private_2"}
    found = array(called(alone, PADDED))
    np.testing.assert_allclose(found, answered(model)["topic"], rtol=1e-6, atol=1e-6)


# Settings and errors


def test_the_adversary_is_for_separate_data():
    def weights(**settings):
        return {
            layer.name: layer.weight
            for layer in network(**settings).layers
            if layer.name.endswith("penalty")
        }

    assert weights() == {"orthogonality_penalty": 0.01}
    both = {"adversarial_penalty": 0.05, "orthogonality_penalty": 0.01}
    assert weights(task_data="separate") == both
    assert weights(adversarial_weight=0, orthogonality_weight=0.0) == {}


def test_weights_may_be_schedules(task_data):
    ramp = keras_mtl.RampSchedule(0.5, 9)
    settings = {"orthogonality_weight": ramp}
    if task_data == "separate":
        settings["adversarial_weight"] = ramp
    model = network(task_data=task_data, **settings)
    counted = [weight.path for weight in model.weights if weight.name == "updates"]
    assert counted == [
        f"{name.removesuffix('weight')}penalty/updates" for name in reversed(settings)
    ]


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_an_adversary_with_shared_data_is_an_error():
    with refused("adversarial_weight is for separate data: .* Received: adversarial_weight=0.05"):
        network(adversarial_weight=0.05)


@pytest.mark.parametrize("name", ["adversarial", "orthogonality"])
def test_negative_weights_are_errors(name):
    with refused(f"{name}_weight must be a number of at least 0 or a schedule. Received: -0.1"):
        network(task_data="separate", **{f"{name}_weight": -0.1})


def test_an_unknown_reduction_is_an_error():
    with refused('reduction must be "normalised_mean" or "sum". Received: \'mean\''):
        network(orthogonality_reduction="mean")


def test_inputs_are_a_sequence_after_the_stem():
    with refused(r"after the stem the features must have the shape .* Received: \(None, 5\)"):
        build_shared_private(keras.Input((5,)), SENTENCES)
    with refused(r"Received: \['image', 'text'\]. End the stem with a layer that makes one"):
        build_shared_private({"text": keras.Input((3,)), "image": keras.Input((5,))}, SENTENCES)


def test_a_task_is_not_called_as_a_layer_is():
    with refused("Task name 'shared' is also the name of a layer"):
        network(tasks={"shared": 2, "other": 3})
