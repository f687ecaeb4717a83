"""Stacks of batches: what Python cuts and TensorFlow takes apart."""

from typing import Any

import keras

STACK_BYTES = 8 * 2**20


def batches_per_stack(examples: Any, batch_size: int) -> Any:
    """Returns how many batches of examples make about 8 MB, at least 1."""
    example_bytes = sum(array[:1].nbytes for array in keras.tree.flatten(examples))
    return max(1, STACK_BYTES // (batch_size * example_bytes))


def as_tf_dataset(stacks: Any, sample: Any, batch_size: int | None, num_batches: Any) -> Any:
    """Returns batches as a `tf.data.Dataset` of known cardinality.

    It does not tune itself: in networks as small as those of tables, that holds up the
    beginning of each epoch.

    Args:
        stacks: Function that returns an iterator over an epoch's stacks of batches of one size.
        sample: Examples, for shapes and dtypes.
        batch_size: Number of examples in a batch, or `None` where batches differ in it.
        num_batches: Of an epoch.
    """
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, batch_size, *array.shape[1:]), array.dtype), sample
    )
    dataset = tf.data.Dataset.from_generator(stacks, output_signature=signature).unbatch()
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)
