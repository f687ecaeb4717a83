"""The same checks on everything that is public."""

import ast
import functools
import inspect
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from tests.conformance.registry import (
    ALL_BUILDERS,
    LAYERS,
    NOT_LAYERS_TO_CALL,
    PAIRS,
    SEQUENCE_BUILDERS,
    build,
    inputs_of,
)
from tests.gradients import gradients
from tests.public_api import builders, imported

WITH_SEED = [n for n, e in LAYERS.items() if "seed" in inspect.signature(e.make).parameters]
SEED_OF_DRAWS_ONLY = (
    "InstanceGate",
    "ModularDecoder",
    "NoisyTopKGates",
    "RecurrentModularCell",
    "SubEncoders",
    "SubNetworkRouting",
)
WITHOUT_TRAINABLE_WEIGHTS = (
    "AllocationPenalty",
    "ConnectionPenalty",
    "FixedAllocation",
    "GradientReversal",
    "GumbelRouter",
    "HardConcrete",
    "JoinDirections",
    "LastStep",
    "LayerConcat",
    "OrthogonalityPenalty",
    "OwnRows",
    "PickTask",
    "PolicyPenalty",
    "RepeatRows",
    "RoutingPolicy",
    "SharedMask",
    "SplitTasks",
    "TargetRatePenalty",
    "TaskMask",
    "TaskRows",
    "WordDropout",
)
WITH_WEIGHTS = [name for name in LAYERS if name not in WITHOUT_TRAINABLE_WEIGHTS]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def arrays(outputs):
    return [ops.convert_to_numpy(ops.cast(leaf, "float32")) for leaf in keras.tree.flatten(outputs)]


def assert_equal(first, second, tolerance=0.0):
    assert len(first) == len(second) > 0
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


def called(name):
    """Returns a layer of the registry after one call, and what it answered."""
    layer = LAYERS[name].make()
    return layer, answers(layer, name)


called_once = functools.cache(called)  # for tests that leave the weights as they are


def answers(layer, name, training=False):
    takes_training = "training" in inspect.signature(layer.call).parameters
    return arrays(layer(*LAYERS[name].inputs, **({"training": training} if takes_training else {})))


@functools.cache
def as_model(name):
    """Returns a functional model of one layer."""
    entry = LAYERS[name]
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=str(x.dtype)), entry.inputs
    )
    return keras.Model(keras.tree.flatten(inputs), entry.make()(*inputs))


def scalar(outputs, losses=()):
    """Returns a number that depends on every output, each in its own way."""
    total = sum(ops.cast(ops.sum(loss), "float32") for loss in losses)
    for leaf in keras.tree.flatten(outputs):
        slope = np.random.default_rng(1).normal(size=leaf.shape).astype("float32")
        total = total + ops.sum(ops.multiply(slope, ops.cast(leaf, "float32")))
    return total


def penalties(found):
    """Returns what named penalties add to the loss: some weights learn from it alone."""
    return [loss for layer in found if hasattr(layer, "penalties") for loss in layer.losses]


# Completeness


def test_every_public_layer_has_an_entry_and_no_entry_is_stale():
    assert set(LAYERS) | set(NOT_LAYERS_TO_CALL) == set(imported("keras_mtl.layers"))
    assert not set(LAYERS) & set(NOT_LAYERS_TO_CALL)


def test_exemptions_are_what_they_say():
    with pytest.raises(NotImplementedError):
        keras_mtl.layers.Allocation(3, 4).rows(training=False)
    with pytest.raises(NotImplementedError):
        keras_mtl.layers.ResidualBlock().new_projection()
    with pytest.raises(NotImplementedError):
        keras_mtl.layers.Stitch().add_alpha(3, 4)
    assert issubclass(keras_mtl.layers.SubspaceOrthogonality, keras.regularizers.Regularizer)
    assert inspect.isfunction(keras_mtl.layers.straight_through)


def test_every_builder_has_an_entry_and_no_entry_is_stale():
    assert set(ALL_BUILDERS) == set(builders())


def test_builders_have_the_same_first_arguments():
    for name in ALL_BUILDERS:
        parameters = inspect.signature(getattr(keras_mtl, name)).parameters
        made_of = [] if name in SEQUENCE_BUILDERS else ["layers"]
        first = ["inputs", "tasks", *made_of, "task_data", "stem"]
        assert list(parameters)[: len(first)] == first, name
        assert list(parameters)[-2:] == ["seed", "name"], name
        defaults = {key: parameters[key].default for key in ("task_data", "stem", "seed", "name")}
        assert defaults == {"task_data": "shared", "stem": (), "seed": None, "name": None}, name
        assert parameters["task_data"].kind is inspect.Parameter.KEYWORD_ONLY, name


# Layers


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_survives_its_config(name):
    layer = LAYERS[name].make()
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(layer)
    assert keras.saving.serialize_keras_object(copy) == config


@pytest.mark.parametrize("name", LAYERS)
def test_every_argument_is_in_the_config(name):
    config = LAYERS[name].make().get_config()
    signature = inspect.signature(getattr(keras_mtl.layers, name).__init__).parameters
    assert {key for key in signature if key not in ("self", "kwargs")} <= set(config)


@pytest.mark.parametrize("name", LAYERS)
def test_a_saved_layer_answers_equally(name, tmp_path):
    model = as_model(name)
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    x = keras.tree.flatten(LAYERS[name].inputs)
    assert_equal(arrays(model(x)), arrays(loaded(x)))


@pytest.mark.parametrize("name", LAYERS)
def test_symbolic_shapes_and_types_are_those_of_the_answers(name):
    model = as_model(name)
    answers = keras.tree.flatten(model(keras.tree.flatten(LAYERS[name].inputs)))
    for symbolic, answer in zip(keras.tree.flatten(model.output), answers, strict=True):
        assert symbolic.dtype == keras.backend.standardize_dtype(answer.dtype)
        assert len(symbolic.shape) == len(answer.shape)
        for said, came in zip(symbolic.shape, answer.shape, strict=True):
            assert said in (None, came)


@pytest.mark.parametrize("name", LAYERS)
def test_variables_keep_their_names_and_shapes(name):
    layer, _ = called_once(name)
    found = {v.path.removeprefix(f"{layer.name}/"): tuple(v.shape) for v in layer.weights}
    assert found == LAYERS[name].variables


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_the_gradient_reaches_every_trainable_weight(name):
    layer, _ = called_once(name)
    training = {"training": True} if name == "AllocationMatrix" else {}
    slopes = gradients(
        lambda: scalar(layer(*LAYERS[name].inputs, **training), penalties([layer])),
        layer.trainable_variables,
    )
    assert slopes
    for variable, slope in zip(layer.trainable_variables, slopes, strict=True):
        assert np.all(np.isfinite(slope)) and np.any(slope != 0), variable.path


def test_layers_without_a_gradient_have_no_trainable_weights():
    for name in set(LAYERS) - set(WITH_WEIGHTS):
        assert called_once(name)[0].trainable_variables == [], name


@pytest.mark.parametrize("name", WITH_SEED)
def test_equal_seeds_draw_equally(name):
    (first, _), (second, _) = called(name), called(name)
    if name in SEED_OF_DRAWS_ONLY:
        second.set_weights(first.get_weights())
    assert_equal(*(answers(layer, name, training=True) for layer in (first, second)))
    if first.weights:
        assert_equal(arrays(first.weights), arrays(second.weights))


@pytest.mark.parametrize(
    "policy", [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"]
)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_work_under_mixed_precision(name, policy):
    _, exact = called_once(name)
    keras.config.set_dtype_policy(policy)
    try:
        layer, outputs = called(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert [output.shape for output in outputs] == [output.shape for output in exact]
    assert all(np.all(np.isfinite(output)) for output in outputs)
    floats = {v.dtype for v in layer.weights if "float" in v.dtype}
    assert floats <= {"float32"}


# Builders

build_once = functools.cache(build)  # for tests that leave the weights as they are


@pytest.mark.parametrize(("name", "task_data"), PAIRS)
def test_a_model_survives_its_config(name, task_data):
    model = build_once(name, task_data)
    copy = type(model).from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert list(copy.tasks) == list(model.tasks) and copy.task_data == task_data


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_BUILDERS)
def test_a_saved_model_answers_equally_and_goes_on_with_the_same_draws(name, task_data, tmp_path):
    model = build(name, task_data)
    x = inputs_of(model)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is keras_mtl.MultiTaskModel
    assert loaded.tasks == model.tasks
    assert_equal(arrays(model(x)), arrays(loaded(x)))
    for _ in range(2):
        assert_equal(arrays(model(x, training=True)), arrays(loaded(x, training=True)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_BUILDERS)
def test_saved_weights_can_be_loaded_into_a_model_built_anew(name, task_data, tmp_path):
    model, other = build(name, task_data), build(name, task_data, seed=4)
    if name in ("build_fixed_random", "build_mmoeex"):  # what is drawn is no weight
        other = build(name, task_data)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_equal(arrays(model(inputs_of(model))), arrays(other(inputs_of(model))))


@pytest.mark.parametrize(("name", "task_data"), PAIRS)
def test_the_gradient_reaches_every_trainable_weight_of_a_model(name, task_data):
    model = build_once(name, task_data)
    x = inputs_of(model)
    leaves_out = name in (  # in one draw, what it closes
        "build_recurrent_modular", "build_routing_network", "build_snr",
    )  # fmt: skip
    num_draws = 5 if leaves_out else 1
    slopes = gradients(
        lambda: sum(
            scalar(model(x, training=True), penalties(model.layers)) for _ in range(num_draws)
        ),
        model.trainable_variables,
    )
    assert len(slopes) > 8
    for variable, slope in zip(model.trainable_variables, slopes, strict=True):
        assert np.all(np.isfinite(slope)) and np.any(slope != 0), variable.path


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_BUILDERS)
def test_equal_seeds_build_and_draw_equally(name, task_data):
    def drawn(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        model = build(name, task_data, seed)
        calls = [arrays(model(inputs_of(model), training=True)) for _ in range(2)]
        return arrays(model.weights), calls[0] + calls[1]

    weights, draws = drawn(seed=3, global_seed=1)
    same_weights, same_draws = drawn(seed=3, global_seed=2)
    assert_equal(weights, same_weights)
    assert_equal(draws, same_draws)
    other_weights, other_draws = drawn(seed=4, global_seed=1)
    assert any(np.any(one != two) for one, two in zip(weights, other_weights, strict=True))
    assert any(np.any(one != two) for one, two in zip(draws, other_draws, strict=True))


# Prose

PUBLIC = {
    name: value
    for module in (keras_mtl, keras_mtl.layers)
    for name, value in ((name, getattr(module, name)) for name in imported(module.__name__))
    if callable(value)
}
_SECTION = re.compile(r"^ *Args:\n(.*?)(?=^ *\w[\w ]*:\n|\Z)", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.DOTALL | re.MULTILINE)
_DEFAULT = re.compile(r"Defaults\s+to\s+(?:`([^`]+)`|(-?[\d.]*\d))")


def documented(value):
    """Returns the arguments a docstring describes, and the defaults it says."""
    section = _SECTION.search(inspect.getdoc(value) or "")
    if section is None:
        return {}
    entries = {name: _DEFAULT.search(text) for name, text in _ENTRY.findall(section.group(1))}
    return {
        name: ast.literal_eval(found.group(1) or found.group(2))
        if found
        else inspect.Parameter.empty
        for name, found in entries.items()
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_defaults_in_prose_are_those_of_the_signature(name):
    value = PUBLIC[name]
    parameters = inspect.signature(value).parameters
    said = documented(value)
    if "arguments are those of `keras_mtl.build_gumbel_matrix`" in inspect.getdoc(value):
        lent = documented(PUBLIC["build_gumbel_matrix"])
        said = {key: default for key, default in lent.items() if key in parameters} | said
    own = {
        key: parameter.default
        for key, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    assert said == own


def test_the_parser_finds_defaults():
    found = documented(PUBLIC["build_gumbel_matrix"])
    assert found["init_probability"] == 0.5 and found["task_data"] == "shared"
    assert found["temperature"] is None and found["stem"] == ()
    assert found["layers"] is inspect.Parameter.empty
