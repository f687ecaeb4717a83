"""The report on cut ties between towers: what it costs and saves."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl.analysis import sharing_report
from keras_mtl.analysis.report_text import table
from keras_mtl.analysis.stitches import required_stitches
from keras_mtl.data.labels import check_labels
from keras_mtl.serving.freezing.freeze import freeze
from keras_mtl.training.batches import SharedBatch
from keras_mtl.training.losses import loss_measure


@dataclasses.dataclass(frozen=True, repr=False)
class CutReport:
    """The findings of `cut_report`. Prints as a table.

    Attributes:
        cut_below: The largest absolute weight that was cut.
        change: Dict, task -> largest absolute difference of its frozen outputs by cutting.
        towers: Dict, task -> names of the tasks whose towers it still needs, in whole or in
            part.
        parameters: Dict, task -> number of weights `(before, after)` cutting, when the task is
            frozen alone.
        loss: Dict, task -> its loss `(before, after)` cutting, for tasks with labels.
    """

    cut_below: float
    change: dict[str, float]
    towers: dict[str, tuple[str, ...]]
    parameters: dict[str, tuple[int, int]]
    loss: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        heading = f"Without weights between tasks of at most {self.cut_below:g}:"
        return "\n".join([heading, "", *table(self._rows())])

    __repr__ = __str__

    def _rows(self) -> Iterator[Any]:
        losses: Sequence[str] = ("loss", "loss after") if self.loss else ()
        yield "task", "output change", "parameters", "left", *losses, "towers left"
        for task, change in self.change.items():
            before, after = self.parameters[task]
            if self.loss:
                losses = [f"{loss:.4g}" for loss in self.loss.get(task, ())] or ("-", "-")
            towers = ", ".join(self.towers[task])
            yield task, f"{change:.2g}", f"{before:,}", f"{after:,}", *losses, towers


def cut_report(model: keras.Model, x: Any, cut_below: float, y: Any = None) -> Any:
    """Tells what `keras_mtl.freeze(model, cut_below=cut_below)` changes and saves.

    Where a task reads another with no weight above `cut_below`, in absolute value, it no
    longer reads it. A task that needs fewer towers is cheaper to serve.

    Args:
        model: A model of stitched towers, such as `keras_mtl.build_cross_stitch` and
            `keras_mtl.build_sluice` make.
        x: Examples to compare outputs on, as the frozen network takes them: without `task_id`.
        cut_below: As in `keras_mtl.freeze`.
        y: Dict, task -> labels of `x`, -1 or NaN = not labelled, to compare losses too. Tasks
            may be left out. Defaults to `None`, no losses.

    Returns:
        A `CutReport`.

    Raises:
        ValueError: The model stitches nothing; labels of an unknown task or that do not fit.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_cross_stitch(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 2],
    ...     alpha=[[0.96, 0.04], [0.2, 0.8]])
    >>> report = cut_report(model, keras.ops.zeros((4, 5)), cut_below=0.05)
    >>> report.towers, report.parameters["a"]  # towers of 5 * 8 + 8, heads of 8 * 3 + 3, 8 + 1
    ({'a': ('a',), 'b': ('a', 'b')}, (123, 75))
    >>> report
    Without weights between tasks of at most 0.05:
    <BLANKLINE>
    task  output change  parameters  left  towers left
    --------------------------------------------------
    a                 0         123    75            a
    b                 0         105   105         a, b
    """
    required_stitches(model)
    cuts = (0.0, cut_below)
    reports = [sharing_report(model, cut) for cut in cuts]
    outputs = [freeze(model, cut_below=cut).predict(x, verbose=0) for cut in cuts]
    losses = [_losses(model, y or {}, predicted) for predicted in outputs]
    pairs = _by_task(model.tasks, *outputs)
    return CutReport(
        cut_below=cut_below,
        change={
            task: float(np.abs(after - before).max()) for task, (before, after) in pairs.items()
        },
        towers=_towers(reports[1]),
        parameters=_by_task(model.tasks, *(report.parameters for report in reports)),
        loss=_by_task(model.tasks, *losses),
    )


def _by_task(tasks: Any, before: Any, after: Any) -> dict[Any, Any]:
    """Returns a dict, task -> `(before, after)`, in the order of tasks, of two dicts by task."""
    return {task: (before[task], after[task]) for task in tasks if task in before}


def _towers(report: Any) -> dict[Any, Any]:
    """Returns which tasks' towers each task uses components of: the last number of a name."""
    numbers = np.array([int(name.rpartition("_")[2]) for name in report.component_names])
    return {
        task: tuple(report.tasks[number - 1] for number in np.unique(numbers[used]))
        for task, used in zip(report.tasks, report.usage, strict=True)
    }


def _losses(model: Any, y: Any, outputs: Any) -> Any:
    """Returns a dict, task -> mean loss over the labelled examples, for the tasks in `y`."""
    tasks, losses = model.tasks, {}
    for name, labels in y.items():
        if name not in tasks:
            raise ValueError(
                f"y has labels of {name!r}, which is no task of this model. "
                f"Tasks: {', '.join(tasks)}"
            )
        labels = check_labels(name, tasks[name], labels)
        if len(labels) != len(outputs[name]):
            raise ValueError(
                f"Task {name!r} has {len(labels)} labels for {len(outputs[name])} examples. Give "
                "one for each, -1 or NaN where it is not labelled."
            )
        task = {name: tasks[name]}
        batch = SharedBatch(task, None, {name: labels}, outputs, None, None, model.standard_units)
        (total,), (count,) = batch.sums({name: loss_measure(tasks[name])})
        losses[name] = float(total / count) if count else float("nan")
    return losses
