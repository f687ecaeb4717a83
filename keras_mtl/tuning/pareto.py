"""The trials of a search for several objectives that no other trial beats."""

from typing import Any


def pareto_trials(tuner: Any) -> list[Any]:
    """Returns the finished trials than which no other is better in all objectives.

    Sorted by the first objective, the best first. A trial is left out where another is no worse in
    any objective, and better in one.

    Args:
        tuner: A tuner of keras_tuner after its search, with a list of objectives.

    Returns:
        List of `keras_tuner.engine.trial.Trial`; `tuner.load_model(trial)` and
        `trial.hyperparameters.values` are what to do with one.

    Raises:
        ValueError: A tuner with one objective.

    Example:

        tuner = keras_tuner.RandomSearch(
            keras_mtl.tuning.hypermodel(keras_mtl.build_gumbel_matrix, inputs, tasks, layers,
                                        cost="flops"),
            objective=[keras_tuner.Objective("val_mean_accuracy", "max"),
                       keras_tuner.Objective("cost", "min")], max_trials=20)
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=10)
        for trial in keras_mtl.tuning.pareto_trials(tuner):
            print(trial.hyperparameters.values)
    """
    objectives = getattr(tuner.oracle.objective, "objectives", None)
    if not objectives:
        raise ValueError(
            "pareto_trials needs a search for several objectives, such as "
            'objective=[keras_tuner.Objective("val_mean_accuracy", "max"), '
            'keras_tuner.Objective("cost", "min")]. Received a tuner with the objective '
            f"{tuner.oracle.objective}."
        )
    losses = {}
    for trial in tuner.oracle.trials.values():
        if trial.status == "COMPLETED":
            logs = {one.name: trial.metrics.get_best_value(one.name) for one in objectives}
            losses[trial.trial_id] = [
                logs[one.name] * (-1 if one.direction == "max" else 1) for one in objectives
            ]
    front = [
        name for name, own in losses.items() if not any(_beats(o, own) for o in losses.values())
    ]
    return [tuner.oracle.trials[name] for name in sorted(front, key=losses.__getitem__)]


def _beats(one: list[float], other: list[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
