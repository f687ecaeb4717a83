"""What all tests share."""

import gc

import keras
import pytest


def pytest_collection_finish(session):
    """Lets the garbage collector look seldom, and not at what stays: a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def _reproducible():
    keras.utils.set_random_seed(0)
