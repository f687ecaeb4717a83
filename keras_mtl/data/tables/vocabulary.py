"""What the categories of a column are numbered by: a lookup, or a hash."""

from collections import Counter
from typing import Any

import keras
import numpy as np

from keras_mtl.data.tables.raw_values import MISSING

_UNSEEN = {"string": "[UNK]", "integer": -(2**63) + 1}
_TYPES: dict[str, Any] = {"string": object, "integer": "int64"}
_LOOKUPS = {"string": keras.layers.StringLookup, "integer": keras.layers.IntegerLookup}


class Vocabulary:
    """Numbers the categories of columns: 0 is a missing one, 1 one that is not known.

    With `num_buckets` 0 is a missing one too, and hashing, which knows no values, numbers all
    others from 1.

    Args:
        name: Of the column, or of what several columns share.
        min_count: How often a category must occur to be known.
        num_buckets: How many numbers hashing has, or `None`.
        kind: `"string"`, `"integer"`, or `None` before `know`.
        values: List of the known categories, or `None`.
    """

    def __init__(
        self, name: str, min_count: int, num_buckets: Any, kind: Any = None, values: Any = None
    ) -> None:
        self.name, self.min_count, self.num_buckets = name, min_count, num_buckets
        self.kind, self.values = kind, values
        self.lookup: Any = None
        self._counts: Counter = Counter()
        if kind is not None:
            self._make()

    def count(self, kind: str, values: Any, times: Any = None) -> None:
        """Counts categories in the form of their kind.

        Args:
            kind: Their kind.
            values: The categories.
            times: How often each occurs, if each is there once, or `None`.
        """
        if self.kind not in (None, kind):
            raise ValueError(
                f"{self.name!r} has strings in some rows and integers in others. Make them one of "
                "both, such as by column.astype(str)."
            )
        self.kind = kind
        if self.num_buckets is not None:
            return
        if times is None and kind == "integer":
            values, times = np.unique(values, return_counts=True)
        if times is None:
            self._counts.update(values.tolist())
        else:
            self._counts.update(dict(zip(values.tolist(), times.tolist(), strict=True)))

    def know(self) -> None:
        """Takes what was counted for the known categories, most frequent first.

        Raises:
            ValueError: None is left.
        """
        if self.kind is None:
            raise ValueError(f"Column {self.name!r} has no value in any row. Leave it out.")
        if self.num_buckets is None:
            counts, self._counts = self._counts, Counter()
            for without in (MISSING[self.kind], _UNSEEN[self.kind]):
                counts.pop(without, None)
            self.values = [v for v, times in counts.most_common() if times >= self.min_count]
            if not self.values:
                raise ValueError(
                    f"No value of column {self.name!r} occurs {self.min_count} times. Give more "
                    "rows, a lower min_count, or leave the column out."
                )
        self._make()

    def _make(self) -> None:
        missing = MISSING[self.kind]
        if self.num_buckets is not None:
            self.lookup = keras.layers.Hashing(self.num_buckets, mask_value=missing)
            return
        known = np.array(self.values, _TYPES[self.kind])  # of a list Keras tracks each entry
        self.lookup = _LOOKUPS[self.kind](
            vocabulary=known, mask_token=missing, oov_token=_UNSEEN[self.kind]
        )

    def learned(self) -> dict[str, Any]:
        return {"kind": self.kind, "values": self.values}

    @property
    def num_ids(self) -> int:
        """How many numbers there are, those of what is missing and unknown among them."""
        return len(self.values) + 2 if self.num_buckets is None else self.num_buckets

    @property
    def trial_values(self) -> list[Any]:
        """Some values: one that is not known, and the most frequent ones."""
        return [{"string": "unknown", "integer": -1}[self.kind], *(self.values or ())[:1000]]

    @property
    def rows(self) -> list[Any]:
        """The category of each number, `None` for what is missing, unknown, or hashed."""
        hashed = [None] * (self.num_buckets or 0)
        return hashed if self.num_buckets is not None else [None, None, *self.values]
