import random
import warnings
from functools import cache, partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.layers import AllocationMatrix
from tests.models.networks import (
    BUILDERS,
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    force,
    force_codes,
    force_routes,
    network,
)


@pytest.fixture(params=BUILDERS)
def build(request):
    return BUILDERS[request.param]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


@cache
def only_read(build, task_data="shared"):
    """Returns the network of a builder that all tests which change nothing of it look at."""
    return network(build, task_data=task_data, seed=0, name="digits")


def in_one_form(first):
    """Gives a test all builders, in turn with the one form of data and the other."""
    second = "separate" if first == "shared" else "shared"
    forms = [(name, (first, second)[place % 2]) for place, name in enumerate(BUILDERS)]
    return pytest.mark.parametrize(("build", "task_data"), forms, indirect=True)


# The two forms of data


def test_shared_data_has_one_input_and_an_output_per_task(build):
    model = only_read(build)
    assert model.input.name == "inputs" and tuple(model.input.shape) == (None, 5)
    shapes = {name: tuple(output.shape) for name, output in model.output.items()}
    assert shapes == {"color": (None, 2), "animal": (None, 7), "shape": (None, 4)}
    assert list(model.tasks) == list(TASKS) and model.task_data == "shared"
    for name, output in answers(model).items():
        assert output.shape == (6, TASKS[name])
        np.testing.assert_allclose(output.sum(axis=1), np.ones(6), rtol=1e-5)


def test_separate_data_has_task_ids_and_one_padded_output(build):
    model = only_read(build, "separate")
    assert set(model.input) == {"inputs", "task_id"}
    assert model.input["task_id"].dtype == "int32"
    assert tuple(model.output.shape) == (None, 7)
    assert list(model.tasks) == list(TASKS) and model.task_data == "separate"
    assert model.get_layer("heads").weights
    outputs = array(model({"inputs": X, "task_id": np.array([0, 2, 1, 1, 0, 2])}))
    for row, size in zip(outputs, [2, 4, 7, 7, 2, 4], strict=True):
        np.testing.assert_allclose(row[:size].sum(), 1, rtol=1e-5)
        assert np.all(row[size:] == 0)


def test_both_forms_answer_equally_with_equal_weights(build):
    draws = build in (BUILDERS["fixed_random"], BUILDERS["mmoeex"])
    settings = {"seed": 1} if draws else {}
    shared, separate = network(build, **settings), network(build, task_data="separate", **settings)
    if build is BUILDERS["gumbel_matrix"]:
        matrices = np.random.default_rng(3).integers(0, 2, (2, 3, 3))
        force(shared, *matrices)
        force(separate, *matrices)
    if build is BUILDERS["routing_network"]:
        for model in (shared, separate):
            force_routes(model, [[0, 2], [1, 1], [0, 1]])
    if build is BUILDERS["snr"]:
        force_codes(shared)
    copy_weights(shared, separate)
    assert_equal_answers(answers(shared), answers(separate), 1e-5)
    assert_equal_answers(answers(shared, training=True), answers(separate, training=True), 1e-5)


def test_mixed_kinds_are_a_dict_by_kind_with_separate_data(build):
    tasks = {"a": 3, "b": "binary", "c": keras_mtl.Task("regression", 2)}
    model = network(build, tasks=tasks, task_data="separate")
    shapes = {kind: tuple(output.shape) for kind, output in model.output.items()}
    assert shapes == {"classes": (None, 3), "binary": (None, 1), "regression": (None, 2)}


def test_an_id_out_of_range_gives_nan(build):
    model = only_read(build, "separate")
    outputs = array(model({"inputs": X, "task_id": np.array([0, -1, 3, 2, 99, 1])}))
    np.testing.assert_array_equal(
        np.isnan(outputs).all(axis=1), [False, True, True, False, True, False]
    )
    assert np.isfinite(outputs[[0, 3, 5]]).all()


@in_one_form("shared")
def test_predictions_are_float32_under_a_mixed_policy(build, task_data):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(build, task_data=task_data)
        outputs = answers(model, training=True)
        dtypes = {output.dtype for output in keras.tree.flatten(model.output)}
    finally:
        keras.config.set_dtype_policy("float32")
    assert dtypes == {"float32"}
    for output in outputs.values():
        np.testing.assert_allclose(output.sum(axis=1), np.ones(6), rtol=1e-5)


# Names and order


def test_layers_are_named_by_role_and_place(task_data):
    model = network(
        keras_mtl.build_gumbel_matrix,
        [[dense] * 3, partial(keras.layers.Dropout, 0.5), [dense], [dense] * 2],
        stem=[keras.layers.LayerNormalization, dense],
        task_data=task_data,
    )
    names = [layer.name for layer in model.layers]
    for name in [
        "stem_1", "stem_2", "allocation_1", "modular_1", "layer_2", "component_2_1",
        "allocation_3", "modular_3",
    ]:  # fmt: skip
        assert name in names
    assert "allocation_2" not in names and "modular_2" not in names
    components = [component.name for component in model.get_layer("modular_1").components]
    assert components == ["component_1_1", "component_1_2", "component_1_3"]
    assert model.get_layer("allocation_3").row_blocks[0].path.endswith("allocation_3/logits")
    heads = ["heads"] if task_data == "separate" else list(TASKS)
    assert {name for name in names if name in ["heads", *TASKS]} == set(heads)


def test_rows_come_in_the_order_of_tasks(task_data):
    order = {"shape": 4, "color": 2, "animal": 7}
    model = network(
        keras_mtl.build_no_sharing,
        tasks=order,
        task_data=task_data,
        partition=["animal", "shape", "color"],
    )
    np.testing.assert_array_equal(keras_mtl.allocation(model)[0], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    before = answers(model)
    kernel, bias = model.get_layer("modular_1").components[0].weights
    kernel.assign(ops.convert_to_tensor(kernel) + 1.0)
    after = answers(model)
    assert {n for n in order if np.any(before[n] != after[n])} == {"animal"}


def test_init_probability_has_a_row_per_task_and_an_entry_per_routed_layer():
    rows = [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]
    model = network(
        keras_mtl.build_gumbel_matrix,
        [[dense] * 3, [dense], [dense] * 2],
        init_probability=[0.25, rows],
    )
    first, second = keras_mtl.allocation_probabilities(model)
    np.testing.assert_allclose(first, np.full((3, 3), 0.25), rtol=1e-5)
    np.testing.assert_allclose(second, rows, rtol=1e-5)


def test_init_probability_may_be_an_array():
    matrix = np.array([[0.1, 0.9, 0.5], [0.2, 0.8, 0.5], [0.3, 0.7, 0.5]])
    model = network(keras_mtl.build_gumbel_matrix, init_probability=matrix)
    for probabilities in keras_mtl.allocation_probabilities(model):
        np.testing.assert_allclose(probabilities, matrix, rtol=1e-5)


def test_a_model_has_the_given_name(build):
    assert only_read(build).name == "digits"


# What layers may be


@in_one_form("shared")
def test_stem_and_bare_layers_are_passed_by_every_task(build, task_data):
    model = network(
        build, [partial(dense, name="mine"), [dense] * 3], stem=[dense], task_data=task_data
    )
    assert set(answers(model)) == set(TASKS)


@in_one_form("separate")
def test_inputs_may_be_a_dict_when_the_stem_takes_one(build, task_data):
    def join():
        a, b = keras.Input((5,), name="a"), keras.Input((2,), name="b")
        return keras.Model({"a": a, "b": b}, keras.layers.Concatenate()([a, b]))

    inputs = {"a": keras.Input((5,)), "b": keras.Input((2,))}
    model = build(inputs, TASKS, [[dense] * 3], stem=[join, dense], task_data=task_data)
    x = {"a": X, "b": X[:, :2]}
    if task_data == "separate":
        outputs = model({"inputs": x, "task_id": np.arange(6) % 3})
        assert tuple(outputs.shape) == (6, 7)
    else:
        assert tuple(model(x)["animal"].shape) == (6, 7)


def test_inputs_keep_their_type():
    tokens = keras.Input((None,), dtype="int32", name="ignored")
    embed = partial(keras.layers.Embedding, 9, 4)
    pool = keras.layers.GlobalAveragePooling1D
    model = keras_mtl.build_shared_bottom(tokens, TASKS, [[dense] * 2, pool], stem=[embed])
    assert model.input.name == "inputs" and model.input.dtype == "int32"
    assert tuple(model(np.array([[1, 2, 3], [4, 5, 6]]))["animal"].shape) == (2, 7)


def test_one_component_is_not_routed(task_data):
    for build in (keras_mtl.build_shared_bottom, keras_mtl.build_gumbel_matrix):
        model = network(build, [[dense]], task_data=task_data, **(
            {"budget": 0.5} if build is keras_mtl.build_gumbel_matrix else {}
        ))  # fmt: skip
        assert not any("allocation" in layer.name for layer in model.layers)
        assert isinstance(model.get_layer("component_1_1"), keras.layers.Dense)


@in_one_form("separate")
def test_one_task_is_allowed(build, task_data):
    model = network(build, [[dense]], tasks={"only": 3}, task_data=task_data)
    assert answers(model)["only"].shape == (6, 3)


@pytest.mark.parametrize("recurrent", [False, True])
def test_padded_steps_are_ignored_in_both_forms(task_data, recurrent):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    if recurrent:
        layers = [[partial(keras.layers.LSTM, 3)] * 2]
    else:
        layers = [[dense] * 2, keras.layers.GlobalAveragePooling1D]
    tokens = keras.Input((None,), dtype="int32")
    model = keras_mtl.build_gumbel_matrix(
        tokens, TASKS, layers, stem=[embed], task_data=task_data, seed=0
    )
    rows = np.random.default_rng(0).integers(1, 9, (6, 3))
    short, long = answers(model, rows), answers(model, np.pad(rows, ((0, 0), (0, 2))))
    assert_equal_answers(short, long, 1e-5)


def test_tagging_with_padded_steps_trains_without_a_warning(task_data):
    tasks = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 4)}
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    tokens = keras.Input((None,), dtype="int32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras_mtl.build_gumbel_matrix(
            tokens, tasks, [[lstm] * 2], stem=[embed], task_data=task_data
        )
        found = answers(model, np.array([[1, 2, 3, 0, 0]] * 6), training=True)
    assert {name: y.shape for name, y in found.items()} == {"chunk": (6, 5, 3), "pos": (6, 5, 4)}


@pytest.mark.slow
def test_sentences_of_free_length_are_predicted_in_a_compiled_step(build, task_data):
    tasks = {name: keras_mtl.Task("tagging", size) for name, size in TASKS.items()}
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
    tokens = keras.Input((None,), dtype="int32")
    model = build(tokens, tasks, [[lstm] * 3, [lstm] * 3], stem=[embed], task_data=task_data)
    for steps in (3, 5):
        x = np.ones((6, steps), "int32")
        if task_data == "separate":
            x = {"inputs": x, "task_id": np.arange(6, dtype="int32") % 3}
        for output in keras.tree.flatten(model.predict(x, verbose=0)):
            assert output.shape[:2] == (6, steps) and np.isfinite(output).all()


# Weights and seeds


def test_two_models_share_no_weights_and_differ_without_a_seed(build):
    first, second = (network(build) for _ in range(2))
    first_ids, second_ids = ({id(v) for v in m.variables} for m in (first, second))
    assert first_ids and not first_ids & second_ids
    assert np.any(first_kernels(first)[0] != first_kernels(second)[0])


def first_kernels(model):
    """Returns the kernels of the first list's components, which towers hold as plain layers."""
    layers = [c for layer in model.layers for c in getattr(layer, "components", [layer])]
    names = [f"component_1_{number}" for number in (1, 2, 3)]
    return [layer.get_weights()[0] for layer in layers if layer.name in names]


def test_components_start_differently(build):
    kernels = first_kernels(only_read(build))
    assert len(kernels) == 3
    assert len({kernel.tobytes() for kernel in kernels}) == 3


def test_a_seed_leaves_pythons_random_state_alone(build):
    random.seed(5)
    expected = random.random()
    random.seed(5)
    network(build, seed=0)
    assert random.random() == expected


def test_routed_layers_draw_apart():
    model = network(keras_mtl.build_gumbel_matrix, [[dense] * 20] * 2, seed=0)
    first, second = (layer for layer in model.layers if isinstance(layer, AllocationMatrix))
    assert np.any(array(first.rows(training=True)) != array(second.rows(training=True)))


# Penalties


@pytest.mark.parametrize(("task_data", "expected"), [("separate", 0.4), ("shared", 0.4 * 3)])
def test_the_budget_counts_all_routed_layers_and_is_paid_once_per_task(task_data, expected):
    model = network(
        keras_mtl.build_gumbel_matrix,
        [[dense] * 3, [dense] * 2],
        task_data=task_data,
        init_probability=[0.5, 1 - 1e-6],  # expected fraction (3 * 0.5 + 2) / 5 = 0.7
        budget=0.5,
        budget_weight=2.0,
    )
    x = X if task_data == "shared" else {"inputs": X, "task_id": np.arange(6) % 3}
    model(x)
    np.testing.assert_allclose(
        sum(float(array(loss)) for loss in model.losses), expected, rtol=1e-4
    )


def test_combine_sum_adds_components():
    mean, total = (
        network(keras_mtl.build_shared_bottom, [[dense] * 3], combine=c) for c in ("mean", "sum")
    )
    copy_weights(mean, total)
    features = [keras.Model(m.input, m.get_layer("modular_1").output)(X) for m in (mean, total)]
    np.testing.assert_allclose(3 * array(features[0]), array(features[1]), rtol=1e-5)


@pytest.mark.slow
def test_one_shared_task_with_a_budget_trains():
    dense = partial(keras.layers.Dense, 4)
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), {"alone": 3}, [[dense] * 3, [dense] * 2], budget=0.5
    )
    model.compile("adam")
    history = model.fit(np.ones((8, 5)), {"alone": np.zeros(8)}, verbose=0).history
    assert np.isfinite(history["loss"][0]) and "budget_penalty" in history
