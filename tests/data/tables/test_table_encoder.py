"""Columns to ids and numbers, and to the vectors that networks read."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import TableEncoder

tf = pytest.importorskip("tensorflow")
array = keras.ops.convert_to_numpy

COLUMNS = {
    "shop": ["north", "south", "north", None, "west", "south", "north"],
    "user": [7, 7, 3, 9, None, 3, 7],
    "price": [1.0, 2.0, None, 4.0, 5.0, 6.0, 6.0],
    "tags": [["new"], ["red", "new"], [], None, ["red"], ["new"], ["blue"]],
}


def make(**settings):
    encoder = TableEncoder(["shop", "user"], ["price"], ["tags"], **settings)
    encoder.adapt(COLUMNS)
    return encoder


@pytest.fixture(scope="module")
def encoder():
    """Knows north 2, south 3, west 4; 7 is 2, 3 is 3, 9 is 4; new 2, red 3, blue 4."""
    return make()


def test_frequent_values_come_first_and_missing_and_unseen_have_ids_of_their_own(encoder):
    ids = encoder.encode(
        {
            "shop": ["west", "east", None, "", "north"],
            "user": [9, 1, None, float("nan"), 7],
            "price": [1, 2.5, None, float("nan"), 0],
            "tags": [["red", "old"], [], None, ["blue", None, "new"], ["new"]],
        }
    )
    assert ids["shop"].tolist() == [4, 1, 0, 0, 2]
    assert ids["user"].tolist() == [4, 1, 0, 0, 2]
    np.testing.assert_array_equal(ids["price"], np.float32([1, 2.5, np.nan, np.nan, 0]))
    assert ids["tags"].tolist() == [[3, 1], [0, 0], [0, 0], [4, 2], [2, 0]]
    assert {name: part.dtype.name for name, part in ids.items()} == {
        "shop": "int32", "user": "int32", "price": "float32", "tags": "int32"
    }  # fmt: skip


def test_inputs_are_of_what_is_encoded(encoder):
    inputs, ids = encoder.inputs(), encoder.encode(COLUMNS)
    assert {name: (x.shape[1:], x.dtype) for name, x in inputs.items()} == {
        "shop": ((), "int32"), "user": ((), "int32"), "price": ((), "float32"),
        "tags": ((None,), "int32"),
    }  # fmt: skip
    assert list(ids) == list(inputs)


def test_numbers_are_normalized_by_the_network_and_tell_what_is_missing():
    encoder = TableEncoder(numeric=["a", "b"])
    encoder.adapt({"a": [1.0, 3.0, None], "b": [5, 5, 5]})
    ids = encoder.encode({"a": [4.0, None], "b": [5, 6]})
    vectors = array(encoder.embedding()(ids))  # a has mean 2 and deviation 1, b is constant
    np.testing.assert_allclose(vectors, [[2, 0, 0, 0], [0, 1, 1, 0]], atol=1e-6)


def test_parts_of_a_table_have_the_moments_of_the_whole():
    values = np.random.default_rng(0).normal(1e4, 3, 1000)
    encoder = TableEncoder(numeric=["a"])
    parts = tf.data.Dataset.from_tensor_slices({"a": values}).batch(130)
    encoder.adapt(parts)
    np.testing.assert_allclose(
        encoder.columns[0].statistics, [values.mean(), values.var()], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [1.5, 0.5]), ("sum", [3, 1]), ("max", [3, 4])]
)
def test_lists_are_pooled_over_what_they_hold(pooling, expected):
    encoder = make(embedding_dim=2, pooling=pooling)
    network = encoder.embedding()
    rows = np.zeros((5, 2), "float32")
    rows[2:4], rows[0] = [[3, -3], [0, 4]], [-7, 7]
    network.get_layer("embedding_tags").set_weights([rows])
    ids = encoder.encode({**{name: [None] * 2 for name in COLUMNS}, "tags": [["new", "red"], []]})
    found = array(network(ids))[:, 4:6]
    np.testing.assert_allclose(found, [expected, [-7, 7]])  # an empty list is a missing value


def test_a_list_that_is_longer_padded_has_the_same_vector(encoder):
    network, ids = encoder.embedding(), encoder.encode(COLUMNS)
    longer = {**ids, "tags": np.pad(ids["tags"], ((0, 0), (0, 3)))}
    np.testing.assert_allclose(array(network(longer)), array(network(ids)), atol=1e-7)


def test_bins_hold_as_many_rows_and_a_missing_number_has_one_of_its_own():
    encoder = TableEncoder(numeric=["a"], num_bins=4)
    encoder.adapt({"a": [*range(100), None]})
    ids = encoder.encode({"a": [*range(100), None, -5, 500]})["a"]
    assert ids[100:].tolist() == [0, 1, 4]
    assert np.bincount(ids[:100])[1:].tolist() == pytest.approx([25] * 4, abs=2)


def test_hashing_needs_no_values_and_leaves_0_to_what_is_missing():
    encoder = make(num_buckets={"user": 5})
    ids = encoder.encode({**COLUMNS, "user": [None, *range(6)]})["user"]
    assert ids[0] == 0 and set(ids[1:]) <= {1, 2, 3, 4}
    assert encoder.vocabularies()["embedding_user"] == [None] * 5
    assert encoder.embedding().get_layer("embedding_user").input_dim == 5


def test_rare_values_are_not_known():
    encoder = make(min_count={"shop": 2})
    assert encoder.vocabularies()["embedding_shop"] == [None, None, "north", "south"]
    assert encoder.vocabularies()["embedding_user"] == [None, None, 7, 3, 9]


def test_columns_share_a_vocabulary_and_its_embeddings():
    encoder = TableEncoder(["last"], sequences=["seen"], shared={"video": ["last", "seen"]})
    encoder.adapt({"last": ["a", "b"], "seen": [["b", "c"], ["b"]]})
    assert encoder.vocabularies() == {"embedding_video": [None, None, "b", "a", "c"]}
    ids = encoder.encode({"last": ["c"], "seen": [["c"]]})
    left, right = np.split(array(encoder.embedding()(ids)), 2, axis=-1)
    np.testing.assert_allclose(left, right)


def test_vectors_of_one_width_for_each_column():
    encoder = make(embedding_dim=3)
    vectors = encoder.embeddings()(encoder.encode(COLUMNS))
    assert [tuple(vector.shape) for vector in vectors] == [(7, 3)] * 4


def test_widths_follow_a_rule_of_thumb_or_the_user(encoder):
    def widths(encoder):
        layers = encoder.embedding().layers
        return {x.name: x.output_dim for x in layers if x.name.startswith("embedding")}

    assert widths(encoder)["embedding_shop"] == round(1.6 * 5**0.56) == 4
    assert widths(make(embedding_dim={"shop": 9}))["embedding_shop"] == 9
    assert widths(make(embedding_dim=6))["embedding_user"] == 6


def test_dictionaries_frames_and_datasets_are_encoded_alike(encoder):
    pandas = pytest.importorskip("pandas")
    expected = encoder.encode(COLUMNS)
    frame = encoder.encode(pandas.DataFrame(COLUMNS))
    raw = tf.data.Dataset.from_tensor_slices(encoder.raw(COLUMNS))
    mapped = next(iter(raw.batch(7).map(encoder.encode)))
    ragged = encoder.encode(
        {
            **encoder.raw(COLUMNS),
            "tags": tf.ragged.constant([tags or [] for tags in COLUMNS["tags"]]),
        }
    )
    for found in (frame, mapped, ragged):
        for name, ids in expected.items():
            np.testing.assert_array_equal(found[name], ids)


def test_tables_of_every_make_are_learned_alike(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    sources = {"frame": frame}
    if pytest.importorskip("pyarrow"):
        frame.to_parquet(tmp_path / "table.parquet")
        sources["file"] = tmp_path / "table.parquet"
    expected = make().get_config()["learned"]
    for source in sources.values():
        encoder = TableEncoder(["shop", "user"], ["price"], ["tags"])
        encoder.adapt(source)
        assert encoder.get_config()["learned"] == expected


def test_day_two_reads_what_day_one_wrote(tmp_path):
    encoder = make(num_bins=3, num_buckets={"shop": 4}, sequence_length=2, embedding_dim=5)
    encoder.save(tmp_path / "table.json")
    json.loads((tmp_path / "table.json").read_text())
    again = TableEncoder.load(tmp_path / "table.json")
    assert again.get_config() == encoder.get_config()
    for one, other in zip(
        again.encode(COLUMNS).values(), encoder.encode(COLUMNS).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_failed_adapt_leaves_the_encoder_as_it_was(encoder):
    before, raw = encoder.get_config(), encoder.raw(COLUMNS)
    raw["price"][-1] = np.inf  # in the last of three parts
    with pytest.raises(ValueError, match="'price' has an infinite number"):
        encoder.adapt(tf.data.Dataset.from_tensor_slices(raw).batch(3))
    assert encoder.get_config() == before


def test_batches_are_encoded_one_by_one_in_an_order_of_their_epoch(encoder):
    labels = {"click": np.arange(7.0)}
    batches = encoder.batches(COLUMNS, labels, batch_size=3, seed=1)
    assert len(batches) == 3
    order = np.concatenate([batches[index][1]["click"] for index in range(3)]).astype(int)
    assert sorted(order) == list(range(7)) and order.tolist() != list(range(7))
    shops = np.concatenate([batches[index][0]["shop"] for index in range(3)])
    assert shops.tolist() == encoder.encode(COLUMNS)["shop"][order].tolist()
    batches.on_epoch_end()
    again = np.concatenate([batches[index][1]["click"] for index in range(3)]).astype(int)
    assert sorted(again) == list(range(7)) and again.tolist() != order.tolist()


def test_a_network_learns_from_columns_and_answers_batches(encoder):
    labels = {"buy": np.float32([1, 0, 1, 0, 0, 0, 1])}
    keras.utils.set_random_seed(0)
    model = keras_mtl.build_shared_bottom(
        encoder.inputs(), {"buy": "binary"}, [lambda: keras.layers.Dense(8, activation="relu")],
        stem=[encoder.embedding],
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(encoder.batches(COLUMNS, labels, batch_size=4, seed=0), epochs=40, verbose=0)
    whole = model.predict(encoder.encode(COLUMNS), verbose=0)["buy"]
    assert ((whole[:, 0] > 0.5) == labels["buy"]).all()
    streamed = model.predict(encoder.batches(COLUMNS, batch_size=4), verbose=0)["buy"]
    np.testing.assert_allclose(streamed, whole, atol=1e-6)


def test_a_frame_of_encoded_columns_is_what_a_dict_of_them_is():
    pandas = pytest.importorskip("pandas")
    encoder = TableEncoder(["shop"], ["price"])
    encoder.adapt(COLUMNS)
    x, y = encoder.encode(COLUMNS), {"buy": np.zeros(7)}
    frame = pandas.DataFrame(x)
    model = keras_mtl.build_shared_bottom(
        encoder.inputs(), {"buy": "binary"}, [lambda: keras.layers.Dense(2)],
        stem=[encoder.embedding],
    )  # fmt: skip
    model.compile("sgd")
    model.fit(frame, y, validation_data=(frame, y), verbose=0)
    np.testing.assert_array_equal(
        model.predict(frame, verbose=0)["buy"], model.predict(x, verbose=0)["buy"]
    )
    logs = [model.evaluate(data, y, verbose=0, return_dict=True)["loss"] for data in (frame, x)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "at least one column"),
        ({"categorical": "shop"}, "categorical must be a list of names"),
        ({"categorical": ["a", "a"]}, "'a' is given twice"),
        ({"numeric": ["task_id"]}, "'task_id' has a reserved name"),
        ({"numeric": ["class of worker"]}, "'class of worker' cannot name an input.*rename"),
        ({"numeric": ["a"], "min_count": {"a": 2}}, "min_count names 'a', which is no column of"),
        ({"categorical": ["a"], "min_count": 0}, "min_count must be an integer of at least 1"),
        ({"categorical": ["a"], "num_buckets": {"a": 1}}, r"num_buckets\['a'\] must be an integer"),
        ({"sequences": ["a"], "pooling": "last"}, "pooling must be"),
        ({"categorical": ["a"], "shared": {"t": ["b"]}}, r"shared\['t'\] names 'b'"),
        ({"categorical": ["a"], "numeric": ["t"], "shared": {"t": ["a"]}}, "shared names 't'"),
        (
            {"categorical": ["a", "b"], "shared": {"t": ["a", "b"]}, "min_count": {"a": 2}},
            "share 't' have one vocabulary",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder(**settings)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"shop": ["a"]}, "no column 'user', 'price', 'tags'. Its columns: 'shop'"),
        ({**COLUMNS, "shop": ["a"]}, "same rows. Received lengths: {'shop': 1"),
        ({**COLUMNS, "shop": [None] * 7}, "'shop' has no value in any row"),
        ({**COLUMNS, "price": [None] * 7}, "'price' has no number in any row"),
        ({**COLUMNS, "user": [1, "a"] * 3 + [2]}, "'user' has strings beside other values"),
        ({**COLUMNS, "user": [0.5] * 7}, "'user' has fractions"),
        ({**COLUMNS, "price": [1.7e12 + n for n in range(7)]}, "'price' has numbers as large as"),
        ({name: [] for name in COLUMNS}, "no rows"),
        ([1, 2], "A table is a dict of columns or a DataFrame"),
        ({**COLUMNS, "shop": "north"}, "'shop' must be a list of values"),
    ],
)
def test_columns_that_cannot_be_learned_are_refused_by_name(columns, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder(["shop", "user"], ["price"], ["tags"]).adapt(columns)


def test_a_new_encoder_knows_nothing():
    with pytest.raises(ValueError, match="knows no values yet. Call adapt"):
        TableEncoder(["a"]).encode({"a": ["x"]})
    with pytest.raises(ValueError, match="need one embedding_dim"):
        make().embeddings()
    with pytest.raises(ValueError, match="No value of column 'shop' occurs 9 times"):
        make(min_count={"shop": 9})


def test_labels_of_other_rows_are_refused(encoder):
    with pytest.raises(ValueError, match="Labels must be of the 7 rows of the table. Received: 6"):
        encoder.batches(COLUMNS, {"buy": np.zeros(6)})
