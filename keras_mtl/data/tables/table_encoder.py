"""The encoder of tables: columns as they are in, integers and numbers that a network reads out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras

from keras_mtl import checks
from keras_mtl.data.tables.column_options import by_column, check_names, names_of
from keras_mtl.data.tables.embedding import embedding_network
from keras_mtl.data.tables.make_columns import make_columns
from keras_mtl.data.tables.parts import columns_of, parts_of
from keras_mtl.data.tables.table_batches import TableBatches
from keras_mtl.data.tables.vocabulary import Vocabulary


@keras.saving.register_keras_serializable("keras_mtl")
class TableEncoder:
    """Turns columns of a table into ids and numbers, and makes the vectors that networks read.

    Strings and integers are looked up, or hashed: id 0 is a missing value, 1 one that `adapt` did
    not see, and the others follow, most frequent first. Numbers are left to the network, which
    normalizes them by the mean and variance of `adapt`, and reads beside each whether it is
    missing; or each is put into a bin. Lists are padded with 0, and their vectors are pooled; an
    empty list is a missing value. Missing are `None`, NaN, and the empty string.

    It is made of Keras's preprocessing layers, and encodes in TensorFlow, whatever the backend, by
    the operations that `keras_mtl.export(..., preprocessing=table)` writes.

    Args:
        categorical: Names of columns of strings or integers.
        numeric: Names of columns of numbers.
        sequences: Names of columns of lists of strings or integers.
        embedding_dim: Width of the vector of a category, or a dict by column. `None`: by the
            number of ids n, 1.6 n ** 0.56 rounded, at most 64. Defaults to `None`.
        min_count: How often a value must occur to be known, or a dict by column. Defaults to 1.
        num_buckets: Number of ids of hashing, which bounds the memory of a column but lets values
            collide, or a dict by column. `None`: looked up. Defaults to `None`.
        num_bins: Number of bins of a number, each of as many rows, whose ids have embeddings; a
            dict by column. `None`: normalized. Defaults to `None`.
        pooling: `"mean"`, `"sum"` or `"max"`, or a dict by column of lists. Defaults to `"mean"`.
        sequence_length: How many values of a list are read, the first, or a dict by column.
            `None`: all, as many as the longest list of a batch has. Defaults to `None`.
        shared: Dict, name of a vocabulary -> names of the columns that have it and its embeddings
            in common. Defaults to `None`.
        learned: What `adapt` found, as `get_config` returns it. Defaults to `None`.

    Raises:
        ValueError: No column, a name that stands twice or cannot name an input, an option by a
            column that is not there, or out of its range.

    Example:

    >>> table = TableEncoder(categorical=["tab"], numeric=["duration"], sequences=["tags"])
    >>> table.adapt({"tab": ["home", "home", "new"], "duration": [10.0, None, 30.0],
    ...              "tags": [["pop"], [], ["pop", "live"]]})
    >>> ids = table.encode({"tab": ["new", "old", None], "duration": [20, 0, None],
    ...                     "tags": [["live", "pop"], None, ["rap"]]})
    >>> ids["tab"].tolist(), ids["tags"].tolist()
    ([3, 1, 0], [[3, 2], [0, 0], [1, 0]])
    >>> table.embedding().output_shape  # 3 for a tab, 3 for the tags, a number and whether it is
    (None, 8)
    """

    def __init__(
        self,
        categorical: Any = (),
        numeric: Any = (),
        sequences: Any = (),
        *,
        embedding_dim: Any = None,
        min_count: Any = 1,
        num_buckets: Any = None,
        num_bins: Any = None,
        pooling: Any = "mean",
        sequence_length: Any = None,
        shared: Any = None,
        learned: Any = None,
    ) -> None:
        self.categorical = names_of("categorical", categorical)
        self.numeric = names_of("numeric", numeric)
        self.sequences = names_of("sequences", sequences)
        self.names = [*self.categorical, *self.numeric, *self.sequences]
        check_names(self.names)
        self._options = {
            "embedding_dim": embedding_dim, "min_count": min_count, "num_buckets": num_buckets,
            "num_bins": num_bins, "pooling": pooling, "sequence_length": sequence_length,
            "shared": shared,
        }  # fmt: skip
        self._widths = by_column("embedding_dim", embedding_dim, self.names, checks.count)
        kinds = (self.categorical, self.numeric, self.sequences)
        self.columns, self._learning = make_columns(*kinds, self._options, learned or {})
        self.adapted = learned is not None
        self._encode: Any = None

    def adapt(self, data: Any) -> None:
        """Learns vocabularies, means and bins, in one pass.

        Memory is that of the distinct values of the columns that are looked up.

        Args:
            data: Dict of columns, a DataFrame of pandas or polars, the path of a Parquet file, or
                a `tf.data.Dataset` of batches.

        Raises:
            ValueError: A missing column, values of several kinds, a column without any.
        """
        kinds = (self.categorical, self.numeric, self.sequences)
        columns, learning = make_columns(*kinds, self._options, {})
        for part in parts_of(data, self.names):
            for column in columns:
                column.count(part[column.name])
        for each in learning:
            each.know()
        self.columns, self._learning = columns, learning
        self.adapted, self._encode = True, None

    def inputs(self) -> dict[str, Any]:
        """Returns the `keras.Input` of each encoded column, for a builder."""
        return {column.name: column.input() for column in self._known()}

    def encode(self, data: Any) -> Any:
        """Returns the ids and numbers of columns.

        Args:
            data: Dict of columns, a DataFrame, or, as in `dataset.map(table.encode)`, a dict of
                TensorFlow tensors, in which an empty string, the smallest int64 and NaN are
                missing values, and lists are filled up with them.

        Returns:
            Dict, column -> array, or tensor: int32 `(rows,)` of categories and bins, float32
            `(rows,)` of other numbers, NaN where one is missing, int32 `(rows, length)` of lists.

        Raises:
            ValueError: A missing column, values of another kind than those of `adapt`.
        """
        import tensorflow as tf

        if isinstance(data, Mapping) and any(map(tf.is_tensor, data.values())):
            return self(data)
        columns = columns_of(data, self.names)
        raw = {each.name: each.raw_once(columns[each.name]) for each in self._known()}
        if self._encode is None:  # as a graph, in which Keras's layers are TensorFlow's
            specs = [tf.TensorSpec(x.shape, x.dtype, x.name) for x in self.raw_inputs().values()]
            named = dict(zip(self.names, specs, strict=True))
            self._encode = tf.function(self, input_signature=[named], autograph=False)
        ids = self._encode({name: values for name, (values, _) in raw.items()})
        return {
            name: ids[name].numpy() if indices is None else ids[name].numpy()[indices]
            for name, (_, indices) in raw.items()
        }

    def raw_inputs(self) -> dict[str, Any]:
        """Returns a `keras.InputSpec` of each column, of what signatures of an export take."""
        return {column.name: column.raw_spec for column in self._known()}

    def raw(self, data: Any) -> dict[str, Any]:
        """Returns columns in the form that signatures of an export take, not encoded yet."""
        columns = columns_of(data, self.names)
        return {column.name: column.raw(columns[column.name]) for column in self._known()}

    def __call__(self, tensors: Any) -> dict[str, Any]:
        """Returns the ids and numbers of TensorFlow tensors in the form of `raw`, as tensors."""
        return {column.name: column.encoded(tensors[column.name]) for column in self._known()}

    def embedding(self) -> Any:
        """Returns a new layer from a dict of encoded columns to one vector, for `stem`.

        It is a `keras.Model`: a `RowEmbedding` of each column of ids, or of those that share
        one, and a `Normalization` of all numbers. Shape `(batch, width)`.
        """
        return embedding_network(self._known(), self._widths)

    def embeddings(self) -> Any:
        """Returns a new layer from a dict of encoded columns to a list of vectors, one for each.

        All have the width `embedding_dim`, which must be one number; see
        `keras_rs.layers.DotInteraction`. Numbers go through a dense layer without bias.

        Raises:
            ValueError: Several widths.
        """
        width = self._options["embedding_dim"]
        if isinstance(width, Mapping) or width is None:
            raise ValueError(
                "Vectors of one width for all columns need one embedding_dim, such as 16. "
                f"Received: embedding_dim={width!r}"
            )
        return embedding_network(self._known(), self._widths, by_column=True)

    def batches(
        self, data: Any, labels: Any = None, batch_size: int = 32, seed: int | None = None
    ) -> TableBatches:
        """Returns batches of a table that is encoded batch by batch.

        Args:
            data: Dict of columns, or a DataFrame of pandas or polars.
            labels: As `y` of `fit`, or `None`. Defaults to `None`.
            batch_size: Number of rows in a batch. Defaults to 32.
            seed: Integer seed of the order, another in each epoch. `None`: that of the table.
                Defaults to `None`.
        """
        return TableBatches(self, columns_of(data, self.names), labels, batch_size, seed)

    @property
    def lookups(self) -> dict[str, Any]:
        """Dict, vocabulary -> the Keras layer that numbers it."""
        return {each.name: each.lookup for each in self._learning if isinstance(each, Vocabulary)}

    @property
    def forms(self) -> dict[str, str]:
        """Dict, column -> what its values are."""
        return {column.name: column.form for column in self._known()}

    def vocabularies(self) -> dict[str, Any]:
        """Returns a dict, name of a layer of `embedding` -> what its rows stand for, or `None`."""
        learned = [each for each in self._learning if isinstance(each, Vocabulary)]
        found = {f"embedding_{each.name}": each.rows for each in learned}
        plain = [column.name for column in self._known() if not column.embedded]
        return {**found, **({"normalization": plain} if plain else {})}

    def save(self, path: Any) -> None:
        """Writes the encoder, with what it learned, as JSON."""
        config = keras.saving.serialize_keras_object(self)
        Path(path).write_text(json.dumps(config), encoding="utf-8")

    @classmethod
    def load(cls, path: Any) -> Self:
        """Returns the encoder of a file of `save`."""
        config = json.loads(Path(path).read_text(encoding="utf-8"))
        return keras.saving.deserialize_keras_object(config)

    def get_config(self) -> dict[str, Any]:
        learned = {each.name: each.learned() for each in self._learning} if self.adapted else None
        return {
            "categorical": self.categorical, "numeric": self.numeric, "sequences": self.sequences,
            **self._options, "learned": learned,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def _known(self) -> list[Any]:
        if not self.adapted:
            raise ValueError("This encoder knows no values yet. Call adapt(columns) first.")
        return self.columns
