"""Pairs of synthetic regression tasks whose relatedness is a number."""

from typing import Any

import keras
import numpy as np

BATCH_SIZE = 1024
NUM_SINES = 6


def synthetic_pairs(
    num_pairs: int = 2,
    relatedness: float = 1.0,
    *,
    input_dim: int = 128,
    noise: float = 0.01,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Pairs of regression tasks, related within a pair and unrelated across pairs.

    The label of `x ~ N(0, I)` is `w.x + sum_i sin(i * w.x + (i - 1)^2) + noise`,
    i = 1..6, with a unit vector `w` for each task. Within a pair the two vectors
    have the cosine `relatedness`; vectors of different pairs are orthogonal.
    Every batch holds fresh inputs, so give `task_batches` a `steps_per_epoch=`.

    Source: Maziarz et al., "Flexible Multi-task Networks by Learning Parameter
    Allocation", 2019, https://arxiv.org/abs/1910.04915, Appendix A, after Ma et
    al., "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", KDD 2018. `noise` is a standard deviation, as in the
    authors' code; the paper writes N(0, 0.01).

    Args:
        num_pairs: Number of pairs of tasks. Defaults to 2.
        relatedness: Cosine of the two vectors of a pair, in [0, 1]. Defaults to 1.0.
        input_dim: Number of input features, at least `2 * num_pairs`. Defaults to 128.
        noise: Standard deviation of the label noise. Defaults to 0.01.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, data)`: a dict of `"regression"` tasks named `pair_1_a`, `pair_1_b`,
        `pair_2_a`, ..., and a dict, name -> `SyntheticTask`.

    Raises:
        ValueError: `relatedness` outside [0, 1], or too few input features.

    Example:

    >>> tasks, data = synthetic_pairs(num_pairs=2, relatedness=0.5)
    >>> list(tasks)
    ['pair_1_a', 'pair_1_b', 'pair_2_a', 'pair_2_b']
    >>> x, y = data["pair_1_a"].held_out(100)
    >>> x.shape, y.shape
    ((100, 128), (100,))
    """
    if not 0 <= relatedness <= 1:
        raise ValueError(f"relatedness must be in [0, 1]. Received: {relatedness}")
    if input_dim < 2 * num_pairs:
        raise ValueError(
            f"{num_pairs} pairs of tasks need at least {2 * num_pairs} input features, one "
            f"direction for each task. Received: input_dim={input_dim}"
        )
    rng = np.random.default_rng((seed, 0))
    directions, _ = np.linalg.qr(rng.standard_normal((input_dim, 2 * num_pairs)))
    data: dict[Any, Any] = {}
    for pair in range(num_pairs):
        u1, u2 = directions[:, 2 * pair], directions[:, 2 * pair + 1]
        w1, w2 = u1, relatedness * u1 + np.sqrt(1 - relatedness**2) * u2
        for letter, w in (("a", w1), ("b", w2)):
            key = (seed, 1 + len(data))
            data[f"pair_{pair + 1}_{letter}"] = SyntheticTask(w, noise, key)
    return dict.fromkeys(data, "regression"), data


class SyntheticTask(keras.utils.PyDataset):
    """Endless batches `(x, y)` of one synthetic task, fresh for every index.

    Args:
        weights: Unit vector, shape `(input_dim,)`.
        noise: Standard deviation of the label noise.
        key: Tuple of integers. The same key gives the same batches.
    """

    num_batches = None

    def __init__(self, weights: Any, noise: Any, key: Any) -> None:
        super().__init__()
        self.weights = weights.astype("float32")
        self._noise = noise
        self._key = key

    def __getitem__(self, index: int) -> Any:
        return self._draw((*self._key, 1, index), BATCH_SIZE)

    def held_out(self, num_examples: int) -> Any:
        """Returns arrays `(x, y)` for evaluation: the same ones always, in no batch."""
        return self._draw((*self._key, 2), num_examples)

    def _draw(self, key: Any, num_examples: int) -> tuple[Any, Any]:
        rng = np.random.Generator(np.random.SFC64(key))
        x = rng.standard_normal((num_examples, len(self.weights)), "float32")
        noise = self._noise * rng.standard_normal(num_examples, "float32")
        return x, self.label(x) + noise

    def label(self, x: Any) -> Any:
        """Returns the labels of `x` without noise."""
        projection = x @ self.weights
        i = np.arange(1, NUM_SINES + 1, dtype="float32")
        return projection + np.sin(projection[:, None] * i + (i - 1) ** 2).sum(axis=1)
