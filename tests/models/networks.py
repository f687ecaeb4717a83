"""What the tests of builders share: every builder, small networks, weights by name."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.layers import AllocationMatrix, RoutingPolicy, SubNetworkRouting, TaskHeads
from tests.conformance.methods import made_of

TASKS = {"color": 2, "animal": 7, "shape": 4}  # T = 3
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")  # B = 6 examples, D = 5
dense = partial(keras.layers.Dense, 4, activation="tanh")
EITHER = pytest.mark.parametrize(  # the second form of data is looked at in slow tests
    "task_data", ["shared", pytest.param("separate", marks=pytest.mark.slow)]
)


def soft_ordering(inputs, tasks, layers, stem=(dense,), **settings):
    """Components keep the shape of their input, so one comes before them."""
    return keras_mtl.build_soft_ordering(inputs, tasks, layers, stem=stem, **settings)


def low_supervision(inputs, tasks, layers, **settings):
    """The task "animal", where there is one, comes first."""
    levels = {"animal": 1} if isinstance(tasks, dict) and "animal" in tasks else {}
    return keras_mtl.build_low_supervision(inputs, tasks, layers, levels=levels, **settings)


def ple(inputs, tasks, layers, **settings):
    """A list of several experts has as many shared ones that every task has its own too."""
    if isinstance(layers, list) and isinstance(tasks, dict):
        layers = [
            [*entry, *[entry[-1]] * (len(tasks) + 1 - len(entry))]
            if isinstance(entry, list) and len(entry) > 1
            else entry
            for entry in layers
        ]
    return keras_mtl.build_ple(inputs, tasks, layers, **settings)


def moe(inputs, tasks, layers, noise=False, **settings):
    """Noise of two models is not the same, nor of two forms of data."""
    return keras_mtl.build_moe(inputs, tasks, layers, noise=noise, **settings)


BUILDERS = {
    **{name.removeprefix("build_"): getattr(keras_mtl, name) for name in made_of("lists")},
    "soft_ordering": soft_ordering,
    "low_supervision": low_supervision,
    "moe": moe,
    "ple": ple,
}


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def head_of(model, task, name):
    """Returns the kernel of a task's head, whatever the form of the data."""
    if model.task_data == "shared":
        return model.get_layer(name).get_weights()[0]
    return model.get_layer("heads").get_weights()[0][:, slice(*[0, 2, 9, 13][task : task + 2])]


def network(build, layers=None, tasks=TASKS, **settings):
    """Builds a network of two modular layers with a component per task and no dropout."""
    layers = [[dense] * 3, [dense] * 3] if layers is None else layers
    return build(keras.Input((5,)), tasks, layers, **settings)


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def answers(model, x=X, training=False):
    """Returns each task's predictions as arrays, whatever the model's form."""
    if model.task_data == "shared":
        outputs = model(x, training=training)  # torch sorts the keys
        return {name: array(outputs[name]) for name in model.tasks}
    found = {}
    for task_id, (name, task) in enumerate(model.tasks.items()):
        outputs = model({"inputs": x, "task_id": np.full(6, task_id, "int32")}, training=training)
        outputs = outputs[task.kind] if isinstance(outputs, dict) else outputs
        found[name] = array(outputs)[..., : task.size]
    return found


def assert_equal_answers(first, second, tolerance=1e-6):
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_allclose(
            first[name], second[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


def copy_weights(source, target):
    """Copies everything but allocations, between models of the same layers and tasks."""
    for layer in target.layers:
        if isinstance(layer, TaskHeads) and source.task_data == "shared":
            heads = [source.get_layer(name).get_weights() for name in layer.tasks]
            layer.set_weights([np.concatenate(w, axis=-1) for w in zip(*heads, strict=True)])
        elif layer.weights and not layer.name.startswith(("allocation", "penalty")):
            layer.set_weights(source.get_layer(layer.name).get_weights())


def force(model, *matrices):
    """Gives a Gumbel-Matrix logits so large that every draw is the given matrix."""
    layers = [layer for layer in model.layers if isinstance(layer, AllocationMatrix)]
    for layer, matrix in zip(layers, matrices, strict=True):
        logit = 30.0 * np.array(matrix, "float32") - 15.0
        (logits,) = layer.row_blocks
        logits.assign(np.stack([logit, -logit], axis=-1))


def force_routes(model, routes):
    """Gives a routing network policies that are sure of `(T, layers)` routes."""
    layers = [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]
    for layer, choices in zip(layers, np.transpose(routes), strict=True):
        layer.policy.assign(np.eye(layer.num_components)[choices])


def force_codes(model, *matrices):
    """Gives the connections of an SNR logits that leave draws no choice; none given opens all."""
    layers = [layer for layer in model.layers if isinstance(layer, SubNetworkRouting)]
    matrices = matrices or [np.ones(layer.logits.shape) for layer in layers]
    for layer, matrix in zip(layers, matrices, strict=True):
        layer.logits.assign(60.0 * np.array(matrix) - 30.0)
    return model
