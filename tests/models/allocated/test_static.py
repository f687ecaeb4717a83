import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import (
    build_fixed_random,
    build_gumbel_matrix,
    build_no_sharing,
    build_shared_bottom,
    build_single_tasks,
)
from keras_mtl.layers.components.parallel_components import ParallelComponents
from tests.gradients import gradients
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    force,
    network,
)

PARTITION = ["shape", "color", "shape", "animal", "color"]
OF_PARTITION = [[0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 1, 0, 0]]  # color, animal, shape


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def forced_like(model, *matrices, training=True):
    """Answers of a Gumbel-Matrix with a model's weights whose every draw is given."""
    components = [len(matrix[0]) for matrix in matrices]
    layers = [[dense] * count for count in components]
    gumbel = network(build_gumbel_matrix, layers, task_data=model.task_data)
    copy_weights(model, gumbel)
    force(gumbel, *matrices)
    return answers(gumbel, training=training)


# One network, several methods


inference_and_training = pytest.mark.parametrize(
    ("task_data", "training"), [("shared", False), ("separate", True)]
)


@inference_and_training
def test_shared_bottom_is_a_gumbel_matrix_of_ones(task_data, training):
    shared = network(build_shared_bottom, task_data=task_data)
    ones = np.ones((3, 3))
    assert_equal_answers(answers(shared), forced_like(shared, ones, ones, training=training))


def test_shared_bottom_is_the_mean_of_its_components():
    model = network(build_shared_bottom, [[dense] * 3])
    mean = np.mean([array(c(X)) for c in model.get_layer("modular_1").components], axis=0)
    kernel, bias = model.get_layer("animal").get_weights()
    logits = mean @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers(model)["animal"], expected, rtol=1e-4)


def test_shared_bottom_computes_its_features_once_for_all_tasks():
    model = network(build_shared_bottom)
    assert tuple(keras.Model(model.input, model.get_layer("modular_2").output)(X).shape) == (6, 4)


@inference_and_training
def test_no_sharing_is_the_identity(task_data, training):
    model = network(build_no_sharing, task_data=task_data)
    eye = np.eye(3)
    assert_equal_answers(answers(model), forced_like(model, eye, eye, training=training))


def test_no_sharing_without_a_stem_is_single_tasks(task_data):
    apart = network(build_no_sharing, task_data=task_data)
    single = network(build_single_tasks, task_data=task_data)
    copy_weights(apart, single)
    assert_equal_answers(answers(apart), answers(single))


def test_a_partition_gives_each_component_its_owner(task_data):
    model = network(build_no_sharing, [[dense] * 5], task_data=task_data, partition=PARTITION)
    np.testing.assert_array_equal(keras_mtl.allocation(model)[0], OF_PARTITION)
    assert_equal_answers(answers(model), forced_like(model, OF_PARTITION))


def test_a_partition_may_differ_by_modular_layer():
    other = ["color", "animal", "shape"]
    model = network(
        build_no_sharing, [[dense] * 5, dense, [dense] * 3], partition=[PARTITION, other]
    )
    first, second = keras_mtl.allocation(model)
    np.testing.assert_array_equal(first, OF_PARTITION)
    np.testing.assert_array_equal(second, np.eye(3))


def test_fixed_random_is_a_gumbel_matrix_of_its_draw(task_data):
    model = network(build_fixed_random, task_data=task_data, components_per_task=2, seed=4)
    assert_equal_answers(answers(model), forced_like(model, *keras_mtl.allocation(model)))


def test_a_task_alone_in_a_shared_bottom_is_a_routed_network_with_one_row():
    shared = network(build_shared_bottom, tasks={"only": 3})
    gumbel = network(build_gumbel_matrix, tasks={"only": 3})
    copy_weights(shared, gumbel)
    force(gumbel, np.ones((1, 3)), np.ones((1, 3)))
    assert_equal_answers(answers(shared), answers(gumbel, training=True))


@pytest.mark.parametrize(
    ("task_data", "task"),
    [("separate", None), ("shared", "color"), ("separate", "animal"), ("shared", "shape")],
)
def test_frozen_networks_equal_training_with_the_forced_matrix(task_data, task):
    model = network(build_gumbel_matrix, task_data=task_data)
    force(model, [[1, 0, 1], [0, 1, 0], [1, 1, 1]], [[0, 1, 0], [1, 1, 0], [0, 0, 1]])
    frozen = keras_mtl.freeze(model, task)(X)
    frozen = frozen if task is None else {task: frozen}
    expected = {name: y for name, y in answers(model, training=True).items() if name in frozen}
    assert_equal_answers({name: array(frozen[name]) for name in expected}, expected)


# What does not meet


@pytest.mark.parametrize(
    ("build", "task_data"), [(build_single_tasks, "shared"), (build_no_sharing, "separate")]
)
def test_tasks_that_share_nothing_have_no_gradient_on_each_others_weights(build, task_data):
    model = network(build, task_data=task_data)
    for task_id, task in enumerate(TASKS):
        for place in (1, 2):
            for component_id, component in enumerate(
                model.get_layer(f"modular_{place}").components
            ):
                slopes = gradients(lambda t=task_id: first_output(model, t), component.weights)
                touched = [bool(np.any(slope != 0)) for slope in slopes]
                assert touched == [component_id == task_id] * 2, (task, component.name)


def first_output(model, task_id):
    if model.task_data == "shared":
        return ops.sum(model(X)[list(TASKS)[task_id]][:, 0])
    return ops.sum(model({"inputs": X, "task_id": np.full(6, task_id, "int32")})[:, 0])


def test_single_tasks_repeat_stem_and_bare_layers_that_have_weights():
    model = network(
        build_single_tasks,
        [dense, [dense] * 3, keras.layers.Flatten],
        stem=[keras.layers.LayerNormalization],
    )
    modular = [layer for layer in model.layers if isinstance(layer, ParallelComponents)]
    assert [len(layer.components) for layer in modular] == [3, 3, 3]
    assert isinstance(modular[0].components[2], keras.layers.LayerNormalization)
    assert isinstance(model.get_layer("layer_4"), keras.layers.Flatten)
    color, shape = (reached_by(model, task) for task in ("color", "shape"))
    assert len(color) == len(shape) == 8  # weight and bias of norm, two layers and head
    assert not color & shape


def reached_by(model, task):
    """Returns the paths of the variables with a gradient from a task's output."""
    variables = model.trainable_variables
    slopes = gradients(lambda: ops.sum(model(X)[task][:, 0]), variables)
    return {v.path for v, slope in zip(variables, slopes, strict=True) if np.any(slope != 0)}


def test_training_one_task_changes_no_variable_of_another():
    model = network(build_single_tasks, stem=[dense], task_data="separate")
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    before = {v.path: array(v) for v in model.trainable_variables}
    animal = {"inputs": X, "task_id": np.full(6, 1, "int32")}
    model.train_on_batch(animal, np.arange(6, dtype="int32"))
    changed = {v.path for v in model.trainable_variables if np.any(before[v.path] != array(v))}
    kernel, bias = model.get_layer("heads").get_weights()
    assert {path.split("/")[-2] for path in changed} == {
        "component_1_2", "component_2_2", "component_3_2", "heads",
    }  # fmt: skip
    heads = [path for path in before if "heads" in path]
    for path, after in zip(sorted(heads), (bias, kernel), strict=True):
        moved = np.any((before[path] != after).reshape(-1, 13), axis=0)
        np.testing.assert_array_equal(moved, [False] * 2 + [True] * 7 + [False] * 4)


# Fixed random


@pytest.mark.parametrize("count", [1, 2, 4])
def test_fixed_random_gives_each_task_exactly_as_many_components(count):
    model = network(build_fixed_random, [[dense] * 4, [dense] * 6], components_per_task=count)
    first, second = keras_mtl.allocation(model)
    assert first.shape == (3, 4) and second.shape == (3, 6)
    for matrix in (first, second):
        assert set(np.unique(matrix)) <= {0.0, 1.0}
        np.testing.assert_array_equal(matrix.sum(axis=1), [count] * 3)


def draw_of(seed):
    model = network(build_fixed_random, [[dense] * 20] * 2, components_per_task=10, seed=seed)
    return np.stack(keras_mtl.allocation(model))


@pytest.mark.slow
def test_equal_seeds_draw_equally_and_others_do_not():
    np.testing.assert_array_equal(draw_of(3), draw_of(3))
    assert np.any(draw_of(3) != draw_of(4))
    assert np.any(draw_of(None) != draw_of(None))


def test_tasks_and_layers_draw_apart():
    first, second = draw_of(3)
    assert np.any(first != second)
    assert np.any(first[0] != first[1]) and np.any(first[1] != first[2])


def test_keras_global_seed_reproduces_a_draw_without_a_seed():
    keras.utils.set_random_seed(5)
    first = draw_of(None)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(first, draw_of(None))
