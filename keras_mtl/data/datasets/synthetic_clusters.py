"""Synthetic tasks in clusters: who belongs together is known, and so is who only disturbs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl import checks


def synthetic_clusters(
    sizes: Sequence[int] = (2, 2, 2),
    *,
    num_disturbing: int = 0,
    num_train: int = 300,
    num_test: int = 1000,
    input_dim: int = 12,
    noise: float = 0.05,
    seed: int = 0,
) -> tuple[Any, Any, Any, Any]:
    """Binary tasks that are one function within a cluster, and have nothing in common across.

    The label of `x ~ N(0, I)` is whether `(u.x) (v.x) > 0`, with orthonormal `u`, `v` of the
    cluster; a linear model learns nothing. Every task has examples of its own, so that a cluster
    of two is worth twice the examples. The labels of disturbing tasks are coins that were tossed:
    to learn them is to learn by heart, which costs others their features and gains nothing.

    Source: this package's, after the pairs of Maziarz et al. 2019, https://arxiv.org/abs/1910.04915,
    Appendix A, and the noise of Ruder et al. 2017, https://arxiv.org/abs/1705.08142, Figure 3.

    Args:
        sizes: Number of tasks of each cluster. Defaults to `(2, 2, 2)`.
        num_disturbing: Number of disturbing tasks. Defaults to 0.
        num_train: Number of training examples of each task. Defaults to 300.
        num_test: Number of test examples of each task. Defaults to 1000.
        input_dim: Number of input features, at least two a cluster. Defaults to 12.
        noise: Fraction of labels that are turned round, in [0, 0.5]: no network is right more
            often than `1 - noise`. Defaults to 0.05.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, clusters)`: a dict of `"binary"` tasks named `cluster_1_a`,
        `cluster_1_b`, ..., `disturbing_1`, ...; two dicts, name -> `(x, y)`; an array with the
        index of each task's cluster, -1 of disturbing ones.

    Raises:
        ValueError: No cluster, sizes below 1, or too few input features.

    Example:

    >>> tasks, train, test, clusters = synthetic_clusters((2, 1), num_disturbing=1)
    >>> list(tasks), clusters.tolist()
    (['cluster_1_a', 'cluster_1_b', 'cluster_2_a', 'disturbing_1'], [0, 0, 1, -1])
    >>> x, y = train["cluster_1_a"]
    >>> x.shape, y.shape
    ((300, 12), (300,))
    """
    sizes = checks.sizes("sizes", sizes, length=1)
    checks.count("num_disturbing", num_disturbing, least=0)
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.count("input_dim", input_dim, least=2 * len(sizes))
    checks.number("noise", noise, least=0, most=0.5)
    rng = np.random.default_rng((checks.seed("seed", seed), 0))
    directions, _ = np.linalg.qr(rng.standard_normal((input_dim, 2 * len(sizes))))
    names = {
        f"cluster_{cluster + 1}_{chr(ord('a') + index)}": cluster
        for cluster, size in enumerate(sizes)
        for index in range(size)
    }
    names |= {f"disturbing_{number}": -1 for number in range(1, num_disturbing + 1)}

    def draw(part, num_examples):
        return {
            name: _draw(
                directions[:, 2 * cluster : 2 * cluster + 2],
                noise if cluster >= 0 else 0.5,
                num_examples,
                np.random.default_rng((seed, part, index)),
            )
            for index, (name, cluster) in enumerate(names.items())
        }

    clusters = np.array(list(names.values()))
    return dict.fromkeys(names, "binary"), draw(1, num_train), draw(2, num_test), clusters


def _draw(
    directions: Any, noise: float, num_examples: int, rng: np.random.Generator
) -> tuple[Any, Any]:
    x = rng.standard_normal((num_examples, len(directions)), "float32")
    turned = rng.random(num_examples) < noise  # with 0.5 a coin, whatever the label was
    return x, (((x @ directions).prod(axis=1) > 0) ^ turned).astype("float32")
