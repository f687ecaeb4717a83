"""Where exports go, and what is refused."""

import sys
from functools import partial
from pathlib import Path

import keras
import pytest

import keras_mtl
from keras_mtl.serving import export, freeze

BACKEND = keras.backend.backend()
FORMAT = "onnx" if BACKEND == "torch" else "tf_saved_model"
MODULE = sys.modules["keras_mtl.serving.exports.export"]


@pytest.fixture(scope="module")
def model():
    """Returns a network of one task, since a task more is a signature more to write."""
    return keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 2}, [partial(keras.layers.Dense, 4)]
    )


def test_parents_are_made_and_the_path_comes_back(model, tmp_path):
    path = tmp_path / "models" / "digits" / "1"
    assert export(model, path, format=FORMAT) == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


@pytest.mark.slow
def test_an_empty_folder_is_used(model, tmp_path):
    export(model, tmp_path, format=FORMAT)
    assert any(tmp_path.iterdir())


def test_nothing_is_overwritten(model, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists already, and nothing is overwritten"):
        export(model, tmp_path / "1", format=FORMAT)
    with pytest.raises(ValueError, match="exists already"):
        export(model, tmp_path / "1" / "mine.txt", format=FORMAT)
    assert [entry.name for entry in (tmp_path / "1").iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_behind(model, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(MODULE, "write_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        export(model, tmp_path / "1", format=FORMAT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_folder_can_be_read_by_others(model, tmp_path):
    (tmp_path / "plain").mkdir()
    path = Path(export(model, tmp_path / "1", format=FORMAT))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_unknown_format_is_refused(model, tmp_path):
    with pytest.raises(
        ValueError, match="Unknown format 'h5'. Formats: 'tf_saved_model', 'onnx', 'litert'"
    ):
        export(model, tmp_path / "1", format="h5")


def test_a_backend_that_cannot_write_a_format_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(
        ValueError, match="'tf_saved_model' cannot be written on the torch .* tensorflow or jax"
    ):
        export(model, tmp_path / "1")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="'onnx' cannot be written on the jax .* or torch"):
        export(model, tmp_path / "1", format="onnx")
    with pytest.raises(ValueError, match="'litert' cannot .* set KERAS_BACKEND to tensorflow and"):
        export(model, tmp_path / "1", format="litert")


@pytest.mark.skipif(BACKEND == "jax", reason="ONNX is not written on JAX")
def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="Format 'onnx' needs onnx.*: pip install onnx"):
        export(model, tmp_path / "1", format="onnx")


def test_a_frozen_model_cannot_be_frozen_again(model, tmp_path):
    with pytest.raises(ValueError, match="no tasks to freeze"):
        export(freeze(model), tmp_path / "1", format=FORMAT)


@pytest.mark.slow
def test_an_undecided_allocation_is_warned_of(build, tmp_path):
    model = build()
    layer = model.get_layer("allocation_1")
    layer.row_blocks[0].assign(keras.ops.zeros(layer.row_blocks[0].shape))
    with pytest.warns(UserWarning, match="undecided.*Train longer"):
        export(model, tmp_path / "1", format=FORMAT)
