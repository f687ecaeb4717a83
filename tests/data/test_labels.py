import numpy as np
import pytest

from keras_mtl.data.labels import check_labels, pack_labels
from keras_mtl.tasks import Task, as_tasks

NAN = np.nan


def test_nan_class_labels_become_minus_one_before_the_cast():
    labels = check_labels("age", Task("classes", 3), [2.0, NAN, -1.0])
    assert labels.dtype == "int32"
    assert labels.tolist() == [2, -1, -1]


def test_unsigned_labels_are_understood():
    assert check_labels("age", Task("classes", 3), np.array([2, 0], "uint8")).tolist() == [2, 0]


def test_boolean_labels_are_binary_labels():
    labels = check_labels("sick", Task("binary"), np.array([True, False]))
    assert labels.dtype == "float32"
    assert labels.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("task", [Task("classes", 3), Task("binary"), Task("regression")])
def test_a_column_of_labels_is_squeezed(task):
    assert check_labels("any", task, [[1], [0]]).shape == (2,)


def test_tagging_labels_of_one_step_are_not_squeezed():
    assert check_labels("pos", Task("tagging", 3), [[1], [0]]).shape == (2, 1)


def test_regression_labels_become_float32():
    assert check_labels("height", Task("regression"), [1, 2]).dtype == "float32"


@pytest.mark.parametrize(
    "task, labels, message",
    [
        (Task("classes", 3), [0, 3], r'"any" expects labels 0 to 2 .*Received: 3'),
        (Task("classes", 3), [0, -2], "Received: -2"),
        (Task("classes", 3), [0.0, 1.5], "Received: 1.5"),
        (Task("tagging", 3), [[0, 1], [7, 1]], "0 to 2 .*Received: 7"),
        (Task("binary"), [0, -1], '"any" expects labels 0 and 1 .*Received: -1'),
        (Task("binary"), [0, 0.5], "Received: 0.5"),
        (Task("multilabel", 2), [[0, 2]], "Received: 2"),
        (Task("classes", 3), np.eye(3), r"shape \(examples,\).*\(3, 3\).*argmax"),
        (Task("regression", 2), [1.0, 2.0], r"shape \(examples, 2\).*shape \(2,\)"),
        (Task("regression", 2), [[1.0, 2.0, 3.0]], r"shape \(examples, 2\).*shape \(1, 3\)"),
        (Task("tagging", 3), [0, 1], r"\(examples, steps\).*shape \(2,\)"),
        (Task("classes", 3), 1, r"shape \(examples,\).*shape \(\)"),
        (Task("classes", 3), ["cat"], '"any" must be numbers'),
    ],
)
def test_a_label_that_does_not_fit_its_task_is_refused(task, labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels("any", task, labels)


def test_tasks_of_one_kind_share_one_array():
    tasks = as_tasks({"age": 5, "place": 3})
    assert pack_labels(tasks, "place", np.array([2, -1], "int32"), None).tolist() == [2, -1]


def test_narrow_labels_are_padded_to_the_largest_task_of_their_kind():
    tasks = as_tasks({"pose": Task("regression", 3), "height": "regression"})
    packed = pack_labels(tasks, "height", np.array([4, 5], "float32"), None)
    np.testing.assert_array_equal(packed, np.array([[4, NAN, NAN], [5, NAN, NAN]], "float32"))
    packed = pack_labels(tasks, "pose", np.array([[1, 2, 3]], "float32"), None)
    assert packed.tolist() == [[1, 2, 3]]


def test_arrays_of_other_kinds_say_not_labelled():
    tasks = as_tasks(
        {
            "sick": "binary",
            "age": 5,
            "pose": Task("regression", 2),
            "genre": Task("multilabel", 4),
            "pos": Task("tagging", 3),
        }
    )
    packed = pack_labels(tasks, "sick", np.array([1, 0], "float32"), steps=6)
    assert packed["binary"].tolist() == [1, 0]
    expected = {
        "classes": ("int32", (2,), -1),
        "regression": ("float32", (2, 2), NAN),
        "multilabel": ("float32", (2, 4), NAN),
        "tagging": ("int32", (2, 6), -1),
    }
    for kind, (dtype, shape, value) in expected.items():
        assert packed[kind].dtype == dtype
        np.testing.assert_array_equal(packed[kind], np.full(shape, value))
