"""Quantized networks answer what they are, before they are saved and after."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import ResidualDense
from tests.models.networks import BUILDERS, TASKS, answers, assert_equal_answers, network

X = np.random.default_rng(0).normal(size=(6, 16)).astype("float32")
dense = partial(keras.layers.Dense, 16, activation="relu")
FAST = {("gumbel_matrix", "shared"), ("routing_network", "separate"), ("ple", "shared")}
LAYERS = [dense, [dense] * 3, [dense] * 3]

CHOOSE = {"moe"}  # a small error may change which experts an example gets
pytestmark = pytest.mark.filterwarnings(  # Keras says so of every other layer
    "ignore:Layer .* does not have a `quantize` method"
)


def built(name, task_data):
    settings = {"stem": ()} if name == "soft_ordering" else {}
    return BUILDERS[name](
        keras.Input((16,)), TASKS, LAYERS, task_data=task_data, seed=1, **settings
    )


def distance(first, second):
    return max(np.abs(first[name] - second[name]).max() for name in first)


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.filterwarnings("ignore:.*stay as they are")
@pytest.mark.parametrize(
    "name, task_data",
    [
        pytest.param(name, task_data, marks=[] if (name, task_data) in FAST else pytest.mark.slow)
        for name in BUILDERS
        for task_data in ("shared", "separate")
    ],
)
def test_int8_networks_answer_nearly_what_they_did(name, task_data, tmp_path):
    model = built(name, task_data)
    before = answers(model, X)
    model.quantize("int8")
    quantized = answers(model, X)
    assert 0 < distance(before, quantized)
    assert distance(before, quantized) < 0.03 or name in CHOOSE
    assert_equal_answers(answers(saved_and_loaded(model, tmp_path), X), quantized)


@pytest.mark.slow
@pytest.mark.parametrize("mode, most", [("int8", 0.03), ("int4", 0.2), ("float8", 0.2)])
@pytest.mark.parametrize("name", ["gumbel_matrix", "routing_network", "fixed_random"])
def test_every_mode_of_keras_is_kept(name, mode, most, tmp_path):
    model = built(name, "shared")
    before = answers(model, X)
    model.quantize(mode)
    quantized = answers(model, X)
    assert distance(before, quantized) < most
    assert_equal_answers(answers(saved_and_loaded(model, tmp_path), X), quantized)


def test_layers_that_others_make_are_named_and_left(tmp_path):
    block = partial(ResidualDense, 16)
    model = keras_mtl.build_mmoe(keras.Input((16,)), TASKS, [dense, [block] * 2], seed=1)
    with pytest.warns(UserWarning, match=r"component_1_1/dense_1.*stay as they are: a file"):
        model.quantize("int8")
    assert model.get_layer("layer_1").quantization_mode == "int8"
    assert {x.quantization_mode for x in model.get_layer("modular_1").components} == {None}
    quantized = answers(model, X)
    assert_equal_answers(answers(saved_and_loaded(model, tmp_path), X), quantized)


def test_filters_of_the_user_hold():
    model = network(keras_mtl.build_gumbel_matrix, [dense, [dense] * 2])
    model.quantize("int8", filters="component_1_1")
    assert model.get_layer("layer_1").quantization_mode is None
    first, second = model.get_layer("modular_1").components
    assert (first.quantization_mode, second.quantization_mode) == ("int8", None)
    model.quantize("int8", filters=lambda layer: layer.name == "layer_1")
    assert model.get_layer("layer_1").quantization_mode == "int8"
