"""Saved networks: which files hold them, and what a damaged or foreign one says."""

import functools
import json
import shutil
import zipfile
from functools import partial

import h5py
import keras
import numpy as np
import pytest

import keras_mtl

# Keras says so of what it could not load, before it says why.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping nested container")

dense = partial(keras.layers.Dense, 4, activation="tanh")
TASKS = {"a": 3, "b": "binary", "c": keras_mtl.Task("multilabel", 3)}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def model_of(tasks=TASKS, seed=1, **kwargs):
    layers = [[dense] * 3]
    return keras_mtl.build_gumbel_matrix(keras.Input((5,)), tasks, layers, seed=seed, **kwargs)


def answers(model):
    x = {"inputs": X, "task_id": np.arange(6) % 3} if model.task_data == "separate" else X
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(model(x, training=False))]


def assert_same(model, other):
    for ours, theirs in zip(answers(model), answers(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


both = pytest.mark.parametrize("task_data", ["shared", "separate"])


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5"])
def test_an_hdf5_model_is_refused_before_anything_is_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=r"cannot be saved as an HDF5 model.*\.keras.*weights.h5"):
        model_of().save(tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


def test_an_hdf5_model_is_refused_by_the_function_of_keras_too(tmp_path):
    with pytest.raises(ValueError, match="cannot be saved as an HDF5 model"):
        keras.saving.save_model(model_of(), tmp_path / "m.h5")


@both
def test_what_keras_saves_otherwise_answers_the_same(tmp_path, task_data):
    model = model_of(task_data=task_data)
    model.save(tmp_path / "m.keras")
    assert_same(keras.models.load_model(tmp_path / "m.keras"), model)
    model.save(tmp_path / "unzipped", zipped=False)
    assert_same(keras.models.load_model(tmp_path / "unzipped"), model)
    model.save_weights(tmp_path / "m.weights.h5")
    model.save_weights(tmp_path / "m.weights.json", max_shard_size=1e-6)
    for name in ("m.keras", "m.weights.h5", "m.weights.json"):
        other = model_of(seed=2, task_data=task_data)
        other.load_weights(tmp_path / name)
        assert_same(other, model)


@both
def test_a_copy_of_the_configuration_is_the_same_network_with_weights_of_its_own(task_data):
    model = model_of(task_data=task_data)
    made = [
        keras.models.model_from_json(model.to_json()),
        keras.models.clone_model(model),
        keras_mtl.MultiTaskModel.from_config(model.get_config()),
    ]
    for other in made:
        assert isinstance(other, keras_mtl.MultiTaskModel)
        assert other.tasks == model.tasks
        assert other.task_data == task_data
        other.set_weights(model.get_weights())
        assert_same(other, model)


def edit(file, change, name="config.json"):
    """Puts another content for a part of a `.keras` file, with its check sum."""
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    parts[name] = change(parts[name].decode()).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


def entries(content, found):
    """Returns the entries of a JSON content for which `found` says so."""
    if isinstance(content, dict):
        own = [content] if found(content) else []
        return own + [e for value in content.values() for e in entries(value, found)]
    if isinstance(content, list):
        return [e for value in content for e in entries(value, found)]
    return []


def with_task(**fields):
    """Returns a change of the first task of a configuration."""

    def change(text):
        content = json.loads(text)
        tasks = entries(content["config"], lambda entry: entry.get("class_name") == "Task")
        tasks[0]["config"].update(fields)
        return json.dumps(content)

    return change


OTHER_KIND = "'a' has another index or another kind|its parts do not fit together"
DAMAGED_TASKS = {
    "kind": ({"kind": "Classes"}, "kind must be one of 'classes', .*Received: kind='Classes'"),
    "no kind": ({"kind": None}, "kind must be one of 'classes'"),
    "another kind": ({"kind": "multilabel"}, OTHER_KIND),
    "regression": ({"kind": "regression"}, OTHER_KIND),
    "size": ({"size": 4}, "could not be loaded"),
    "text as size": ({"size": "3"}, "needs an integer size of at least 2. Received: size='3'"),
    "text as weight": ({"weight": "much"}, "weight must be a number .* 'much'"),
    "unknown entry": ({"sort": 1}, "A saved task has entries of .*'sort': 1"),
    "unknown loss": ({"loss": "quadratic"}, "quadratic"),
    "unknown metric": ({"metrics": ["correctness"]}, "correctness"),
    "number as loss": ({"loss": 5}, "loss"),
    "number as metric": ({"metrics": [5]}, "metric"),
    "text as metrics": ({"metrics": "mae"}, "metrics must be a list or None"),
    "text as per_step": ({"per_step": "no"}, "per_step must be True"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Returns a function of a mode of data: the path of a saved network."""

    @functools.cache
    def saved(task_data):
        model = model_of(task_data=task_data)
        model.compile()
        path = tmp_path_factory.mktemp(task_data) / "m.keras"
        model.save(path)
        return path

    return saved


@both
@pytest.mark.parametrize("case", DAMAGED_TASKS)
def test_a_damaged_task_of_a_saved_network_is_named(tmp_path, saved, case, task_data):
    fields, message = DAMAGED_TASKS[case]
    shutil.copy(saved(task_data), tmp_path / "m.keras")
    edit(tmp_path / "m.keras", with_task(**fields))
    with pytest.raises(ValueError, match=message):
        keras.models.load_model(tmp_path / "m.keras")


def test_tasks_in_another_order_are_named(tmp_path):
    def swap(text):
        content = json.loads(text)
        (heads,) = entries(content, lambda entry: entry.get("class_name") == "TaskHeads")
        tasks = heads["config"]["tasks"]
        tasks[0], tasks[2] = tasks[2], tasks[0]
        return json.dumps(content)

    tasks = {"a": 3, "b": "binary", "c": 3}
    model_of(tasks, task_data="separate").save(tmp_path / "m.keras")
    edit(tmp_path / "m.keras", swap)
    with pytest.raises(ValueError, match="trained for the tasks .* 'a' has another index or"):
        keras.models.load_model(tmp_path / "m.keras")


def test_weights_of_tasks_with_other_names_load(tmp_path):
    model = model_of({"a": 3, "b": "binary"})
    model.save_weights(tmp_path / "m.weights.h5")
    other = model_of({"c": 3, "d": "binary"}, seed=2)
    other.load_weights(tmp_path / "m.weights.h5")
    assert_same(other, model)


def test_weights_of_a_task_in_another_place_are_refused(tmp_path):
    model_of({"a": 3, "b": 3}).save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="trained for the tasks .*Build the network as it was"):
        model_of({"b": 3, "a": 3}).load_weights(tmp_path / "m.weights.h5")


def test_files_that_do_not_say_their_tasks_load(tmp_path):
    model = model_of(task_data="separate")
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        del file["vars/tasks"]
    other = model_of(seed=2, task_data="separate")
    other.load_weights(tmp_path / "m.weights.h5")
    assert_same(other, model)


def test_a_flipped_bit_in_the_weights_is_named(tmp_path):
    wide = [[partial(keras.layers.Dense, 300)] * 3] * 2  # so large that parts of it are skipped
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), {"a": 3, "b": 3}, wide, task_data="separate", budget=0.5
    )
    model.save(tmp_path / "m.keras")
    intact = (tmp_path / "m.keras").read_bytes()
    for variable in model.trainable_variables[::4]:
        content = bytearray(intact)
        content[content.index(keras.ops.convert_to_numpy(variable).tobytes()) + 3] ^= 64
        (tmp_path / "m.keras").write_bytes(content)
        with pytest.raises((ValueError, zipfile.BadZipFile), match="CRC|check sum"):
            keras.models.load_model(tmp_path / "m.keras")
