"""What the tests of recurrent networks share: sentences with padding, answers, what is frozen."""

import keras
import numpy as np

import keras_mtl
from tests.models.networks import array, assert_equal_answers
from tests.models.tower_networks import EAGER, TOKENS, called, embed, inputs_for, scrambled

SENTENCES = {"mood": "binary", "topic": 4, "stars": "regression"}  # T = 3, one label each
MIXED = {"mood": "binary", "pos": keras_mtl.Task("tagging", 5), "topic": 4}
LABELS = {
    "mood": np.arange(6) % 2,
    "topic": np.arange(6) % 4,
    "stars": np.linspace(-1, 1, 6).astype("float32"),
    "pos": np.tile(np.arange(4), (6, 1)),
    "chunk": np.tile(np.arange(4) % 3, (6, 1)),
}
LENGTHS = np.array([4, 2, 3, 1, 4, 3])
PADDED = np.where(np.arange(4) < LENGTHS[:, None], TOKENS, 0)


def network(build, tasks=SENTENCES, stem=(embed,), **settings):
    """Builds a network that reads tokens, with random weights."""
    tokens = keras.Input((None,), dtype="int32")
    return scrambled(build(tokens, tasks, stem=stem, **settings))


def answered(model, x=PADDED):
    """Returns each task's answers."""
    found = {}
    for task, spec in model.tasks.items():
        outputs = called(model, inputs_for(model, task, x))
        if isinstance(outputs, dict):
            outputs = outputs[task if model.task_data == "shared" else spec.kind]
        found[task] = array(outputs)[..., : spec.size]
    return found


def reads(model, name, x=PADDED):
    """Returns what a layer of a network answers to a batch of tokens."""
    tokens = model.input["inputs"] if model.task_data == "separate" else model.input
    return array(called(keras.Model(tokens, model.get_layer(name).output), x))


def last(states):
    """Returns the last state of each sentence that is no padding."""
    return states[np.arange(6), LENGTHS - 1]


def predicted(model, task, features):
    """Returns what a task's head makes of features."""
    kernel, bias = model.get_layer(task).get_weights()
    kind = model.tasks[task].kind
    activation = {"binary": "sigmoid", "regression": "linear"}.get(kind, "softmax")
    return array(keras.activations.get(activation)(features @ kernel + bias))


def assert_learns(model):
    """Checks that an update for each task makes the loss of all tasks smaller.

    Shared data is for a compiled step.
    """
    eagerly = EAGER and model.task_data == "separate"
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=eagerly)
    data = {task: (PADDED, LABELS[task]) for task in model.tasks}
    if model.task_data == "shared":
        given = (PADDED, {task: labels for task, (_, labels) in data.items()})
    else:
        given = (keras_mtl.task_batches(model.tasks, data, batch_size=6, seed=0),)
    before = model.evaluate(*given, return_dict=True, verbose=0)
    model.fit(*given, verbose=0)
    after = model.evaluate(*given, return_dict=True, verbose=0)
    assert after["loss"] < before["loss"]
    assert all(after[f"{task}_loss"] < before[f"{task}_loss"] for task in model.tasks)


def assert_frozen(model, kept):
    """Checks that frozen networks answer as the model, and which layers are no stock ones.

    `kept` gives the names of those of each task's frozen network.
    """
    expected = answered(model)
    frozen = keras_mtl.freeze(model)
    found = {task: array(output) for task, output in called(frozen, PADDED).items()}
    assert_equal_answers({task: found[task] for task in expected}, expected)
    for task in model.tasks:
        alone = keras_mtl.freeze(model, task)
        np.testing.assert_allclose(
            array(called(alone, PADDED)), expected[task], rtol=1e-6, atol=1e-6
        )
        own = {
            layer.name for layer in alone.layers if type(layer).__module__.startswith("keras_mtl")
        }
        assert own == kept[task]
        assert [tensor.name for tensor in alone.inputs] == ["inputs"]
