"""Sentences as the input of an export: split, looked up and tagged by the SavedModel itself."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.data import SentenceEncoder
from keras_mtl.serving import export, freeze, load_served

BACKEND = keras.backend.backend()
needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="encodes in TensorFlow")

TASKS = {"chunk": keras_mtl.Task("tagging", 5), "pos": keras_mtl.Task("tagging", 3)}
KNOWN = ["The cat sat on the mat", "dogs ran in 1984"]
REQUESTS = {
    "known words": ["The cat ran"],
    "unknown words": ["zebras sat quietly", "Zürich 😀"],
    "several lengths": ["the cat", "in", "dogs sat on the mat in 2024"],
    "an empty sentence": ["the cat sat", "", "dogs"],
    "one empty sentence": [""],
    "only empty sentences": ["", "  ", "\t"],
    "long words": ["a" * 500 + " sat", "Mathematics"],
    "a long sentence": ["the cat sat " * 1000],
    "other white space": [" the\u00a0cat\tsat\n"],
}


def make_encoder(word_length=None):
    encoder = SentenceEncoder(lowercase=True, zero_digits=True, word_length=word_length)
    encoder.adapt(KNOWN)
    return encoder


def word_features(encoder):
    """Returns a network from words and characters to one vector per word, masked as words are."""
    inputs = encoder.inputs()
    words = keras.layers.Embedding(encoder.num_words, 4, mask_zero=True)(inputs["words"])
    letters = keras.layers.Embedding(encoder.num_characters, 3)(inputs["characters"])
    letters = keras.layers.Conv2D(2, (1, 3), activation="relu")(letters)
    letters = keras.layers.MaxPooling2D((1, letters.shape[2]))(letters)
    letters = keras.layers.Reshape((-1, 2))(letters)
    is_word = ops.expand_dims(ops.cast(ops.not_equal(inputs["words"], 0), "float32"), axis=-1)
    letters = keras.layers.Masking()(letters * is_word)
    return keras.Model(inputs, keras.layers.Concatenate()([words, letters]))


def make_tagger(encoder):
    features = partial(keras.layers.Embedding, encoder.num_words, 4, mask_zero=True)
    if encoder.word_length:
        features = partial(word_features, encoder)
    return keras_mtl.build_shared_bottom(
        encoder.inputs(),
        TASKS,
        [partial(keras.layers.Dense, 7, activation="tanh")],
        stem=[
            features,
            lambda: keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True)),
        ],
    )


@pytest.fixture(
    scope="module",
    params=[pytest.param(None, marks=pytest.mark.slow), 6],
    ids=["words", "words and characters"],
)
def exported(request, tmp_path_factory):
    """An encoder, a network and the path of their export."""
    encoder = make_encoder(request.param)
    model = make_tagger(encoder)
    path = tmp_path_factory.mktemp("tagger") / "1"
    return encoder, model, export(model, path, preprocessing=encoder)


@pytest.fixture(scope="module")
def served(exported):
    return load_served(exported[2])


def answers(encoder, model, sentences):
    return model.predict(encoder.encode(sentences), verbose=0)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("sentences", REQUESTS.values(), ids=REQUESTS)
def test_sentences_are_answered_as_by_encoder_and_model(exported, served, sentences):
    encoder, model, _ = exported
    expected = answers(encoder, model, sentences)
    for task, size in (("chunk", 5), ("pos", 3)):
        steps = max(1, *(len(sentence.split()) for sentence in sentences))
        assert expected[task].shape == (len(sentences), steps, size)
        np.testing.assert_allclose(served.predict(task, sentences), expected[task], atol=1e-6)


@needs_tensorflow
def test_other_sentences_of_a_batch_change_nothing(served):
    alone = served.predict("pos", ["the cat"])
    together = served.predict("pos", ["", "the cat", "dogs ran on the mat"])
    np.testing.assert_allclose(together[1, :2], alone[0], atol=1e-6)


@needs_tensorflow
def test_every_signature_takes_sentences(exported):
    import tensorflow as tf

    network = tf.saved_model.load(exported[2])
    assert set(network.signatures) == {"serving_default", *TASKS}
    for name, signature in network.signatures.items():
        assert signature.structured_input_signature[1] == {
            "inputs": tf.TensorSpec((None,), tf.string, name="inputs")
        }
        outputs = signature(inputs=tf.constant(["the cat sat", "dogs"]))
        assert set(outputs) == (set(TASKS) if name == "serving_default" else {name})
        assert all(output.shape[:2] == (2, 3) for output in outputs.values())


@needs_tensorflow
def test_every_weight_is_stored_once(exported):
    import tensorflow as tf

    _, model, path = exported
    stored = tf.train.list_variables(str(Path(path) / "variables" / "variables"))
    shapes = [tuple(shape) for name, shape in stored if "VARIABLE_VALUE" in name]
    assert sorted(shapes) == sorted(tuple(weight.shape) for weight in freeze(model).weights)


@pytest.mark.slow
@needs_tensorflow
def test_plain_tensorflow_answers_sentences(exported, tmp_path):
    encoder, model, path = exported
    sentences = ["The zebra sat in 2024", "", "dogs"]
    (tmp_path / "sentences.json").write_text(json.dumps(sentences))
    script = """
import json, sys
sys.modules["keras"] = sys.modules["keras_mtl"] = None
import numpy, tensorflow
network = tensorflow.saved_model.load(sys.argv[1])
sentences = tensorflow.constant(json.load(open(sys.argv[2] + "/sentences.json")))
numpy.save(sys.argv[2] + "/y.npy", network.signatures["pos"](inputs=sentences)["pos"].numpy())
"""
    subprocess.run([sys.executable, "-c", script, path, str(tmp_path)], check=True, timeout=300)
    expected = answers(encoder, model, sentences)["pos"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6)


@needs_tensorflow
def test_warm_up_requests_are_empty_sentences(exported):
    import tensorflow as tf

    folder = Path(exported[2]) / "assets.extra"
    dataset = tf.data.TFRecordDataset(str(folder / "tf_serving_warmup_requests"))
    records = list(dataset.as_numpy_iterator())
    assert len(records) == 3
    tensor = tf.make_tensor_proto([""], dtype="string")
    assert all(tensor.SerializeToString() in record for record in records)


@needs_tensorflow
def test_wrong_requests_are_refused(served):
    with pytest.raises(ValueError, match=r"x must have shape \(None,\), .* Received: \(\)"):
        served.predict("pos", "the cat")
    with pytest.raises(ValueError, match=r"x must have shape \(None,\), .* Received: \(2, 1\)"):
        served.predict("pos", [["the"], ["cat"]])
    with pytest.raises(ValueError, match="x must hold string values. Received: list"):
        served.predict("pos", [["the", "cat"], ["dogs"]])
    with pytest.raises(ValueError, match="x must hold string values. Received: int"):
        served.predict("pos", [3, 4])


@needs_tensorflow
def test_damage_is_noticed(exported, tmp_path):
    path = Path(shutil.copytree(exported[2], tmp_path / "1"))
    with (path / "saved_model.pb").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="saved_model.pb is damaged"):
        load_served(path)


@needs_tensorflow
def test_the_encoder_must_be_that_of_the_model(tmp_path):
    model = make_tagger(make_encoder())
    with pytest.raises(ValueError, match="The model reads .* but the encoder gives .*characters"):
        export(model, tmp_path / "1", preprocessing=make_encoder(word_length=6))
    with pytest.raises(ValueError, match="must be a keras_mtl.data.SentenceEncoder or .* function"):
        export(model, tmp_path / "1", preprocessing=lambda x: x)
    with pytest.raises(ValueError, match="knows no words"):
        export(model, tmp_path / "1", preprocessing=SentenceEncoder())
    assert list(tmp_path.iterdir()) == []


def test_only_a_saved_model_on_tensorflow_takes_sentences(tmp_path):
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 2}, [partial(keras.layers.Dense, 4)]
    )
    format = {"tensorflow": "litert", "jax": "tf_saved_model", "torch": "onnx"}[BACKEND]
    with pytest.raises(ValueError, match=f"format='{format}' on the {BACKEND} backend. Save the"):
        export(model, tmp_path / "1", format=format, preprocessing=object())
    assert list(tmp_path.iterdir()) == []
