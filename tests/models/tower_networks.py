"""What the tests of towers share: networks of sequences, random weights, who reaches what."""

from functools import partial

import keras
import numpy as np
from keras import ops

import keras_mtl
from keras_mtl.layers import BiLSTM
from keras_mtl.layers.components.parallel_components import ParallelComponents
from tests.gradients import gradients
from tests.models.networks import X, array

TOKENS = np.random.default_rng(0).integers(1, 9, (6, 4))  # B = 6 examples, 4 steps, 0 = padding
TAGS = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 5)}
LABELS = {"color": np.arange(6) % 2, "animal": np.arange(6), "shape": np.arange(6) % 4}

EAGER = keras.backend.backend() != "jax"  # compiles every LSTM of an eager step anew

embed = partial(keras.layers.Embedding, 9, 3, mask_zero=True)
lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
bilstm = partial(BiLSTM, 4)


def tagger(build, layers, tasks=TAGS, **settings):
    """Builds a network that tags sequences of tokens."""
    tokens = keras.Input((None,), dtype="int32")
    return scrambled(build(tokens, tasks, layers, stem=[embed], **settings))


def scrambled(model, seed=0):
    """Gives everything that is learned random values, biases and mixing weights too."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def randomized_like(model, other):
    """Returns `other` with the weights of `model`, layer by layer of the same name."""
    layers = by_name(model)
    for name, layer in by_name(other).items():
        if name in layers and layer.weights and not name.startswith(("stitch", "mixture")):
            layer.set_weights(layers[name].get_weights())
    return other


def by_name(model):
    """Returns a model's layers, components of modular layers in place of these."""
    found = {}
    for layer in model.layers:
        inner = layer.components if isinstance(layer, ParallelComponents) else [layer]
        found |= {part.name: part for part in inner}
    return found


def give(model, alpha=None, beta=None):
    """Gives every stitch and every mixture of a network the given weights."""
    for layer in model.layers:
        if alpha is not None and layer.name.startswith("stitch"):
            layer.weights[0].assign(alpha)
        if beta is not None and layer.name.startswith("mixture"):
            layer.weights[0].assign(beta)
    return model


def after(model, name, x=X):
    """Returns what a layer of a network with shared data answers, one array per task."""
    return [array(out) for out in keras.Model(model.input, model.get_layer(name).output)(x)]


def called(model, x):
    """Returns what a model answers without training."""
    return model(x, training=False) if EAGER else model.predict_on_batch(x)


def inputs_for(model, task, x):
    """Returns the model's inputs when all examples belong to one task."""
    if model.task_data == "shared":
        return x
    return {"inputs": x, "task_id": np.full(len(x), list(model.tasks).index(task), "int32")}


def reached(model, task, x=X):
    """Returns the layers, by name, in which a task's answer has a gradient on a variable."""
    return {path.split("/")[-2] for path in paths_reached(model, task, x)}


def paths_reached(model, task, x=X):
    """Returns the paths of the variables on which a task's answer has a gradient."""
    variables = model.trainable_variables
    given = inputs_for(model, task, x)

    def answer():
        outputs = model(given)
        outputs = outputs[task] if model.task_data == "shared" else outputs
        return ops.sum(outputs[..., 0])

    pairs = zip(variables, gradients(answer, variables), strict=True)
    return {variable.path for variable, slope in pairs if np.any(slope != 0)}


def compiled(model, **settings):
    """Compiles a model for a few steps that need not be fast."""
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=EAGER, **settings)
    return model


def trained(model, x=X, labels=LABELS):
    """Trains on two batches, with separate data two of each task."""
    compiled(model)
    if model.task_data == "shared":
        model.fit(x, {task: labels[task] for task in model.tasks}, batch_size=3, verbose=0)
    else:
        data = {task: (x, labels[task]) for task in model.tasks}
        model.fit(keras_mtl.task_batches(model.tasks, data, batch_size=3, seed=0), verbose=0)
    return model


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def starts(model):
    return [array(variable) for variable in model.weights]


def assert_seeds_reproduce(make):
    """Checks that equal seeds start a network equally, and others do not."""
    first, second, other, free = (starts(make(seed=seed)) for seed in (3, 3, 4, None))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    for different in (other, free):
        assert any(np.any(a != b) for a, b in zip(first, different, strict=True))


def assert_trains_in(policy, make, x=X, labels=LABELS):
    """Checks a forward pass and a step of training under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = trained(make(), x, labels)
        outputs = keras.tree.flatten(called(model, inputs_for(model, list(model.tasks)[0], x)))
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers if "stitch" in layer.name} <= {
        policy.removeprefix("mixed_")
    }
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    for output in outputs:
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert np.isfinite(array(output)).all()


def assert_padding_is_ignored(model):
    """Checks that padded steps change no answer at the steps before them."""
    tokens = np.pad(TOKENS, ((0, 0), (0, 2)))
    tokens[:3, 2:] = 0
    padded, short, long = (tags(model, rows) for rows in (tokens, TOKENS[:3, :2], TOKENS[3:]))
    for task, tagged in padded.items():
        np.testing.assert_allclose(tagged[:3, :2], short[task], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(tagged[3:, :4], long[task], rtol=1e-5, atol=1e-6)


def tags(model, tokens=TOKENS):
    """Returns each task's answers for any number of examples."""
    if model.task_data == "shared":
        outputs = called(model, tokens)
        return {task: array(outputs[task]) for task in model.tasks}
    return {
        task: array(called(model, inputs_for(model, task, tokens)))[..., : spec.size]
        for task, spec in model.tasks.items()
    }
