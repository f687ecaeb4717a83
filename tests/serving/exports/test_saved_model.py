"""The exported SavedModel: what it answers, what it holds, who can load it."""

import functools
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import export, freeze

pytestmark = pytest.mark.saved_model


def load(path):
    import tensorflow as tf

    return tf.saved_model.load(path)


def call(network, signature, **inputs):
    import tensorflow as tf

    outputs = network.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
    return {name: output.numpy() for name, output in outputs.items()}


def stored_variables(path):
    """Returns the shapes of what the checkpoint of a SavedModel holds."""
    import tensorflow as tf

    listed = tf.train.list_variables(str(Path(path) / "variables" / "variables"))
    return [tuple(shape) for name, shape in listed if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]


@pytest.fixture(scope="module")
def exported(build, tmp_path_factory):
    """Returns a function of a mode of data: a model, and the path of its export."""

    @functools.cache
    def exported(task_data):  # of a certain network, without a warning
        model = build(task_data=task_data, entropy_weight=0.1)
        return model, export(model, tmp_path_factory.mktemp(task_data) / "1")

    return exported


@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_signatures_answer_as_the_model(exported, features, answers, task_data):
    model, path = exported(task_data)
    network = load(path)
    for batch in (1, 7, 64):
        x = features(batch)
        everything = call(network, "serving_default", inputs=x)
        assert set(everything) == set(model.tasks)
        for task in model.tasks:
            expected = answers(model, x, task)
            answer = call(network, task, inputs=x)
            assert list(answer) == [task]
            np.testing.assert_allclose(answer[task], expected, atol=1e-6, rtol=0)
            np.testing.assert_allclose(everything[task], expected, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_the_batch_is_free_and_there_is_no_task_id(exported):
    network = load(exported("separate")[1])
    assert set(network.signatures) == {"income", "age", "height", "hobbies", "serving_default"}
    for signature in network.signatures.values():
        (name, spec), *others = signature.structured_input_signature[1].items()
        assert (name, spec.shape.as_list(), others) == ("inputs", [None, 5], [])


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_every_weight_is_stored_once_and_nothing_else(exported, task_data):
    model, path = exported(task_data)
    frozen = freeze(model)
    expected = [tuple(weight.shape) for weight in frozen.weights]
    assert sorted(stored_variables(path)) == sorted(expected)  # so: no logits, no seed state
    assert frozen.count_params() < model.count_params()


def test_weights_are_no_constants_of_the_graph(tmp_path):
    dense = partial(keras.layers.Dense, 400)
    model = keras_mtl.build_shared_bottom(
        keras.Input((300,)), {"a": 2, "b": 3}, [[dense] * 2], task_data="shared"
    )
    path = Path(export(model, tmp_path / "1"))
    weights = 2 * 4 * (300 * 400 + 400)
    assert (path / "saved_model.pb").stat().st_size < weights / 2
    assert (path / "variables/variables.data-00000-of-00001").stat().st_size < 1.1 * weights


def test_tasks_with_the_same_components_share_their_weights(build, allocate, tmp_path):
    model = build(tasks={"a": 2, "b": 2})
    allocate(model, [[[0, 1, 0, 0]] * 2, [[1, 0, 0]] * 2])
    path = export(model, tmp_path / "1")
    shared = [(5, 6), (6,), (6, 6), (6,)]
    heads = [(6, 2), (2,)] * 2
    assert sorted(stored_variables(path)) == sorted(shared + heads)


@pytest.mark.slow
def test_named_inputs_keep_their_names(build, features, answers, tmp_path):
    image, size = keras.Input((5,), name="image"), keras.Input((2,), name="size")

    def join():
        return keras.Model(
            {"image": image, "size": size}, keras.layers.Concatenate()([image, size])
        )

    model = build({"image": keras.Input((5,)), "size": keras.Input((2,))}, stem=[join])
    path = export(model, tmp_path / "1")
    x = {"image": features(7), "size": features(7)[:, :2]}
    for task in model.tasks:
        answer = call(load(path), task, **x)[task]
        np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6, rtol=0)
    np.testing.assert_allclose(
        keras_mtl.serving.load_served(path).predict("age", x), answers(model, x, "age"), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="text needs TensorFlow")
def test_text_is_looked_up_in_the_exported_network(build, tmp_path):
    import tensorflow as tf

    lookup = partial(
        keras.layers.StringLookup, vocabulary=["red", "green", "blue"], output_mode="multi_hot"
    )
    model = build(keras.Input((2,), dtype="string"), stem=[lookup])
    x = np.array([["red", "blue"], ["green", "unseen"]])
    path = export(model, tmp_path / "1")
    answer = keras_mtl.serving.load_served(path).predict("age", x)
    np.testing.assert_allclose(answer, model(tf.constant(x))["age"], atol=1e-6)


@pytest.mark.slow
def test_a_free_time_axis_stays_free(features, tmp_path):
    tasks = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 4)}
    embed = partial(keras.layers.Embedding, 9, 4)
    lstm = partial(keras.layers.LSTM, 5, return_sequences=True)
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((None,), dtype="int32"), tasks, [[lstm] * 2], stem=[embed], seed=1,
        init_probability=[[0.9999, 0.0001], [0.9999, 0.9999]],
    )  # fmt: skip
    served = keras_mtl.serving.load_served(export(model, tmp_path / "1"))
    for steps in (1, 6):
        x = np.random.default_rng(0).integers(0, 9, (3, steps)).astype("int32")
        expected = keras.ops.convert_to_numpy(model(x, training=False)["pos"])
        np.testing.assert_allclose(served.predict("pos", x), expected, atol=1e-6)


@pytest.mark.slow
def test_it_loads_where_keras_and_keras_mtl_do_not_exist(exported, features, answers, tmp_path):
    model, path = exported("separate")
    x = features(3)
    np.save(tmp_path / "x.npy", x)
    script = """
import sys
sys.modules["keras"] = sys.modules["keras_mtl"] = None
import numpy, tensorflow
network = tensorflow.saved_model.load(sys.argv[1])
x = tensorflow.constant(numpy.load(sys.argv[2] + "/x.npy"))
numpy.save(sys.argv[2] + "/y.npy", network.signatures["age"](inputs=x)["age"].numpy())
for name in ("keras", "keras_mtl"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(name + " was there")
"""
    subprocess.run([sys.executable, "-c", script, path, str(tmp_path)], check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), answers(model, x, "age"), atol=1e-6)


@pytest.mark.slow
def test_the_allocation_is_written_by_names(exported):
    model, path = exported("shared")
    content = json.loads((Path(path) / "assets.extra/allocation.json").read_text())
    assert content["tasks"] == ["income", "age", "height", "hobbies"]
    assert list(content["layers"]) == ["allocation_1", "allocation_2"]
    first, second = keras_mtl.allocation(model)
    assert content["layers"]["allocation_1"]["age"] == first[1].tolist()
    assert content["layers"]["allocation_2"]["hobbies"] == second[3].tolist()
    assert isinstance(content["layers"]["allocation_1"]["age"][0], int)


def test_a_model_without_allocation_has_none_written(tmp_path):
    dense = partial(keras.layers.Dense, 4)
    model = keras_mtl.build_shared_bottom(keras.Input((5,)), {"a": 2, "b": 3}, [dense])
    path = Path(export(model, tmp_path / "1"))
    content = json.loads((path / "assets.extra/allocation.json").read_text())
    assert content == {"tasks": ["a", "b"]}


def test_the_manifest_names_every_other_file(exported):
    path = Path(exported("shared")[1])
    manifest = json.loads((path / "assets.extra/manifest.json").read_text())
    files = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert set(manifest["files"]) == files - {"assets.extra/manifest.json"}
    assert {
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets.extra/allocation.json",
        "assets.extra/tf_serving_warmup_requests",
    } <= files
    hobbies = {"name": "hobbies", "kind": "multilabel", "size": 4, "per_step": False}
    assert manifest["tasks"][3] == hobbies
    assert (manifest["format"], manifest["format_version"]) == ("tf_saved_model", 1)
    assert manifest["keras_mtl"]
