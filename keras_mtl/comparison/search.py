"""The search for a method's settings, with as many trials as every other method has."""

import pathlib
from typing import Any

from keras_mtl.comparison.data import Arrays, Batches
from keras_mtl.comparison.methods import Given, Method, function_of, takes_layers
from keras_mtl.comparison.training import Recipe
from keras_mtl.tuning import hypermodel
from keras_mtl.tuning.spaces import is_ours, learning_rate_alone


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

    hyper = hypermodel(
        method.builder,
        given.inputs,
        given.tasks,
        given.layers if takes_layers(method.builder) else None,
        space=None if is_ours(function_of(method.builder)) else learning_rate_alone,
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
