"""A `keras.utils.FeatureSpace` in front of an export."""

from functools import partial

import keras
import numpy as np
import pytest
from keras.utils import FeatureSpace

import keras_mtl

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="encodes in TensorFlow"
)
ROWS = {
    "city": np.array(["rome", "oslo", "rome", "bonn"]),
    "age": np.array([30, 41, 30, 55]),
    "price": np.array([1.0, 2.5, 3.0, 9.5], "float32"),
    "tab": np.array(["home", "home", "live", "home"]),
}
FEATURES = {
    "city": "string_categorical",
    "age": "integer_categorical",
    "price": "float_discretized",
    "tab": FeatureSpace.string_hashed(num_bins=5),
}


def make_space(**settings):
    space = FeatureSpace(FEATURES, num_discretization_bins=3, **settings)
    space.adapt(ROWS)
    return space


def network(inputs, **settings):
    dense = partial(keras.layers.Dense, 6, activation="relu")
    tasks = {"click": "binary", "rating": 4}
    return keras_mtl.build_mmoe(inputs, tasks, [[dense] * 3], seed=0, **settings)


def beside(encoded):
    """Returns a layer that puts features of a dict side by side."""
    return keras.Model(encoded, keras.layers.Concatenate()(list(encoded.values())))


@pytest.fixture(scope="module", params=["concat", "dict"])
def exported(request, tmp_path_factory):
    space = make_space(crosses=[("city", "tab")], crossing_dim=7, output_mode=request.param)
    encoded = keras.tree.map_structure(np.array, space(ROWS))
    if request.param == "concat":
        model = network(keras.Input(encoded.shape[1:]))
    else:
        inputs = {name: keras.Input(x.shape[1:], name=name) for name, x in encoded.items()}
        model = network(inputs, stem=[lambda: beside(inputs)])
    path = tmp_path_factory.mktemp("shop") / "1"
    return space, model, keras_mtl.load_served(keras_mtl.export(model, path, preprocessing=space))


def test_raw_columns_are_answered_as_by_space_and_model(exported):
    space, model, served = exported
    for rows in (ROWS, {**ROWS, "city": ["paris"] * 4, "age": [7] * 4, "tab": ["new"] * 4}):
        answers = model.predict(keras.tree.map_structure(np.array, space(rows)), verbose=0)
        for task in model.tasks:
            np.testing.assert_allclose(served.predict(task, rows), answers[task], atol=1e-6)


def test_missing_categories_are_unknown_ones(exported):
    *_, served = exported
    unknown = {"city": ["paris"], "age": [7], "price": [2.0], "tab": ["home"]}
    missing = {**unknown, "city": [None], "age": [None]}
    given = {**unknown, "city": ["oslo"], "age": [41]}
    answers = [served.predict("rating", x) for x in (unknown, missing, given)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - answers[2]).max() > 1e-4


def test_wrong_columns_are_named(exported):
    *_, served = exported
    with pytest.raises(ValueError, match="no column 'age', 'price'"):
        served.predict("click", {"city": ["rome"], "tab": ["home"]})
    with pytest.raises(ValueError, match="Column 'age' is of integers. Received: 'old'"):
        served.predict("click", {name: ["old"] for name in ROWS})


def test_spaces_that_do_not_fit_are_refused(tmp_path):
    model = network(keras.Input((3,)))
    with pytest.raises(ValueError, match=r"reads \(\(None, 3\), 'float32'\), but the encoder"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=make_space())
    with pytest.raises(ValueError, match=r"knows no values yet. Call adapt\(dataset\) first"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=FeatureSpace(FEATURES))
    ids = FeatureSpace({"tab": FeatureSpace.string_hashed(num_bins=5, output_mode="int")})
    with pytest.raises(ValueError, match="Cannot concatenate features because feature 'tab'"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=ids)
    flags = FeatureSpace({"on": FeatureSpace.feature("bool", keras.layers.Identity(), "float")})
    with pytest.raises(ValueError, match="Feature 'on' has dtype 'bool'"):
        keras_mtl.export(model, tmp_path / "1", preprocessing=flags)
