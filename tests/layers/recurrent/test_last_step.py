from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mtl
from keras_mtl.layers import LastStep
from tests.gradients import gradient
from tests.models.networks import answers, array, assert_equal_answers
from tests.models.tower_networks import called, scrambled

X = np.arange(24, dtype="float32").reshape(3, 4, 2)  # B = 3, 4 steps, D = 2


def last(mask=None):
    return array(LastStep()(X, mask=mask)).tolist()


def test_without_a_mask_it_is_the_last_step():
    assert last() == [[6, 7], [14, 15], [22, 23]]


def test_with_a_mask_it_is_the_last_step_that_is_no_padding():
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    assert last(mask) == [[2, 3], [14, 15], [16, 17]]


def test_padding_before_and_inside_a_sequence_does_not_count():
    mask = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    assert last(mask) == [[4, 5], [12, 13], [22, 23]]


def test_nothing_but_padding_gives_the_first_step():
    assert last(np.zeros((3, 4), bool)) == [[0, 1], [8, 9], [16, 17]]


def test_the_gradient_goes_to_that_step_alone():
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    x = keras.Variable(X)
    found = gradient(lambda: ops.sum(LastStep()(ops.convert_to_tensor(x), mask=mask)), x)
    expected = np.zeros((3, 4, 2))
    expected[[0, 1, 2], [1, 3, 0]] = 1
    np.testing.assert_array_equal(found, expected)


def test_the_mask_comes_with_the_features_and_ends_there():
    tokens = np.array([[4, 2, 0], [3, 0, 0], [1, 5, 6]])
    embedded = layers.Embedding(7, 2, mask_zero=True)(tokens)
    state = LastStep()(embedded)
    np.testing.assert_array_equal(array(state), array(embedded)[[0, 1, 2], [1, 0, 2]])
    assert keras.src.backend.get_keras_mask(state) is None


def test_any_number_of_steps_has_a_last_one():
    assert LastStep()(keras.Input((None, 7))).shape == (None, 7)


# In a network

TASKS = {
    "died": "binary",
    "stay": keras_mtl.Task("tagging", 4),
    "load": keras_mtl.Task("regression", 2, per_step=True),
    "kind": 3,
}
LENGTHS = np.array([5, 2, 4, 1, 5, 3])  # B = 6, 5 steps, D = 3
STEPS = np.arange(5) < LENGTHS[:, None]
SEQUENCES = np.where(
    STEPS[..., None], np.random.default_rng(0).normal(size=(6, 5, 3)), 0
).astype("float32")  # fmt: skip


@pytest.fixture
def model():
    """A network of masked sequences, with a label per step for two of four tasks."""
    lstm = partial(layers.LSTM, 4, return_sequences=True, zero_output_for_mask=True)
    return scrambled(
        keras_mtl.build_shared_bottom(keras.Input((None, 3)), TASKS, [lstm], stem=[layers.Masking])
    )


def test_tasks_per_step_keep_the_steps_and_others_read_the_last(model):
    states = array(keras.Model(model.input, model.get_layer("layer_1").output)(SEQUENCES))
    outputs = answers(model, SEQUENCES)
    assert {name: y.shape for name, y in outputs.items()} == {
        "died": (6, 1), "stay": (6, 5, 4), "load": (6, 5, 2), "kind": (6, 3)
    }  # fmt: skip
    kernel, bias = model.get_layer("kind").get_weights()
    at_the_end = states[np.arange(6), LENGTHS - 1]
    expected = array(ops.softmax(at_the_end @ kernel + bias))
    np.testing.assert_allclose(outputs["kind"], expected, rtol=1e-5, atol=1e-6)
    kernel, bias = model.get_layer("load").get_weights()
    np.testing.assert_allclose(outputs["load"], states @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_padding_changes_no_answer(model):
    padded = called(model, np.pad(SEQUENCES, ((0, 0), (0, 3), (0, 0))))
    outputs = called(model, SEQUENCES)
    for task in ("died", "kind"):
        np.testing.assert_allclose(array(padded[task]), array(outputs[task]), rtol=1e-5, atol=1e-6)
    for task in ("stay", "load"):
        found, expected = array(padded[task])[:, :5], array(outputs[task])
        np.testing.assert_allclose(found[STEPS], expected[STEPS], rtol=1e-5, atol=1e-6)


def test_a_frozen_network_reads_the_same_step(model, tmp_path):
    expected = answers(model, SEQUENCES)
    frozen = keras_mtl.freeze(model)
    assert not any(type(layer).__module__.startswith("keras_mtl") for layer in frozen.layers)
    frozen.save(tmp_path / "frozen.keras")
    for network in (frozen, keras.models.load_model(tmp_path / "frozen.keras")):
        outputs = called(network, SEQUENCES)
        assert_equal_answers({name: array(outputs[name]) for name in TASKS}, expected)
    for task in ("died", "stay"):
        alone = keras_mtl.freeze(model, task)
        np.testing.assert_allclose(
            array(called(alone, SEQUENCES)), expected[task], rtol=1e-6, atol=1e-6
        )
