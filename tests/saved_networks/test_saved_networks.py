"""Networks that an earlier version saved load, and answer as they did."""

import json
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_mtl
from tests.conformance import registry
from tests.saved_networks.make import answers, state

BUILDERS = [*registry.BUILDERS, *registry.BLOCK_BUILDERS, *registry.SEQUENCE_BUILDERS]
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
TOLERANCE = 1e-6 if ON_TENSORFLOW else 1e-5  # they were written on TensorFlow


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with tarfile.open(Path(__file__).parent / "networks.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_there_is_one_of_every_builder(networks):
    assert {path.stem for path in networks.glob("*.keras")} == {
        f"{name}_{task_data}" for name in BUILDERS for task_data in ("shared", "separate")
    }


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_saved_network_answers_as_it_did(networks, name, task_data):
    place = networks / f"{name}_{task_data}"
    model = keras.models.load_model(place.with_suffix(".keras"))
    assert state(model) == pytest.approx(json.loads(place.with_suffix(".json").read_text()))
    expected = list(np.load(place.with_suffix(".npz")).values())
    for found, wanted in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.skipif(not ON_TENSORFLOW, reason="the exports were written on TensorFlow")
@pytest.mark.parametrize("name", BUILDERS)
def test_an_export_answers_as_the_network_it_was_made_of(networks, name):
    served = keras_mtl.load_served(networks / "sm" / name / "1")
    expected = list(np.load(networks / f"{name}_shared.npz").values())
    x = registry.inputs_of(keras.models.load_model(networks / f"{name}_shared.keras"))
    for task, wanted in zip(sorted(served.tasks), expected, strict=True):
        np.testing.assert_allclose(served.predict(task, x), wanted, rtol=1e-6, atol=1e-6)
