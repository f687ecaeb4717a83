"""Tasks that keep a random part of the channels of shared layers."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.gradients import gradients
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    head_of,
    network,
    softmax,
)

LAYERS = [[dense], dense, [dense]]
task_routing = partial(network, keras_mtl.build_task_routing, LAYERS)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def test_a_network_of_masked_layers_by_hand(task_data):
    model = task_routing(task_data=task_data, seed=0)
    first, second = (array(model.get_layer(f"mask_{index}").masks) for index in (1, 2))
    assert np.any(first != second)
    for task, name in enumerate(TASKS):
        x = first[task] * array(model.get_layer("component_1_1")(X))
        x = array(model.get_layer("component_2_1")(model.get_layer("layer_2")(x)))
        expected = softmax(second[task] * x @ head_of(model, task, name))
        np.testing.assert_allclose(answers(model)[name], expected, rtol=1e-5, atol=1e-6)


def test_a_ratio_of_one_is_a_shared_bottom(task_data):
    model = task_routing(task_data=task_data, keep_ratio=1)
    bottom = network(keras_mtl.build_shared_bottom, LAYERS, task_data=task_data)
    copy_weights(model, bottom)
    assert_equal_answers(answers(model), answers(bottom))


def test_the_layer_before_the_first_mask_is_computed_once():
    model = task_routing(stem=[dense])
    names = [layer.name for layer in model.layers]
    assert names.index("component_1_1") < names.index("repeat_rows") < names.index("mask_1")


def test_a_channel_learns_from_the_tasks_that_keep_it():
    model = network(keras_mtl.build_task_routing, [[dense]])
    masks = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]])
    model.get_layer("mask_1").masks.assign(masks)
    for kept, name in zip(masks, TASKS, strict=True):
        kernel, bias = gradients(
            lambda name=name: keras.ops.sum(model(X)[name] ** 2),
            model.get_layer("component_1_1").trainable_variables,
        )
        np.testing.assert_array_equal(np.any(kernel != 0, axis=0), kept)
        np.testing.assert_array_equal(bias != 0, kept)


@pytest.mark.slow
def test_it_learns_with_masks_as_they_are():
    model = task_routing(seed=0)
    before = array(model.get_layer("mask_1").masks)
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    model.compile(keras.optimizers.Adam(0.03))
    losses = model.fit(X, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    np.testing.assert_array_equal(array(model.get_layer("mask_1").masks), before)


# Freezing


def test_a_frozen_task_is_made_of_stock_layers(task_data):
    model = task_routing(task_data=task_data, seed=0)
    frozen = keras_mtl.freeze(model, "animal")
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    scales = [layer.scale for layer in frozen.layers if isinstance(layer, keras.layers.Rescaling)]
    np.testing.assert_array_equal(scales[0], array(model.get_layer("mask_1").masks)[1])
    np.testing.assert_allclose(array(frozen(X)), answers(model)["animal"], rtol=1e-5, atol=1e-6)


def test_nothing_is_left_of_masks_that_keep_all():
    frozen = keras_mtl.freeze(task_routing(keep_ratio=1), "animal")
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in frozen.layers)


def test_tasks_share_what_comes_before_the_first_mask():
    model = task_routing(stem=[dense])
    frozen = keras_mtl.freeze(model)
    calls = {layer.name: len(layer._inbound_nodes) for layer in frozen.layers}
    assert [calls[name] for name in ("stem_1", "component_1_1", "layer_2")] == [1, 1, 3]
    masks = sum(model.get_layer(f"mask_{index}").count_params() for index in (1, 2))
    assert frozen.count_params() == model.count_params() - masks


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_a_list_holds_one_layer():
    with refused(r"layers\[1\] has 2 components, but task routing masks the channels of one layer"):
        network(keras_mtl.build_task_routing, [[dense], [dense, dense]])


@pytest.mark.parametrize("layers", [[], [dense]])
def test_there_is_a_layer_to_mask(layers):
    with refused("layers has no list of one callable, so there is nothing to mask"):
        network(keras_mtl.build_task_routing, layers)


def test_layers_are_a_list():
    with refused("layers must be a list of callables"):
        network(keras_mtl.build_task_routing, dense)


@pytest.mark.parametrize("keep_ratio", [0, 1.5])
def test_a_ratio_is_above_0_and_at_most_1(keep_ratio):
    with refused(rf"keep_ratio must be a number in \(0, 1\]. Received: {keep_ratio}"):
        task_routing(keep_ratio=keep_ratio)


def test_masks_know_their_own_tasks_only(task_data):
    with refused("Layer 'mask_1' of this one is made for its own tasks only"):
        keras_mtl.add_task(task_routing(task_data=task_data), "new", 3)
