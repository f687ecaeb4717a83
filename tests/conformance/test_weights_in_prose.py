"""The `Weights:` section of a layer names the weights that it has, and no others.

An entry is `names: what they are`, on a line of its own or after a semicolon. A name stands for a
weight or for all weights of a layer inside, and `name_1, name_2, ...` for as many as there are.
Weights train unless the entry says `not trainable`; of those `as of` another layer that one tells.
"""

import inspect
import re
from functools import partial

import pytest

import keras_mtl
from keras_mtl import layers
from tests.conformance.registry import LAYERS, TASKS

HOLD_GIVEN_LAYERS = ("ExpertStreams", "Modular", "RoutedModular", "SkippableBlock")
RAMP = keras_mtl.RampSchedule(2.0, 9)
STANDARDIZED = keras_mtl.Task("regression", standardize=True)
RANKS = {size: keras_mtl.Task("ordinal", size) for size in (4, 3, 5)}
OTHER_FORMS = {  # that have weights which the form in the registry has not
    "AdversarialPenalty": [partial(layers.AdversarialPenalty, 3, RAMP)],
    "AllocationMatrix": [partial(layers.AllocationMatrix, 3, 4, num_added_tasks=2)],
    "AllocationPenalty": [partial(layers.AllocationPenalty, entropy_weight=1.0)],
    "BlockPolicy": [partial(layers.BlockPolicy, 3, num_added_tasks=2)],
    "FunnelHead": [
        partial(layers.FunnelHead, keras_mtl.Task("binary", given="color", estimator="dr"), 1)
    ],
    "GumbelRouter": [
        partial(layers.GumbelRouter, keras_mtl.HalvingSchedule()),
        partial(layers.GumbelRouter, keras_mtl.AnnealingSchedule()),
    ],
    "NoisyTopKGates": [partial(layers.NoisyTopKGates, 3, 4, by_task=False)],
    "OrthogonalityPenalty": [partial(layers.OrthogonalityPenalty, RAMP)],
    "PolicyPenalty": [partial(layers.PolicyPenalty, [0, 0], relative_to=(0, 2))],
    "RecurrentModularCell": [  # tied sub-encoders of another width than that of the cells
        partial(layers.RecurrentModularCell, 2, 4, (3, 3), (12,), tie_layers=True)
    ],
    "RoutingPolicy": [partial(layers.RoutingPolicy, 3, 4, "softmax")],
    "TaskHead": [partial(layers.TaskHead, task, 1) for task in (RANKS[4], STANDARDIZED)],
    "TaskHeads": [
        partial(layers.TaskHeads, TASKS, num_added_tasks=2),
        *(partial(layers.TaskHeads, RANKS, num_added_tasks=number) for number in (0, 2)),
        partial(layers.TaskHeads, TASKS | {"time": STANDARDIZED}, num_added_tasks=1),
    ],
}
_SECTION = re.compile(r"^Weights:\n(.*?)(?=^\w|\Z)", re.DOTALL | re.MULTILINE)
_NAMES = r"[a-z][\w/]*(?:, (?:[a-z][\w/]*|\.\.\.))*"
_ENTRY = re.compile(
    rf"(?:^ {{4}}|; )({_NAMES}): (.*?)(?=^ {{4}}\w|; {_NAMES}: |\Z)", re.DOTALL | re.M
)


def told(layer):
    """Returns what the section says: a dict, pattern of a name -> text of its entry."""
    section = _SECTION.search(inspect.getdoc(layer))
    found, before = {}, None
    for names, text in _ENTRY.findall(section.group(1) if section else ""):
        for name in names.split(", "):
            if name == "...":
                del found[before]
                name = re.sub(r"_\d+", r"_\\d+", before)
            found[name] = text
            before = name
    return found


def forms(name):
    """Returns the weights of the layer in all its forms: a list of dicts, name -> variable."""
    entry, found = LAYERS[name], []
    for make in [entry.make, *OTHER_FORMS.get(name, [])]:
        layer = make()
        layer(*entry.inputs)
        found.append({v.path.removeprefix(f"{layer.name}/"): v for v in layer.weights})
    return found


def is_of(name, pattern):
    """Returns whether a weight is one that a name stands for."""
    return re.fullmatch(rf"{pattern}(/.*)?", name) is not None


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in HOLD_GIVEN_LAYERS])
def test_the_section_names_the_weights_that_a_layer_has(name):
    entries = told(getattr(layers, name))
    weights = [pair for form in forms(name) for pair in form.items()]
    for weight, _ in weights:
        assert any(is_of(weight, pattern) for pattern in entries), f"{weight} is not in the section"
    for pattern, text in entries.items():
        trainable = [variable.trainable for weight, variable in weights if is_of(weight, pattern)]
        assert trainable, f"there is no {pattern}"
        if "not trainable" in text:
            assert not any(trainable), f"{pattern} is trainable"
        elif "as of " not in text:
            assert any(trainable), f"{pattern} is not trainable"


@pytest.mark.parametrize("name", HOLD_GIVEN_LAYERS)
def test_layers_of_given_layers_have_no_weights_of_their_own_to_tell_of(name):
    (weights,) = forms(name)
    given = {"first", "second", "third", "inner"}
    assert weights and {weight.split("/")[0] for weight in weights} <= given
    assert not told(getattr(layers, name))


def test_the_parser_finds_entries():
    found = told(layers.InstanceGate)
    assert list(found) == ["hidden", "normalization", "scores", "router"]
    assert found["router"].startswith("as of `GumbelRouter`")
    assert list(told(layers.SubEncoders)) == [r"policy_\d+", r"network_\d+", "router"]
    assert is_of("network_12/dense_1/kernel", r"network_\d+") and not is_of("kernel", "ker")
