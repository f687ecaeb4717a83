"""Connections that are drawn in training beside those that inference opens, by hand."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import open_connections, relatedness_over_time
from tests.layers.modular import sigmoid

TASKS = {"a": keras_mtl.Task("tagging", 3), "b": keras_mtl.Task("tagging", 2)}
TOKENS = np.array([[1, 2, 1, 0], [2, 2, 0, 0], [1, 1, 1, 2]])


def network(task_data):
    return keras_mtl.build_recurrent_modular(
        keras.Input((None,), dtype="int32"), TASKS, task_data=task_data, num_cells=2, cell_units=4,
        stem=[partial(keras.layers.Embedding, 3, 4, mask_zero=True)], num_sub_encoders=(3, 2),
        units=(4,), seed=0,
    )  # fmt: skip


@pytest.fixture(params=["shared", "separate"])
def model(request):
    model = network(request.param)
    for number, bias in ((1, 1.5), (2, -0.5)):  # what decoders say, of all sub-encoders
        policy = model.get_layer(f"decoder_{number}").policy.dense[-1]
        policy.kernel.assign(np.zeros(policy.kernel.shape))
        policy.bias.assign([0.0, bias])
    return model


def data(model):
    return TOKENS if model.task_data == "shared" else dict.fromkeys(TASKS, TOKENS)


def test_what_training_draws_stands_beside_what_inference_opens(model):
    found = open_connections(model, data(model))
    assert found.decoders == {"a": 5.0, "b": 0.0}
    expected = {"a": 5 * sigmoid(1.5), "b": 5 * sigmoid(-0.5)}
    assert found.expected_decoders == pytest.approx(expected, rel=1e-5)
    assert 0 < found.expected_encoder < found.num_encoder == 12
    assert found.spread == pytest.approx({"a": 0, "b": 0}, abs=1e-5)


def test_the_encoder_expects_what_its_draws_are_on_average():
    model = network("shared")
    encoder = model.get_layer("encoder")
    stem = keras.ops.convert_to_numpy(model.get_layer("stem_1")(TOKENS[[2]]))
    many = np.repeat(stem, 3000, axis=0)
    drawn = keras.ops.convert_to_numpy(encoder(many, training=True)[1]).sum(axis=-1)
    found = open_connections(model, TOKENS[[2]]).expected_encoder
    # the second layer reads other means when the first draws: near, not equal
    assert found == pytest.approx(drawn.mean(), abs=0.3)


def test_relatedness_is_of_probabilities_unless_it_is_of_what_is_decided(model):
    likely = relatedness_over_time(model, data(model))[0, 0, 1]
    assert likely == pytest.approx(sigmoid(-0.5) / sigmoid(1.5), rel=1e-5)
    assert relatedness_over_time(model, data(model), decided=True)[0, 0, 1] == 0
