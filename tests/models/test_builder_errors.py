import re
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.networks import BUILDERS, TASKS, dense, network

conv = partial(keras.layers.Conv2D, 4, 3, padding="same")
gumbel = partial(network, keras_mtl.build_gumbel_matrix)
no_sharing = partial(network, keras_mtl.build_no_sharing)
fixed_random = partial(network, keras_mtl.build_fixed_random)


@pytest.fixture(params=BUILDERS)
def build(request):
    return BUILDERS[request.param]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def refused(message):
    return pytest.raises(ValueError, match=message)


# Arguments that every builder has


def test_task_data_is_one_of_two_words(build):
    with refused('task_data must be "shared".*or "separate".*Received: \'joint\''):
        network(build, task_data="joint")


@pytest.mark.parametrize("inputs", [(5,), np.zeros((2, 5)), None, {"a": (5,)}])
def test_inputs_are_a_keras_input(build, inputs):
    with refused(r"inputs must be a keras.Input, such as .* or a dict of them. Received"):
        build(inputs, TASKS, [[dense] * 3])


def test_inputs_are_not_cut_from_what_they_were_made_of(build):
    features = keras.layers.Dense(5, name="encoder")(keras.Input((4,)))
    wanted = "inputs must be a keras.Input, .* Received the output of layer 'encoder', .* cut off"
    with refused(wanted + ".* in stem"):
        build(features, TASKS, [[dense] * 3])
    with refused(wanted):
        build({"a": keras.Input((4,)), "b": features}, TASKS, [[dense] * 3])


def test_a_seed_may_be_a_number_of_numpy(build):
    weights, expected = (network(build, seed=seed).get_weights() for seed in (np.int64(3), 3))
    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, float("nan")])
def test_a_seed_is_an_integer(build, seed):
    with refused("seed must be an integer from 0 to 4294967295. Received: "):
        network(build, seed=seed)


def test_an_empty_dict_of_inputs_is_an_error(build):
    with refused("inputs must be a keras.Input, such as .* or a dict of them. Received: {}"):
        build({}, TASKS, [[dense] * 3])


@pytest.mark.parametrize("tasks", [{}, None, ["color"], 3])
def test_tasks_are_a_dict_with_an_entry(build, tasks):
    with refused("tasks must be a dict with at least one entry"):
        network(build, tasks=tasks)


@pytest.mark.parametrize("task", ["classes", 2.5, True, None])
def test_a_task_is_a_number_a_word_or_a_task(build, task):
    with refused('A task is a number of classes, "binary", "regression" or a keras_mtl.Task'):
        network(build, tasks={"color": 3, "shape": task})


@pytest.mark.parametrize("name", ["2d", "my task", "a-b", "", "größe", "__x", 7])
def test_a_task_name_is_made_of_letters_digits_and_underscores(build, name):
    with refused(f"Task name {re.escape(repr(name))} cannot be used: .* signature name"):
        network(build, tasks={"color": 2, name: 3})


RESERVED = ["mean", "loss", "inputs", "task_id", "heads", "serving_default"]
OF_TF_SERVING = [
    "serve", "signatures", "variables", "trainable_variables", "non_trainable_variables",
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_names_of_inputs_and_logs_are_reserved(build, name):
    with refused(f"Task name '{name}' is reserved .for inputs and logs.. Choose another"):
        network(build, tasks={"color": 2, name: 3})


@pytest.mark.parametrize("name", OF_TF_SERVING)
def test_names_of_tf_serving_are_reserved(build, name):
    with refused(f"Task name '{name}' is reserved .by TF Serving.. Choose another"):
        network(build, tasks={"color": 2, name: 3})


@pytest.mark.parametrize(
    "name",
    ["stem_1", "layer_2", "allocation_1", "modular_1", "component_1_2", "component_3_1", "penalty"],
)
def test_names_of_layers_are_taken(task_data, name):
    with refused(f"Task name '{name}' is also the name of a layer. Choose another name"):
        gumbel(
            [[dense] * 3, dense, [dense] * 2, [dense]],
            tasks={"color": 2, name: 3},
            stem=[dense],
            budget=0.5,
            task_data=task_data,
        )


def test_names_of_layers_that_split_shared_data_are_taken():
    for name in ("split_tasks", "modular_1_rows"):
        with refused(f"Task name '{name}' is also the name of a layer"):
            gumbel([[dense] * 3], tasks={"color": 2, name: 3})


# Layers


@pytest.mark.parametrize("layers", [dense, keras.layers.Dense, None, "dense"])
def test_layers_are_a_list(build, layers):
    with refused("layers must be a list of callables that return a Keras layer.* Received"):
        build(keras.Input((5,)), TASKS, layers)


def test_a_stem_is_a_list(build):
    with refused("stem must be a list of callables that return a Keras layer.* Received"):
        network(build, stem=dense)


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        (r"layers\[1\]\[2\]", lambda: {"layers": [dense, [dense, dense, dense()]]}),
        (r"layers\[1\]", lambda: {"layers": [[dense] * 3, dense()]}),
        (r"stem\[0\]", lambda: {"stem": [dense()]}),
    ],
)
def test_an_instance_is_refused_where_a_callable_is_expected(build, where, arguments):
    wanted = f"{where} is the layer 'dense.*', but a callable that returns a new layer is expected"
    with refused(wanted + r".*functools.partial\(keras.layers.Dense, ...\)"):
        network(build, **arguments())


@pytest.mark.parametrize("entry", [5, "dense", None])
def test_an_entry_is_callable(build, entry):
    with refused(r"layers\[0\]\[0\] must be a callable that returns a Keras layer. Received"):
        network(build, [[entry] + [dense] * 2])
    with refused(r"layers\[1\] must be a callable that returns a Keras layer. Received"):
        network(build, [[dense] * 3, entry])


def test_a_callable_returns_a_layer(build):
    with refused(r"layers\[1\] must return a Keras layer. It returned: 3"):
        network(build, [[dense] * 3, lambda: 3])


def same_layer():
    layer = dense()
    return lambda: layer


def test_the_same_layer_twice_in_a_list_is_an_error(build):
    with refused(r"layers\[0\]\[[01]\] returned the layer .*, which is in use already"):
        network(build, [[same_layer()] * 3])


@pytest.mark.parametrize(
    "layers_of",
    [
        lambda make: [[make, dense, dense], [make, dense, dense]],
        lambda make: [[make, dense, dense], make],
        lambda make: [make, [make, dense, dense]],
        lambda make: [make, make, [dense] * 3],
    ],
    ids=["two lists", "list and bare", "bare and list", "two bare"],
)
def test_the_same_layer_in_two_places_is_an_error(build, layers_of):
    with refused("returned the layer .*, which is in use already. It must return a new layer"):
        network(build, layers_of(same_layer()))


def test_the_same_layer_in_two_models_is_an_error(build):
    make = same_layer()
    layers = [[dense, dense, make]]
    if build is keras_mtl.build_single_tasks:
        layers = [[make, dense, dense]]
    with refused("which is in use already. It must return a new layer at every call"):
        for _ in range(2):
            network(build, layers)


def test_a_layer_of_ones_own_model_is_in_use(build):
    layer = dense()
    layer(keras.Input((5,)))
    with refused("is in use already"):
        network(build, [lambda: layer, [dense] * 3])


NOTHING_WITHOUT_LISTS = sorted(set(BUILDERS) - {"shared_bottom", "single_tasks", "low_supervision"})


@pytest.mark.parametrize("layers", [[dense] * 3, []], ids=["a bracket forgotten", "nothing"])
@pytest.mark.parametrize("name", NOTHING_WITHOUT_LISTS)
def test_what_weighs_components_needs_a_list(name, layers, task_data):
    wanted = r"layers has no list of .*, so there is nothing to .* such as layers=\[\["
    with refused(wanted):
        network(BUILDERS[name], layers, task_data=task_data)


@pytest.mark.parametrize("name", ["shared_bottom", "single_tasks", "low_supervision"])
def test_what_is_a_network_without_components_needs_none(name):
    layers = [] if name == "shared_bottom" else [dense] * 3
    network(BUILDERS[name], layers)


def test_an_empty_list_is_an_error(build):
    needed = {"no_sharing": "has 0 components, but", "single_tasks": "has 0 components, but"}
    wanted = needed.get(build.__name__[6:], "is an empty list: a modular layer needs a component")
    with refused(wanted):
        network(build, [[]])


def test_components_with_different_output_shapes_are_an_error(build):
    wider = partial(keras.layers.Dense, 9)
    wanted = r"must have one output shape.*component_1_1: .*4\), component_1_2: .*9\)"
    with refused(wanted + ".*Give them the same units, filters, strides and padding"):
        network(build, [[dense, wider, dense]])


@pytest.mark.parametrize(
    "initializer",
    [keras.initializers.HeNormal(seed=3), "zeros", keras.initializers.HeNormal()],
    ids=["seeded instance", "constant", "instance"],
)
def test_components_that_start_equally_are_an_error(build, initializer):
    equal = partial(keras.layers.Dense, 4, kernel_initializer=initializer)
    wanted = "Components 'component_1_1' and 'component_1_2' start with equal weights"
    with refused(wanted + ".*give its name instead, such as"):
        network(build, [[equal] * 3])


def test_components_may_share_biases_norms_and_having_no_weights():
    normed = partial(keras.layers.LayerNormalization)
    gumbel([[normed, normed, keras.layers.Identity, keras.layers.Identity]])


def test_a_head_needs_flat_features(build, task_data):
    wanted = r"Task 'color' of kind 'classes' needs features of shape \(batch, features\)"
    with refused(wanted + ".*End `layers` with keras.layers.Flatten"):
        build(keras.Input((8, 8, 1)), TASKS, [[conv] * 3], task_data=task_data)


def test_a_tagging_head_needs_steps(build, task_data):
    tasks = {name: keras_mtl.Task("tagging", 4) for name in TASKS}
    with refused(r"Task 'color' of kind 'tagging' needs .* \(batch, steps, features\).*time axis"):
        network(build, tasks=tasks, task_data=task_data)


@pytest.mark.parametrize("name", ["shared_bottom", "no_sharing", "fixed_random", "gumbel_matrix"])
def test_an_unknown_combination_is_an_error(name):
    with refused('combine must be "mean" or "sum". Received: \'max\''):
        network(BUILDERS[name], combine="max")


# Gumbel-Matrix


@pytest.mark.parametrize("probability", [0, 1, -0.1, 2.0, [0.5, 1.0], [[0.5, 0.5, 0.0]] * 3])
def test_a_probability_is_strictly_between_0_and_1(probability):
    with refused("init_probability must be strictly between 0 and 1"):
        gumbel(init_probability=probability)


def test_a_matrix_of_probabilities_has_a_row_per_task_and_a_column_per_component():
    with refused("row for each of 3 tasks and a column for each of 2 comp.*shape: .2, 3."):
        gumbel([[dense] * 2], init_probability=np.full((2, 3), 0.5))


@pytest.mark.parametrize("probabilities", [[], [0.5], [0.5, 0.5, 0.5]])
def test_a_list_of_probabilities_has_an_entry_per_routed_layer(probabilities):
    wanted = f"init_probability has {len(probabilities)} entries, but 2 layers are routed"
    with refused(wanted):
        gumbel([[dense] * 3, [dense], [dense] * 2], init_probability=probabilities)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": 0}, r"budget must be a number in \(0, 1\], or None. Received: 0"),
        ({"budget": 75}, "budget must be a number .* Received: 75"),
        ({"budget": 0.5, "budget_weight": -1}, "budget_weight must be a number of at least 0"),
        ({"budget": 0.5, "budget_scope": "layer"}, 'budget_scope must be "task" or "global"'),
        ({"entropy_weight": -1}, "entropy_weight must be a number of at least 0 or a schedule"),
        ({"disconnect_weight": -1}, "disconnect_weight must be a number of at least 0"),
        ({"temperature": 0}, "temperature must be a number above 0 or a schedule. Received: 0"),
        ({"parameterization": "probit"}, 'parameterization must be "two_logits" or "log_odds"'),
    ],
    ids=str,
)
def test_settings_out_of_range_are_errors(settings, message):
    with refused(message):
        gumbel(**settings)


# Given allocations


def test_no_sharing_needs_a_component_per_task():
    with refused("No sharing needs one component per task. Modular layer 2 has 2 comp.* 3 tasks"):
        no_sharing([[dense] * 3, [dense] * 2])


def test_no_sharing_refuses_one_component_for_all_tasks():
    with refused("No sharing needs one component per task. Modular layer 1 has 1 comp.* 3 tasks"):
        no_sharing([[dense]])


def test_a_partition_names_an_owner_for_each_component():
    with refused("needs an owner for each component. Modular layer 1 has 4 comp.* 3 owners"):
        no_sharing([[dense] * 4], partition=["color", "shape", "animal"])


def test_a_partition_names_tasks():
    with refused("partition names 'colour', which is no task. Tasks: color, animal, shape"):
        no_sharing(partition=["colour", "animal", "shape"])


def test_a_partition_leaves_no_task_without_a_component():
    with refused("partition gives task 'shape' no component of modular layer 1"):
        no_sharing(partition=["color", "animal", "animal"])


def test_a_partition_by_layer_has_an_entry_per_modular_layer():
    with refused("partition has 1 lists of owners, but there are 2 modular layers"):
        no_sharing(partition=[["color", "animal", "shape"]])


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_components_per_task_is_a_number_from_1(count):
    with refused(f"components_per_task must be an integer of at least 1. Received: {count}"):
        fixed_random(components_per_task=count)


def test_components_per_task_is_a_number_that_the_layer_has():
    wanted = "components_per_task must be a whole number between 1 and 3, the number of components"
    with refused(wanted + " of modular layer 1. Received: 4"):
        fixed_random(components_per_task=4)


def test_single_tasks_need_a_component_per_task():
    wanted = r"layers\[1\] has 2 components, but single-task networks need one for each of 3 tasks"
    with refused(wanted + ": color, animal, shape"):
        network(keras_mtl.build_single_tasks, [dense, [dense] * 2])
