"""The search for a method's settings, with as many trials as every other method has."""

import pathlib
from typing import Any

import keras

from keras_mtl.comparison.data import Arrays, Batches
from keras_mtl.comparison.methods import Given, Method, function_of, takes_layers
from keras_mtl.comparison.training import Recipe
from keras_mtl.training import allocation_optimizer
from keras_mtl.tuning import hypermodel

_RATES = ("learning_rate", "allocation_learning_rate")


def searched(
    method: Method,
    given: Given,
    data: dict[str, Arrays | Batches],
    recipe: Recipe,
    trials: int,
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Returns the settings of the best of random trials: arguments, and learning rates.

    Trials are drawn from the method's own search space; a function that is no builder of this
    package has a learning rate to search. Those in `folder` are not run again.
    """
    import keras_tuner

    is_ours = function_of(method.builder).__module__.startswith("keras_mtl.models.")
    hyper = hypermodel(
        method.builder,
        given.inputs,
        given.tasks,
        given.layers if takes_layers(method.builder) else None,
        space=None if is_ours else _learning_rate,
        **given.common,
        seed=0,
    )
    tuner = keras_tuner.RandomSearch(
        hyper,
        objective=keras_tuner.Objective(*recipe.objective),
        max_trials=trials,
        seed=0,
        directory=folder.parent,
        project_name=folder.name,
    )
    tuner.search(
        **data["train"].for_fit(recipe.batch_size),
        **data["validation"].for_validation(recipe.batch_size),
        epochs=recipe.epochs,
        callbacks=recipe.early_stopping(data["validation"].labelled_tasks(given.tasks)),
        verbose=0,
    )
    return dict(tuner.get_best_hyperparameters(1)[0].values)


def taken_apart(settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Returns the arguments of the builder among settings, and the optimizer of the rates."""
    arguments = {name: value for name, value in settings.items() if name not in _RATES}
    adam = keras.optimizers.Adam(settings["learning_rate"])
    if "allocation_learning_rate" in settings:
        return arguments, allocation_optimizer(adam, settings["allocation_learning_rate"])
    return arguments, adam


def _learning_rate(hp: Any) -> dict[str, Any]:
    return {"learning_rate": hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)}
