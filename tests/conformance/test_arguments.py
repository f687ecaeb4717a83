"""A wrong value in any one argument of what is public: right, or refused by the argument's name."""

import collections
import inspect
import json

import keras
import numpy as np
import pytest

import keras_mtl
from tests.conformance import registry
from tests.conformance.registry import BLOCK_BUILDERS, BUILDERS, LAYERS, SEQUENCE_BUILDERS, dense

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning"),  # of tasks without a component
]

VALUES = {
    "None": None,
    "a word": "x",
    "1.5": 1.5,
    "-1": -1,
    "0": 0,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "True": True,
    "an empty list": [],
    "[1.5]": [1.5],
    "an empty dict": {},
    "an object": object(),
    "a NumPy 2": np.int64(2),
    "a NumPy 0.5": np.float32(0.5),
    "huge": 10**30,
    "huge and no integer": 1e300,
    "all but 1": 0.99999999,
}
NEVER = ("nan", "inf", "-inf", "an object")  # are right nowhere
CALLED = {"tasks": "task"}  # in other words than by its name
dense_named = [lambda name=name: dense(name=name) for name in ("first", "second", "third")]


def components():
    return [make() for make in dense_named]


MADE_BY_HAND = {  # base arguments of entries of the registry that say none
    "ExpertStreams": lambda: {"components": components(), "reads": [0, 1, 0]},
    "Modular": lambda: {"components": components()},
    "RecurrentModular": lambda: {"cell": registry.modular_cell(name="cell")},
    "RoutedModular": lambda: {"components": components()},
    "SkippableBlock": lambda: {"block": keras.layers.Dense(6, name="inner")},
}
phases = keras_mtl.PolicyPhases
OTHERS = {
    "TemperatureSchedule": dict,
    "HalvingSchedule": dict,
    "AnnealingSchedule": dict,
    "RampSchedule": lambda: {"final": 2.0, "num_steps": 9},
    "CycleTemperature": lambda: {"phases": phases()},
    "PolicyPhases": dict,
    "Task": lambda: {"kind": "multilabel", "size": 3},
    "Quantile": lambda: {"q": 0.5},
    "Tweedie": dict,
    "BestPolicy": dict,
    "AtomicBackup": lambda: {"backup_dir": "somewhere"},
    "CopyComponents": lambda: {"epoch": 3},
    "allocation_optimizer": lambda: {
        "optimizer": keras.optimizers.SGD(0.1),
        "allocation_learning_rate": 0.1,
    },
    "alternating_optimizer": lambda: {
        "weights": keras.optimizers.SGD(0.1),
        "policy": keras.optimizers.SGD(0.1),
        "phases": phases(),
    },
    "CAGrad": dict,
    "DynamicWeightAverage": dict,
    "FirstOrderMAML": dict,
    "GradNorm": dict,
    "PCGrad": dict,
    "RandomLossWeighting": dict,
    "ScheduledWeights": lambda: {"weights": {"a": 0.5}},
}
totals: collections.Counter = collections.Counter()


def layer_arguments(name):
    """Returns the arguments with which the registry makes a layer."""
    if name in MADE_BY_HAND:
        return MADE_BY_HAND[name]()
    make = LAYERS[name].make
    if not hasattr(make, "func"):
        return {}
    if hasattr(make.func, "func"):
        make = make.func
    bound = inspect.signature(make.func).bind(*make.args, **make.keywords)
    return {**bound.arguments, **bound.arguments.get("kwargs", {})}


def own_arguments(function):
    """Returns the arguments that are not those of every Keras layer."""
    keras_own = {"self", "args", "kwargs", "name", "dtype", "trainable"}
    keras_own |= set(inspect.signature(keras.layers.Layer.__init__).parameters)
    parameters = inspect.signature(function).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in keras_own}


def never(parameter, said):
    """Returns whether a value is wrong whatever a network would make of it."""
    default = parameter.default
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    is_flag = isinstance(default, bool)
    return said in NEVER or (is_number and said == "True") or (is_flag and said != "True")


def outcome(argument, call, *given):
    """Returns `"right"`, `"named"`, or what is wrong about what a call made or said."""
    try:
        wrong = call(*given)
    except ValueError as error:
        word = CALLED.get(argument, argument)
        return "named" if word in str(error) else f"unnamed: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "right" if wrong is None else f"answer: {wrong}"


def sweep(name, function, call, capsys):
    """Puts every value into every argument, one at a time."""
    found = {}
    for argument, parameter in own_arguments(function).items():
        for said, value in VALUES.items():
            answer = outcome(argument, call, {argument: value})
            taken = answer == "right" and never(parameter, said)
            found[f"{name}({argument}={said})"] = "taken: it is wrong" if taken else answer
    kinds = [each.split(":")[0] for each in found.values()]
    totals.update(["calls"] * len(kinds) + kinds)
    with capsys.disabled():
        print(f"\n{name}: {dict(collections.Counter(kinds))}; so far: {dict(totals)}")
    wrong = {at: each for at, each in found.items() if each not in ("right", "named")}
    assert not wrong, "\n".join(f"{at}: {each[:300]}" for at, each in wrong.items())


def built(name, changes):
    """Builds a network with one argument changed and says what is wrong with it, if anything."""
    block = keras_mtl.layers.ResidualDense
    keras.backend.clear_session()
    several = [lambda: block(4)] if name in BLOCK_BUILDERS else [dense] * 3
    several = [dense] * 5 if name == "build_ple" else several
    steps = name in SEQUENCE_BUILDERS
    settings = {**(BUILDERS | BLOCK_BUILDERS | SEQUENCE_BUILDERS)[name]}
    given = {"inputs": keras.Input((7, 6) if steps else (6,)), "tasks": registry.TASKS, "seed": 3}
    given |= {} if steps else {"layers": [several, several]}
    if name == "build_low_supervision":
        settings["levels"] = {"animal": 2}
    model = getattr(keras_mtl, name)(**{**given, **settings, **changes})
    json.dumps(keras.saving.serialize_keras_object(model))
    x = registry.inputs_of(model)
    answers = [keras.ops.convert_to_numpy(leaf) for leaf in keras.tree.flatten(model(x))]
    return None if all(map(_is_finite, answers)) else "it is not finite"


def _is_finite(answer):
    return np.isfinite(answer.astype("float32")).all()


@pytest.mark.parametrize("name", [*BUILDERS, *BLOCK_BUILDERS, *SEQUENCE_BUILDERS])
def test_a_builder_is_right_or_names_its_argument(name, capsys):
    sweep(name, getattr(keras_mtl, name), lambda changes: built(name, changes), capsys)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_right_or_names_its_argument(name, capsys):
    cls = getattr(keras_mtl.layers, name)

    def make(changes):
        layer = cls(**{**layer_arguments(name), **changes})
        json.dumps(keras.saving.serialize_keras_object(layer))

    sweep(name, cls.__init__, make, capsys)


@pytest.mark.parametrize("name", OTHERS)
def test_what_trains_is_right_or_names_its_argument(name, capsys):
    made = getattr(keras_mtl, name)

    def make(changes):
        found = made(**{**OTHERS[name](), **changes})
        if hasattr(found, "get_config"):
            json.dumps(keras.saving.serialize_keras_object(found))

    sweep(name, made.__init__ if inspect.isclass(made) else made, make, capsys)


def test_other_exceptions_and_words_are_seen():
    def fails(error):
        def call():
            raise error

        return call

    assert outcome("units", fails(ValueError("units must be"))) == "named"
    assert outcome("units", fails(ValueError("wrong"))) == "unnamed: wrong"
    assert outcome("units", fails(TypeError("wrong"))) == "TypeError: wrong"
    assert outcome("units", lambda: "it is not finite") == "answer: it is not finite"
    assert outcome("units", lambda: None) == "right"
