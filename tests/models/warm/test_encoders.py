"""Rows of embeddings go by the value that they stand for."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl import warm_start
from keras_mtl.data import SentenceEncoder, TableEncoder
from tests.conformance.ways import answers

dense = partial(layers.Dense, 4, activation="tanh")


class Table:
    """What a warm start needs to know of an encoder."""

    def __init__(self, **columns):
        self.columns = columns

    def vocabularies(self):
        return {f"embedding_{name}": values for name, values in self.columns.items()}


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
    assert report.values == {"embedding_user": (2, 2, 1)}
    assert not report.new and not report.by_index
    assert "embedding_user: 2 values known before, 2 new, 1 left out" in str(report).splitlines()
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


def test_hashed_rows_go_by_index_where_there_are_equally_many():
    old_table, table = Table(user=[None] * 4), Table(user=[None] * 4)
    old, new = network(old_table), network(table)
    warm_start(new, old, (table, old_table))
    np.testing.assert_array_equal(array(embedding(new, "user")), array(embedding(old, "user")))
    table = Table(user=[None] * 6)  # every value falls into another bucket
    report = warm_start(network(table), old, (table, old_table))
    assert list(report.new) == ["stem_1/embedding_user/embeddings"]


OLD_COLUMNS = {
    "user": ["ann", "bob", "ann", None], "age": [1.0, 3.0, None, 3.0],
    "tags": [["x"], [], ["y"], ["x"]], "price": [1.0, 2.0, 3.0, 4.0],
}  # fmt: skip
COLUMNS = {
    "user": ["zoe", "zoe", "bob", "ann"], "age": [10.0, 20.0, 30.0, None],
    "tags": [["y"], ["z"], [], ["x"]], "price": [4.0, 5.0, 6.0, 7.0],
}  # fmt: skip


@pytest.mark.parametrize("statistics", ["old", "new"])
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_table_of_today_starts_from_that_of_yesterday(statistics, task_data):
    def made(columns):
        table = TableEncoder(
            ["user"], ["age", "price"], ["tags"], embedding_dim=3, num_bins={"price": 2}
        )
        table.adapt(columns)
        tasks = {"a": 3, "b": "binary"}
        settings = {"stem": [table.embedding], "task_data": task_data}
        return table, keras_mtl.build_mmoe(table.inputs(), tasks, [[dense] * 2], **settings)

    (old_table, old), (table, new) = made(OLD_COLUMNS), made(COLUMNS)
    report = warm_start(new, old, (table, old_table), statistics)
    assert report.values == {"embedding_user": (2, 1, 0), "embedding_tags": (2, 1, 0)}
    assert report.by_index == ("embedding_price",)
    assert not report.new and not report.left_out
    assert set(report.grown) == {
        "stem_1/embedding_user/embeddings", "stem_1/embedding_tags/embeddings"
    }  # fmt: skip
    known = {"user": ["ann", "bob", None], "age": [1.0, None, 2.0], "tags": [["x", "y"], [], ["x"]]}
    known["price"] = [None] * 3
    before, after = (
        answers_of(model, each.encode(known)) for model, each in ((old, old_table), (new, table))
    )
    off = max(np.abs(before[task] - after[task]).max() for task in before)
    assert off <= 1e-6 if statistics == "old" else off > 1e-6


def test_normalized_columns_go_by_name():
    old_table, table = TableEncoder((), ["age", "size"]), TableEncoder((), ["size", "new", "age"])
    old_table.adapt({"age": [1.0, 3.0], "size": [10.0, 30.0]})
    table.adapt({"age": [5.0, 7.0], "size": [50.0, 70.0], "new": [0.0, 2.0]})
    old, new = (
        keras_mtl.build_shared_bottom(each.inputs(), {"a": 3}, [dense], stem=[each.embedding])
        for each in (old_table, table)
    )
    report = warm_start(new, old, (table, old_table))
    layer = new.get_layer("stem_1").get_layer("normalization")
    np.testing.assert_allclose(array(layer.mean).ravel(), [20.0, 1.0, 2.0])
    assert report.grown["stem_1/normalization/mean"] == (2, 3)
    assert report.new == {"layer_1/kernel": "shape (6, 4), (4, 4) before"}


def answers_of(model, x):
    """Returns what a network of a table answers, task by task."""
    if model.task_data == "shared":
        return {task: array(output) for task, output in model(x, training=False).items()}
    rows = len(next(iter(x.values())))
    ids = {task: np.full(rows, index, "int32") for index, task in enumerate(model.tasks)}
    outputs = {
        task: model({"inputs": x, "task_id": task_id}, training=False)
        for task, task_id in ids.items()
    }
    return {
        f"{task} {kind}": array(output)
        for task, by_kind in outputs.items()
        for kind, output in by_kind.items()
    }


def test_wrong_encoders_are_refused():
    old_table, table = Table(user=[None, 1, 2]), Table(user=[None, 1, 2, 3])
    old, new = network(old_table), network(table)
    with pytest.raises(ValueError, match=r"preprocessing must be a pair, .*\(table, old_table\)"):
        warm_start(new, old, table)
    with pytest.raises(ValueError, match="encoders whose vocabularies"):
        warm_start(new, old, (table, "old"))
    with pytest.raises(ValueError, match="'embedding_user' of the new network has 4 rows, but its"):
        warm_start(new, old, (old_table, table))
    with pytest.raises(
        ValueError, match="no Embedding for the values of its encoder .embedding_item 5.*user 4"
    ):
        warm_start(new, old, (Table(item=[None] * 5), old_table))


def test_rows_that_may_stand_for_two_columns_are_refused():
    table = Table(user=[None, 1], item=[None, 5])
    old, new = (network(table, names="e_{}") for _ in range(2))
    with pytest.raises(ValueError, match="'embedding_user' and 'embedding_item' .* Call it by one"):
        warm_start(new, old, (table, table))
