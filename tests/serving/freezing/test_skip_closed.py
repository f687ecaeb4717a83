"""Closed gates skip the computation of a block when a network is served."""

import functools
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import ResidualConv1D, ResidualConv2D, ResidualDense
from keras_mtl.serving.freezing.skip_closed import SkipClosed
from tests.models.gates import gates_of, half_open

TENSORFLOW = keras.backend.backend() == "tensorflow"
needs_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="only TensorFlow skips")
TASKS = {"animal": 3, "alive": "binary"}
IMAGES = np.random.default_rng(0).normal(size=(9, 8, 8, 3)).astype("float32")
POLICY = [[1, 1, 0], [1, 0, 1]]


@functools.cache
def trained():
    """Returns a network that tests only read."""
    return images_network()


def images_network(**settings):
    layers = [
        partial(keras.layers.Conv2D, 4, 3, padding="same"),
        [partial(ResidualConv2D, 4)],
        [lambda: keras.layers.Conv2D(4, 3, padding="same")],  # any layer that keeps the shape
        [partial(ResidualConv2D, 6, strides=2)],
        keras.layers.GlobalAveragePooling2D,
    ]
    settings = {"policy": POLICY, "target_rates": 0.5, "seed": 0, **settings}
    return with_open_gates(
        keras_mtl.build_dynashare(keras.Input((8, 8, 3)), TASKS, layers, **settings)
    )


def with_open_gates(model, opened=None, x=IMAGES):
    """Gives gates random weights that open for half of the examples, or for all or none."""
    half_open(model, x)
    if opened is not None:
        for gate in gates_of(model):
            gate.scores.bias.assign([-90.0, 90.0] if opened else [90.0, -90.0])
    return model


def skipping_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SkipClosed)]


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("opened", [None, True, False], ids=["some open", "all", "none"])
@pytest.mark.parametrize("batch", [1, 9])
def test_it_answers_as_the_network_that_computes_all(opened, batch):
    model = with_open_gates(images_network(), opened)
    frozen, x = keras_mtl.freeze(model, skip_closed=True), IMAGES[:batch]
    expected = model(x, training=False)
    for name in TASKS:
        alone = keras_mtl.freeze(model, name, skip_closed=True)(x)
        for found in (frozen(x)[name], alone):
            np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6)


@needs_tensorflow
@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_blocks_in_half_precision_are_skipped_too(policy, tmp_path):
    dense = partial(keras.layers.Dense, 4)
    blocks = [[partial(ResidualDense, 4)], [dense]]
    keras.config.set_dtype_policy(policy)
    try:
        model = keras_mtl.build_dynashare(
            keras.Input((5,)), TASKS, [dense, *blocks], target_rates=0.5, seed=0
        )
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(1).normal(size=(9, 5)).astype("float32")
    with_open_gates(model, x=x)
    frozen, expected = keras_mtl.freeze(model, skip_closed=True), model(x, training=False)
    frozen.save(tmp_path / "frozen.keras")
    for network in (frozen, keras.models.load_model(tmp_path / "frozen.keras")):
        for name in TASKS:
            np.testing.assert_allclose(network(x)[name], expected[name], rtol=5e-3, atol=5e-3)


@needs_tensorflow
def test_only_open_examples_pass_a_block(monkeypatch):
    model = images_network()
    frozen = keras_mtl.freeze(model, "animal", skip_closed=True)
    features = keras.Model(model.input, model.get_layer("layer_1").output)(IMAGES)
    opened = int(keras.ops.sum(model.get_layer("gate_1")(features)))
    assert opened in (4, 5)
    passed, (first, *_) = [], skipping_layers(frozen)
    network = first.network
    monkeypatch.setattr(
        first, "network", lambda inputs: passed.append(len(inputs[0])) or network(inputs)
    )
    frozen(IMAGES)
    assert passed == [opened]
    with_open_gates(model, False)
    closed = keras_mtl.freeze(model, "animal", skip_closed=True)
    for layer in skipping_layers(closed):
        monkeypatch.setattr(layer, "network", None)  # would fail if it were called
    closed(IMAGES)


@needs_tensorflow
def test_weights_are_stored_once():
    model = trained()
    plain, skipping = (keras_mtl.freeze(model, skip_closed=skip) for skip in (False, True))
    assert skipping.count_params() == plain.count_params()
    assert len(skipping_layers(skipping)) == 3 and not skipping_layers(plain)


@needs_tensorflow
def test_blocks_without_a_gate_stay_stock_layers():
    assert not skipping_layers(keras_mtl.freeze(images_network(target_rates=1.0), skip_closed=True))


@needs_tensorflow
def test_it_is_saved_and_loaded(tmp_path):
    frozen = keras_mtl.freeze(trained(), "alive", skip_closed=True)
    frozen.save(tmp_path / "alive.keras")
    loaded = keras.saving.load_model(tmp_path / "alive.keras")
    np.testing.assert_allclose(loaded(IMAGES), frozen(IMAGES), rtol=1e-6)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("skip_closed", [True, False])
def test_a_served_network_answers_the_same_and_skips_unless_told(tmp_path, skip_closed):
    import tensorflow as tf

    model = trained()
    path = keras_mtl.export(model, tmp_path / "1", skip_closed=skip_closed)
    served, expected = keras_mtl.load_served(path), model(IMAGES, training=False)
    for name in TASKS:
        np.testing.assert_allclose(
            served.predict(name, IMAGES), expected[name], rtol=1e-5, atol=1e-6
        )
        one = served.predict(name, IMAGES[:1])
        np.testing.assert_allclose(one, expected[name][:1], rtol=1e-5, atol=1e-6)
    graph = tf.saved_model.load(path).signatures["animal"].graph
    nodes = graph.as_graph_def()
    operations = {node.op for f in nodes.library.function for node in f.node_def}
    operations |= {node.op for node in nodes.node}
    assert ("GatherNd" in operations) == skip_closed


@needs_tensorflow
def test_tables_skip_too():
    layers = [
        partial(keras.layers.Dense, 5),
        [partial(ResidualDense, 5)],
        [partial(ResidualDense, 3)],
    ]
    x = np.random.default_rng(2).normal(size=(40, 6)).astype("float32")
    model = with_open_gates(
        keras_mtl.build_dynashare(keras.Input((6,)), TASKS, layers, target_rates=0.5, seed=1), x=x
    )
    frozen, expected = keras_mtl.freeze(model, skip_closed=True), model(x, training=False)
    assert len(skipping_layers(frozen)) == 2
    for name in TASKS:
        np.testing.assert_allclose(frozen(x)[name], expected[name], rtol=1e-5, atol=1e-6)


@needs_tensorflow
def test_sequences_are_skipped_whose_steps_are_all_closed(monkeypatch):
    layers = [[partial(ResidualConv1D, 3)], [partial(ResidualConv1D, 4, strides=2)]]
    x = np.random.default_rng(2).normal(size=(9, 5, 3)).astype("float32")
    model = keras_mtl.build_dynashare(
        keras.Input((None, 3)), TASKS, [*layers, keras.layers.GlobalAveragePooling1D],
        target_rates=0.5, gates_per_step=True, seed=1,
    )  # fmt: skip
    with_open_gates(model, x=x)
    gate = keras.ops.convert_to_numpy(model.get_layer("gate_1")(x))[..., 0]
    opened = gate.any(axis=1)
    assert 0 < opened.sum() < 9 and gate[opened].min() == 0 and opened[0]
    frozen, expected = keras_mtl.freeze(model, skip_closed=True), model(x, training=False)
    layer, *_ = skipping_layers(frozen)
    passed, network = [], layer.network
    monkeypatch.setattr(
        layer, "network", lambda inputs: passed.append(len(inputs[0])) or network(inputs)
    )
    for batch in (1, 9):
        passed.clear()
        found = frozen(x[:batch])
        assert passed == [opened[:batch].sum()]
        for name in TASKS:
            np.testing.assert_allclose(found[name], expected[name][:batch], rtol=1e-5, atol=1e-6)


@needs_tensorflow
def test_masked_sequences_keep_the_product():
    layers = [
        lambda: keras.layers.Embedding(9, 4, mask_zero=True),
        [partial(ResidualConv1D, 4)],
        partial(keras.layers.GlobalAveragePooling1D),
    ]
    x = np.random.default_rng(2).integers(0, 9, (12, 7)).astype("int32")
    model = with_open_gates(
        keras_mtl.build_dynashare(
            keras.Input((7,), dtype="int32"), TASKS, layers, target_rates=0.5, seed=1
        ),
        x=x,
    )
    frozen, expected = keras_mtl.freeze(model, skip_closed=True), model(x, training=False)
    assert not skipping_layers(frozen)
    for name in TASKS:
        np.testing.assert_allclose(frozen(x)[name], expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow skips")
def test_other_backends_say_that_they_cannot():
    with pytest.raises(ValueError, match="skip_closed=True needs the TensorFlow backend"):
        keras_mtl.freeze(images_network(), skip_closed=True)
