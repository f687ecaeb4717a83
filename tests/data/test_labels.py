import numpy as np
import pytest

from keras_mtl.data import sentence_batches, task_batches
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


@pytest.mark.parametrize(
    "task, given, shape",
    [
        (Task("binary", per_step=True), (5, 3), (5, 3)),
        (Task("binary", per_step=True), (5, 1), (5, 1)),  # sequences of one step
        (Task("regression", per_step=True), (5, 3, 1), (5, 3)),
        (Task("tagging", 4), (5, 3, 1), (5, 3)),
        (Task("multilabel", 2, per_step=True), (5, 3, 2), (5, 3, 2)),
        (Task("multilabel", 1, per_step=True), (5, 3, 1), (5, 3)),
        (Task("regression", 4, per_step=True), (5, 1, 4), (5, 1, 4)),
    ],
)
def test_labels_per_step_have_an_axis_of_steps(task, given, shape):
    labels = np.arange(np.prod(given)).reshape(given) % 2
    checked = check_labels("any", task, labels)
    assert checked.shape == shape
    np.testing.assert_array_equal(checked.ravel(), labels.ravel())


def test_steps_and_elements_without_a_label_stay_nan():
    labels = np.array([[[1, NAN], [NAN, NAN], [0, 1]]])
    checked = check_labels("any", Task("multilabel", 2, per_step=True), labels)
    assert checked.dtype == "float32"
    np.testing.assert_array_equal(checked, labels)


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
        (Task("tagging", 3), np.zeros((2, 4, 3)), r"\(examples, steps\).*\(2, 4, 3\).*argmax"),
        (Task("classes", 3), 1, r"shape \(examples,\).*shape \(\)"),
        (Task("binary"), np.zeros((2, 4)), r"shape \(examples,\).*shape \(2, 4\)"),
        (Task("binary", per_step=True), [0, 1], r"\(examples, steps\).*shape \(2,\)"),
        (Task("binary", per_step=True), np.zeros((2, 4, 3)), r"\(examples, steps\).*\(2, 4, 3\)"),
        (Task("binary", per_step=True), [[0, 2]], '"any" expects labels 0 and 1 .*Received: 2'),
        (
            Task("regression", 3, per_step=True),
            np.zeros((2, 4)),
            r"\(examples, steps, 3\).*shape \(2, 4\)",
        ),
        (
            Task("multilabel", 3, per_step=True),
            np.zeros((2, 4, 1)),
            r"\(examples, steps, 3\).*shape \(2, 4, 1\)",
        ),
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


def test_narrow_labels_per_step_are_padded_to_the_largest_task_of_their_kind():
    tasks = {name: Task("regression", size, per_step=True) for name, size in (("a", 3), ("b", 1))}
    labels = np.array([[4, NAN], [5, 6]], "float32")
    packed = pack_labels(tasks, "b", labels, steps=2)
    expected = np.full((2, 2, 3), NAN, "float32")
    expected[..., 0] = labels
    np.testing.assert_array_equal(packed, expected)
    labels = np.arange(12, dtype="float32").reshape(2, 2, 3)
    np.testing.assert_array_equal(pack_labels(tasks, "a", labels, steps=2), labels)


def test_arrays_of_other_kinds_per_step_say_not_labelled():
    tasks = {
        "sick": Task("binary", per_step=True),
        "signs": Task("multilabel", 4, per_step=True),
        "pos": Task("tagging", 3),
        "dose": Task("regression"),
    }
    packed = pack_labels(tasks, "sick", np.array([[1, 0, NAN], [0, 1, 1]], "float32"), steps=3)
    np.testing.assert_array_equal(packed["binary"], [[1, 0, NAN], [0, 1, 1]])
    np.testing.assert_array_equal(packed["multilabel"], np.full((2, 3, 4), NAN))
    np.testing.assert_array_equal(packed["tagging"], np.full((2, 3), -1))
    np.testing.assert_array_equal(packed["regression"], [NAN, NAN])


# In batches


def test_batches_of_separate_data_hold_labels_per_step():
    tasks = {"sick": Task("binary", per_step=True), "signs": Task("multilabel", 2, per_step=True)}
    x = np.zeros((3, 5, 1))
    data = {"sick": (x, np.ones((3, 5))), "signs": (x[:1], np.zeros((1, 5, 2)))}
    batches = task_batches(tasks, data, batch_size=3, order="sequential")
    (_, first), (_, second) = batches[0], batches[1]
    np.testing.assert_array_equal(first["binary"], np.ones((3, 5)))
    np.testing.assert_array_equal(first["multilabel"], np.full((3, 5, 2), NAN))
    np.testing.assert_array_equal(second["binary"], np.full((1, 5), NAN))
    np.testing.assert_array_equal(second["multilabel"], np.zeros((1, 5, 2)))


def test_tasks_per_step_of_different_steps_are_refused():
    tasks = {"sick": Task("binary", per_step=True), "dose": Task("regression", per_step=True)}
    x = np.zeros((2, 6))
    with pytest.raises(ValueError, match='"sick" has 6, task "dose" has 5. Pad the labels with N'):
        task_batches(tasks, {"sick": (x, x), "dose": (x, x[:, :5])}, batch_size=2)


@pytest.mark.parametrize("per_step", [("sick",), ("worse",)])
def test_tasks_of_one_kind_share_an_array_only_if_all_or_none_are_per_step(per_step):
    tasks = {name: Task("binary", per_step=name in per_step) for name in ("sick", "worse")}
    message = (
        f'"sick" and "worse" are both of kind .binary., but only "{per_step[0]}" has a label at '
        "every time step. .*Use shared data"
    )
    with pytest.raises(ValueError, match=message):
        task_batches(tasks, {"sick": (np.zeros((2, 6)), np.zeros(2))}, batch_size=2)


def test_batches_of_sentences_cut_labels_per_step():
    words = np.array([[5, 4, 0, 0], [7, 6, 6, 9]])
    y = {"sick": np.arange(8.0).reshape(2, 4), "signs": np.arange(16.0).reshape(2, 4, 2)}
    batches = sentence_batches(words, y, batch_size=1, boundaries=[2], seed=0)
    short, long = sorted((y for _, y, _ in batches), key=lambda y: y["sick"].shape)
    np.testing.assert_array_equal(short["sick"], [[0, 1]])
    np.testing.assert_array_equal(short["signs"], [[[0, 1], [2, 3]]])
    assert long["signs"].shape == (1, 4, 2)


def test_sentences_refuse_labels_per_step_of_another_length():
    y = {"signs": np.zeros((2, 3, 2))}
    with pytest.raises(ValueError, match=r"y\['signs'\] has the shape \(2, 3, 2\), .* \(2, 4\)"):
        sentence_batches(np.ones((2, 4)), y, batch_size=1)


def test_sentences_take_lists_and_hidden_labels():
    words = [[5, 4, 0], [7, 6, 6]]
    pos = np.ma.array([[1, 0, 9], [2, 2, 9]], mask=[[0, 0, 1], [0, 0, 1]])
    ((x, y, _),) = sentence_batches(words, {"pos": pos, "load": [0.5, 1.5]}, 2, [], seed=0)
    first = 0 if x[0, 0] == 5 else 1
    assert x[first].tolist() == [5, 4, 0]
    np.testing.assert_array_equal(y["pos"][first], [1, 0, NAN])
    assert y["load"][first] == 0.5
    with pytest.raises(ValueError, match=r"y\['pos'\] are sequences of different lengths"):
        sentence_batches(words, {"pos": [[1, 0], [2, 2, 2]]}, 2)
