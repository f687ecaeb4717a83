"""The sharing report: components, parameters and FLOPs of tasks, as freezing will leave them."""

import dataclasses
import itertools
from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.allocated.components import parallel_components, used_components
from keras_mtl.analysis.report_text import report_text
from keras_mtl.layers.flops import layer_flops
from keras_mtl.layers.task_paths import task_calls
from keras_mtl.training.callbacks.empty_rows import empty_rows


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SharingReport:
    """The findings of `sharing_report`. Prints as a table.

    Attributes:
        tasks: Names of the tasks, in the order of the task index.
        component_names: Names of the components of all lists with several, in order of depth.
        usage: `(num_tasks, num_components)` array, `True` where the task uses the component.
        parameters: Dict, task -> number of weights it needs, those of its head included.
        flops: Dict, task -> FLOPs per example.
        trained_parameters: Number of weights of the whole model, allocation and weights between
            towers included.
        kept_parameters: Number of weights that any task needs.
        not_counted: Names of layer classes with weights whose FLOPs are not known.
        empty: Dict, task -> names of the layers in which it has no component.
        kept_below_half: Dict, task -> names of the layers in which its components are all less
            likely than not, and `min_components` keeps some.
    """

    tasks: tuple[str, ...]
    component_names: tuple[str, ...]
    usage: np.ndarray
    parameters: dict[str, int]
    flops: dict[str, int]
    trained_parameters: int
    kept_parameters: int
    not_counted: tuple[str, ...]
    empty: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    kept_below_half: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def components(self) -> dict[str, int]:
        """Dict, task -> number of components it uses."""
        return dict(zip(self.tasks, self.usage.sum(axis=1).tolist(), strict=True))

    @property
    def shared(self) -> dict[str, float]:
        """Dict, task -> fraction of its components that other tasks use too; NaN for none."""
        shared = self.usage[:, self.usage.sum(axis=0) > 1].sum(axis=1)
        return {
            task: float(part / whole) if whole else float("nan")
            for (task, whole), part in zip(self.components.items(), shared, strict=True)
        }

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the components that no task uses."""
        used = self.usage.any(axis=0)
        return tuple(itertools.compress(self.component_names, np.logical_not(used).tolist()))

    @property
    def components_by_num_tasks(self) -> tuple[int, ...]:
        """Numbers of components that 0, 1, ..., all tasks use."""
        return tuple(np.bincount(self.usage.sum(axis=0), minlength=len(self.tasks) + 1).tolist())

    @property
    def distinct_embeddings(self) -> int:
        """Number of different sets of components."""
        return len(np.unique(self.usage, axis=0))

    @property
    def overlap(self) -> float:
        """Components used by both tasks over those used by either, mean over pairs of tasks.

        A pair without any component counts 0; a single task has no pairs, which gives NaN.
        """
        pairs = list(itertools.combinations(self.usage, 2))
        if not pairs:
            return float("nan")
        return float(np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in pairs]))

    def __str__(self) -> str:
        return report_text(self)

    __repr__ = __str__


def sharing_report(model: keras.Model, cut_below: float = 0.0) -> Any:
    """Reports what each task costs and what tasks share, once the model is frozen.

    Parameters are those of `keras_mtl.freeze(model, task, cut_below=cut_below)`. FLOPs per
    example are twice the multiply-adds of dense, convolution and recurrent layers; sizes that
    are not fixed count as 1, so that a network for sequences of any length has FLOPs per time
    step. Other layers with weights are named as not counted. Of stitched towers a task uses
    every component that feeds it, those of other tasks' towers too.

    Args:
        model: A model made by a builder of this package, trained or not.
        cut_below: As in `keras_mtl.freeze`. Defaults to 0.0.

    Returns:
        A `SharingReport`.

    Raises:
        ValueError: The model has no tasks.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_no_sharing(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 3],
    ...     partition=["a", "b", "a"])
    >>> report = sharing_report(model)
    >>> report.parameters["b"], report.flops["b"]  # 5 * 8 + 8 and 8 + 1; 2 * (5 * 8 + 8)
    (57, 96)
    >>> report
    task  parameters  FLOPs  components  shared
    -------------------------------------------
    a            123    208       2 / 3      0%
    b             57     96       1 / 3      0%
    <BLANKLINE>
    Parameters: 180 trained, 180 kept when frozen (100.0%)
    Components by number of tasks: 3 by 1
    Unused components: none
    Distinct embeddings: 2 of 2 tasks
    Mean overlap of two tasks: 0%
    """
    tasks = list(getattr(model, "tasks", {}))
    if not tasks:
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} has no tasks to report on. Give a model made "
            "by a keras_mtl builder, before it is frozen."
        )
    components = parallel_components(model)
    usage: list[Any] = []
    kept: dict[int, keras.Layer] = {}
    parameters: dict[str, int] = {}
    flops: dict[str, int] = {}
    not_counted: dict[str, None] = {}
    for task in tasks:
        calls = task_calls(model, task, cut_below)
        layers = {id(layer): layer for layer, _, _ in calls}
        kept |= layers
        usage.append(used_components(components, layers.values()))
        parameters[task] = _count_params(layers)
        costs = [cost for call in calls for cost in layer_flops(*call)]
        flops[task] = sum(number or 0 for _, number in costs)
        not_counted |= {type(layer).__name__: None for layer, number in costs if number is None}
    return SharingReport(
        tasks=tuple(tasks),
        component_names=tuple(component.name for component in components),
        usage=np.array(usage, bool).reshape(len(tasks), len(components)),
        parameters=parameters,
        flops=flops,
        trained_parameters=model.count_params(),
        kept_parameters=_count_params(kept),
        not_counted=tuple(not_counted),
        **_rows_without_likely_components(model, tasks),
    )


def _rows_without_likely_components(model: keras.Model, tasks: Any) -> Any:
    """Returns the parts of a report about tasks that have no likely component in some layer."""
    found: dict[str, dict[str, Any]] = {"empty": {}, "kept_below_half": {}}
    for task, layer in empty_rows(model):
        kept = layer.matrix()[tasks.index(task)].any()
        layers = found["kept_below_half" if kept else "empty"]
        layers[task] = (*layers.get(task, ()), layer.name)
    return found


def _count_params(layers: Any) -> Any:
    return sum(layer.count_params() for layer in layers.values() if hasattr(layer, "weights"))
