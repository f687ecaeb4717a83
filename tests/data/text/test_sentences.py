"""Sentences to ids, tags to labels, and both to batches."""

import json
import pathlib
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import SentenceEncoder, read_columns, sentence_batches, tag_ids

tf = pytest.importorskip("tensorflow")

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data"
SENTENCES = [["the", "cat", "saw", "the", "dog"], ["The", "dog", "ran"], ["a", "dog"]]


@pytest.fixture
def encoder():
    """An encoder that knows dog 2, the 3, cat 4, saw 5, The 6, ran 7, a 8."""
    encoder = SentenceEncoder()
    encoder.adapt(SENTENCES)
    return encoder


# Words


def test_the_most_frequent_word_comes_first_and_ties_as_they_came(encoder):
    assert encoder.words == ["dog", "the", "cat", "saw", "The", "ran", "a"]
    assert encoder.num_words == 9


def test_words_become_ids(encoder):
    ids = encoder.encode([["a", "dog", "barked"], [], ["the"]])
    assert ids.dtype == "int32"
    assert ids.tolist() == [[8, 2, 1], [0, 0, 0], [3, 0, 0]]


def test_strings_are_split_at_any_white_space(encoder):
    ids = encoder.encode(["  a\tdog\u00a0the\u3000cat\n", "", " "])
    assert ids.tolist() == [[8, 2, 3, 4], [0] * 4, [0] * 4]


def test_listed_words_are_taken_as_they_are():
    encoder = SentenceEncoder(words=["New York"])
    assert encoder.encode([["New York", ""]]).tolist() == [[2, 1]]  # an empty word is a word


def test_there_is_always_a_step(encoder):
    assert encoder.encode([[], []]).tolist() == encoder.encode(["", ""]).tolist() == [[0], [0]]


def test_a_length_pads_and_cuts(encoder):
    assert encoder.encode(SENTENCES, length=4).tolist() == [
        [3, 4, 5, 3],
        [6, 2, 7, 0],
        [8, 2, 0, 0],
    ]


def test_rare_words_are_unknown(encoder):
    encoder.adapt(SENTENCES, min_count=2)
    assert encoder.words == ["dog", "the"]
    assert encoder.encode([["cat", "the"]]).tolist() == [[1, 3]]


def test_the_vocabulary_may_be_limited(encoder):
    encoder.adapt(SENTENCES, max_words=3)
    assert encoder.words == ["dog", "the", "cat"]
    assert encoder.num_words == 5


def test_words_lose_case_and_digits_on_demand():
    encoder = SentenceEncoder(lowercase=True, zero_digits=True)
    encoder.adapt(["In 1999 ÄRGER kostete 10.50 in 2024 ٣"])
    assert encoder.words == ["in", "0000", "ärger", "kostete", "00.00", "0"]
    assert encoder.encode(["Ärger IN 1"]).tolist() == [[4, 2, 7]]


def test_words_that_mean_something_to_keras_are_unknown_words():
    encoder = SentenceEncoder()
    encoder.adapt([["[UNK]", "[UNK]", "", "cat"]])
    assert encoder.words == ["cat"]
    assert encoder.encode([["[UNK]", "cat"]]).tolist() == [[1, 2]]


def test_adapting_twice_forgets_the_first_time(encoder):
    encoder.adapt(["one two"])
    assert encoder.words == ["one", "two"]
    assert encoder.encode(["dog two"]).tolist() == [[1, 3]]


# Characters


def test_characters_keep_case_and_digits_and_long_words_are_cut():
    encoder = SentenceEncoder(lowercase=True, zero_digits=True, word_length=3)
    encoder.adapt(["aaa Bb 7"])
    assert (encoder.words, encoder.characters) == (["aaa", "bb", "0"], ["a", "B", "b", "7"])
    assert encoder.num_characters == 6
    ids = encoder.encode([["BB", "7"], ["abababab"]])
    assert ids["words"].tolist() == [[3, 4], [1, 0]]
    assert ids["characters"].tolist() == [
        [[3, 3, 0], [5, 0, 0]],
        [[2, 4, 2], [0, 0, 0]],
    ]
    assert ids["characters"].dtype == "int32"


def test_characters_are_letters_and_no_bytes():
    encoder = SentenceEncoder(word_length=2)
    encoder.adapt(["né 😀"])
    assert encoder.characters == ["n", "é", "😀"]
    assert encoder.encode(["é ñ"])["characters"].tolist() == [[[3, 0], [1, 0]]]


def test_rare_words_still_teach_their_characters():
    encoder = SentenceEncoder(word_length=2)
    encoder.adapt(["x x y"], min_count=2)
    assert encoder.characters == ["x", "y"]


def test_lengths_hold_for_characters_too():
    encoder = SentenceEncoder(word_length=4)
    encoder.adapt(["a b"])
    assert encoder.encode(["a", "b a b"], length=2)["characters"].shape == (2, 2, 4)
    assert encoder.encode([[]])["characters"].tolist() == [[[0, 0, 0, 0]]]


# The encoder in networks


def test_inputs_fit_what_is_encoded(encoder):
    inputs = encoder.inputs()
    assert (inputs.shape, inputs.dtype) == ((None, None), "int32")
    inputs = SentenceEncoder(word_length=7).inputs()
    assert {name: (x.shape, x.dtype, x.name) for name, x in inputs.items()} == {
        "words": ((None, None), "int32", "words"),
        "characters": ((None, None, 7), "int32", "characters"),
    }


def test_an_encoder_survives_json():
    encoder = SentenceEncoder(lowercase=True, zero_digits=True, word_length=3)
    encoder.adapt(["The größte Katze", "the 3 dogs"])
    text = json.dumps(keras.saving.serialize_keras_object(encoder))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert copy.get_config() == encoder.get_config()
    for one, two in zip(
        encoder.encode(["THE größte 4 birds"]).values(),
        copy.encode(["THE größte 4 birds"]).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_an_encoder_works_in_tf_data_before_anywhere_else():
    encoder = SentenceEncoder(word_length=2, words=["a"], characters=["a"])
    dataset = tf.data.Dataset.from_tensor_slices(["a b", "", "a"]).batch(2).map(encoder)
    assert dataset.element_spec["characters"].shape == (None, None, 2)
    first, second = dataset.as_numpy_iterator()
    assert first["words"].tolist() == [[2, 1], [0, 0]]
    assert second["characters"].tolist() == [[[2, 0]]]
    assert encoder.encode(["a"])["words"].tolist() == [[2]]


def test_wrong_sentences_are_refused(encoder):
    with pytest.raises(ValueError, match="list of sentences is expected. .* string: 'the cat'"):
        encoder.encode("the cat")
    with pytest.raises(ValueError, match="all strings, or all lists of words. Received both"):
        encoder.adapt(["the cat", ["a", "dog"]])


def test_an_encoder_without_vocabulary_says_what_to_do():
    with pytest.raises(ValueError, match=r"knows no words. Make a SentenceEncoder and call adapt"):
        SentenceEncoder().encode(["a"])
    encoder = SentenceEncoder(words=["a"])
    with pytest.raises(ValueError, match="knows no characters. Make .* with a word_length and"):
        _ = encoder.num_characters


def test_a_vocabulary_of_nothing_is_refused(encoder):
    with pytest.raises(ValueError, match="No word occurs 9 times in these 3 sentences"):
        encoder.adapt(SENTENCES, min_count=9)
    assert encoder.num_words == 9
    with pytest.raises(ValueError, match="word_length must be an integer of at least 1"):
        SentenceEncoder(word_length=0)


# Tags


def test_tags_become_classes():
    ids = tag_ids([["N", "V"], [], ["D", None, "N"]], ["D", "N", "V"])
    assert ids.dtype == "int32"
    assert ids.tolist() == [[1, 2, -1], [-1, -1, -1], [0, -1, 1]]


def test_tags_are_as_long_as_their_words(encoder):
    tags = [["N"] * len(sentence) for sentence in SENTENCES]
    for length in (None, 4, 9):
        labelled = tag_ids(tags, ["N"], length) == 0
        np.testing.assert_array_equal(labelled, encoder.encode(SENTENCES, length) > 0)
    assert tag_ids([[], []], ["N"]).tolist() == [[-1], [-1]]


def test_an_unknown_tag_is_named():
    with pytest.raises(ValueError, match="Unknown tag 'X' in sentence 1. Known: D, N. Add it"):
        tag_ids([["D"], ["N", "X"]], ["D", "N"])


# Batches


def numbered(lengths, steps=9):
    """Returns sentences whose words are the sentence's number, from 1, and their tags."""
    present = np.arange(steps) < np.array(lengths)[:, None]
    number = np.arange(1, len(lengths) + 1)[:, None]
    return np.where(present, number, 0), {"pos": np.where(present, number % 4, -1)}


LENGTHS = [1, 3, 2, 9, 4, 3, 1, 0, 3, 5, 3]


def test_sentences_of_similar_length_stand_together():
    x, y = numbered(LENGTHS)
    batches = sentence_batches(x, y, batch_size=2, boundaries=[3, 6], seed=0)
    assert len(batches) == 4 + 1 + 1  # 8 up to length 3, 2 up to 6, 1 beyond
    widths = []
    for words, labels, _ in batches:
        assert words.shape == labels["pos"].shape == (2, words.shape[1])
        lengths = (words > 0).sum(axis=1)
        widths.append(words.shape[1])
        assert lengths.max() <= widths[-1]
        assert all(length > {3: -1, 6: 3, 9: 6}[widths[-1]] for length in lengths)
        np.testing.assert_array_equal(labels["pos"], np.where(words > 0, words % 4, -1))
    assert sorted(widths) == [3, 3, 3, 3, 6, 9]


def test_every_sentence_counts_once():
    x, y = numbered([length or 1 for length in LENGTHS])
    batches = sentence_batches(x, y, batch_size=4, boundaries=[2, 4], seed=0)
    counted = []
    for words, _, weights in batches:
        assert words.shape[0] == 4 and weights.dtype == "float32"
        counted += words[weights == 1, 0].tolist()
        assert (words[:, 0] > 0).all()  # rows that do not count are sentences too
    assert sorted(counted) == list(range(1, 12))


def test_fewer_sentences_than_a_batch_fill_it():
    x, y = numbered([2, 2, 1])
    ((words, labels, weights),) = sentence_batches(x, y, batch_size=8, seed=0)
    assert words.shape == (8, 9) and labels["pos"].shape == (8, 9)
    assert weights.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def test_boundaries_beyond_the_arrays_are_not_used():
    x, y = numbered([2, 5], steps=5)
    shapes = {words.shape for words, _, _ in sentence_batches(x, y, 1, boundaries=[5, 10])}
    assert shapes == {(1, 5)}


def test_characters_and_labels_of_whole_sentences_come_along():
    x, y = numbered([1, 2, 3], steps=4)
    characters = np.repeat(x[:, :, None], 6, axis=2)
    y["mood"] = np.array([0.0, 1.0, np.nan], "float32")
    batches = sentence_batches(
        {"words": x, "characters": characters}, y, batch_size=1, boundaries=[1, 2], seed=0
    )
    for inputs, labels, _ in batches:
        assert inputs["characters"].shape == (*inputs["words"].shape, 6)
        np.testing.assert_array_equal(inputs["characters"][:, :, 5], inputs["words"])
        np.testing.assert_equal(labels["mood"][0], y["mood"][inputs["words"][0, 0] - 1])


def order(batches):
    return [words[0, 0] for words, _, _ in batches]


def test_every_epoch_has_an_order_of_its_own_and_seeds_repeat():
    x, y = numbered([2, 3] * 20)
    first, second, other = (sentence_batches(x, y, 1, [2], seed=seed) for seed in (4, 4, 5))
    assert order(first) == order(second) != order(other)
    orders = []
    for epoch in range(3):
        first.on_epoch_begin()
        assert first.epoch == epoch
        orders.append(order(first))
    assert orders[0] == order(second) and orders[1] not in (orders[0], orders[2])
    second.epoch = 2
    second.on_epoch_begin()
    assert second.epoch == 2 and order(second) == orders[2]


@pytest.mark.slow
def test_fit_walks_through_the_epochs():
    x, y = numbered([1, 2, 3, 3])
    batches = sentence_batches(x, y, 2, [1, 2], seed=0)
    seen, model = [], tagger(["pos"])
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: seen.append(batches.epoch)
    )
    model.fit(batches, epochs=3, callbacks=[note], verbose=0)
    assert seen == [0] * 3 + [1] * 3 + [2] * 3


def test_the_first_two_batches_differ_in_length():
    x, y = numbered([3] * 50 + [9])
    batches = sentence_batches(x, y, 2, boundaries=[3], seed=0)
    for epoch in range(5):
        batches.epoch = epoch
        assert {words.shape[1] for words, _, _ in [batches[0], batches[1]]} == {3, 9}


def test_arrays_that_do_not_fit_are_refused():
    x, y = numbered([2, 2])
    with pytest.raises(ValueError, match=r"y\['pos'\] has the shape \(2, 8\), .* \(2, 9\)"):
        sentence_batches(x, {"pos": y["pos"][:, :8]}, 2)
    with pytest.raises(ValueError, match=r"y\['mood'\] has the shape \(3,\)"):
        sentence_batches(x, {"mood": np.zeros(3)}, 2)
    with pytest.raises(ValueError, match=r"x\['characters'\] has the shape \(2, 5, 4\)"):
        sentence_batches({"words": x, "characters": np.zeros((2, 5, 4))}, y, 2)
    with pytest.raises(ValueError, match="y must be a dict, task -> labels. Received: ndarray"):
        sentence_batches(x, y["pos"], 2)


@pytest.mark.parametrize("x", [np.zeros((0, 3)), np.zeros(3), {"tokens": np.ones((2, 3))}])
def test_words_are_a_table_of_sentences_and_steps(x):
    with pytest.raises(ValueError, match=r"x must be word ids of shape \(sentences, steps\)"):
        sentence_batches(x, {"pos": np.zeros((2, 3))}, 2)


@pytest.mark.parametrize("boundaries", [(3, 2), (0, 2), (2, 2)])
def test_boundaries_increase(boundaries):
    x, y = numbered([2, 2])
    with pytest.raises(ValueError, match="boundaries must be at least 1 and increase"):
        sentence_batches(x, y, 2, boundaries=boundaries)


# Training


def tagger(tasks=("pos", "chunk"), units=None):
    """Returns a network that tags each word, with or without its neighbours."""
    embed = partial(keras.layers.Embedding, 40, 8, mask_zero=True)
    read = partial(keras.layers.LSTM, units, return_sequences=True)
    model = keras_mtl.build_shared_bottom(
        keras.Input((None,), dtype="int32"),
        {task: keras_mtl.Task("tagging", 4) for task in tasks},
        [partial(keras.layers.Dense, 8, activation="relu")],
        stem=[embed, lambda: keras.layers.Bidirectional(read())] if units else [embed],
    )
    model.compile(keras.optimizers.Adam(0.1))
    return model


def corpus():
    x, y = numbered([9, *np.random.default_rng(0).integers(1, 7, 36)])
    return x, {"pos": y["pos"], "chunk": np.where((x == 0) | (x > 30), -1, x % 3)}


@pytest.mark.slow
def test_a_network_learns_from_batches_of_several_lengths():
    x, y = corpus()
    batches = sentence_batches(x, y, batch_size=8, boundaries=[2, 4, 6], seed=0)
    model = tagger()
    history = model.fit(batches, epochs=8, validation_data=batches, verbose=0).history
    assert int(model.optimizer.iterations) == 8 * len(batches)
    assert history["pos_loss"][-1] < 0.2 * history["pos_loss"][0]
    assert history["val_chunk_accuracy"][-1] > 0.95


@pytest.mark.slow
def test_logs_are_those_of_the_arrays():
    x, y = corpus()
    model = tagger(units=5)
    batches = sentence_batches(x, y, batch_size=8, boundaries=[2, 4, 6], seed=0)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    logs = model.evaluate(batches, verbose=0, return_dict=True)
    assert set(logs) == set(expected)
    for name in set(logs) - {"loss"}:  # of which Keras averages the batches
        assert logs[name] == pytest.approx(expected[name], abs=1e-5), name


@pytest.mark.slow
def test_rows_that_do_not_count_teach_nothing():
    x, y = numbered([3, 3, 3], steps=3)
    model, other = tagger(["pos"]), tagger(["pos"])
    other.set_weights(model.get_weights())
    for network, size in ((model, 3), (other, 7)):
        network.compile(keras.optimizers.SGD(0.5))
        network.fit(sentence_batches(x, y, size, seed=0), verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the corpora are not here")
def test_conll_2000_goes_all_the_way():
    data = read_columns(SHARED / "conll2000" / "train.txt.gz", ["word", "pos", "chunk"])
    encoder = SentenceEncoder(lowercase=True, zero_digits=True, word_length=15)
    encoder.adapt(data["word"], min_count=2)
    x = encoder.encode(data["word"])
    names = sorted({tag for tags in data["chunk"] for tag in tags})
    y = {"chunk": tag_ids(data["chunk"], names)}
    assert x["words"].shape == y["chunk"].shape == (8936, 78)
    np.testing.assert_array_equal(x["words"] > 0, y["chunk"] >= 0)
    assert x["words"].max() < encoder.num_words < 9000
    batches = sentence_batches(x, y, batch_size=32, seed=0)
    words = sum((inputs["words"][weights > 0] > 0).sum() for inputs, _, weights in batches)
    steps = sum(inputs["words"].size for inputs, _, _ in batches)
    assert words == 211727
    assert words / steps > 0.65  # of 0.30 without boundaries
