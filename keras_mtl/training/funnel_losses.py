"""Losses of funnels: what is learned of a probability that is given another task's.

Only where its parent is 1, a click, can a task be seen to be 1, a purchase, and clicks are no
random sample: who clicks is likelier to buy. With the label `y` of the task, `o` of its parent,
the answers `p` of the parent, `c` for the conditional probability and the loss `l`, cross-entropy
unless the task has one of its own, an example costs

- `"entire"`: `l(y, p c)`, mean over all labelled examples;
- `"given"`: `l(y, c)`, mean over those with `o = 1`. It is biased, as what it is learned from;
- `"ipw"`: `l(y, p c) + o / p l(y, c)`, mean over all labelled examples;
- `"dr"`: `l(y, p c) + e' + o / p (e - e') + o / p (e - e')^2`, mean over all, with the error
  `e = l(y, c)` and the imputed error `e' = r l(1, c) + (1 - r) l(0, c)`, where `r` is the label
  that a second head imputes.

`p` in a denominator is the parent's joint probability, at least 0.001, and has no gradient. In
`e' + o / p (e - e')` the second head is held fixed, in the square `c`: each learns from its part.
Labels are joint: where the parent is 0 a missing one is 0. An example whose parent is not known
says nothing but `l(y, p c)`. Evaluation imputes nothing: there `"dr"` is `"ipw"`, by which frozen
networks can be judged too.

Sources: `"entire"`: Ma et al., "Entire Space Multi-Task Model", 2018,
https://arxiv.org/abs/1804.07931. `"ipw"`, `"dr"`: Wang et al., "ESCM2: Entire Space Counterfactual
Multi-Task Model for Post-Click Conversion Rate Estimation", 2022,
https://arxiv.org/abs/2204.05125, whose weights of corrected and entire risk are 1 here.
Differs from the source: ESCM2 imputes a number for the error. As `c` has no part in it, `c` would
learn as with `"ipw"`. The error of an imputed label depends on `c`, as in the doubly robust joint
learning (Wang et al., ICML 2019) that ESCM2 rests on, so that `c` may be learned where either `p`
or `r` is right. Weights are not cut from above otherwise than by the least `p`.
"""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_mtl.funnels import chain_of, conditional_names
from keras_mtl.training.losses import Measure, per_example

_LEAST_PROPENSITY = 1e-3
_LOWEST_PROBABILITY = 1e-30
_LEAST_REST = 1e-7  # of 1 minus a float32 that is not 1


def funnel_values(
    tasks: Mapping[str, Any],
    name: str,
    measure: Any,
    y: Mapping[str, Any],
    y_pred: Mapping[str, Any],
    imputed: Any = None,
) -> tuple[Any, Any]:
    """Returns the losses `(batch,)` of a task that is given another, and the 0/1 mask of those.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`.
        name: The task.
        measure: The `Measure` of its loss.
        y: Dict, task -> joint labels `(batch, 1)`, NaN where one is missing.
        y_pred: Dict, task or conditional name -> probabilities `(batch, 1)`.
        imputed: `(batch, 1)`, the labels that a second head imputes, or `None`.
    """
    task, conditionals = tasks[name], conditional_names(tasks)
    factors = [y_pred[conditionals.get(link, link)] for link in chain_of(tasks, name)]

    def loss(labels, *factors):
        if task.loss is None:
            log_answer = sum(map(_log, factors))
            return per_example(_LOG_MEASURE, task, labels, log_answer, 1)
        answer = factors[0] if len(factors) == 1 else y_pred[name]
        return per_example(measure, task, labels, answer, 1)

    parent = y[task.given][..., 0]
    clicked = ops.equal(parent, 1.0)
    if task.estimator == "given":
        values, known = loss(y[name], factors[-1])
        return values, known * ops.cast(clicked, known.dtype)
    entire, known = loss(y[name], *factors)
    if task.estimator == "entire":
        return entire, known
    error, _ = loss(y[name], factors[-1])
    propensity = ops.maximum(ops.stop_gradient(y_pred[task.given][..., 0]), _LEAST_PROPENSITY)
    weight = ops.where(clicked, 1.0 / propensity, 0.0)
    if task.estimator == "ipw" or imputed is None:
        return entire + weight * error, known
    yes, _ = loss(ops.ones_like(y[name]), factors[-1])
    no, _ = loss(ops.zeros_like(y[name]), factors[-1])
    guess = imputed[..., 0]
    held = ops.stop_gradient(guess)
    imputed_error = held * yes + (1.0 - held) * no
    corrected = imputed_error + weight * (error - imputed_error)
    yes, no, error = map(ops.stop_gradient, (yes, no, error))
    corrected += weight * ops.square(error - guess * yes - (1.0 - guess) * no)
    both = ops.logical_and(known > 0, ops.logical_not(ops.isnan(parent)))
    return entire + ops.where(both, corrected, 0.0), known


def _log(probability: Any) -> Any:
    """Returns the logarithm of a probability, whose gradient is finite."""
    lowest = probability < _LOWEST_PROBABILITY
    return ops.log(ops.where(lowest, _LOWEST_PROBABILITY, probability))


def log_cross_entropy(y: Any, log_answer: Any) -> Any:
    """Returns the binary cross-entropy of an answer whose logarithm is given.

    The logarithm of a product that is smaller than any float is a sum of logarithms that are none.
    """
    rest = -ops.expm1(log_answer)
    rest = ops.where(rest < _LEAST_REST, _LEAST_REST, rest)
    return -(y * log_answer + (1.0 - y) * ops.log(rest))


_LOG_MEASURE = Measure(log_cross_entropy, elementwise=True)
