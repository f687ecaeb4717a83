"""What methods have in common: with equal weights all are one shared bottom, or no sharing."""

import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import TaskHeads
from tests.models.networks import (
    BUILDERS,
    TASKS,
    X,
    answers,
    assert_equal_answers,
    dense,
    force,
    force_routes,
    network,
)
from tests.models.tower_networks import give

RNG = np.random.default_rng(3)
SIZES = [(5, 4), (4, 4)]  # of two layers, each with a component for each of 3 tasks
WEIGHTS = [[(RNG.normal(size=s), RNG.normal(size=s[1])) for _ in range(3)] for s in SIZES]
HEADS = [(RNG.normal(size=(4, task)), RNG.normal(size=task)) for task in TASKS.values()]
ONE, THREE = [[dense], [dense]], [[dense] * 3, [dense] * 3]
EYE, ONES = np.eye(3), np.ones((3, 3))


APART = {
    "dselect_k": "weights of selectors that have not decided add up to less than 1",
    "sluice": "adds up layers",
    "snr": "has matrices between layers",
    "soft_ordering": "passes every layer twice",
}


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def expected(routes):
    """Returns what a network answers whose tasks pass the layers at these places."""
    found = {}
    for task, route, (kernel, bias) in zip(TASKS, routes, HEADS, strict=True):
        features = X
        for layers, place in zip(WEIGHTS, route, strict=True):
            features = np.tanh(features @ layers[place][0] + layers[place][1])
        scores = np.exp(features @ kernel + bias)
        found[task] = scores / scores.sum(axis=-1, keepdims=True)
    return found


def with_weights(model, all_equal=False):
    """Gives components and heads their numbers; with `all_equal` those of the first component."""
    for layer in model._flatten_layers():
        place = re.fullmatch(r"(?:layer|component)_(\d)(?:_(\d))?", layer.name)
        if place and isinstance(layer, keras.layers.Dense):
            depth, number = int(place[1]) - 1, int(place[2] or 1) - 1
            layer.set_weights(WEIGHTS[depth][0 if all_equal else number])
        elif isinstance(layer, TaskHeads):
            layer.set_weights([np.concatenate(w, axis=-1) for w in zip(*HEADS, strict=True)])
        elif layer.name in TASKS:
            layer.set_weights(HEADS[list(TASKS).index(layer.name)])
    return model


@pytest.mark.parametrize("layers", [ONE, THREE], ids=["one", "three_equal"])
@pytest.mark.parametrize("method", [method for method in BUILDERS if method not in APART])
def test_with_equal_components_every_method_is_a_shared_bottom(method, layers, task_data):
    if layers is ONE and method in ("no_sharing", "single_tasks", "cross_stitch"):
        pytest.skip("has a component for each task")
    settings = {"levels": {}} if method == "low_supervision" else {}
    builder = keras_mtl.build_low_supervision if settings else BUILDERS[method]
    model = with_weights(network(builder, layers, task_data=task_data, **settings), all_equal=True)
    if method == "gumbel_matrix" and layers is THREE:
        force(model, ONES, ONES)
    assert_equal_answers(answers(model), expected([(0, 0)] * 3), 1e-5)


def no_sharing(task_data):
    return network(keras_mtl.build_no_sharing, THREE, task_data=task_data)


def single_tasks(task_data):
    return network(keras_mtl.build_single_tasks, THREE, task_data=task_data)


def fixed_random(task_data):
    routes = np.arange(3)[:, None].repeat(2, axis=1)
    return network(keras_mtl.build_fixed_random, THREE, task_data=task_data, routes=routes)


def routing_network(task_data):
    model = network(keras_mtl.build_routing_network, THREE, task_data=task_data)
    force_routes(model, np.arange(3)[:, None].repeat(2, axis=1))
    return model


def gumbel_matrix(task_data):
    model = network(keras_mtl.build_gumbel_matrix, THREE, task_data=task_data)
    force(model, EYE, EYE)
    return model


def cross_stitch(task_data):
    return give(network(keras_mtl.build_cross_stitch, THREE, task_data=task_data), alpha=EYE)


def sluice(task_data):
    settings = {"num_subspaces": 1, "connections": "none"}
    model = network(keras_mtl.build_sluice, THREE, task_data=task_data, **settings)
    return give(model, alpha=EYE)


def mmoe(task_data):
    model = network(keras_mtl.build_mmoe, THREE, task_data=task_data)
    for index in (1, 2):
        gates = model.get_layer(f"gates_{index}")
        kernel, bias = gates.get_weights()
        gates.set_weights([kernel, 1000 * EYE.reshape(bias.shape)])
    return model


OF_THEIR_OWN = [
    no_sharing, single_tasks, fixed_random, routing_network, gumbel_matrix, cross_stitch, sluice,
    mmoe,
]  # fmt: skip


@pytest.mark.parametrize("make", OF_THEIR_OWN)
def test_with_components_of_their_own_no_method_shares(make, task_data):
    model = with_weights(make(task_data))
    assert_equal_answers(answers(model), expected([(0, 0), (1, 1), (2, 2)]), 1e-5)


def test_blocks_that_all_execute_are_a_shared_bottom(task_data):
    block = partial(keras_mtl.layers.ResidualDense, 5)
    bottom = network(keras_mtl.build_shared_bottom, [block, block], task_data=task_data)
    settings = {"task_data": task_data, "policy": np.ones((3, 2)), "target_rates": 1.0}
    blocks = network(keras_mtl.build_dynashare, [[block], [block]], **settings)
    learned = network(keras_mtl.build_adashare, [[block], [block]], task_data=task_data)
    for model in (blocks, learned):
        source, target = (residual_layers(m) for m in (bottom, model))
        assert len(source) == len(target) == 2
        for one, other in zip(source, target, strict=True):
            other.set_weights(one.get_weights())
        copy_heads(bottom, model)
    assert_equal_answers(answers(blocks), answers(bottom), 1e-5)
    for layer in learned.layers:
        if isinstance(layer, keras_mtl.layers.BlockPolicy):
            (logits,) = layer.row_blocks
            logits.assign(np.broadcast_to([30.0, -30.0], logits.shape))
    assert_equal_answers(answers(learned), answers(bottom), 1e-5)


def residual_layers(model):
    found = [x for x in model._flatten_layers() if isinstance(x, keras_mtl.layers.ResidualDense)]
    return sorted(found, key=lambda layer: layer.name)


def copy_heads(source, target):
    for layer in target.layers:
        if isinstance(layer, TaskHeads) or layer.name in TASKS:
            layer.set_weights(source.get_layer(layer.name).get_weights())
