"""Loading an export: what it answers, and what damage it notices."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import export, load_served

pytestmark = pytest.mark.saved_model


@pytest.fixture(scope="module")
def intact(build, tmp_path_factory):
    return export(build(task_data="separate"), tmp_path_factory.mktemp("intact") / "1")


@pytest.fixture
def path(intact, tmp_path):
    """Returns an export to be damaged."""
    return Path(shutil.copytree(intact, tmp_path / "1"))


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


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


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
