"""One trial of a search: build, compile, fit, and say what went wrong."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner

from keras_mtl.tuning.costs import CostLog, cost_of
from keras_mtl.tuning.settings import taken_apart


class BuilderHyperModel(keras_tuner.HyperModel):
    """Builds and trains what a builder makes of one draw from a search space.

    Args:
        builder: A builder of this package.
        inputs_tasks_layers: Its first three arguments.
        space: Function hp -> dict of builder arguments and learning rates.
        arguments: Dict of fixed ones.
        cost: What to log as `cost`, a key of `keras_mtl.tuning.costs.COSTS`, or `None`.
    """

    def __init__(
        self, builder: Any, inputs_tasks_layers: Any, space: Any, arguments: Any, cost: Any
    ) -> None:
        super().__init__()
        self.builder = builder
        self.inputs_tasks_layers = inputs_tasks_layers
        self.space = space
        self.arguments = arguments
        self.cost = cost
        self.whole = 0.0  # the cost of the first, which has all defaults

    def build(self, hp: Any) -> Any:
        with _errors_end_the_search("build"):
            drawn = self.space(hp)
            _check_disjoint(drawn, self.arguments)
            settings = {**self.arguments, **drawn}
            inputs, tasks, *layers = self.inputs_tasks_layers
            changed, arguments, optimizer = taken_apart(settings, *layers or [None])
            model = self.builder(inputs, tasks, *[changed] * len(layers), **arguments)
            model.compile(optimizer)
            optimizer.build(model.trainable_variables)  # so that the best model's state loads
            if self.cost and not self.whole:
                self.whole = cost_of(model, self.cost)
            return model

    def fit(
        self, hp: Any, model: keras.Model, *args: Any, callbacks: Any = (), **kwargs: Any
    ) -> Any:
        logged = [CostLog(self.cost, self.whole)] if self.cost else []
        callbacks = [*logged, *callbacks, _objective_check(callbacks)]
        with _errors_end_the_search("fit"):
            return model.fit(*args, callbacks=callbacks, **kwargs)


def _check_disjoint(drawn: Any, fixed: Any) -> None:
    both = sorted(set(drawn) & set(fixed))
    if both:
        raise ValueError(
            f"{', '.join(both)}: both fixed in hypermodel(...) and searched by its space. "
            "Leave one of them out."
        )


def _objective_check(callbacks: Any) -> Any:
    """Returns a callback that misses the objective after the first epoch.

    keras_tuner's own callbacks know it, and need it in the logs of every epoch.
    """
    objectives = [callback.objective for callback in callbacks if hasattr(callback, "objective")]

    def check(epoch, logs):
        for objective in objectives:
            if not objective.has_value(logs):
                raise ValueError(
                    f"The logs do not have what the search is to improve: {objective}. They have: "
                    f"{', '.join(sorted(logs))}. Names with val_ need validation_data."
                )

    return keras.callbacks.LambdaCallback(on_epoch_end=check)


@contextlib.contextmanager
def _errors_end_the_search(doing: Any) -> Iterator[Any]:
    """Turns errors into those that keras_tuner does not keep to itself.

    Its own errors pass, such as `FailedTrialError`, which gives up one trial only.
    """
    errors = keras_tuner.errors
    try:
        yield
    except (errors.FatalError, errors.FailedTrialError):
        raise
    except Exception as error:
        fatal = errors.FatalValueError if isinstance(error, ValueError) else errors.FatalError
        raise fatal(f"A trial failed to {doing}. {type(error).__name__}: {error}") from error
