"""Columns as the input of an export: looked up, pooled and answered by the SavedModel itself."""

import json
import shutil
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import TableEncoder
from tests.conformance.matrix import COLUMNS

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="encodes in TensorFlow"
)
TASKS = {"click": "binary", "rating": 4}
REQUESTS = {
    "known values": {"shop": ["north"], "user": [7], "price": [3.5], "tags": [["new", "red"]]},
    "unseen values": {"shop": ["😀"], "user": [-5], "price": [1e6], "tags": [["old"]]},
    "missing values": {"shop": [None], "user": [None], "price": [None], "tags": [None]},
    "NaN and empty": {"shop": [""], "user": [np.nan], "price": [np.nan], "tags": [[]]},
    "lists of all lengths": {
        "shop": ["south"] * 3, "user": np.array([9, 3, 7]), "price": np.float32([1, 2, 3]),
        "tags": [["red"] * 5, ["new"], []],
    },
}  # fmt: skip


def make_table(**settings):
    table = TableEncoder(["shop", "user"], ["age", "price"][1:], ["tags"], **settings)
    table.adapt(
        {**{name: COLUMNS[name] for name in ("shop", "price", "tags")}, "user": [7, 3, 9, 7, 7]}
    )
    return table


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"num_bins": 3, "num_buckets": {"user": 6}, "pooling": "max", "sequence_length": 2},
    ],
    ids=["looked up", "binned, hashed and cut"],
)
def exported(request, tmp_path_factory):
    table = make_table(**request.param)
    dense = partial(keras.layers.Dense, 6, activation="relu")
    model = keras_mtl.build_mmoe(
        table.inputs(), TASKS, [[dense] * 3], stem=[table.embedding], seed=0
    )
    path = tmp_path_factory.mktemp("feed") / "1"
    return table, model, keras_mtl.export(model, path, preprocessing=table)


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_raw_columns_are_answered_as_by_table_and_model(exported, request_of):
    table, model, path = exported
    expected = model.predict(table.encode(request_of), verbose=0)
    served = keras_mtl.load_served(path)
    for task in TASKS:
        np.testing.assert_allclose(served.predict(task, request_of), expected[task], atol=1e-6)


def test_signatures_take_columns_and_a_row_of_json_is_a_request(exported):
    import tensorflow as tf

    table, model, path = exported
    signature = tf.saved_model.load(path).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert {name: spec.dtype.name for name, spec in specs.items()} == {
        "shop": "string", "user": "int64", "price": "float32", "tags": "string"
    }  # fmt: skip
    row = json.loads('{"shop": "north", "user": 7, "price": 2.5, "tags": ["new", "red"]}')
    answers = signature(
        **{name: tf.constant([row[name]], spec.dtype) for name, spec in specs.items()}
    )
    expected = model.predict(
        table.encode({name: [value] for name, value in row.items()}), verbose=0
    )
    for task in TASKS:
        np.testing.assert_allclose(answers[task], expected[task], atol=1e-6)


def test_a_frame_is_a_request(exported):
    pandas = pytest.importorskip("pandas")
    _, _, path = exported
    request = REQUESTS["lists of all lengths"]
    served = keras_mtl.load_served(path)
    frame = pandas.DataFrame({name: list(values) for name, values in request.items()})
    np.testing.assert_array_equal(served.predict("click", frame), served.predict("click", request))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shop": None}, "no column 'shop'. Its columns: 'user', 'price', 'tags'"),
        ({"age": [3]}, "x has columns that the export does not read: 'age'. It reads: 'shop'"),
        ({"shop": [5]}, "'shop' is of strings. Received: 5"),
        ({"user": ["u7"]}, "'user' is of integers. Received: 'u7'"),
        ({"user": [1.5]}, "'user' has fractions"),
        ({"price": ["cheap"]}, "'price' is of numbers. Received: 'cheap'"),
        ({"tags": ["new"]}, "'tags' is a sequence, so each of its values must be a list"),
        ({"shop": ["north", "south"]}, "same rows. Received lengths: {'shop': 2, 'user': 1"),
    ],
)
def test_other_columns_are_refused_by_name(exported, change, message):
    request = {**REQUESTS["known values"], **change}
    request = {name: values for name, values in request.items() if values is not None}
    with pytest.raises(ValueError, match=message):
        keras_mtl.load_served(exported[2]).predict("click", request)


def test_an_encoder_of_other_columns_is_refused(exported, tmp_path):
    table, model, _ = exported
    other = TableEncoder(["shop"])
    other.adapt({"shop": ["north"]})
    with pytest.raises(ValueError, match="The model reads .* but the encoder gives"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=other)
    with pytest.raises(
        ValueError, match="must be a keras_mtl.data.SentenceEncoder or TableEncoder"
    ):
        keras_mtl.export(model, tmp_path / "1", preprocessing=table.encode)


def test_a_stream_of_columns_is_refused(exported, tmp_path):
    table, model, _ = exported
    with pytest.raises(ValueError, match="recurrent|stream"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=table, streaming=True)


@pytest.mark.slow
def test_the_export_answers_where_keras_mtl_is_not_installed(exported, tmp_path):
    table, model, path = exported
    shutil.copytree(path, tmp_path / "export")
    script = (
        "import sys, tensorflow as tf\n"
        f"signature = tf.saved_model.load({str(tmp_path / 'export')!r}).signatures['click']\n"
        "x = dict(shop=tf.constant(['north']), user=tf.constant([7], tf.int64),\n"
        "         price=tf.constant([2.5]), tags=tf.constant([['new', 'red']]))\n"
        "print(float(signature(**x)['click'][0, 0]))\n"
        "assert 'keras_mtl' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    x = table.encode({"shop": ["north"], "user": [7], "price": [2.5], "tags": [["new", "red"]]})
    assert abs(float(run.stdout.split()[-1]) - model.predict(x, verbose=0)["click"][0, 0]) < 1e-6
