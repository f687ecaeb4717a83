"""Tasks: their kinds, sizes and losses."""

import dataclasses
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import keras

from keras_mtl import checks
from keras_mtl.funnels import check_funnel_task, check_funnels
from keras_mtl.kinds import KINDS
from keras_mtl.kinds.label_weights import checked_class_weight, checked_smoothing
from keras_mtl.kinds.quantile import Quantile
from keras_mtl.kinds.standard_units import checked_standardize
from keras_mtl.names import check_task_name


@keras.saving.register_keras_serializable("keras_mtl")
@dataclasses.dataclass(frozen=True)
class Task:
    """A task: the kind and size of its labels, its loss, metrics and weight.

    Short forms are understood wherever tasks are given: `24` is
    `Task("classes", 24)`, `"binary"` is `Task("binary")` and `"regression"` is
    `Task("regression")`.

    Args:
        kind: `"classes"` (one of `size` classes), `"binary"` (one probability),
            `"multilabel"` (`size` independent probabilities), `"regression"`
            (`size` real values), `"tagging"` (one of `size` classes at every
            time step), `"count"` (`size` numbers of events, whole and at least 0, a fraction
            is an error; answers are expected counts, above 0, by a log link), `"amount"` (`size`
            amounts of at least 0, such as spend; answers are expected amounts, likewise) or
            `"ordinal"` (one of `size` classes in an order; answers are their probabilities in the
            proportional-odds model: one score, and thresholds that stay in order).
        size: Number of classes, labels, values, counts or amounts. At least 2 for `"classes"`,
            `"tagging"` and `"ordinal"`, always 1 for `"binary"`. Defaults to 1.
        loss: Keras loss, its name, or a function `(y_true, y_pred)` that returns
            one value per example, or per time step. An example or step then counts as
            labelled when its whole label is. `None` takes the loss of the kind, element
            by element: sparse categorical cross-entropy (of ordinal tasks too), binary
            cross-entropy, squared error, or of counts the Poisson negative log-likelihood
            `y_pred - y_true log(y_pred)`, without `log(y_true!)`, as `keras.losses.Poisson`, or
            of amounts `keras_mtl.Tweedie(1.5)`. `keras_mtl.Quantile(0.9)` asks for a quantile.
            Defaults to `None`.
        metrics: List of Keras metrics, their names, or functions as above. `None`
            takes accuracy, for regression the mean absolute error (`"mae"`), for counts the
            mean Poisson deviance (`"poisson_deviance"`), for amounts the mean Tweedie deviance of
            power 1.5 (`"tweedie_deviance"`), for ordinal tasks accuracy and
            `"mae"`: by how many classes the median of the predicted distribution is off.
            Logs call an object without a name of its own by its class: `<task>_auc`, with
            `AUC(curve="PR")` `<task>_auc_pr`.
            Defaults to `None`.
        weight: Factor of the task's loss in the total, at least 0. Defaults to 1.0.
        per_step: Whether a sequence has a label at every time step: labels
            `(examples, steps)`, of a size above 1 `(examples, steps, size)`, NaN where
            there is none; outputs `(batch, steps, size)`. `"tagging"` is per step as
            it is; labels of `"ordinal"` are `(examples, steps)`. Defaults to `False`.
        given: Name of a binary task before this one without which this, binary too, cannot be 1:
            a long view is given its click. The answer is the probability of both, and
            `<task>_given_<parent>` that of this one if the other is 1; see
            `keras_mtl.training.funnel_losses`. Defaults to `None`.
        estimator: What a task that is given another learns by: `"entire"` (all examples),
            `"given"` (those whose parent is 1 alone), `"ipw"` or `"dr"` (these, corrected by
            inverse propensities, or doubly robust). Defaults to `"entire"`.

        class_weight: How much each label counts in the loss, and in nothing else: a dict,
            label -> weight (1 where a label is not named), or a list. Of classes, tags and ranks by
            index; of `"binary"` and `"multilabel"` of 0 and 1, of several labels alike or as a list
            of these. A weight multiplies that of the example, or step, as `sample_weight`
            does: the loss is the sum of weighted losses over the sum of weights. (Keras's
            `class_weight` divides by the number of examples.) Defaults to `None`.
        label_smoothing: Share of each label that is spread over all classes alike, in [0, 1), of
            classes, tags and yes-or-no labels with the loss of the kind. Defaults to 0.0.
        standardize: Whether a regression task is learned in standard units, mean 0 and standard
            deviation 1, and answered in the units of its labels. `True` takes mean and standard
            deviation (`ddof=0`) of the known labels of the arrays that the first `fit` gets, of
            each of `size` values for itself, whatever they weigh; `(mean, std)` says them: two
            numbers, or two lists of `size`. They are weights of the head, `location` and `scale`,
            and stay what they are in later calls of `fit`, in copies, files, grown and
            warm-started networks. The loss, a loss of one's own too, `<task>_loss` and the total
            see labels and answers in standard units; `<task>_mae`, `<task>_mse`, other metrics and
            whatever answers are in the labels' own. Means over tasks, `mean_mae` and `mean_mse`,
            are of standard units, so that days and points are not added. Defaults to `False`.

    Raises:
        ValueError: An unknown kind, a size that does not fit it, a negative weight,
            metrics that are no list, classes per step, weights or smoothing of labels that the kind
            has not, a kind that cannot be given another task, or that has no units to standardize.

    Example:

    >>> Task("classes", 24).size
    24
    >>> Task("regression", weight=0.1).weight
    0.1
    >>> Task("tagging", 5).per_step
    True
    >>> Task("regression", standardize=(60, 25)).standardize  # seconds watched
    (60.0, 25.0)
    """

    kind: str
    size: int = 1
    loss: Any = None
    metrics: Any = None
    weight: float = 1.0
    per_step: bool = False
    class_weight: Any = None
    label_smoothing: float = 0.0
    given: str | None = None
    estimator: str = "entire"
    standardize: Any = False

    def __post_init__(self) -> None:
        if self.kind not in tuple(KINDS):
            raise ValueError(
                f"A task's kind must be one of {', '.join(map(repr, KINDS))}. "
                f"Received: kind={self.kind!r}"
            )
        kind = KINDS[self.kind]
        least = kind.least_size
        is_integer = isinstance(self.size, Integral) and not isinstance(self.size, bool)
        if not is_integer or not least <= self.size <= checks.MOST:
            most = "" if not is_integer or self.size < least else f" and at most {checks.MOST}"
            raise ValueError(
                f"A task of kind {self.kind!r} needs an integer size of at least {least}{most}. "
                f"Received: size={self.size!r}"
            )
        object.__setattr__(self, "size", int(self.size))  # NumPy's cannot be saved
        if kind.kind_of_several and self.size != 1:
            raise ValueError(
                f"A {self.kind} task is one probability, but size={self.size} was given. Use "
                f'Task("{kind.kind_of_several}", {self.size}) for {self.size} yes-or-no labels.'
            )
        object.__setattr__(self, "weight", checks.number("A task's weight", self.weight, least=0))
        if not isinstance(self.loss, str | None) and not callable(self.loss):
            raise ValueError(
                "A task's loss must be a Keras loss, its name, a function or None. Received: "
                f"loss={self.loss!r}"
            )
        if isinstance(self.loss, Quantile):
            self.loss.check_size(self.size)
        if not isinstance(self.metrics, list | tuple | None):
            raise ValueError(
                f"A task's metrics must be a list or None. Received: metrics={self.metrics!r}"
            )
        if not isinstance(self.per_step, bool):
            raise ValueError(
                "A task's per_step must be True (a label at every time step) or False. "
                f"Received: per_step={self.per_step!r}"
            )
        if kind.kind_per_step and self.per_step:
            raise ValueError(
                "One of several classes at every time step is a kind of its own. Use "
                f'Task("{kind.kind_per_step}", {self.size}) instead of '
                f'Task("{self.kind}", {self.size}, per_step=True).'
            )
        if kind.always_per_step:
            object.__setattr__(self, "per_step", True)
        class_weight = checked_class_weight(kind, self.size, self.class_weight)
        object.__setattr__(self, "class_weight", class_weight)
        smoothing = checked_smoothing(kind, self.label_smoothing, self.loss, class_weight)
        object.__setattr__(self, "label_smoothing", smoothing)
        standardize = checked_standardize(self.kind, self.size, self.standardize)
        object.__setattr__(self, "standardize", standardize)
        check_funnel_task(self)

    @property
    def has_classes(self) -> Any:
        """Whether labels are class indices (integers, -1 when missing)."""
        return KINDS[self.kind].has_classes

    def get_config(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "size": self.size,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "metrics": keras.saving.serialize_keras_object(self.metrics),
            "weight": self.weight,
            "per_step": self.per_step,
            "class_weight": self.class_weight,
            "label_smoothing": self.label_smoothing,
            "given": self.given,
            "estimator": self.estimator,
            "standardize": self.standardize,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        fields = {field.name for field in dataclasses.fields(cls)}
        if not {"kind", "size"} <= set(config) <= fields:
            raise ValueError(
                f"A saved task has entries of {sorted(fields)}, kind and size among them. "
                f"Received: {dict(config)}"
            )
        config = dict(config)
        for field in ("loss", "metrics"):
            config[field] = keras.saving.deserialize_keras_object(config.get(field))
        return cls(**config)


def as_task(specification: Any) -> Task:
    """Returns the `Task` that a short form (24, "binary", "regression") stands for."""
    if isinstance(specification, Task):
        return specification
    if isinstance(specification, Integral) and not isinstance(specification, bool):
        return Task("classes", int(specification))
    short_forms = [name for name, kind in KINDS.items() if kind.short_form]
    if isinstance(specification, str) and specification in short_forms:
        return Task(specification)
    raise ValueError(
        'A task is a number of classes, "binary", "regression" or a keras_mtl.Task. '
        f"Received: {specification!r}"
    )


def as_tasks(tasks: Any) -> dict[str, Task]:
    """Returns `tasks` with every short form replaced, after a check of the names.

    The order of the dict is the task index, in which a task stands after the one it is given.
    """
    if not isinstance(tasks, Mapping) or not tasks:
        raise ValueError(
            "tasks must be a dict with at least one entry, name -> what is predicted, "
            f'such as {{"income": "binary", "age_group": 5}}. Received: {tasks!r}'
        )
    for name in tasks:
        check_task_name(name)
    found = {name: as_task(specification) for name, specification in tasks.items()}
    check_funnels(found)
    return found


def kinds_of(tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """Returns the kinds that occur in `tasks`, each once, in order of appearance."""
    return tuple(dict.fromkeys(task.kind for task in tasks.values()))


def largest_size(tasks: Mapping[str, Task], kind: str) -> int:
    """Returns the size of the largest task of `kind`: the width of its padded arrays."""
    return max(task.size for task in tasks.values() if task.kind == kind)
