"""Hourly measurements of intensive care stays, and what is asked about them."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ICUStays:
    """Intensive care stays, hour by hour, as the readers of clinical data return them.

    A measured value stands until the next one. NaN in `x` is what is not known: a variable
    before its first value, and everything after the end of a stay. `standardize_stays`
    makes it 0, so that a network reads it; a step of zeros only is padding then, which
    `keras.layers.Masking()` marks.

    Attributes:
        x: float32 `(stays, steps, columns)`.
        lengths: int32 `(stays,)`: number of hours of each stay.
        labels: Dict, name -> array, the first axis is the stay. Not labelled: NaN, or -1 in
            an array of integers (classes).
        ids: List of the stays' names.
        columns: List of the names of the columns of `x`. `mask->` before the name of a
            variable is whether it was measured in that hour: 1 or 0.
        channels: List of lists of columns, as integers: for each variable the columns that
            tell of it.
        scaled: List of the columns that hold quantities, as integers. The others are 0 or 1.
    """

    x: np.ndarray
    lengths: np.ndarray
    labels: dict[str, np.ndarray]
    ids: list[str]
    columns: list[str]
    channels: list[list[int]]
    scaled: list[int]

    def take(self, rows: Any) -> Any:
        """Returns some of the stays.

        Args:
            rows: Array or list of their indices, or of a boolean for every stay.
        """
        rows = np.arange(len(self.ids))[rows]
        return dataclasses.replace(
            self,
            x=self.x[rows],
            lengths=self.lengths[rows],
            labels={name: labels[rows] for name, labels in self.labels.items()},
            ids=[self.ids[row] for row in rows],
        )


def standardize_stays(train: Any, *others: Any) -> Any:
    """Gives quantities mean 0 and standard deviation 1, and what is not known the value 0.

    The mean and the standard deviation of a column are those of the training stays' hours,
    where its value is known. So an unknown quantity becomes the mean. A column that has fewer
    than two different values in the training stays becomes 0 everywhere. Give all stays as
    they were read; none is changed.

    Args:
        train: `ICUStays` to train on.
        *others: `ICUStays` of the same columns, such as those to test on.

    Returns:
        Tuple of `ICUStays`: `train`, then the others, in their order.

    Raises:
        ValueError: Stays of other columns.

    Example:

    >>> from keras_mtl.data.datasets.icu_stays import ICUStays
    >>> about = dict(ids=["1"], columns=["HR"], channels=[[0]], scaled=[0], labels={})
    >>> train = ICUStays(x=np.float32([[[60], [80]]]), lengths=np.int32([2]), **about)
    >>> test = ICUStays(x=np.float32([[[np.nan], [90]]]), lengths=np.int32([2]), **about)
    >>> train, test = standardize_stays(train, test)
    >>> train.x.tolist(), test.x.tolist()
    ([[[-1.0], [1.0]]], [[[0.0], [2.0]]])
    """
    for stays in (train, *others):
        if stays.columns != train.columns:
            differing = sorted(set(train.columns) ^ set(stays.columns)) or ["their order"]
            raise ValueError(
                "All stays must have the columns of train, in the same order. "
                f"They differ in {', '.join(differing)}."
            )
    statistics = {column: _statistics(train.x[..., column]) for column in train.scaled}
    return tuple(_standardized(stays, statistics) for stays in (train, *others))


def forward_fill(values: Any) -> Any:
    """Returns `(..., steps, columns)` values, each NaN replaced by the value before it."""
    steps = np.arange(values.shape[-2])[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, steps), axis=-2)
    return np.take_along_axis(values, last, axis=-2)


def _statistics(values: Any) -> tuple[Any, Any]:
    known = values[~np.isnan(values)].astype("float64")
    if not len(known) or known.min() == known.max():
        return 0.0, np.inf
    return known.mean(), known.std()


def _standardized(stays: Any, statistics: Any) -> Any:
    x = stays.x.copy()
    for column, (mean, deviation) in statistics.items():
        x[..., column] = (x[..., column] - mean) / deviation
    return dataclasses.replace(stays, x=np.nan_to_num(x, copy=False))
