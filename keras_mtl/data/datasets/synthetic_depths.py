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
    sharpness: float = 4.0,
    seed: int = 0,
) -> tuple[Any, Any, Any, dict[str, bool]]:
    """Four binary tasks on one input, of which two need depth; and each has a twin.

    An input is `s * m` in every place, with a sign s that is + or - with equal chance and a
    magnitude m that is uniform in (0.5, 1.5). A training label is drawn with the log-odds
    `sharpness * f(x)`. The f of `"linear"` is `w^T x` with a random w of length 1: a head reads
    it off, and there is nothing that a deeper network could add. That of `"product"` is the
    product of `num_factors` of the inputs, of which no linear model knows anything.
    `"linear_twin"` and `"product_twin"` have the same f and draws of their own, so that tasks of
    equal need can be compared. Test labels are without chance: whether f is above 0.

    Args:
        num_train: Number of training examples. Defaults to 4000.
        num_test: Number of test examples. Defaults to 2000.
        input_dim: Number of inputs, at least `num_factors`. Defaults to 8.
        num_factors: How many inputs a product has, at least 2. Defaults to 3.
        sharpness: How sure training labels are, above 0. Defaults to 4.0.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, deep)`: a dict of tasks; two pairs `(x, y)` with y a dict, task ->
        labels; a dict, task -> whether it needs depth.

    Raises:
        ValueError: Sizes that do not fit each other, a sharpness that is not above 0.

    Example:

    >>> tasks, (x, y), _, deep = synthetic_depths(num_train=500)
    >>> x.shape, y["product"].shape
    ((500, 8), (500,))
    >>> deep
    {'linear': False, 'linear_twin': False, 'product': True, 'product_twin': True}
    """
    _check_sizes(num_train, num_test, input_dim, num_factors, num_factors, sharpness, seed)
    functions = _functions(input_dim, num_factors, seed)
    deep = {
        f"{name}{twin}": name == "product"
        for name in ("linear", "product")
        for twin in ("", "_twin")
    }

    def draw(part, num_examples, sharpness):
        rng = np.random.default_rng((seed, part))
        x = _inputs(num_examples, input_dim, rng)
        answers = functions(x)
        y = {task: _labels(answers[task.split("_")[0]], sharpness, rng) for task in deep}
        return x, y

    train, test = draw(1, num_train, sharpness), draw(2, num_test, np.inf)
    return dict.fromkeys(deep, Task("binary")), train, test, deep


def synthetic_example_depths(
    *,
    num_train: int = 4000,
    num_test: int = 2000,
    input_dim: int = 8,
    num_factors: int = 3,
    share: float = 0.5,
    sharpness: float = 4.0,
    seed: int = 0,
) -> tuple[Any, Any, Any, tuple[Any, Any]]:
    """One binary task of which some examples need depth, and the input says which.

    Inputs are those of `synthetic_depths`, but for the first, which is above 0 for a share of
    the examples. The labels of these follow a product of the other inputs, those of the rest a
    linear function.

    Args:
        num_train: Number of training examples. Defaults to 4000.
        num_test: Number of test examples. Defaults to 2000.
        input_dim: Number of inputs, above `num_factors`. Defaults to 8.
        num_factors: How many inputs a product has, at least 2. Defaults to 3.
        share: Of the examples, that need depth, in (0, 1). Defaults to 0.5.
        sharpness: How sure training labels are, above 0. Defaults to 4.0.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, deep)`: a dict of the one task, `"label"`; two pairs `(x, y)` with
        y a dict, task -> labels; two boolean arrays, of training and test: which examples need
        depth.

    Raises:
        ValueError: Sizes that do not fit each other, a share or a sharpness out of its range.

    Example:

    >>> tasks, (x, y), _, (deep, _) = synthetic_example_depths(num_train=500)
    >>> x.shape, y["label"].shape, bool((deep == (x[:, 0] > 0)).all())
    ((500, 8), (500,), True)
    """
    _check_sizes(num_train, num_test, input_dim, num_factors, num_factors + 1, sharpness, seed)
    checks.probability("share", share)
    functions = _functions(input_dim - 1, num_factors, seed)

    def draw(part, num_examples, sharpness):
        rng = np.random.default_rng((seed, part))
        x = _inputs(num_examples, input_dim, rng)
        deep = rng.uniform(size=num_examples) < share
        x[:, 0] = np.where(deep, 1, -1) * np.abs(x[:, 0])
        answers = functions(x[:, 1:])
        answer = np.where(deep, answers["product"], answers["linear"])
        return (x, {"label": _labels(answer, sharpness, rng)}), deep

    train, deep_train = draw(1, num_train, sharpness)
    test, deep_test = draw(2, num_test, np.inf)
    return {"label": Task("binary")}, train, test, (deep_train, deep_test)


def _check_sizes(
    num_train: int,
    num_test: int,
    input_dim: int,
    num_factors: int,
    least: int,
    sharpness: float,
    seed: int,
) -> None:
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.count("num_factors", num_factors, least=2)
    checks.count("input_dim", input_dim, least=least)
    checks.number("sharpness", sharpness, above=0)
    checks.seed("seed", seed)


def _functions(input_dim: int, num_factors: int, seed: int) -> Any:
    """Returns a function of inputs that returns the answers of a linear model and of a product."""
    rng = np.random.default_rng((seed, 0))
    weights = rng.standard_normal(input_dim)
    weights /= np.linalg.norm(weights)
    factors = rng.permutation(input_dim)[:num_factors]
    return lambda x: {"linear": x @ weights, "product": x[:, factors].prod(axis=1)}


def _inputs(num_examples: int, input_dim: int, rng: np.random.Generator) -> Any:
    signs = rng.choice([-1.0, 1.0], size=(num_examples, input_dim))
    return (signs * rng.uniform(0.5, 1.5, size=signs.shape)).astype("float32")


def _labels(answers: Any, sharpness: float, rng: np.random.Generator) -> Any:
    noise = rng.logistic(size=len(answers))
    return (answers + noise / sharpness > 0).astype("float32")
