"""Gates that learn to select a few experts."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.networks import TASKS, X, answers, array, assert_equal_answers, dense, network

dselect_k = partial(network, keras_mtl.build_dselect_k)


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def decide(model, codes):
    """Gives the selectors of all tasks in every list hard codes."""
    for layer in model.layers:
        if layer.name.startswith("gates"):
            kernel, bias = layer.linear["code"]
            kernel.assign(np.zeros(kernel.shape))
            bias.assign(np.broadcast_to(np.ravel(codes) - 0.5, bias.shape))


def test_equal_codes_are_the_one_component_that_they_name(task_data):
    model = dselect_k([[dense] * 4], task_data=task_data)
    decide(model, [[1, 0], [1, 0]])
    fixed = network(keras_mtl.build_gumbel_matrix, [[dense] * 4], task_data=task_data)
    fixed.get_layer("allocation_1").row_blocks[0].assign(
        np.tile([[-5.0, 0], [-5, 0], [5, 0], [-5, 0]], (3, 1, 1))
    )
    for layer in fixed.layers:
        if layer.weights and not layer.name.startswith("allocation"):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert_equal_answers(answers(model), answers(fixed), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 5])
def test_a_frozen_network_answers_equally(task_data, number):
    model = dselect_k([[dense] * number, [dense] * 3], task_data=task_data, tower_units=(5,))
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    found = {name: array(y) for name, y in frozen(X).items()}
    assert_equal_answers({name: found[name] for name in TASKS}, answers(model), 1e-5)
    alone = keras_mtl.freeze(model, "animal")
    np.testing.assert_allclose(array(alone(X)), answers(model)["animal"], rtol=1e-5, atol=1e-6)
    report = keras_mtl.sharing_report(model)
    assert report.parameters["animal"] == alone.count_params()


@pytest.mark.parametrize("num_selected", [1, 2])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_freezes_narrow_steps(policy, num_selected):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = dselect_k([[dense] * 3], gamma=1e-3, num_selected=num_selected, seed=1)
        frozen = keras_mtl.freeze(model)
    finally:
        keras.config.set_dtype_policy(before)
    found, expected = frozen(X), answers(model)
    assert_equal_answers({name: array(found[name]) for name in TASKS}, expected, 5e-3)
    weights = array(model.get_layer("gates_1")(X, np.zeros(6)))
    assert np.any((weights > 0.01) & (weights < 0.99))  # steps are between 0 and 1


@pytest.mark.slow
def test_logs_name_the_penalties():
    model = dselect_k([[dense] * 3, [dense] * 4], entropy_weight=0.5)
    model.compile(keras.optimizers.Adam(0.01))
    y = {name: np.arange(6) % size for name, size in TASKS.items()}
    history = model.fit(X, y, epochs=2, verbose=0).history
    assert history["entropy_penalty"][0] > 0 and history["unused_codes_penalty"][0] > 0
    assert np.all(np.isfinite(history["loss"]))


def test_gates_know_their_own_tasks_only():
    with pytest.raises(ValueError, match="Layer 'gates_1' of this one is made for its own tasks"):
        keras_mtl.add_task(dselect_k([[dense] * 4]), "new", 3)


def test_a_list_has_as_many_experts_as_are_selected():
    with pytest.raises(ValueError, match="num_selected must be an integer from 1 to 3"):
        dselect_k([[dense] * 5, [dense] * 3], num_selected=4)
