"""A made funnel: who clicks is likelier to buy, and what all would do is known."""

from typing import Any

import numpy as np

from keras_mtl import checks
from keras_mtl.tasks import Task


def synthetic_funnel(
    *,
    selection: float = 1.5,
    num_train: int = 20_000,
    num_test: int = 20_000,
    input_dim: int = 4,
    estimator: str = "entire",
    seed: int = 0,
) -> tuple[Any, Any, Any, Any]:
    """Clicks and conversions of one cause, so that clicked examples are no random sample.

    With `x ~ N(0, I)` and a unit vector `u`, `t = u.x`: an example is clicked with probability
    `sigmoid(selection t - 1)`, and converts after a click with `sigmoid(1.5 |t| + 0.5 t - 2)`. A
    network without hidden layers learns the first, and of the second, which is no line, only how
    it is where it looks: at clicked examples it is steeper than elsewhere.

    Source: this package's, after the selection bias of Ma et al. 2018,
    https://arxiv.org/abs/1804.07931, section 2.

    Args:
        selection: How much `t` decides about clicks, at least 0: with 0 those who click are like
            all others. Defaults to 1.5.
        num_train: Number of training examples. Defaults to 20000.
        num_test: Number of test examples. Defaults to 20000.
        input_dim: Number of input features. Defaults to 4.
        estimator: That of the task `"conversion"`. Defaults to `"entire"`.
        seed: Integer, at least 0. Defaults to 0.

    Returns:
        `(tasks, train, test, truth)`: the tasks `"click"` and `"conversion"`, which is given it;
        two pairs `(x, y)`, with NaN for conversions where there is no click; a dict with the true
        probabilities of the test examples, `"click"` and `"conversion_given_click"`, and `u` as
        `"direction"`.

    Raises:
        ValueError: A negative `selection`, no examples or features.

    Example:

    >>> tasks, (x, y), test, truth = synthetic_funnel(num_train=1000)
    >>> x.shape, list(y), bool(np.isnan(y["conversion"][y["click"] == 0]).all())
    ((1000, 4), ['click', 'conversion'], True)
    >>> click, conversion = truth["click"], truth["conversion_given_click"]
    >>> [round(float(np.average(conversion, weights=weights)), 1) for weights in (None, click)]
    [0.3, 0.4]
    """
    checks.number("selection", selection, least=0)
    checks.count("num_train", num_train)
    checks.count("num_test", num_test)
    checks.count("input_dim", input_dim)
    rng = np.random.default_rng((checks.seed("seed", seed), 0))
    direction = rng.standard_normal(input_dim)
    direction /= np.linalg.norm(direction)
    train, _ = _draw(direction, selection, num_train, np.random.default_rng((seed, 1)))
    test, truth = _draw(direction, selection, num_test, np.random.default_rng((seed, 2)))
    truth["direction"] = direction
    conversion = Task("binary", given="click", estimator=estimator)
    return {"click": Task("binary"), "conversion": conversion}, train, test, truth


def _draw(
    direction: Any, selection: float, num_examples: int, rng: np.random.Generator
) -> tuple[Any, Any]:
    x = rng.standard_normal((num_examples, len(direction)), "float32")
    t = x @ direction
    truth = {
        "click": _sigmoid(selection * t - 1.0),
        "conversion_given_click": _sigmoid(1.5 * np.abs(t) + 0.5 * t - 2.0),
    }
    click = rng.random(num_examples) < truth["click"]
    converts = rng.random(num_examples) < truth["conversion_given_click"]
    y = {"click": click, "conversion": np.where(click, converts, np.nan)}
    return (x, {name: labels.astype("float32") for name, labels in y.items()}), truth


def _sigmoid(log_odds: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-log_odds))
