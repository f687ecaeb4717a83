"""The comparison of methods: trains them all alike, over seeds, and keeps every run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_mtl import checks
from keras_mtl.analysis.scores.welch import scipy_stats
from keras_mtl.comparison.comparison import Comparison
from keras_mtl.comparison.data import as_data
from keras_mtl.comparison.methods import Given, Method, baselines_of, named_methods
from keras_mtl.comparison.records import Records
from keras_mtl.comparison.runs import Experiment, described
from keras_mtl.comparison.training import Recipe, adam
from keras_mtl.tasks import as_tasks
from keras_mtl.types import Tasks


def compare(
    methods: Mapping[str, Callable[..., Any]],
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any] | None = None,
    *,
    train: Any,
    validation: Any,
    test: Any,
    folder: Any,
    seeds: int | Sequence[int] = 5,
    epochs: int = 10,
    batch_size: int = 32,
    task_data: str = "shared",
    stem: Sequence[Any] | None = None,
    tower_units: Any = None,
    baselines: bool = True,
    trials: int = 0,
    optimizer: Callable[[Any], Any] | None = None,
    callbacks: Callable[[Any], list[Any]] | None = None,
    monitor: str | None = None,
    patience: int | None = None,
    scorers: Mapping[str, Callable[[Any, Any], float]] | None = None,
    findings: Callable[[Any], Mapping[str, Any]] | None = None,
    verbose: int = 1,
) -> Comparison:
    """Trains methods on the same data with the same seeds, and says what is better and by how much.

    Every network is trained alike, to the epoch that its own validation chooses, then frozen;
    all scores and costs are those of the frozen network. A finished run is a file in `folder` and
    not run again: a comparison that was stopped goes on, and more seeds or methods are added by
    asking for them. Seeds are the outer loop, so that a stopped one has as many of each method.
    Before each network `keras.utils.set_random_seed` is called.

    The baselines are `"Single task"` (a network for each task, with all components), shared
    bottom, no sharing (components are dealt out to the tasks in turn) and fixed random routing.

    Args:
        methods: Dict, name -> builder, `functools.partial` of one, or a function `(inputs, tasks,
            layers, **common)` that returns a network of this package. One that it compiled, such
            as with `balancing`, stays compiled so.
        inputs: As for builders.
        tasks: As for builders.
        layers: As for builders, the same for all methods. `None` for recurrent builders.
            Defaults to `None`.
        train: `(x, y)` or `(x, y, sample_weight)`; with `task_data="separate"` what
            `keras_mtl.task_batches` returns.
        validation: The same, of other examples: they choose the epoch.
        test: The same, of others again: all scores are of these. Batches in the order
            `"sequential"`.
        folder: Path of the folder of runs.
        seeds: How many, from 0, or a list of them. A seed decides weights, draws and the order of
            arrays. Defaults to 5.
        epochs: Most epochs of each network. Defaults to 10.
        batch_size: Of arrays. Defaults to 32.
        task_data: As for builders. Defaults to `"shared"`.
        stem: As for builders, or `None`. Defaults to `None`.
        tower_units: As for builders, or `None`. Defaults to `None`.
        baselines: Whether to add those that are not among `methods`. Defaults to `True`.
        trials: Number of random trials of each network, from the search space of its method
            (`keras_mtl.tuning`), on the data and the epochs that all have. The best by its own
            validation is then trained with every seed. 0 takes the defaults of all methods.
            Defaults to 0.
        optimizer: Function of a model that returns its optimizer; trials search that of their
            own. `None` takes Adam with learning rate 0.001, and 0.005 of an allocation
            (`keras_mtl.allocation_optimizer`). Defaults to `None`.
        callbacks: Function of a model that returns a list of callbacks, or `None`. Defaults to
            `None`.
        monitor: Log that marks the best epoch, such as `"val_mean_accuracy"`. `None` takes the
            sum of the tasks' validation losses, without penalties. Defaults to `None`.
        patience: Epochs without a better one after which training ends, or `None`. Defaults to
            `None`.
        scorers: Dict, name -> function `(y_true, answers)` of NumPy arrays without what is not
            labelled, such as those of scikit-learn. The first is shown. `None` takes the
            metrics of the tasks. Less is better of those, and of a `monitor`, whose names end in
            `error`, `loss`, `deviance`, `mae`, `mse` or `rmse`. Defaults to `None`.
        findings: Function of a trained model that returns a dict of numbers to be kept with its
            run. Defaults to `None`.
        verbose: 1 prints a line for every run that is finished, 0 nothing. Defaults to 1.

    Returns:
        A `Comparison`, which prints as a table in Markdown.

    Raises:
        ImportError: scipy is not installed.
        ValueError: Data of another form, a method that cannot be built, a folder with runs of
            another comparison.

    Example:

    >>> import tempfile
    >>> from functools import partial
    >>> import keras, keras_mtl, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    >>> data = (x, {"a": x[:, 0] > 0, "b": x[:, 1]})
    >>> dense = partial(keras.layers.Dense, 4, activation="relu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     comparison = keras_mtl.compare(
    ...         {"MMoE": keras_mtl.build_mmoe}, keras.Input((3,)),
    ...         {"a": "binary", "b": "regression"}, [[dense] * 2], train=data, validation=data,
    ...         test=data, folder=folder, seeds=2, epochs=1, verbose=0)
    >>> list(comparison.methods)
    ['MMoE', 'Single task', 'Shared bottom', 'No sharing', 'Fixed random']
    """
    scipy_stats("A comparison")
    if checks.count("trials", trials, least=0) and optimizer is not None:
        raise ValueError(
            "trials search the learning rates of Adam, so there can be no optimizer of another "
            "kind. Leave one of the two out."
        )
    tasks = as_tasks(tasks)
    checks.word("task_data", task_data, ("shared", "separate"))
    parts = {"train": train, "validation": validation, "test": test}
    data = {name: as_data(name, part, tasks, task_data) for name, part in parts.items()}
    seeds = _seeds(seeds)
    common = {"task_data": task_data, "stem": stem, "tower_units": tower_units}
    common = {name: value for name, value in common.items() if value is not None}
    given = Given(inputs, tasks, layers, common)
    recipe = Recipe(
        epochs=checks.count("epochs", epochs),
        batch_size=checks.count("batch_size", batch_size),
        optimizer=optimizer or adam,
        callbacks=callbacks or (lambda model: []),
        monitor=monitor,
        patience=patience,
    )
    records = Records(folder)
    networks, not_built = _networks(named_methods(methods), given, baselines)
    experiment = Experiment(data, recipe, scorers, findings, trials)
    facts = experiment.facts()
    runs: dict[str, list[Any]] = {method.name: [] for method in networks}
    for seed in seeds:
        for method, network in networks.items():
            known = {"network": network, **facts}
            record = records.found(method.name, seed, known)
            if record is None:
                record = {"method": method.name, "seed": seed, "experiment": known}
                record |= experiment.run(method, given, seed, records.search_folder(method.name))
                records.keep(record)
                if verbose:
                    print(_line(record), flush=True)
            runs[method.name].append(record)
    return Comparison(tuple(tasks), runs, not_built)


def _networks(
    methods: list[Method], given: Given, baselines: bool
) -> tuple[dict[Method, str], dict[str, str]]:
    """Returns what tells the networks of each method apart, and why baselines are left out."""
    networks = {method: described(method, given) for method in methods}
    not_built = {}
    for method in baselines_of(methods, given.layers, list(given.tasks)) if baselines else ():
        try:
            networks[method] = described(method, given)
        except ValueError as error:
            not_built[method.name] = str(error)
    return networks, not_built


def _seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, list | tuple) and seeds:
        return [checks.seed("seeds", seed) for seed in seeds]
    return list(range(checks.count("seeds", seeds, or_else=", or a list of seeds")))


def _line(record: dict[str, Any]) -> str:
    first = {task: next(iter(values.values())) for task, values in record["scores"].items()}
    scores = ", ".join(f"{task} {score:.4f}" for task, score in first.items())
    return f"{record['method']}, seed {record['seed']}: {scores} ({record['seconds']:.1f} s)"
