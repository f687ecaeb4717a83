"""What all tests share."""

import keras
import pytest


@pytest.fixture(autouse=True)
def _reproducible():
    keras.utils.set_random_seed(0)
