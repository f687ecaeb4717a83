"""Synthetic tasks that need different parts of the input: which component fits whom is known."""

from typing import Any

import numpy as np

from keras_mtl import checks


def synthetic_views(
    num_tasks: int = 3,
    *,
    num_train: int = 500,
    num_test: int = 1000,
    view_dim: int = 6,
    noise: float = 0.05,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """Binary tasks on one input of several views, each of which speaks of one task.

    `x` has `num_tasks` rows of `view_dim` values, N(0, I). The label of task k is whether `(u.x_k)
    (v.x_k) > 0` for the row k and orthonormal `u`, `v` of the task. A component that reads one
    row, such as in the example, fits one task and is noise to all others.

    Source: this package's.

    Args:
        num_tasks: Number of tasks, and of views. Defaults to 3.
        num_train: Number of training examples, which all tasks share. Defaults to 500.
        num_test: Number of test examples. Defaults to 1000.
        view_dim: Number of values of a view, at least 2. Defaults to 6.
        noise: Fraction of labels that are turned round, in [0, 0.5]: no network is right more
            often than `1 - noise`. Defaults to 0.05.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test)`: a dict of `"binary"` tasks named `view_1`, `view_2`, ..., and two
        pairs `(x, y)` with `x` of shape `(examples, num_tasks, view_dim)` and `y` a dict, name ->
        labels.

    Raises:
        ValueError: Sizes below what is needed, or noise outside [0, 0.5].

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> tasks, (x, y), test = synthetic_views(num_tasks=3)
    >>> x.shape, list(y)
    ((500, 3, 6), ['view_1', 'view_2', 'view_3'])
    >>> def reads(row):
    ...     only = keras.layers.Cropping1D((row, 2 - row))
    ...     return keras.Sequential(
    ...         [only, keras.layers.Flatten(), keras.layers.Dense(16, activation="relu")])
    >>> layers = [[partial(reads, row) for row in range(3)]]
    >>> model = keras_mtl.build_gumbel_matrix(keras.Input(x.shape[1:]), tasks, layers)
    """
    checks.count("num_tasks", num_tasks)
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.count("view_dim", view_dim, least=2)
    checks.number("noise", noise, least=0, most=0.5)
    rng = np.random.default_rng((checks.seed("seed", seed), 0))
    directions = [
        np.linalg.qr(rng.standard_normal((view_dim, 2)))[0].astype("float32")
        for _ in range(num_tasks)
    ]

    def draw(part, num_examples):
        rng = np.random.default_rng((seed, part))
        x = rng.standard_normal((num_examples, num_tasks, view_dim), "float32")
        turned = rng.random((num_examples, num_tasks)) < noise
        labels = [
            ((x[:, task] @ own).prod(axis=1) > 0) ^ turned[:, task]
            for task, own in enumerate(directions)
        ]
        return x, {name: y.astype("float32") for name, y in zip(names, labels, strict=True)}

    names = [f"view_{number}" for number in range(1, num_tasks + 1)]
    return dict.fromkeys(names, "binary"), draw(1, num_train), draw(2, num_test)
