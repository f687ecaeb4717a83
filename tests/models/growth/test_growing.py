"""Every network grows by a task and keeps its old answers, or is refused by name."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import FixedAllocation
from tests.conformance import registry
from tests.conformance.methods import METHODS

GATED = {"policy": [[1, 0], [1, 1], [0, 1]], "target_rates": [0.5, 0.8]}
block = partial(keras_mtl.layers.ResidualDense, 4)


def grown(model, name="new"):
    given = [layer for layer in model.layers if isinstance(layer, FixedAllocation)]
    rows = [layer.allocation[0].tolist() for layer in given] or None
    return keras_mtl.add_task(model, name, 4, allocation=rows)


def answers(model, task_ids):
    """Returns outputs of the old tasks in inference, as arrays."""
    x = registry.inputs_of(model)
    if model.task_data == "separate":
        x = {**x, "task_id": np.array(task_ids, "int32")}
    outputs = model(x, training=False)
    if model.task_data == "shared":
        return [keras.ops.convert_to_numpy(outputs[task]) for task in registry.TASKS]
    widths = {"classes": 7, "regression": 3}  # the new task has 4 columns
    return [keras.ops.convert_to_numpy(outputs[kind])[:, :n] for kind, n in widths.items()]


def assert_grows(model):
    larger = grown(model)
    for old, new in zip(
        answers(model, [2, 0, 1, 1, 2]), answers(larger, [2, 0, 1, 1, 2]), strict=True
    ):
        assert np.isfinite(new).all()
        np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-6)
    x = registry.inputs_of(larger)
    if larger.task_data == "separate":
        x["task_id"] = np.full(5, 3, "int32")
    for output in keras.tree.flatten(larger(x, training=True)):
        assert np.isfinite(keras.ops.convert_to_numpy(output)).all()
    assert list(larger.tasks) == [*registry.TASKS, "new"]


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("name", METHODS)
def test_old_answers_stay_or_the_network_is_refused(name, task_data):
    model = registry.build(name, task_data)
    if METHODS[name].grows:
        assert_grows(model)
        return
    with pytest.raises(ValueError, match="made for its own tasks only|predicted from different"):
        grown(model)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_gates_ask_nothing_of_a_new_task(task_data):
    model = keras_mtl.build_dynashare(
        keras.Input((6,)), registry.TASKS, [[block], [block]], task_data=task_data, seed=1, **GATED
    )
    assert_grows(model)
    penalty = grown(model).get_layer("target_rate_penalty")
    np.testing.assert_array_equal(penalty.executed, [*GATED["policy"], [0, 0]])


def test_old_tasks_execute_blocks_as_the_curriculum_had_it():
    phases = keras_mtl.PolicyPhases(0, 3, 1)
    model = keras_mtl.build_adashare(
        keras.Input((6,)), registry.TASKS, [[block]] * 2, phases=phases, cycles_per_block=1, seed=1
    )
    policies = [layer for layer in model.layers if hasattr(layer, "batches")]
    for number, policy in enumerate(policies):
        policy.batches.assign(90 + number)
    copies = [layer for layer in grown(model).layers if hasattr(layer, "batches")]
    assert [int(copy.batches.numpy()) for copy in copies] == [90, 91]


class Favourites(keras.layers.Layer):
    """A user's own layer that is bound to the number of tasks."""

    def __init__(self, num_tasks, **kwargs):
        super().__init__(**kwargs)
        self.table = keras.layers.Embedding(num_tasks, 6)

    def call(self, x, task_id):
        return x + self.table(task_id)


def test_a_layer_that_reads_task_ids_and_does_not_say_how_it_grows_is_named():
    model = keras_mtl.build_shared_bottom(
        keras.Input((6,)), {"a": 2, "b": 3}, [], task_data="separate"
    )
    x, task_id = model.input["inputs"], model.input["task_id"]
    features = Favourites(2, name="favourites")(x, task_id)
    own = keras_mtl.training.MultiTaskModel(
        model.input, model.get_layer("heads")(features, task_id)
    )
    with pytest.raises(ValueError, match="Layer 'favourites' of this one .* method grown"):
        keras_mtl.add_task(own, "c", 4)
