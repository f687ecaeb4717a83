"""Loading an export: what it answers, and what damage it notices."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import export, load_served
from keras_mtl.serving.requests.read_export import read_manifest
from tests.serving.damage import (
    MANIFEST,
    acknowledge,
    edit_allocation,
    edit_manifest,
    flip_a_bit,
)

pytestmark = pytest.mark.saved_model


@pytest.fixture(scope="module")
def intact(build, tmp_path_factory):
    return export(build(task_data="separate"), tmp_path_factory.mktemp("intact") / "1")


@pytest.fixture
def path(intact, tmp_path):
    """Returns an export to be damaged."""
    return Path(shutil.copytree(intact, tmp_path / "1"))


@pytest.mark.slow
def test_it_lists_tasks_and_predicts(build, features, answers, tmp_path):
    model = build(task_data="separate")
    served = load_served(export(model, tmp_path / "1"))
    assert served.tasks == ["income", "age", "height", "hobbies"]
    x = features(7)
    for task in served.tasks:
        answer = served.predict(task, x.astype("float64"))
        assert isinstance(answer, np.ndarray)
        np.testing.assert_allclose(answer, answers(model, x, task), atol=1e-6)


@pytest.mark.slow
def test_it_knows_the_allocation(build, tmp_path):
    model = build()
    served = load_served(export(model, tmp_path / "1"))
    for matrix, expected in zip(served.allocation, keras_mtl.allocation(model), strict=True):
        np.testing.assert_array_equal(matrix, expected)


@pytest.mark.slow
def test_an_unknown_task_is_refused(path, features):
    with pytest.raises(ValueError, match="Unknown task 'braille'. Tasks of this export: .*'age'"):
        load_served(path).predict("braille", features(1))
    with pytest.raises(ValueError, match="Unknown task 'serving_default'"):
        load_served(path).predict("serving_default", features(1))


def test_a_wrong_input_is_refused(path, features):
    served = load_served(path)
    with pytest.raises(ValueError, match=r"x must have shape \(None, 5\), .* Received: \(2, 4\)"):
        served.predict("age", features(2)[:, :4])
    with pytest.raises(ValueError, match=r"x must have shape .* Received: \(5,\)"):
        served.predict("age", features(2)[0])
    with pytest.raises(ValueError, match=r"x must be an array. Received: \['inputs', 'task_id'\]"):
        served.predict("age", {"inputs": features(2), "task_id": np.zeros(2)})
    with pytest.raises(ValueError, match="x must hold float32 values. Received: <U3"):
        served.predict("age", np.full((2, 5), "red"))


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets.extra/allocation.json",
        "assets.extra/tf_serving_warmup_requests",
    ],
)
def test_one_flipped_bit_names_the_file(path, name):
    flip_a_bit(path / name)
    with pytest.raises(ValueError, match=f"{path / name} is damaged: its sha256"):
        load_served(path)


def test_a_truncated_file_is_named(path):
    file = path / "variables/variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"variables.data.* is damaged: it has \d+ bytes where"):
        load_served(path)


def test_a_file_with_bytes_too_many_is_named(path):
    with (path / "saved_model.pb").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=r"saved_model.pb is damaged: it has \d+ bytes where"):
        load_served(path)


def test_a_missing_file_is_named(path):
    (path / "variables/variables.index").unlink()
    with pytest.raises(ValueError, match="variables.index is missing. Copy the whole folder"):
        load_served(path)


def test_a_damaged_manifest_is_named(path):
    file = path / "assets.extra/manifest.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ValueError, match="manifest.json is damaged .* Export the model again"):
        load_served(path)


def test_a_later_format_version_is_refused(path):
    file = path / "assets.extra/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 2}))
    with pytest.raises(ValueError, match="format version 2, but this keras_mtl reads version 1"):
        load_served(path)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="no assets.extra/manifest.json. Expected: a folder made by .*export"
    ):
        load_served(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "path must be a string or a pathlib.Path.* Received: None"),
        (3, "path must be a string or a pathlib.Path.* Received: 3"),
        (b"saved", "path must be a string or a pathlib.Path.* Received: b'saved'"),
        (["saved"], "path must be a string or a pathlib.Path"),
        ("", "no SavedModel written by keras_mtl"),
        ("no/such/folder", "no SavedModel written by keras_mtl"),
        (__file__, "no SavedModel written by keras_mtl"),
        ("x" * 5000, "cannot be read: .*name too long"),
    ],
)
def test_what_is_no_folder_of_an_export_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        load_served(given)


def test_a_flipped_bit_of_a_manifest_is_named_or_changes_nothing(path):
    intact, draw = (path / MANIFEST).read_bytes(), random.Random(0)
    content = json.loads(intact)
    for place in range(0, len(intact), 4):
        (path / MANIFEST).write_bytes(intact)
        flip_a_bit(path / MANIFEST, place, draw.randrange(8))
        try:
            assert read_manifest(path / "assets.extra") == content
        except ValueError as error:
            assert "manifest.json" in str(error)


def without_sha256(content):
    del content["sha256"]


def test_a_manifest_without_a_sha256_of_its_own_loads(path, features):
    edit_manifest(path, without_sha256)
    assert load_served(path).predict("age", features(2)).shape == (2, 3)


def first(**entries):
    return lambda content: content["tasks"][0].update(entries)


def changed(name, value):
    return lambda content: content.update({name: value})


def listed(name, value):
    return lambda content: content["files"].update({name: value})


HASH = {"sha256": "0" * 64, "size": 3}
WRONG_MANIFESTS = {
    "no tasks": (changed("tasks", []), "must be a list of at least one task, but is \\[\\]"),
    "tasks by name": (changed("tasks", {"age": 3}), "tasks must be a list"),
    "a task left out": (lambda content: content["tasks"].pop(1), "tasks .* but the manifest lists"),
    "a task twice": (lambda c: c["tasks"].append(c["tasks"][0]), "stand there twice: .*'income'"),
    "another order": (lambda content: content["tasks"].reverse(), "but the manifest lists"),
    "another name": (first(name="wealth"), "but the manifest lists .'wealth'"),
    "a name of the package": (first(name="serving_default"), "'serving_default' is reserved"),
    "a number as name": (first(name=3), "Task name 3 cannot be used"),
    "an unknown kind": (first(kind="Binary"), "kind must be one of 'classes'.*kind='Binary'"),
    "a size of text": (first(size="1"), "needs an integer size .* Received: size='1'"),
    "another size": (first(kind="multilabel", size=2), "and size=2, but .* shape \\(None, 1\\)"),
    "a label at every step": (first(per_step=True), "'income' has .* but the network answers"),
    "an entry of a task": (first(sort="binary"), "entries of a task: .'sort'. are unknown"),
    "a task of text": (changed("tasks", ["age"]), "entries of a task must be a dict"),
    "a vocabulary of nothing": (first(vocabularies={"inputs": 0}), "must be numbers of ids"),
    "a vocabulary of no input": (first(vocabularies={"words": 9}), "vocabularies of other inputs"),
    "states": (changed("states", ["lstm_1"]), "and the states .'lstm_1'., but the network"),
    "states of numbers": (changed("states", [1]), "states must be a list of strings"),
    "a format": (changed("format", "onnx"), "format must be 'tf_saved_model', but is 'onnx'"),
    "an entry": (changed("sorts", 1), "entries: .'sorts'. are unknown"),
    "no entry": (lambda content: content.pop("files"), "entries: .'files'. are missing"),
    "no files": (changed("files", {}), "files: .*'saved_model.pb'.* are missing"),
    "files of a list": (changed("files", ["saved_model.pb"]), "files must be a dict"),
    "a file outside": (listed("../other/saved_model.pb", HASH), "is no file inside the folder"),
    "a file of the system": (listed("/etc/hostname", HASH), "is no file inside the folder"),
    "a file of no name": (listed("", HASH), "is no file inside the folder"),
    "a long name": (listed("x" * 5000, HASH), "cannot be read: .*name too long"),
    "a file without a size": (listed("fingerprint.pb", {"sha256": ""}), "'size'. are missing"),
}


@pytest.mark.parametrize("case", WRONG_MANIFESTS)
def test_a_manifest_that_cannot_be_right_is_named(path, case):
    change, message = WRONG_MANIFESTS[case]
    edit_manifest(path, change)
    with pytest.raises(ValueError, match=message) as refused:
        load_served(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Expecting value"),
        (b"[]", "it has no 'format_version'"),
        (b"null", "it has no 'format_version'"),
        (b'{"format_version": NaN}', "NaN is no number"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        ("{'grüße': 1}".encode("latin-1"), "utf-8"),
        ('{"format_version": 1}'.encode("utf-16"), "utf-8"),
        (b"[" * 100_000, "recursion"),
        (b'{"format_version": ' + b"1" * 10_000 + b"}", "integer string"),
    ],
)
def test_a_manifest_that_is_no_json_of_ours_is_named(path, content, problem):
    (path / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match=f"manifest.json is damaged .*{problem}.* Export"):
        load_served(path)


def row(value):
    def change(content):
        content["layers"]["allocation_1"]["age"] = value

    return change


WRONG_ALLOCATIONS = {
    "other tasks": (changed("tasks", ["age"]), "tasks .'age'., but the manifest lists"),
    "an entry": (changed("sorts", 1), "entries: .'sorts'. are unknown"),
    "layers of a list": (changed("layers", [1]), "layers must be a dict"),
    "a layer of a list": (changed("layers", {"a": [1]}), "rows of layer 'a' must be a dict"),
    "a row left out": (
        lambda content: content["layers"]["allocation_1"].pop("age"),
        "rows of layer 'allocation_1': .'age'. are missing",
    ),
    "a row of nobody": (
        lambda content: content["layers"]["allocation_1"].update(nobody=[1, 0, 0, 1]),
        "rows of layer 'allocation_1': .'nobody'. are unknown",
    ),
    "a short row": (row([1, 0, 0]), "the rows of layer 'allocation_1' differ in length"),
    "an empty row": (row([]), "must be a list of numbers, but is \\[\\]"),
    "a number as row": (row(1), "must be a list of numbers, but is 1"),
    "two": (row([2, 0, 0, 0]), "task 'age' in layer 'allocation_1' must hold .* but holds 2"),
    "less than nothing": (row([-1, 0, 0, 0]), "numbers from 0 to 1, but holds -1"),
    "infinity": (row([10**400, 0, 0, 0]), "numbers from 0 to 1, but holds 1000"),
    "text": (row(["1", 0, 0, 0]), "numbers from 0 to 1, but holds '1'"),
    "truth": (row([True, 0, 0, 0]), "numbers from 0 to 1, but holds True"),
}


@pytest.mark.parametrize("case", WRONG_ALLOCATIONS)
def test_an_allocation_that_cannot_be_right_is_named(path, case):
    change, message = WRONG_ALLOCATIONS[case]
    edit_allocation(path, change)
    with pytest.raises(ValueError, match=f"allocation.json is damaged .*{message}"):
        load_served(path)


def test_tasks_that_the_network_does_not_answer_are_named(path):
    def rename(content):
        content["tasks"][1] = "wealth"
        for rows in content["layers"].values():
            rows["wealth"] = rows.pop("age")

    edit_allocation(path, rename)
    edit_manifest(path, lambda content: content["tasks"][1].update(name="wealth"))
    with pytest.raises(ValueError, match="the tasks .*'wealth'.* but the network answers .*'age'"):
        load_served(path)


def test_a_network_that_tensorflow_cannot_load_is_named(path):
    (path / "saved_model.pb").write_bytes(b"no network")
    acknowledge(path, "saved_model.pb")
    with pytest.raises(ValueError, match="TensorFlow cannot load them .*Export the model again"):
        load_served(path)


def test_a_link_to_a_folder_that_is_gone_is_a_missing_file(path):
    (path / "fingerprint.pb").unlink()
    (path / "fingerprint.pb").symlink_to(path / "gone")
    with pytest.raises(ValueError, match="fingerprint.pb is missing"):
        load_served(path)
