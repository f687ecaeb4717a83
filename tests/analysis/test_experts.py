from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import ExpertUsage, expert_usage

TASKS = {"color": 2, "animal": 7, "shape": 4}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
dense = partial(keras.layers.Dense, 4, activation="tanh")


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def given(task_data):
    """Returns examples: the same for all tasks, or two more for each task than for the last."""
    if task_data == "shared":
        return X, dict.fromkeys(TASKS, X)
    own = {task: X[: 2 + 2 * place] for place, task in enumerate(TASKS)}
    return own, own


def test_weights_are_means_of_each_tasks_gate_over_its_examples(task_data):
    model = keras_mtl.build_mmoe(
        keras.Input((5,)), TASKS, [[dense] * 3, dense, [dense] * 5], task_data=task_data
    )
    x, own = given(task_data)
    usage = expert_usage(model, x)
    assert list(usage) == list(TASKS)
    kernel, bias = model.get_layer("gates_1").get_weights()
    for task, name in enumerate(TASKS):
        assert [weights.shape for weights in usage[name]] == [(3,), (5,)]
        wanted = softmax(own[name] @ kernel[:, task] + bias[task]).mean(axis=0)
        np.testing.assert_allclose(usage[name][0], wanted, rtol=1e-5)
        np.testing.assert_allclose(usage[name][1].sum(), 1, rtol=1e-5)


def test_later_lists_are_weighed_by_what_a_task_has_come_to():
    shared, separate = (
        keras_mtl.build_mmoe(keras.Input((5,)), TASKS, [[dense] * 3, [dense] * 5], task_data=form)
        for form in ("shared", "separate")
    )
    for layer in separate.layers:
        if layer.weights and layer.name != "heads":
            layer.set_weights(shared.get_layer(layer.name).get_weights())
    found, other = expert_usage(shared, X), expert_usage(separate, dict.fromkeys(TASKS, X))
    for name in TASKS:
        np.testing.assert_allclose(found[name][1], other[name][1], rtol=1e-4)


def test_experts_of_other_tasks_weigh_nothing_in_ple(task_data):
    model = keras_mtl.build_ple(
        keras.Input((5,)), TASKS, [[dense] * 5, [dense] * 4], task_data=task_data
    )
    usage = expert_usage(model, given(task_data)[0])
    for task, name in enumerate(TASKS):
        for weights in usage[name]:
            others = [place for place in range(3) if place != task]
            assert np.all(weights[others] == 0) and np.all(np.delete(weights, others) > 0)
            np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(("task_data", "by_task"), [("shared", False), ("separate", True)])
def test_one_gate_for_all_tasks(task_data, by_task):
    model = keras_mtl.build_moe(
        keras.Input((5,)), TASKS, [[dense] * 4], by_task=by_task, task_data=task_data
    )
    usage = expert_usage(model, X if task_data == "shared" else dict.fromkeys(TASKS, X))
    color, animal, _ = (weights for (weights,) in usage.values())
    np.testing.assert_allclose(color, animal, rtol=1e-5)  # no row of a task has learned yet
    np.testing.assert_allclose(color.sum(), 1, rtol=1e-5)


def test_selectors_are_reported():
    model = keras_mtl.build_dselect_k(keras.Input((5,)), TASKS, [[dense] * 4])
    usage = expert_usage(model, X)
    np.testing.assert_allclose(usage["shape"][0], np.full(4, 0.25), atol=0.05)


@pytest.mark.slow
def test_steps_of_padding_do_not_count(task_data):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    layers = [[lstm] * 3, [lstm] * 3, [partial(keras.layers.LSTM, 3)] * 3]
    tokens = keras.Input((None,), dtype="int32")
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    padded = np.pad(rows, ((0, 0), (0, 2)))
    for build, more in ((keras_mtl.build_mmoe, 0), (keras_mtl.build_ple, 1)):
        made_of = [entry + entry[:1] * more for entry in layers]
        model = build(tokens, TASKS, made_of, stem=[embed], task_data=task_data)
        usages = [
            expert_usage(model, x if task_data == "shared" else dict.fromkeys(TASKS, x))
            for x in (rows, padded)
        ]
        for name in TASKS:
            for short, long in zip(*(usage[name] for usage in usages), strict=True):
                np.testing.assert_allclose(short, long, rtol=1e-4)


# What can be read from it


def hand_made():
    one = [np.array([0.5, 0.5, 0.0, 0.0]), np.array([1.0, 0.0])]
    other = [np.array([0.25, 0.25, 0.495, 0.005]), np.array([0.75, 0.25])]
    return ExpertUsage({"one": one, "other": other})


def test_entropy_is_0_for_one_expert_and_1_for_all_alike():
    entropy = hand_made().entropy
    assert entropy["one"] == [0.5, 0.0]  # log 2 / log 4
    np.testing.assert_allclose(entropy["other"][1], 0.811278, rtol=1e-5)  # bits of 1 / 4


def test_dead_experts_weigh_little_in_all_tasks():
    assert hand_made().dead() == [[3], []]
    assert hand_made().dead(below=0.3) == [[3], [1]]


# Errors


def test_networks_without_gates_are_refused():
    model = keras_mtl.build_shared_bottom(keras.Input((5,)), TASKS, [[dense] * 3])
    for other in (model, keras_mtl.build_mmoe(keras.Input((5,)), TASKS, [[dense]])):
        with pytest.raises(ValueError, match="has no gates over experts. Give a model of build_m"):
            expert_usage(other, X)


@keras.saving.register_keras_serializable("tests")
class Joined(keras.layers.Layer):
    def call(self, x):
        return keras.ops.concatenate([x["age"], x["jobs"]], axis=-1)


@pytest.mark.slow
def test_inputs_of_several_arrays_are_checked_too():
    inputs = {"age": keras.Input((1,)), "jobs": keras.Input((4,))}
    model = keras_mtl.build_mmoe(
        inputs, {"a": 3, "b": "binary"}, [[dense] * 2], stem=[Joined], task_data="separate"
    )
    x = {"age": np.ones((6, 1)), "jobs": np.ones((6, 4))}
    assert list(expert_usage(model, {"a": x, "b": x})) == ["a", "b"]
    for wrong, message in (
        ({**x, "jobs": np.ones((6, 5))}, r"task 'b': x\['inputs'\]\['jobs'\] must .*\(6, 5\)"),
        ({"age": x["age"]}, r"task 'b': x\['inputs'\] must be a dict .*'age', 'jobs'.*\['age'\]"),
        (x["jobs"], r"task 'b': x\['inputs'\] must be a dict .* Received: ndarray"),
    ):
        with pytest.raises(ValueError, match=message):
            expert_usage(model, {"a": x, "b": wrong})
