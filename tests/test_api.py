"""The public names, which scripts rest on."""

import pathlib
import subprocess
import sys

import keras_mtl
from tests.public_api import exported, lines

PINNED = pathlib.Path(__file__).parent / "public_api.txt"


def test_public_names_and_their_arguments_are_these():
    """A change that is meant: python -m tests.public_api > tests/public_api.txt"""
    assert list(lines()) == PINNED.read_text().splitlines()


def test_every_public_name_has_a_docstring():
    for name in exported("keras_mtl"):
        assert getattr(keras_mtl, name).__doc__, name


def test_extras_are_not_needed_to_import():
    banned = ["matplotlib", "keras_tuner", "sklearn", "seqscore", "conllu"]
    banned += ["tensorflow_datasets", "onnx", "tf2onnx"]
    code = f"import sys; sys.modules.update(dict.fromkeys({banned})); import keras_mtl"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
