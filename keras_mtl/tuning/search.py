"""A method as something keras_tuner can search."""

import functools
import importlib.util
import inspect
from typing import Any

from keras_mtl import checks
from keras_mtl.tasks import as_tasks
from keras_mtl.tuning.settings import RATES, SIZES

_NEEDED = ("keras_tuner", "tensorboard", "sklearn", "scipy")


def hypermodel(
    builder: Any,
    inputs: Any,
    tasks: Any,
    layers: Any = None,
    *,
    space: Any = None,
    cost: str | None = None,
    **arguments: Any,
) -> Any:
    """Makes a builder searchable by any tuner of keras_tuner.

    Every trial builds the model, compiles it with Adam, and calls `model.fit` with what
    `tuner.search` is given. Evaluation uses the most likely allocation, without draws, so
    `val_mean_accuracy` is the score that the network has after `keras_mtl.freeze`.

    Each method comes with a search space: the learning rate, for the Gumbel-Matrix also the
    learning rate of its allocation and `init_probability`, for fixed random routing
    `components_per_task`, for recurrent modular networks `num_cells`, `open_fraction` and
    `sparsity_weight`. For experts these are sizes: how many of the given ones
    (`num_components`), how wide, as a factor, where each is a `functools.partial` of a layer
    with units or filters (`width`), and a dense layer before the head (`tower_width`, 0 for
    none), beside what their gates choose. What `arguments` fixes is not searched.

    With `cost` there are two objectives, such as
    `[keras_tuner.Objective("val_mean_accuracy", "max"), keras_tuner.Objective("cost", "min")]`;
    `keras_mtl.tuning.pareto_trials` then returns the trials that no other beats in both.

    The first error in a trial ends the search with that error. So does an objective that the
    logs do not have. keras_tuner by itself would go on with the next trials.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, whose settings lie within
    the bounds of the Gumbel-Matrix.

    Args:
        builder: A builder, such as `keras_mtl.build_gumbel_matrix`, or a `functools.partial` of
            one, whose arguments are fixed like those of `arguments`.
        inputs: As for the builder.
        tasks: As for the builder.
        layers: As for the builder; `None` for recurrent builders, which take none. Defaults to
            `None`.
        space: Function that takes a `keras_tuner.HyperParameters` and returns a dict of
            builder arguments, with `learning_rate` (else 0.001) and, for a rate of its own,
            `allocation_learning_rate`. `None` takes the method's own space. Defaults to
            `None`.
        cost: `"parameters"` or `"flops"`: what to log as `cost`, the mean over tasks of what they
            need of the network as it would be frozen, as a share of an untrained one with the
            defaults of the space. The space of the Gumbel-Matrix has a `budget` then. Defaults
            to `None`.
        arguments: Fixed arguments of the builder; `learning_rate` and
            `allocation_learning_rate` can be fixed too.

    Returns:
        A `keras_tuner.HyperModel`.

    Raises:
        ImportError: keras_tuner or something that it needs is missing.
        ValueError: No space is known for the builder, no layers for one that needs them,
            arguments that it does not take.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl, keras_tuner
    >>> from keras_mtl.tuning import hypermodel
    >>> hyper = hypermodel(
    ...     keras_mtl.build_gumbel_matrix, keras.Input((5,)), {"a": 3, "b": "binary"},
    ...     [[partial(keras.layers.Dense, 8)] * 4], init_probability=0.9)
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hyper.build(hp)
    >>> hp.values
    {'learning_rate': 0.001, 'allocation_learning_rate': 0.005}
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"A search needs {', '.join(missing)}, which cannot be imported. "
            'Install all it needs with: pip install "keras_mtl[tune]"'
        )
    from keras_mtl.tuning.costs import COSTS
    from keras_mtl.tuning.draws import Given
    from keras_mtl.tuning.spaces import default_space
    from keras_mtl.tuning.trials import BuilderHyperModel

    checks.word("cost", cost, (None, *COSTS))
    builder, layers, arguments = _taken_apart(builder, layers, arguments)
    given = (inputs, tasks) if layers is None else (inputs, tasks, layers)
    _check_fits(builder, given, arguments)
    space = space or default_space(builder, Given(layers, len(as_tasks(tasks))), arguments, cost)
    return BuilderHyperModel(builder, given, space, arguments, cost)


def _taken_apart(builder: Any, layers: Any, arguments: Any) -> tuple[Any, Any, Any]:
    """Returns a builder that stands in no `functools.partial`, its layers, and its arguments."""
    while isinstance(builder, functools.partial):
        if builder.args:
            raise ValueError(
                "builder is a functools.partial with arguments that have no name, but hypermodel "
                f"itself hands over inputs, tasks and layers. Received: {builder!r}"
            )
        builder, arguments = builder.func, {**builder.keywords, **arguments}
    if not callable(builder):
        raise ValueError(
            "builder must be a function such as keras_mtl.build_gumbel_matrix, or a "
            f"functools.partial of one. Received: {builder!r}"
        )
    own = arguments.pop("layers", None)
    return builder, own if layers is None else layers, arguments


def _check_fits(builder: Any, given: Any, arguments: Any) -> None:
    """Raises a `ValueError` for what a builder does not take, and for layers that it needs."""
    name = getattr(builder, "__name__", repr(builder))
    signature = inspect.signature(builder)
    needs = [p.name for p in signature.parameters.values() if p.default is p.empty]
    if len(given) == 2 and "layers" in needs:
        raise ValueError(
            f"{name} needs layers. Give them as the fourth argument: "
            f"hypermodel({name}, inputs, tasks, layers)."
        )
    try:
        signature.bind_partial(
            *given, **{k: v for k, v in arguments.items() if k not in RATES + SIZES}
        )
    except TypeError as error:
        raise ValueError(
            f"{name} does not take what hypermodel would hand over: {error}. It takes: "
            f"{', '.join(signature.parameters)}."
        ) from error
