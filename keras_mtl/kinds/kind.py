"""A row of the table of kinds: all that the kind of a task decides."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl.types import Tensor

MISSING_CLASS = -1


def _zeros(size: Any) -> tuple[Any, Any]:
    return np.zeros(size), np.zeros(0)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of task: what its labels and answers are, and how they are judged.

    Functions of labels and answers are written in `keras.ops`, take `(y_true, y_pred)` and return
    one value per example or step. Without classes they see one element of a label at a time.

    Attributes:
        form: What labels and answers are, for messages: "a task of kind ... `form`".
        activation: Name of the Keras activation of a head's dense layer.
        start: Function of `size` that returns what a head starts with beside its kernel: the
            biases, one for each column of the dense layer, and the gaps, numbers that depend on
            no feature.
        link: Function `(columns, gaps)` that returns the answers; gaps are `None` where a head
            has none. `None`: the columns are the answers.
        loss: Function that is the loss, unless a task has one of its own.
        metrics: Dict, short name -> function, of the metrics that skip what is missing.
            `"accuracy"`, where it is there, is what routers are rewarded for.
        default_metrics: The short names of those that a task logs, unless it has its own.
        fitting: Names of Keras's losses and metrics, and ours, that read these labels and answers.
        first_choice: Dict, `"loss"` and `"metric"` -> what to use instead of one that does not.
        smoothed: Function `(y_true, y_pred, smoothing)` that is the loss of smoothed labels. `None`
            of labels that cannot be smoothed.
        reads_logits: Whether Keras's losses must be told `from_logits=True`.
        has_classes: Whether a label is one of `size` class indices.
        is_label: Function of known labels, NumPy arrays or tensors: which can be right. `None` of
            classes, whose number says it.
        labels: What labels are, for messages: "expects labels ...". `None` of classes.
        short_form: Whether its name alone stands for a task.
        always_per_step: Whether there is a label at every time step without being asked.
        kind_per_step: Name of the kind that is the same at every time step. `None` is itself.
        kind_of_several: Name of the kind of sizes above 1. `None` is itself.
        has_units: Whether its labels have a unit, and may be standardized.
        uncertainty_factor: What `UncertaintyWeighting` multiplies the loss with, over a variance.
        slope: NumPy function of `kinds/slopes.py`, by which a temperature is found. `None` of
            answers that are no probabilities.
        shifts: Whether each logit is that of a yes, and may be shifted.
    """

    form: str
    activation: str
    loss: Callable
    metrics: Mapping[str, Callable]
    default_metrics: tuple[str, ...]
    fitting: tuple[str, ...]
    first_choice: Mapping[str, str]
    smoothed: Any = None
    reads_logits: bool = False
    has_classes: bool = False
    start: Callable = _zeros
    link: Callable | None = None
    is_label: Any = None
    labels: str | None = None
    short_form: bool = False
    always_per_step: bool = False
    kind_per_step: str | None = None
    kind_of_several: str | None = None
    has_units: bool = False
    uncertainty_factor: float = 1.0
    slope: Any = None
    shifts: bool = False

    @property
    def least_size(self) -> Any:
        return 2 if self.has_classes else 1

    @property
    def missing(self) -> Any:
        """The label of an example that has none."""
        return MISSING_CLASS if self.has_classes else float("nan")

    @property
    def dtype(self) -> Any:
        """The type of labels in arrays."""
        return "int32" if self.has_classes else "float32"

    def answers(self, logits: Tensor, gaps: Any = None) -> Any:
        """Returns what a head answers, of its dense layer before the activation."""
        columns = keras.activations.get(self.activation)(logits)
        return columns if self.link is None else self.link(columns, gaps)
