"""Columns of numbers: what is learned of one, how it is encoded, what a network makes of it."""

from typing import Any

import keras
import numpy as np

from keras_mtl.data.tables.raw_values import numbers


class NumberColumn:
    """A number in each row, which the network normalizes.

    Args:
        name: Of the column.
        statistics: Mean and variance, or `None`.
    """

    form = "number"

    def __init__(self, name: str, statistics: Any = None) -> None:
        self.name, self.statistics = name, statistics
        self._moments, self._largest = np.zeros(3), 0.0

    @property
    def embedded(self) -> Any:
        """`None`: a network reads the number itself."""
        return None

    def count(self, values: Any) -> None:
        values = numbers(self.name, values)
        values = values[~np.isnan(values)]
        if len(values):
            self._largest = max(self._largest, float(np.abs(values).max()))
            self._moments = _together(self._moments, len(values), values.mean(), values.var())

    def know(self) -> None:
        number, mean, variance = self._moments
        if not number:
            raise ValueError(f"Column {self.name!r} has no number in any row. Leave it out.")
        if np.spacing(np.float32(self._largest)) > 0.01 * np.sqrt(variance) > 0:
            raise ValueError(
                f"Column {self.name!r} has numbers as large as {self._largest:.6g} that differ by "
                f"about {np.sqrt(variance):.3g}, which float32 cannot tell apart. Subtract a "
                "constant from it, such as the time of the first row."
            )
        self.statistics = [float(mean), float(variance) or 1.0]
        self._moments, self._largest = np.zeros(3), 0.0

    def learned(self) -> dict[str, Any]:
        return {"statistics": self.statistics}

    def raw(self, values: Any) -> Any:
        return numbers(self.name, values).astype("float32")

    def raw_once(self, values: Any) -> tuple[Any, Any]:
        """Returns `raw` and `None`: numbers are seldom the same."""
        return self.raw(values), None

    @property
    def raw_spec(self) -> Any:
        return keras.InputSpec(shape=(None,), dtype="float32", name=self.name)

    def trial_values(self, number: int, rng: np.random.Generator) -> list[Any]:
        """Returns numbers as there were, with one that is missing."""
        mean, variance = self.statistics
        return [None, *rng.normal(mean, np.sqrt(variance), number - 1).tolist()]

    def input(self) -> Any:
        return keras.Input((), dtype="float32", name=self.name)

    def encoded(self, tensor: Any) -> Any:
        return tensor


class BinnedColumn(NumberColumn):
    """A number in each row, of which its bin has an embedding; 0 is a missing one.

    Args:
        name: Of the column.
        num_bins: How many bins there are, each of as many rows.
        boundaries: Where one ends, or `None`.
    """

    def __init__(self, name: str, num_bins: int, boundaries: Any = None) -> None:
        super().__init__(name)
        self.num_bins, self.boundaries = num_bins, boundaries
        self._bins = keras.layers.Discretization(num_bins=num_bins)

    @property
    def embedded(self) -> tuple[str, int]:
        """The name of the table of its embeddings, and how many rows that has."""
        return self.name, len(self.boundaries) + 2

    def count(self, values: Any) -> None:
        values = numbers(self.name, values)
        values = values[~np.isnan(values)]
        if len(values):
            self._bins.update_state(values)

    def know(self) -> None:
        if not self._bins.summary.size:
            raise ValueError(f"Column {self.name!r} has no number in any row. Leave it out.")
        self._bins.finalize_state()
        self.boundaries = sorted({float(each) for each in self._bins.bin_boundaries})
        self._bins = keras.layers.Discretization(num_bins=self.num_bins)

    def learned(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries}

    def trial_values(self, number: int, rng: np.random.Generator) -> list[Any]:
        ends = self.boundaries or [0.0]
        return [None, *rng.uniform(ends[0] - 1, ends[-1] + 1, number - 1).tolist()]

    def input(self) -> Any:
        return keras.Input((), dtype="int32", name=self.name)

    def encoded(self, tensor: Any) -> Any:
        import tensorflow as tf

        bins = keras.layers.Discretization(bin_boundaries=self.boundaries)(tensor) + 1
        return tf.where(tf.math.is_nan(tensor), 0, tf.cast(bins, "int32"))

    def vector(self, ids: Any, embedding: Any) -> Any:
        return embedding(ids)


def _together(moments: Any, number: Any, mean: Any, variance: Any) -> Any:
    """Returns number, mean and variance of two parts of a column together."""
    before, mean_before, variance_before = moments
    total = before + number
    share, gap = number / total, mean - mean_before
    spread = (1 - share) * variance_before + share * variance + share * (1 - share) * gap**2
    return np.array([total, mean_before + share * gap, spread])
