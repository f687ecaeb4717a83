"""How far probabilities are from what happens, on average: the expected calibration error."""

from typing import Any

import numpy as np

from keras_mtl import checks

BINNINGS = {"width": "bins of one width", "mass": "bins of as many examples"}


def calibration_error(y: Any, p: Any, bins: int = 15, binning: str = "width") -> float:
    """Returns the expected calibration error: how much predicted and observed shares differ.

    Examples are put into bins by their probability. In each bin the mean probability is compared
    with the share of labels that are 1, and the absolute differences are averaged, weighted by the
    number of examples. Of several classes it is the confidence, the largest probability, that is
    compared with the share of right answers.

    Source: Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI
    2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 3, equation 3: of classes.

    Args:
        y: Labels 0 and 1, `(n,)`, or of any shape that `p` has too; of classes their indices. NaN,
            of classes also -1, is not labelled and does not count.
        p: Probabilities of 1, in the shape of `y` or with an axis of size 1 more; of classes
            `(..., classes)`.
        bins: Number of bins. Defaults to 15.
        binning: `"width"` divides [0, 1] into equal parts, which include their upper ends, or
            `"mass"` the examples into parts of equal size, where equal probabilities stay together.
            Defaults to `"width"`.

    Returns:
        A number in [0, 1], 0 where probabilities are right.

    Raises:
        ValueError: Shapes that do not fit, other labels, numbers that are no probabilities, nothing
            labelled.

    Example:

    >>> y, p = [0, 1, 1, 1], [0.1, 0.1, 0.9, 0.9]
    >>> round(calibration_error(y, p, bins=2), 6)  # (2 |0.5 - 0.1| + 2 |1 - 0.9|) / 4
    0.25
    """
    counts, predicted, observed = reliability(y, p, bins, binning)
    return float(np.sum(counts * np.abs(predicted - observed)) / np.sum(counts))


def reliability(y: Any, p: Any, bins: int, binning: str) -> tuple[Any, Any, Any]:
    """Returns arrays of the bins that have examples: how many, mean probability, observed share."""
    checks.count("bins", bins)
    checks.word("binning", binning, BINNINGS)
    hits, p = _hits(*_labelled(np.asarray(y, "float64"), np.asarray(p, "float64")))
    if binning == "width":
        index = np.maximum(np.ceil(p * bins).astype(int) - 1, 0)
    else:
        index = np.searchsorted(np.quantile(p, np.arange(1, bins) / bins), p, side="left")
    counts, predicted, observed = (
        np.bincount(index, weights, minlength=bins) for weights in (None, p, hits)
    )
    used = counts > 0
    return counts[used], predicted[used] / counts[used], observed[used] / counts[used]


def _labelled(y: Any, p: Any) -> tuple[Any, Any]:
    """Returns known labels `(n,)` and their probabilities, `(n,)` or of classes `(n, classes)`."""
    if p.shape == (*y.shape, 1):
        p = p[..., 0]
    classes = p.ndim == y.ndim + 1
    if (p.shape[:-1] if classes else p.shape) != y.shape:
        raise ValueError(
            "p must have the shape of y, or of classes one axis more. "
            f"Received: y of shape {y.shape}, p of shape {p.shape}"
        )
    known = ~np.isnan(y) & ((y != -1) if classes else True)
    y, p = y[known], p[known]
    if not y.size:
        raise ValueError("Nothing is labelled: every label of y is missing.")
    allowed = np.arange(p.shape[-1]) if classes else (0, 1)
    if not np.all(np.isin(y, allowed)):
        wrong = y[~np.isin(y, allowed)][0]
        raise ValueError(f"Labels must be {allowed[0]} to {allowed[-1]}. Received: {wrong:g}")
    if not np.all((p >= 0) & (p <= 1)):
        wrong = p[~((p >= 0) & (p <= 1))].flat[0]
        raise ValueError(f"p must be probabilities, in [0, 1]. Received: {wrong:g}")
    return y, p


def _hits(y: Any, p: Any) -> tuple[Any, Any]:
    """Returns what happened, 0 or 1, and the probability that was given to it."""
    if p.ndim == 1:
        return y, p
    return (np.argmax(p, axis=-1) == y).astype("float64"), np.max(p, axis=-1)
