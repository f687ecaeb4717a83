"""A plot of what probabilities say against what happens."""

from collections.abc import Sequence
from typing import Any

from keras_mtl import checks
from keras_mtl.analysis.scores.calibration_error import calibration_error, reliability
from keras_mtl.analysis.task_answers import asked_tasks, joint_task_labels, predictions
from keras_mtl.kinds import KINDS
from keras_mtl.plots.axes import BAR_COLOR, new_figure
from keras_mtl.plots.given import is_network, refuse

_EDGE_COLOR = "0.6"


def plot_reliability(
    model: Any,
    x: Any,
    y: Any,
    tasks: Sequence[str] | None = None,
    bins: int = 15,
    binning: str = "width",
    batch_size: int = 1024,
) -> dict[str, Any]:
    """Draws, in a panel for each task, which share of labels is 1 where a probability is predicted.

    A dot is a bin of examples, its area their number. Probabilities that are right lie on the
    dashed line; where a network is too sure, dots lie below it on the right and above it on the
    left. Of classes, the share of right answers is drawn over the largest probability. The title
    says the expected calibration error.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599, figure 1, drawn there as bars.

    Args:
        model: A model made by a builder of this package.
        x: Inputs; with separate data a dict, name of a task -> its own.
        y: Dict, name of a task -> labels, which may be missing; of a task that is given another
            both, and what is drawn is the probability of both.
        tasks: List of the tasks to draw, or `None` for all that answer with probabilities.
            Defaults to `None`.
        bins: Number of bins. Defaults to 15.
        binning: `"width"` or `"mass"`, as in `keras_mtl.calibration_error`. Defaults to `"width"`.
        batch_size: Examples that are predicted at once. Defaults to 1024.

    Returns:
        Dict, name of a task -> its axes; `axes["click"].figure` is the figure.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No network, a task without probabilities, no labels.

    Example:

    >>> import numpy as np
    >>> dense = lambda: keras.layers.Dense(2)
    >>> model = keras_mtl.build_shared_bottom(keras.Input((1,)), {"click": "binary"}, [dense])
    >>> axes = plot_reliability(model, np.zeros((4, 1)), {"click": [0, 0, 0, 1]})
    >>> axes["click"].get_title()  # it answers 0.5, a quarter are clicked
    'click: error 0.250'
    """
    if not is_network(model):
        refuse("plot_reliability", model, "a network with tasks, on data")
    checks.count("batch_size", batch_size)
    asked = asked_tasks(model, tasks)
    names = [name for name in asked if KINDS[model.tasks[name].kind].slope is not None]
    without = [name for name in asked if name not in names]
    if without and (tasks is not None or not names):
        raise ValueError(
            f"plot_reliability draws probabilities, but task {without[0]!r} of kind "
            f"{model.tasks[without[0]].kind!r} {KINDS[model.tasks[without[0]].kind].form}."
        )
    labels = joint_task_labels(model, names, y)
    panels = new_figure(3.4 * len(names), 3.4).subplots(1, len(names), squeeze=False)[0]
    axes = dict(zip(names, panels, strict=True))
    for name, p in predictions(model, x, names, batch_size):
        counts, predicted, observed = reliability(labels[name], p, bins, binning)
        ax = axes[name]
        ax.plot([0, 1], [0, 1], "--", color=_EDGE_COLOR)
        ax.scatter(predicted, observed, s=10 + 200 * counts / counts.max(), color=BAR_COLOR)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        ax.set_xlabel("confidence" if model.tasks[name].has_classes else "predicted probability")
        ax.set_ylabel("share right" if model.tasks[name].has_classes else "share of 1")
        error = calibration_error(labels[name], p, bins, binning)
        ax.set_title(f"{name}: error {error:.3f}")
    return axes
