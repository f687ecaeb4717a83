import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import Task
from keras_mtl.layers import TaskHead, TaskHeads
from keras_mtl.tasks import as_tasks
from tests.gradients import gradient

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")  # B = 5 examples, D = 3
TASK_ID = np.array([2, 0, 1, 1, 0], "int32")
CLASSES = as_tasks({"color": 2, "animal": 7, "shape": 4})


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def built(tasks, **settings):
    """Heads with random weights, among them biases that are not 0."""
    heads = TaskHeads(as_tasks(tasks), **settings)
    heads.build((None, 3), (None,))
    rng = np.random.default_rng(1)
    heads.set_weights([rng.normal(size=w.shape).astype("float32") for w in heads.get_weights()])
    return heads


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


# One head


@pytest.mark.parametrize(
    ("task", "activation"),
    [
        (Task("classes", 4), softmax),
        (Task("binary"), sigmoid),
        (Task("multilabel", 4), sigmoid),
        (Task("regression", 4), lambda logits: logits),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_head_is_a_dense_layer_with_the_activation_of_its_kind(task, activation):
    head = TaskHead(task, 0)
    head.build((None, 3))
    kernel = np.random.default_rng(1).normal(size=(3, task.size)).astype("float32")
    bias = np.linspace(-1, 1, task.size).astype("float32")
    head.set_weights([kernel, bias])
    np.testing.assert_allclose(array(head(X)), activation(X @ kernel + bias), rtol=1e-4)


def test_a_tagging_head_answers_every_step():
    x = np.random.default_rng(2).normal(size=(5, 6, 3)).astype("float32")
    outputs = array(TaskHead(Task("tagging", 4), 0)(x))
    assert outputs.shape == (5, 6, 4)
    np.testing.assert_allclose(outputs.sum(axis=-1), np.ones((5, 6)), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "activation"),
    [
        (Task("binary", per_step=True), sigmoid),
        (Task("multilabel", 4, per_step=True), sigmoid),
        (Task("regression", 2, per_step=True), lambda logits: logits),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_head_per_step_answers_every_step(task, activation):
    x = np.random.default_rng(2).normal(size=(5, 6, 3)).astype("float32")
    head = TaskHead(task, 0)
    head.build((None, 6, 3))
    kernel = np.random.default_rng(1).normal(size=(3, task.size)).astype("float32")
    bias = np.linspace(-1, 1, task.size).astype("float32")
    head.set_weights([kernel, bias])
    np.testing.assert_allclose(array(head(x)), activation(x @ kernel + bias), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", [Task("tagging", 4), Task("binary", per_step=True)])
def test_a_head_per_step_keeps_the_mask_of_its_features(task):
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    features = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)
    outputs = TaskHead(task, 0)(features)
    np.testing.assert_array_equal(array(keras.src.backend.get_keras_mask(outputs)), tokens != 0)


@pytest.mark.parametrize("shape", [(5, 6, 3), (5, 6, 6, 3)])
@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_features_with_positions_are_an_error_that_names_flatten(kind, shape):
    wanted = r"Task 'animal' of kind .* needs features of shape \(batch, features\).*Flatten"
    with pytest.raises(ValueError, match=wanted):
        TaskHead(Task(kind, 7), 0, name="animal")(np.zeros(shape, "float32"))


@pytest.mark.parametrize("task", [Task("tagging", 7), Task("regression", per_step=True)])
def test_steps_that_are_not_there_are_an_error_that_names_the_time_axis(task):
    with pytest.raises(ValueError, match=r"\(batch, steps, features\).*Keep the time axis"):
        TaskHead(task, 0, name="pos")(X)


# Heads side by side


def test_each_example_gets_the_head_of_its_task():
    heads = built(CLASSES)
    kernel, bias = heads.get_weights()
    outputs = array(heads(X, TASK_ID))
    assert outputs.shape == (5, 7)
    columns = {0: slice(0, 2), 1: slice(2, 9), 2: slice(9, 13)}
    for x, task_id, output in zip(X, TASK_ID, outputs, strict=True):
        own = softmax(x @ kernel[:, columns[task_id]] + bias[columns[task_id]])
        np.testing.assert_allclose(output[: len(own)], own, rtol=1e-4)


def test_columns_beyond_a_tasks_size_are_exactly_zero_and_rows_sum_to_one():
    outputs = array(built(CLASSES)(100 * X, TASK_ID))
    assert np.all(outputs[0, 4:] == 0) and np.all(outputs[[1, 4], 2:] == 0)
    np.testing.assert_allclose(outputs.sum(axis=1), np.ones(5), rtol=1e-5)


def test_heads_equal_one_head_per_task():
    heads = built(CLASSES)
    kernel, bias = heads.get_weights()
    outputs = array(heads(X, np.full(5, 1, "int32")))
    alone = TaskHead(CLASSES["animal"], 1)
    alone.build((None, 3))
    alone.set_weights([kernel[:, 2:9], bias[2:9]])
    np.testing.assert_allclose(outputs, array(alone(X)), rtol=1e-5, atol=1e-7)


def test_mixed_kinds_are_a_dict_with_zeros_for_tasks_of_another_kind():
    heads = built({"a": 4, "b": "binary", "c": Task("regression", 2), "d": 3})
    kernel, bias = heads.get_weights()
    outputs = {k: array(v) for k, v in heads(X[:4], np.array([3, 1, 2, 0], "int32")).items()}
    assert {kind: value.shape for kind, value in outputs.items()} == {
        "classes": (4, 4),
        "binary": (4, 1),
        "regression": (4, 2),
    }
    logits = X[:4] @ kernel + bias
    np.testing.assert_allclose(outputs["classes"][0, :3], softmax(logits[0, 7:]), rtol=1e-4)
    np.testing.assert_allclose(outputs["classes"][3], softmax(logits[3, :4]), rtol=1e-4)
    np.testing.assert_allclose(outputs["binary"][1], sigmoid(logits[1, 4:5]), rtol=1e-4)
    np.testing.assert_allclose(outputs["regression"][2], logits[2, 5:7], rtol=1e-4, atol=1e-6)
    assert np.all(outputs["classes"][[1, 2]] == 0) and outputs["classes"][0, 3] == 0
    assert np.all(outputs["binary"][[0, 2, 3]] == 0)
    assert np.all(outputs["regression"][[0, 1, 3]] == 0)


def test_tagging_heads_answer_every_step():
    tasks = {"chunk": Task("tagging", 2), "pos": Task("tagging", 4)}
    x = np.random.default_rng(2).normal(size=(5, 6, 3)).astype("float32")
    heads = TaskHeads(tasks)
    outputs = array(heads(x, np.array([0, 1, 1, 0, 1], "int32")))
    assert outputs.shape == (5, 6, 4)
    np.testing.assert_allclose(outputs.sum(axis=-1), np.ones((5, 6)), rtol=1e-5)
    assert np.all(outputs[[0, 3], :, 2:] == 0)
    kernel, bias = heads.get_weights()
    np.testing.assert_allclose(outputs[2], softmax(x[2] @ kernel[:, 2:] + bias[2:]), rtol=1e-4)


PER_STEP = {
    "sick": Task("binary", per_step=True),
    "pos": Task("tagging", 4),
    "dose": Task("regression", 3, per_step=True),
    "heat": Task("regression", 2, per_step=True),
}


def test_heads_of_mixed_kinds_answer_every_step():
    x = np.random.default_rng(2).normal(size=(5, 6, 3)).astype("float32")
    heads = TaskHeads(PER_STEP)
    outputs = {kind: array(output) for kind, output in heads(x, np.array([3, 0, 1, 2, 0])).items()}
    assert {kind: output.shape for kind, output in outputs.items()} == {
        "binary": (5, 6, 1),
        "tagging": (5, 6, 4),
        "regression": (5, 6, 3),
    }
    kernel, _ = heads.get_weights()
    logits = x @ kernel
    np.testing.assert_allclose(outputs["regression"][0, :, :2], logits[0, :, 8:], rtol=1e-4)
    np.testing.assert_allclose(outputs["regression"][3], logits[3, :, 5:8], rtol=1e-4)
    np.testing.assert_allclose(outputs["binary"][1], sigmoid(logits[1, :, :1]), rtol=1e-4)
    np.testing.assert_allclose(outputs["tagging"][2], softmax(logits[2, :, 1:5]), rtol=1e-4)
    assert np.all(outputs["regression"][[1, 2, 4]] == 0) and np.all(
        outputs["binary"][[0, 2, 3]] == 0
    )
    assert np.all(outputs["regression"][0, :, 2] == 0)


def test_heads_of_mixed_kinds_keep_the_mask_in_each():
    tokens = np.array([[1, 2, 0], [1, 0, 0]])
    features = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)
    outputs = TaskHeads(PER_STEP)(features, np.array([0, 2]))
    assert set(outputs) == {"binary", "tagging", "regression"}
    for output in outputs.values():
        np.testing.assert_array_equal(array(keras.src.backend.get_keras_mask(output)), tokens != 0)


@pytest.mark.parametrize("shape", [(5, 3), (5, 6, 3)])
@pytest.mark.parametrize("other", [Task("binary"), Task("regression", 2)])
def test_heads_are_per_step_all_or_none(other, shape):
    heads = TaskHeads({"worse": Task("binary", per_step=True), "other": other})
    message = "needs features of shape .* either all tasks or none have .*Use task_data=.shared."
    with pytest.raises(ValueError, match=message):
        heads(np.zeros(shape, "float32"), TASK_ID)


@pytest.mark.parametrize(
    "tasks",
    [
        {"a": 2, "b": 3},
        {"a": "regression", "b": Task("regression", 3)},
        {"a": "binary", "b": Task("multilabel", 3)},
        {"a": 2, "b": "regression", "c": "binary"},
    ],
    ids=str,
)
def test_an_id_out_of_range_is_nan_in_every_kind_and_column(tasks):
    outputs = built(tasks)(X, np.array([-1, 0, 1, len(tasks), 99], "int32"))
    for kind in keras.tree.flatten(outputs):
        rows = array(kind)
        np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [True, False, False, True, True])
        assert np.isfinite(rows[1:3]).all()


def test_outputs_are_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        heads, head = TaskHeads(CLASSES), TaskHead(CLASSES["shape"], 2)
        x = ops.cast(X, "bfloat16")
        outputs = heads(x, TASK_ID), head(x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert [keras.backend.standardize_dtype(o.dtype) for o in outputs] == ["float32", "float32"]
    assert {variable.dtype for variable in heads.weights + head.weights} == {"float32"}


def test_only_the_columns_of_tasks_in_the_batch_have_a_gradient():
    heads = built(CLASSES)
    kernel, _ = heads.blocks[0]
    slope = np.arange(35, dtype="float32").reshape(5, 7)
    task_id = np.full(5, 1, "int32")
    found = gradient(lambda: ops.sum(ops.multiply(slope, heads(X, task_id))), kernel)
    assert np.all(found[:, 2:9] != 0)
    assert np.all(found[:, :2] == 0) and np.all(found[:, 9:] == 0)


def test_heads_start_like_dense_layers_of_their_own_size():
    heads = TaskHeads(as_tasks({"small": 2, "large": 200}))
    heads.build((None, 100), (None,))
    kernel, bias = heads.get_weights()
    small, large = np.abs(kernel[:, :2]).max(), np.abs(kernel[:, 2:]).max()
    assert 0.8 < small / np.sqrt(6 / 102) <= 1 and 0.9 < large / np.sqrt(6 / 300) <= 1
    assert np.all(bias == 0)


def test_equal_seeds_start_equally():
    first, second, other = (built_from_seed(seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


def built_from_seed(seed):
    heads = TaskHeads(CLASSES, seed=seed)
    heads.build((None, 3), (None,))
    return heads.get_weights()[0]


def test_added_heads_are_variables_of_their_own_and_only_the_newest_trains():
    heads = built(CLASSES, num_added_tasks=2)
    assert {v.name: tuple(v.shape) for v in heads.weights} == {
        "kernel": (3, 2),
        "bias": (2,),
        "kernel_added_1": (3, 7),
        "bias_added_1": (7,),
        "kernel_added_2": (3, 4),
        "bias_added_2": (4,),
    }
    assert {v.name for v in heads.trainable_variables} == {"kernel_added_2", "bias_added_2"}


def test_added_heads_answer_like_heads_in_one_variable():
    apart, together = built(CLASSES, num_added_tasks=2), built(CLASSES)
    kernels, biases = zip(*[[v.numpy() for v in block] for block in apart.blocks], strict=True)
    together.set_weights([np.concatenate(kernels, axis=-1), np.concatenate(biases, axis=-1)])
    np.testing.assert_allclose(
        array(apart(X, TASK_ID)), array(together(X, TASK_ID)), rtol=1e-5, atol=1e-7
    )


def test_added_heads_of_one_size_start_differently():
    heads = TaskHeads(as_tasks({"a": 4, "b": 4, "c": 4}), num_added_tasks=2, seed=0)
    heads.build((None, 3), (None,))
    kernels = [kernel.numpy() for kernel, _ in heads.blocks]
    assert np.any(kernels[0] != kernels[1]) and np.any(kernels[1] != kernels[2])


def test_tasks_survive_the_config_round_trip():
    tasks = {"b": Task("regression", 2, loss="mae", weight=0.5), "a": Task("classes", 3)}
    copy = TaskHeads.from_config(TaskHeads(tasks, num_added_tasks=1, seed=3).get_config())
    assert list(copy.tasks) == ["b", "a"] and copy.tasks == tasks
    assert (copy.num_added_tasks, copy.seed) == (1, 3)
