"""The trained exports in `saved_models/` answer."""

import pathlib

import numpy as np
import pytest

import keras_mtl

FOLDER = pathlib.Path(__file__).parents[2] / "saved_models"


def test_the_digits_of_the_card_are_read():
    pytest.importorskip("tensorflow")
    datasets = pytest.importorskip("sklearn.datasets")
    served = keras_mtl.load_served(FOLDER / "gumbel_matrix_digits" / "1")
    images, labels = datasets.load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    turned = np.rot90(images, -1, axes=(1, 2))
    for task in served.tasks:
        answers = served.predict(task, turned if task.startswith("rotated") else images)
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=1e-5)
        assert (answers.argmax(axis=1) == labels).mean() > 0.9


def test_every_export_has_a_line_in_the_card():
    card = (FOLDER / "README.md").read_text()
    for version in FOLDER.glob("gumbel_matrix*/*"):
        assert f"`{version.parent.name}/{version.name}`" in card
