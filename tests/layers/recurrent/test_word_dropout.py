from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import WordDropout

array = keras.ops.convert_to_numpy
WORD_IDS = np.where(np.arange(3000).reshape(30, 100) % 100 < 60, 7, 0).astype("int32")


def test_words_become_unknown_at_the_given_rate():
    dropped = array(WordDropout(0.25, seed=3)(WORD_IDS, training=True))
    assert set(dropped[WORD_IDS == 7]) == {1, 7}
    assert (dropped[WORD_IDS == 7] == 1).mean() == pytest.approx(0.25, abs=0.05)  # of 1800


def test_padding_stays():
    dropped = array(WordDropout(0.9, seed=3)(WORD_IDS, training=True))
    np.testing.assert_array_equal(dropped == 0, WORD_IDS == 0)


def test_nothing_happens_at_inference():
    np.testing.assert_array_equal(array(WordDropout(0.9)(WORD_IDS)), WORD_IDS)
    np.testing.assert_array_equal(array(WordDropout(0.9)(WORD_IDS, training=False)), WORD_IDS)


def test_a_rate_of_zero_replaces_nothing():
    np.testing.assert_array_equal(array(WordDropout(0.0)(WORD_IDS, training=True)), WORD_IDS)


def test_the_unknown_id_may_be_another():
    dropped = array(WordDropout(0.5, unknown_id=4, seed=0)(WORD_IDS, training=True))
    assert set(dropped.ravel()) == {0, 4, 7}


def test_ids_keep_their_type():
    for dtype in ("int32", "int64") if keras.backend.backend() != "jax" else ("int32",):
        dropped = WordDropout(0.5)(WORD_IDS.astype(dtype), training=True)
        assert keras.backend.standardize_dtype(dropped.dtype) == dtype


def test_large_ids_survive_mixed_precision():
    word_ids = np.full((2, 3), 70001, "int32")  # float16 knows no such number
    layer = WordDropout(0.5, seed=0, dtype="mixed_float16")
    assert set(array(layer(word_ids, training=True)).ravel()) <= {1, 70001}


def test_every_call_draws_anew_and_seeds_repeat():
    first, second = WordDropout(0.5, seed=5), WordDropout(0.5, seed=5)
    draws = [array(first(WORD_IDS, training=True)) for _ in range(2)]
    assert (draws[0] != draws[1]).any()
    for draw in draws:
        np.testing.assert_array_equal(array(second(WORD_IDS, training=True)), draw)


def test_it_stands_before_an_embedding():
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 2, mask_zero=True)(WordDropout(0.5)(inputs))
    model = keras.Model(inputs, keras.layers.LSTM(3)(embedded))
    short, long = np.array([[5, 6]]), np.array([[5, 6, 0, 0]])
    np.testing.assert_allclose(array(model(short)), array(model(long)), atol=1e-6)


def nested():
    """Returns a network of two inputs with layers that act in training only."""
    inputs = {
        "words": keras.Input((None,), dtype="int32", name="words"),
        "shapes": keras.Input((None, 4), name="shapes"),
    }
    embedded = keras.layers.Embedding(9, 2)(WordDropout(0.5)(inputs["words"]))
    joined = keras.layers.Concatenate()([embedded, inputs["shapes"]])
    return keras.Model(inputs, keras.layers.Dropout(0.5)(joined))


PLAIN = keras.Input((None,), dtype="int32")
STEMS = {
    "stem": (PLAIN, [partial(WordDropout, 0.5), partial(keras.layers.Embedding, 9, 2)]),
    "nested in a model": (
        {"words": PLAIN, "shapes": keras.Input((None, 4))},
        [nested],
    ),
}


@pytest.mark.parametrize("inputs, stem", STEMS.values(), ids=STEMS)
def test_a_frozen_network_has_none(inputs, stem):
    model = keras_mtl.build_shared_bottom(
        inputs,
        {"pos": keras_mtl.Task("tagging", 5), "chunk": keras_mtl.Task("tagging", 3)},
        [partial(keras.layers.Dense, 6, activation="tanh")],
        stem=stem,
    )
    x = {"words": WORD_IDS, "shapes": np.ones((*WORD_IDS.shape, 4), "float32")}
    x = x if isinstance(inputs, dict) else WORD_IDS
    frozen = keras_mtl.freeze(model)
    assert "Dropout" in model.to_json() and "Dropout" not in frozen.to_json()
    assert len(frozen.weights) == len(model.weights)
    for task, answer in model(x, training=False).items():
        np.testing.assert_allclose(array(frozen(x)[task]), array(answer), atol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_is_a_probability(rate):
    with pytest.raises(ValueError, match=rf"rate must be a number in \[0, 1\). .* {rate}"):
        WordDropout(rate)
