"""Tasks that are noisy bandits: one known component is truly better than all others."""

from typing import Any

import numpy as np

from keras_mtl import checks


def synthetic_bandits(
    num_tasks: int = 3,
    num_arms: int = 10,
    *,
    success: float = 0.85,
    gap: float = 0.1,
    num_train: int = 2000,
    num_test: int = 2000,
    seed: int = 0,
) -> tuple[Any, Any, Any, Any]:
    """Binary tasks, each with arms that guess the label, of which one guesses better.

    The label is 0 or 1, a fair coin. A value of `x` is what an arm says of it, -1 or 1, and is
    right with probability `success`, the best arm's with `success + gap`. Arms err on the same
    examples, as far as they err: all others err together, and where they are right, the best
    is too. So nothing is more often right than the best arm, however many are asked, and a
    network that asks one drawn at random is right as often as the arms in the mean.

    A component that passes one arm and learns nothing makes a routing network such bandits: what
    it is rewarded with is what the arm that it draws is worth, once the heads know that 1 means
    yes. The components have no weights:

    >>> from functools import partial
    >>> arms = [partial(keras.layers.Cropping1D, (arm, 9 - arm)) for arm in range(10)]
    >>> tasks, train, test, chances = synthetic_bandits()
    >>> model = keras_mtl.build_routing_network(
    ...     keras.Input((10, 1)), tasks, [arms, keras.layers.Flatten], task_data="separate")
    >>> model.compile(keras.optimizers.Adam(0.01))
    >>> batches = keras_mtl.task_batches(tasks, train, batch_size=128, seed=0)

    After `model.fit(batches)` the truth to compare `keras_mtl.allocation_probabilities(model)[0]`
    with is `chances.argmax(axis=1)`.

    Source: the ten noisy arms in which a policy learner is judged without a network
    (`benchmarks/routes/bandit.py`); the form is this package's.

    Args:
        num_tasks: Number of tasks. Defaults to 3.
        num_arms: Number of arms, at least 2. Defaults to 10.
        success: How often the others are right, in [0.5, 1). Defaults to 0.85.
        gap: By how much more often the best is, above 0, at most `1 - success`. Defaults to 0.1.
        num_train: Number of training examples of each task. Defaults to 2000.
        num_test: Number of test examples of each task. Defaults to 2000.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, chances)`: a dict of `"binary"` tasks named `task_1`, `task_2`, ...;
        two dicts, name -> `(x, y)`, with `x` of shape `(examples, num_arms, 1)`; how often each
        arm is right, an array `(num_tasks, num_arms)`. Up to as many tasks as arms have different
        best ones.

    Raises:
        ValueError: Sizes or chances out of their range.

    Example:

    >>> tasks, train, test, chances = synthetic_bandits(num_tasks=2, num_arms=3, num_train=100)
    >>> x, y = train["task_1"]
    >>> x.shape, y.shape
    ((100, 3, 1), (100,))
    >>> chances.tolist()
    [[0.85, 0.85, 0.95], [0.95, 0.85, 0.85]]
    >>> chances.max().item(), chances.mean().round(3).item()  # of the best network, of chance
    (0.95, 0.883)
    """
    checks.count("num_tasks", num_tasks)
    checks.count("num_arms", num_arms, least=2)
    checks.number("success", success, least=0.5, below=1)
    checks.number("gap", gap, above=0)
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.seed("seed", seed)
    if success + gap > 1:
        raise ValueError(
            "success + gap is how often the best arm is right, and at most 1. "
            f"Received: {success} + {gap}"
        )
    best = np.random.default_rng((seed, 0)).permutation(num_arms)[np.arange(num_tasks) % num_arms]
    chances = success + gap * np.eye(num_arms)[best]

    def draw(part, num_examples):
        return {
            f"task_{task + 1}": _draw(row, num_examples, np.random.default_rng((seed, part, task)))
            for task, row in enumerate(chances)
        }

    train, test = draw(1, num_train), draw(2, num_test)
    return dict.fromkeys(train, "binary"), train, test, chances


def _draw(chances: Any, num_examples: int, rng: np.random.Generator) -> tuple[Any, Any]:
    y = rng.integers(2, size=num_examples)
    right = rng.random((num_examples, 1)) < chances  # one number for all arms of an example
    said = np.where(right, 2 * y[:, None] - 1, 1 - 2 * y[:, None])
    return said[..., None].astype("float32"), y.astype("int32")
