"""Columns of categories: what is learned of one, how it is encoded, what a network makes of it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.data.tables.raw_values import (
    MISSING,
    categories,
    distinct,
    kind_of,
    lists,
    rectangle,
)
from keras_mtl.data.tables.vocabulary import Vocabulary


class CategoryColumn:
    """A category in each row.

    Args:
        name: Of the column.
        vocabulary: A `Vocabulary`, which other columns may share.
    """

    def __init__(self, name: str, vocabulary: Vocabulary) -> None:
        self.name, self.vocabulary = name, vocabulary

    @property
    def form(self) -> str:
        """What its values are in requests: `"string"` or `"integer"`."""
        return self.vocabulary.kind

    @property
    def embedded(self) -> tuple[str, int]:
        """The name of the table of its embeddings, and how many rows that has."""
        return self.vocabulary.name, self.vocabulary.num_ids

    def count(self, values: Any) -> None:
        """Learns from a part of a table."""
        values, indices = distinct(self.name, values)
        kind = kind_of(self.name, values)
        if kind is not None:
            values = categories(self.name, values, kind)
            times = None if indices is None else np.bincount(indices[indices >= 0])
            self.vocabulary.count(kind, values, times)

    def raw(self, values: Any) -> Any:
        """Returns values of a table in the form in which they are encoded."""
        return categories(self.name, values, self.vocabulary.kind)

    def raw_once(self, values: Any) -> tuple[Any, Any]:
        """Returns what `raw` does, each value once, and where each stands; or all, and `None`."""
        values, indices = distinct(self.name, values)
        if indices is not None:
            values = [*values, None]  # to which -1 leads
        return self.raw(values), indices

    @property
    def raw_spec(self) -> Any:
        dtype = {"string": "string", "integer": "int64"}[self.vocabulary.kind]
        return keras.InputSpec(shape=(None,), dtype=dtype, name=self.name)

    def input(self) -> Any:
        return keras.Input((), dtype="int32", name=self.name)

    def encoded(self, tensor: Any) -> Any:
        """Returns what a network reads of a TensorFlow tensor of raw values."""
        import tensorflow as tf

        return tf.cast(self.vocabulary.lookup(tensor), "int32")

    def trial_values(self, number: int, rng: np.random.Generator) -> list[Any]:
        """Returns known values, with one that is missing, and one that is not known."""
        values = self.vocabulary.trial_values
        return [None, values[0], *(values[i] for i in rng.integers(len(values), size=number - 2))]

    def vector(self, ids: Any, embedding: Any) -> Any:
        """Returns a vector for each row, `(batch, width)`, in a graph."""
        return embedding(ids)


class ListColumn(CategoryColumn):
    """A list of categories in each row, whose vectors are pooled; an empty one is a missing one.

    Args:
        pooling: `"mean"`, `"sum"` or `"max"`.
        length: How many values are read, or `None`.
    """

    def __init__(self, name: str, vocabulary: Vocabulary, pooling: str, length: Any) -> None:
        super().__init__(name, vocabulary)
        self.pooling, self.length = pooling, length

    @property
    def form(self) -> str:
        return f"list of {self.vocabulary.kind}"

    def count(self, values: Any) -> None:
        super().count(lists(self.name, values)[0])

    def raw_once(self, values: Any) -> tuple[Any, Any]:
        return self.raw(values), None

    def raw(self, values: Any) -> Any:
        return rectangle(self.name, values, self.vocabulary.kind, self.length)

    @property
    def raw_spec(self) -> Any:
        dtype = super().raw_spec.dtype
        return keras.InputSpec(shape=(None, self.length), dtype=dtype, name=self.name)

    def input(self) -> Any:
        return keras.Input((self.length,), dtype="int32", name=self.name)

    def encoded(self, tensor: Any) -> Any:
        import tensorflow as tf

        if isinstance(tensor, tf.RaggedTensor):
            steps = self.length or tf.maximum(tensor.bounding_shape(axis=1), 1)
            tensor = tensor.to_tensor(MISSING[self.vocabulary.kind], tf.stack([-1, steps]))
        return super().encoded(tensor)

    def trial_values(self, number: int, rng: np.random.Generator) -> list[Any]:
        sizes = rng.integers(1, 4, number - 1)
        return [None, *(super(ListColumn, self).trial_values(size + 2, rng)[2:] for size in sizes)]

    def vector(self, ids: Any, embedding: Any) -> Any:
        present = ops.expand_dims(ops.not_equal(ids, 0), axis=-1)
        vectors = embedding(ids)
        missing = embedding(ops.zeros_like(ids[:, 0]))
        weights = ops.cast(present, vectors.dtype)
        number = ops.sum(weights, axis=1)
        if self.pooling == "max":
            lowest = ops.min(vectors, axis=1, keepdims=True)
            pooled = ops.max(ops.where(present, vectors, lowest), axis=1)
        else:
            pooled = ops.sum(vectors * weights, axis=1)
        if self.pooling == "mean":
            pooled = pooled / ops.maximum(number, 1)
        return ops.where(number > 0, pooled, missing)
