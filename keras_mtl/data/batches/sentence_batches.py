"""Batches of sentences of similar length, so that little is computed on padding."""

import secrets
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.data.arrays import as_array
from keras_mtl.data.labels import label_array


def sentence_batches(
    x: Any, y: Any, batch_size: int, boundaries: Any = (10, 20, 40, 80), seed: int | None = None
) -> Any:
    """Batches for `fit` and `evaluate` that hold sentences of similar length.

    A batch is as long as the first of `boundaries` that its sentences fit into, beyond the
    last one as long as `x`: JAX compiles a program for each of these lengths. Every epoch has
    a new order and every sentence once. All batches hold `batch_size` rows: the last one of
    each length is filled with copies of its sentences that have the sample weight 0 and
    count in no loss and no metric.

    Args:
        x: Word ids `(sentences, steps)`, 0 is padding; or a dict of these `"words"` and of
            others, such as `"characters"`, `(sentences, steps, word_length)`.
        y: Dict, task -> labels: `(sentences, steps)` or `(sentences, steps, size)` for labels
            at every step, `(sentences,)` for one label per sentence.
        batch_size: Number of rows in a batch.
        boundaries: Increasing lengths. Defaults to `(10, 20, 40, 80)`.
        seed: Integer, at least 0: the same seed gives the same batches. `None` draws one.
            Defaults to `None`.

    Returns:
        A `SentenceBatches` of `(x, y, sample_weight)`.

    Raises:
        ValueError: Arrays that do not fit each other, no sentences, boundaries that do not
            increase.

    Example:

    >>> words = np.array([[5, 4, 0, 0], [7, 0, 0, 0], [6, 6, 6, 9]])
    >>> tags = np.array([[1, 0, -1, -1], [1, -1, -1, -1], [0, 0, 0, 1]])
    >>> batches = sentence_batches(words, {"pos": tags}, batch_size=2, boundaries=[2], seed=0)
    >>> sorted(x.shape for x, y, sample_weight in batches)
    [(2, 2), (2, 4)]
    """
    if isinstance(x, Mapping):
        x = {name: as_array(f"x[{name!r}]", values) for name, values in x.items()}
    else:
        x = as_array("x", x)
    if isinstance(y, Mapping):
        y = {task: label_array(f"y[{task!r}]", labels) for task, labels in y.items()}
    words: Any = x.get("words") if isinstance(x, Mapping) else x
    _check_shapes(words, x, y)
    checks.count("batch_size", batch_size)
    seed = checks.seed("seed", seed)
    seed = secrets.randbits(32) if seed is None else seed
    if list(boundaries) != sorted(set(boundaries)) or min(boundaries, default=1) < 1:
        raise ValueError(f"boundaries must be at least 1 and increase. Received: {boundaries}")
    longest = words.shape[1]
    widths = np.array([*(width for width in boundaries if width < longest), longest])
    lengths = np.max(np.where(words == 0, 0, np.arange(1, longest + 1)), axis=1)
    return SentenceBatches((x, y), widths[np.searchsorted(widths, lengths)], batch_size, seed)


def _check_shapes(words: Any, x: Any, y: Any) -> None:
    if words is None or words.ndim != 2 or not words.size:
        raise ValueError(
            "x must be word ids of shape (sentences, steps), at least one, or a dict with such "
            f'"words". Received shapes: {keras.tree.map_structure(np.shape, x)}'
        )
    if not isinstance(y, Mapping):
        raise ValueError(f"y must be a dict, task -> labels. Received: {type(y).__name__}")
    inputs = x if isinstance(x, Mapping) else {}
    misfits = {f"x[{k!r}]": a.shape for k, a in inputs.items() if a.shape[:2] != words.shape}
    misfits |= {f"y[{k!r}]": a.shape for k, a in y.items() if a.shape[:2] != words.shape[: a.ndim]}
    for name, shape in misfits.items():
        raise ValueError(
            f"{name} has the shape {shape}, which does not fit word ids of shape {words.shape}. "
            "Encode words and tags of the same sentences, with the same length."
        )


class SentenceBatches(keras.utils.PyDataset):
    """The batches that `sentence_batches` makes.

    The batches of an epoch are a pure function of the seed and `epoch`, which is 0 in the
    first epoch, moves on by one when a next one begins, and may be set.

    Args:
        examples: `(x, y)`, structures of arrays.
        widths: Array, the number of steps of the batch that each sentence goes into.
        batch_size: Number of rows in a batch.
        seed: Integer, at least 0.
    """

    def __init__(self, examples: Any, widths: Any, batch_size: int, seed: int) -> None:
        super().__init__()
        self._examples, self._widths = examples, widths
        self._batch_size, self._seed = batch_size, seed
        self.epoch = 0

    @property
    def epoch(self) -> Any:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        rng = np.random.default_rng((self._seed, epoch))
        batches = []
        for width in np.unique(self._widths):
            rows = rng.permutation(np.flatnonzero(self._widths == width))
            starts = range(0, len(rows), self._batch_size)
            batches += [(width, rows[start : start + self._batch_size]) for start in starts]
        rng.shuffle(batches)
        self._epoch, self._batches = epoch, _two_widths_first(batches)
        self._begun = False

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        width, rows = self._batches[index]
        filled = np.resize(rows, self._batch_size)
        x, y = keras.tree.map_structure(
            lambda array: array[filled, :width] if array.ndim > 1 else array[filled],
            self._examples,
        )
        return x, y, (np.arange(self._batch_size) < len(rows)).astype("float32")

    def on_epoch_begin(self) -> None:
        if self._begun:
            self.epoch += 1
        self._begun = True


def _two_widths_first(batches: Any) -> Any:
    """Puts two widths first: Keras takes what two batches have in common for all of them."""
    other = [index for index, (width, _) in enumerate(batches) if width != batches[0][0]]
    if other:
        batches[1], batches[other[0]] = batches[other[0]], batches[1]
    return batches
