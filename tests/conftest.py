"""What all tests share."""

import functools
import gc

import keras
import pytest

# Networks are small: to share their work between threads takes longer than the work.
if keras.backend.backend() == "torch":
    import torch

    torch.set_num_threads(1)

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    # Two devices, so that tests can share batches between replicas; others see the first only.
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@functools.cache
def two_replicas():
    """Returns a strategy of two replicas on this machine's CPU."""
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)


def pytest_collection_finish(session):
    """Lets the garbage collector look seldom, and not at what stays: a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def _reproducible():
    keras.utils.set_random_seed(0)
