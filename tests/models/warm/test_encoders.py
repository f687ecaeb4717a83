"""Rows of embeddings go by the value that they stand for."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl import warm_start
from keras_mtl.data import SentenceEncoder
from tests.conformance.ways import answers

dense = partial(layers.Dense, 4, activation="tanh")


class Table:
    """What a warm start needs to know of an encoder."""

    def __init__(self, shift=None, **columns):
        self.columns, self.shift = columns, shift

    def vocabularies(self):
        return self.columns

    def normalizations(self):
        if self.shift is None:
            return {}
        layer = layers.Normalization()
        layer.adapt(np.array([[-1.0], [1.0]], "float32") + self.shift)
        self.layer = getattr(self, "layer", layer)
        return {"age": self.layer}


def network(table, tasks=None, names="embedding_{}"):
    """Returns a network of columns of integers, each with an embedding of 3 numbers."""
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in table.columns}
    embedded = [
        layers.Embedding(len(values), 3, name=names.format(name))(inputs[name])
        for name, values in table.columns.items()
    ]
    joined = embedded[0] if len(embedded) == 1 else layers.Concatenate()(embedded)
    stem = keras.Model(inputs, joined)
    made = [lambda: stem]
    return keras_mtl.build_mmoe(inputs, tasks or {"a": 3}, [[dense] * 2], stem=made)


def embedding(model, column):
    return model.get_layer("stem_1").get_layer(f"embedding_{column}").embeddings


def array(variable):
    return keras.ops.convert_to_numpy(variable)


def test_rows_go_by_value_and_fixed_rows_by_index():
    old_table = Table(user=[None, "ann", "bob", "eve"])
    table = Table(user=[None, "eve", "dan", "ann", "zoe"])
    old, new = network(old_table), network(table)
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    embedding(old, "user").assign(rows)
    start = array(embedding(new, "user")).copy()
    report = warm_start(new, old, preprocessing=(table, old_table))
    found = array(embedding(new, "user"))
    np.testing.assert_array_equal(found[[0, 1, 3]], rows[[0, 3, 1]])
    np.testing.assert_array_equal(found[[2, 4]], start[[2, 4]])
    assert report.grown == {"stem_1/embedding_user/embeddings": (9, 15)}
    assert report.values == {"user": (2, 2, 1)}
    assert not report.new and not report.by_index
    assert "Column user: 2 values known before, 2 new, 1 left out" in str(report).splitlines()
    users = {"user": np.array([0, 1, 3], "int32")}
    before = old({"user": np.array([0, 3, 1], "int32")}, training=False)["a"]
    np.testing.assert_allclose(array(new(users, training=False)["a"]), array(before), atol=1e-6)


def test_a_vocabulary_of_another_order_and_equal_size_goes_by_value():
    old_table, table = Table(user=[None, 7, 8]), Table(user=[None, 8, 7])
    old, new = network(old_table), network(table)
    embedding(old, "user").assign([[0.0] * 3, [1.0] * 3, [2.0] * 3])
    report = warm_start(new, old, (table, old_table))
    np.testing.assert_array_equal(array(embedding(new, "user"))[:, 0], [0, 2, 1])
    assert not report.grown


def test_columns_go_by_name_in_whatever_order_even_where_they_are_numbers():
    old_table = Table(**{"1": [None, "x"], "2": [None, "y", "z"], "gone": [None, "g"]})
    table = Table(**{"2": [None, "z", "y"], "3": [None, "q"], "1": [None, "x"]})
    old, new = network(old_table), network(table)
    report = warm_start(new, old, (table, old_table))
    rows = array(embedding(old, "2"))
    np.testing.assert_array_equal(array(embedding(new, "2")), rows[[0, 2, 1]])
    np.testing.assert_array_equal(array(embedding(new, "1")), array(embedding(old, "1")))
    assert report.new == {"stem_1/embedding_3/embeddings": "not in the trained network"}
    assert report.left_out == ("stem_1/embedding_gone/embeddings",)


def test_without_preprocessing_rows_go_by_index_and_the_report_says_so():
    old_table, table = Table(user=[None, "a"], tab=[None]), Table(user=[None, "b"], tab=[None, 1])
    old, new = network(old_table), network(table)
    report = warm_start(new, old)
    np.testing.assert_array_equal(array(embedding(new, "user")), array(embedding(old, "user")))
    assert report.by_index == ("embedding_user",)
    assert report.new["stem_1/embedding_tab/embeddings"] == (
        "shape (2, 3), (1, 3) before; preprocessing= would copy rows by value"
    )


def test_words_and_characters_of_sentences():
    old_encoder, encoder = SentenceEncoder(word_length=3), SentenceEncoder(word_length=3)
    old_encoder.adapt(["the cat"])
    encoder.adapt(["a dog saw the cat"])
    assert encoder.vocabularies() == {
        "words": [None, None, *encoder.words], "characters": [None, None, *encoder.characters]
    }  # fmt: skip
    assert SentenceEncoder().vocabularies() == {}

    def sentence_network(encoder):
        words = layers.Embedding(encoder.num_words, 3, name="any_name")
        return keras_mtl.build_recursive_routing(
            keras.Input((None,), dtype="int32"), {"a": 2},
            stem=[lambda: words, partial(layers.Dense, 16)], units=4, num_functions=2,
        )  # fmt: skip

    old, new = sentence_network(old_encoder), sentence_network(encoder)
    report = warm_start(new, old, (encoder, old_encoder))
    assert report.values == {"words": (2, 3, 0)}
    sentence = ["the cat", "zebra the"]
    before = answers(old, old_encoder.encode(sentence)["words"])["a"]
    after = answers(new, encoder.encode(sentence)["words"])["a"]
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_statistics_of_encoders():
    old_table, table = Table(3.0, user=[None, 1]), Table(5.0, user=[None, 1])
    report = warm_start(network(table), network(old_table), (table, old_table))
    assert report.normalized == ("age",)
    age = table.normalizations()["age"]
    np.testing.assert_allclose(array(age(np.array([[3.0], [4.0]]))).ravel(), [0, 1], atol=1e-6)
    table = Table(5.0, user=[None, 1])
    report = warm_start(network(table), network(old_table), (table, old_table), statistics="new")
    assert report.normalized == ()
    np.testing.assert_allclose(array(table.normalizations()["age"].mean).ravel(), [5.0])


def test_wrong_encoders_are_refused():
    old_table, table = Table(user=[None, 1, 2]), Table(user=[None, 1, 2, 3])
    old, new = network(old_table), network(table)
    with pytest.raises(ValueError, match=r"preprocessing must be a pair, .*\(table, old_table\)"):
        warm_start(new, old, table)
    with pytest.raises(ValueError, match="encoders whose vocabularies"):
        warm_start(new, old, (table, "old"))
    with pytest.raises(ValueError, match="'embedding_user' of the new network has 4 rows, but col"):
        warm_start(new, old, (old_table, table))
    with pytest.raises(
        ValueError, match="no Embedding for the values of its encoder .item 5.*user 4"
    ):
        warm_start(new, old, (Table(item=[None] * 5), old_table))


def test_rows_that_may_stand_for_two_columns_are_refused():
    table = Table(user=[None, 1], item=[None, 5])
    old, new = (network(table, names="e_{}") for _ in range(2))
    with pytest.raises(
        ValueError, match="many values have 'user' and 'item' .* Call it embedding_"
    ):
        warm_start(new, old, (table, table))
