"""Synthetic tasks, and examples, that need networks of different depths, which are known."""

from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.tasks import Task


def synthetic_depths(
    *,
    num_train: int = 4000,
    num_test: int = 2000,
    input_dim: int = 8,
    num_factors: int = 3,
    flipped: float = 0.05,
    seed: int = 0,
) -> tuple[Any, Any, Any, dict[str, bool]]:
    """Four binary tasks on one input, of which two need depth; and each has a twin.

    An input is `s * m` in every place, with a sign s that is + or - with equal chance and a
    magnitude m that is uniform in (0.5, 1.5). The label of `"linear"` is whether `w^T x` is
    above 0, for a random w: a head reads it off. That of `"product"` is whether the product of
    `num_factors` of the inputs is above 0: a parity of signs, of which no linear model knows
    anything. `"linear_twin"` and `"product_twin"` are the same functions of the same input, so
    that tasks of equal need can be compared. In training a share of labels is flipped, for each
    task on its own; test labels are true.

    Args:
        num_train: Number of training examples. Defaults to 4000.
        num_test: Number of test examples. Defaults to 2000.
        input_dim: Number of inputs, at least `num_factors`. Defaults to 8.
        num_factors: How many inputs a product has, at least 2. Defaults to 3.
        flipped: Share of training labels that are wrong, in [0, 0.5). Defaults to 0.05.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, deep)`: a dict of tasks; two pairs `(x, y)` with y a dict, task ->
        labels; a dict, task -> whether it needs depth.

    Raises:
        ValueError: Sizes that do not fit each other, a share outside [0, 0.5).

    Example:

    >>> tasks, (x, y), _, deep = synthetic_depths(num_train=500)
    >>> x.shape, y["product"].shape
    ((500, 8), (500,))
    >>> deep
    {'linear': False, 'linear_twin': False, 'product': True, 'product_twin': True}
    """
    _check_sizes(num_train, num_test, input_dim, num_factors, num_factors, flipped, seed)
    functions = _functions(input_dim, num_factors, seed)
    deep = {
        f"{name}{twin}": name == "product"
        for name in ("linear", "product")
        for twin in ("", "_twin")
    }

    def draw(part, num_examples, flipped):
        rng = np.random.default_rng((seed, part))
        x = _inputs(num_examples, input_dim, rng)
        answers = functions(x)
        y = {task: _flipped(answers[task.split("_")[0]], flipped, rng) for task in deep}
        return x, y

    train, test = draw(1, num_train, flipped), draw(2, num_test, 0.0)
    return dict.fromkeys(deep, Task("binary")), train, test, deep


def synthetic_example_depths(
    *,
    num_train: int = 4000,
    num_test: int = 2000,
    input_dim: int = 8,
    num_factors: int = 3,
    share: float = 0.5,
    flipped: float = 0.05,
    seed: int = 0,
) -> tuple[Any, Any, Any, tuple[Any, Any]]:
    """One binary task of which some examples need depth, and the input says which.

    Inputs are those of `synthetic_depths`, but for the first, which is above 0 for a share of
    the examples. The label of these is whether the product of `num_factors` of the other inputs
    is above 0, that of the rest whether a linear function of the other inputs is.

    Args:
        num_train: Number of training examples. Defaults to 4000.
        num_test: Number of test examples. Defaults to 2000.
        input_dim: Number of inputs, above `num_factors`. Defaults to 8.
        num_factors: How many inputs a product has, at least 2. Defaults to 3.
        share: Of the examples, that need depth, in (0, 1). Defaults to 0.5.
        flipped: Share of training labels that are wrong, in [0, 0.5). Defaults to 0.05.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, deep)`: a dict of the one task, `"label"`; two pairs `(x, y)` with
        y a dict, task -> labels; two boolean arrays, of training and test: which examples need
        depth.

    Raises:
        ValueError: Sizes that do not fit each other, shares out of their range.

    Example:

    >>> tasks, (x, y), _, (deep, _) = synthetic_example_depths(num_train=500)
    >>> x.shape, y["label"].shape, bool((deep == (x[:, 0] > 0)).all())
    ((500, 8), (500,), True)
    """
    _check_sizes(num_train, num_test, input_dim, num_factors, num_factors + 1, flipped, seed)
    checks.probability("share", share)
    functions = _functions(input_dim - 1, num_factors, seed)

    def draw(part, num_examples, flipped):
        rng = np.random.default_rng((seed, part))
        x = _inputs(num_examples, input_dim, rng)
        deep = rng.uniform(size=num_examples) < share
        x[:, 0] = np.where(deep, 1, -1) * np.abs(x[:, 0])
        answers = functions(x[:, 1:])
        label = np.where(deep, answers["product"], answers["linear"])
        return (x, {"label": _flipped(label, flipped, rng)}), deep

    train, deep_train = draw(1, num_train, flipped)
    test, deep_test = draw(2, num_test, 0.0)
    return {"label": Task("binary")}, train, test, (deep_train, deep_test)


def _check_sizes(
    num_train: int,
    num_test: int,
    input_dim: int,
    num_factors: int,
    least: int,
    flipped: float,
    seed: int,
) -> None:
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.count("num_factors", num_factors, least=2)
    checks.count("input_dim", input_dim, least=least)
    checks.number("flipped", flipped, least=0, below=0.5)
    checks.seed("seed", seed)


def _functions(input_dim: int, num_factors: int, seed: int) -> Any:
    """Returns a function of inputs that returns the answers of a linear model and of a product."""
    rng = np.random.default_rng((seed, 0))
    weights = rng.standard_normal(input_dim)
    factors = rng.permutation(input_dim)[:num_factors]
    return lambda x: {"linear": x @ weights > 0, "product": x[:, factors].prod(axis=1) > 0}


def _inputs(num_examples: int, input_dim: int, rng: np.random.Generator) -> Any:
    signs = rng.choice([-1.0, 1.0], size=(num_examples, input_dim))
    return (signs * rng.uniform(0.5, 1.5, size=signs.shape)).astype("float32")


def _flipped(labels: Any, share: float, rng: np.random.Generator) -> Any:
    return (labels ^ (rng.uniform(size=len(labels)) < share)).astype("float32")
