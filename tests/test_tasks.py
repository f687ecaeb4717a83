from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.tasks import KINDS, Task, as_task, as_tasks, kinds_of, largest_size

RESERVED = ["mean", "loss", "inputs", "task_id", "heads", "serving_default"]
OF_TF_SERVING = [
    "serve",
    "signatures",
    "variables",
    "trainable_variables",
    "non_trainable_variables",
]


@keras.saving.register_keras_serializable("test_tasks")
def absolute_error(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


def one_layer():
    return partial(keras.layers.Dense, 3)


@pytest.mark.parametrize(
    ("short", "kind", "size"),
    [(24, "classes", 24), ("binary", "binary", 1), ("regression", "regression", 1)],
)
def test_short_form_stands_for_a_task(short, kind, size):
    assert as_task(short) == Task(kind, size)


def test_numpy_integer_is_a_number_of_classes():
    labels = np.array([0, 3, 1])
    task = as_task(labels.max() + 1)
    assert task == Task("classes", 4)
    assert type(task.size) is int  # can be written as JSON


def test_task_stands_for_itself():
    task = Task("multilabel", 7, weight=0.5)
    assert as_task(task) is task


@pytest.mark.parametrize("short", ["multilabel", 2.5, True, None, [3], np.array([2, 3])])
def test_other_short_form_is_refused(short):
    with pytest.raises(ValueError, match='number of classes, "binary", "regression" or a keras_mt'):
        as_task(short)


def test_there_are_eight_kinds():
    assert tuple(KINDS) == (
        "classes",
        "binary",
        "multilabel",
        "regression",
        "tagging",
        "count",
        "amount",
        "ordinal",
    )


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="one of 'classes', .*'tagging'.*kind='ranking'"):
        Task("ranking", 3)


@pytest.mark.parametrize("kind", ["classes", "tagging", "ordinal"])
def test_a_choice_needs_two_classes(kind):
    assert Task(kind, 2).size == 2
    with pytest.raises(ValueError, match=f"{kind!r} needs an integer size of at least 2.*size=1"):
        Task(kind)


def test_a_size_that_no_backend_can_count_is_refused():
    with pytest.raises(ValueError, match=r"at least 1 and at most 2147483647.*size=10{30}"):
        Task("regression", 10**30)


@pytest.mark.parametrize("size", [0, -3, 2.0, True, "3"])
def test_size_is_a_whole_number_above_zero(size):
    with pytest.raises(ValueError, match="needs an integer size of at least 1"):
        Task("regression", size)


def test_binary_of_several_labels_is_called_multilabel():
    with pytest.raises(ValueError, match=r'size=3 was given. Use Task\("multilabel", 3\)'):
        Task("binary", 3)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_weight_is_a_number_of_at_least_zero(weight):
    with pytest.raises(ValueError, match="weight must be a number of at least 0"):
        Task("binary", weight=weight)
    assert Task("binary", weight=0).weight == 0


def test_metrics_are_a_list():
    with pytest.raises(ValueError, match="metrics must be a list.*metrics='accuracy'"):
        Task("binary", metrics="accuracy")


def test_defaults_are_those_of_the_docstring():
    task = Task("binary")
    assert (task.size, task.loss, task.metrics, task.weight) == (1, None, None, 1.0)
    assert task.per_step is False


def test_only_classes_tags_and_ranks_are_indices():
    assert [kind for kind in KINDS if Task(kind, 1 if kind == "binary" else 2).has_classes] == [
        "classes",
        "tagging",
        "ordinal",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_tags_are_per_step_and_others_when_asked(kind):
    size = 1 if kind == "binary" else 3
    assert Task(kind, size).per_step == (kind == "tagging")
    if kind != "classes":
        assert Task(kind, size, per_step=True).per_step is True
    assert Task("tagging", 3) == Task("tagging", 3, per_step=True)


def test_classes_per_step_are_called_tagging():
    with pytest.raises(ValueError, match=r'kind of its own. Use Task\("tagging", 4\) instead'):
        Task("classes", 4, per_step=True)


@pytest.mark.parametrize("per_step", [7, 1, None, "yes"])
def test_per_step_is_no_number_of_steps(per_step):
    with pytest.raises(
        ValueError, match=f"per_step must be True .* or False.*per_step={per_step!r}"
    ):
        Task("binary", per_step=per_step)


def test_order_of_tasks_is_kept():
    assert list(as_tasks({"zebra": 2, "ape": "binary", "mouse": 3})) == ["zebra", "ape", "mouse"]


@pytest.mark.parametrize("tasks", [{}, [("a", 3)], "binary", None])
def test_tasks_are_a_dict_that_is_not_empty(tasks):
    with pytest.raises(ValueError, match="tasks must be a dict with at least one entry"):
        as_tasks(tasks)


@pytest.mark.parametrize("name", ["a", "Z9", "never_married", "a__b_"])
def test_letters_digits_and_underscores_make_a_name(name):
    assert list(as_tasks({name: 2})) == [name]


@pytest.mark.parametrize(
    "name", ["", "9lives", "_hidden", "__x", "two words", "a-b", "a/b", "é", "a\n", 3]
)
def test_other_characters_make_no_name(name):
    with pytest.raises(ValueError, match="a name starts with a letter and holds letters, digits"):
        as_tasks({name: 2})


@pytest.mark.parametrize("name", RESERVED)
def test_names_of_inputs_and_logs_are_reserved(name):
    with pytest.raises(ValueError, match=f"{name!r} is reserved .for inputs and logs.*Choose anot"):
        as_tasks({"fine": 3, name: 2})


@pytest.mark.parametrize("name", OF_TF_SERVING)
def test_names_of_tf_serving_are_reserved(name):
    with pytest.raises(ValueError, match=f"{name!r} is reserved .by TF Serving.*Choose another"):
        as_tasks({"fine": 3, name: 2})


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("name", ["stem_1", "layer_2", "modular_1", "allocation_1"])
def test_a_builders_layer_names_are_taken(name, task_data):
    with pytest.raises(ValueError, match=f"{name!r} is also the name of a layer"):
        keras_mtl.build_gumbel_matrix(
            keras.Input((4,)),
            {"fine": 3, name: 2},
            [[one_layer()] * 2, one_layer()],
            stem=[one_layer()],
            task_data=task_data,
        )


def test_kinds_come_once_in_order_of_appearance():
    tasks = as_tasks({"a": "binary", "b": 3, "c": "binary", "d": 5})
    assert kinds_of(tasks) == ("binary", "classes")
    assert largest_size(tasks, "classes") == 5


def test_config_round_trip_keeps_every_field():
    task = Task(
        "multilabel",
        3,
        loss=keras.losses.BinaryCrossentropy(label_smoothing=0.25),
        metrics=["accuracy", keras.metrics.AUC(30, name="area")],
        weight=0.5,
    )
    config = keras.saving.serialize_keras_object(task)
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.kind, copy.size, copy.weight) == ("multilabel", 3, 0.5)
    assert copy.loss.get_config() == task.loss.get_config()
    assert copy.loss.label_smoothing == 0.25
    assert copy.metrics[0] == "accuracy"
    assert copy.metrics[1].get_config() == task.metrics[1].get_config()


def test_config_round_trip_keeps_a_registered_function():
    task = Task("regression", 3, loss=absolute_error, metrics=[absolute_error])
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(task))
    assert copy == task


@pytest.mark.parametrize("per_step", [True, False])
def test_config_round_trip_keeps_per_step(per_step):
    task = Task("regression", 3, per_step=per_step)
    config = keras.saving.serialize_keras_object(task)
    assert keras.saving.deserialize_keras_object(config) == task


@pytest.mark.parametrize("kind", ["multilabel", "tagging"])
def test_config_from_before_per_step_is_read(kind):
    config = Task(kind, 3).get_config()
    del config["per_step"]
    assert Task.from_config(config) == Task(kind, 3)


def test_equal_descriptions_are_equal():
    assert Task("classes", 3) == Task("classes", 3)
    assert Task("classes", 3) != Task("classes", 4)
