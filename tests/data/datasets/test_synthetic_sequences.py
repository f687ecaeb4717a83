import numpy as np
import pytest

from keras_mtl.data import synthetic_sequences, task_batches

THREE_SEGMENTS = np.array(
    [
        [[1.0, 0.6], [0.6, 1.0]],
        [[1.0, 0.0], [0.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
    ]
)


def lag_matrices(x, num_segments):
    """Mean of `x_t x_{t-1}^T` in each segment of equal length, its first step left out."""
    parts = np.split(x.astype("float64"), num_segments, axis=1)
    return [
        np.einsum("nti,ntj->ij", part[:, 1:], part[:, :-1]) / (len(x) * (part.shape[1] - 1))
        for part in parts
    ]


def test_shapes_and_types():
    tasks, train, test, relatedness = synthetic_sequences(
        THREE_SEGMENTS, num_train=5, num_test=7, num_steps=9, input_dim=4, num_classes=6
    )
    assert list(tasks) == list(train) == list(test) == ["task_1", "task_2"]
    assert {(task.kind, task.size) for task in tasks.values()} == {("classes", 6)}
    for part, number in ((train, 5), (test, 7)):
        for x, y in part.values():
            assert (x.shape, x.dtype) == ((number, 9, 4), "float32")
            assert (y.shape, y.dtype) == ((number,), "int32")
    assert relatedness.shape == (9, 2, 2)


def test_relatedness_is_given_for_each_step():
    *_, relatedness = synthetic_sequences(THREE_SEGMENTS, num_steps=7, input_dim=4)
    assert relatedness[:, 0, 1].tolist() == [0.6, 0.6, 0.6, 0.0, 0.0, 1.0, 1.0]
    *_, relatedness = synthetic_sequences("less")
    assert relatedness[[6, 7], 0, 1].tolist() == [1, 0]
    assert relatedness[[20, 21], 0, 2].tolist() == [0, 1]
    assert not relatedness[:, 1, 2].any()


@pytest.mark.parametrize("setting", ["more", "less"])
def test_settings_are_relatedness_that_may_be_given(setting):
    _, train, _, relatedness = synthetic_sequences(setting, num_train=5)
    assert (relatedness[:, range(3), range(3)] == 1).all()
    _, again, _, _ = synthetic_sequences(relatedness[::7], num_train=5)
    np.testing.assert_array_equal(train["task_3"][0], again["task_3"][0])


def test_more_is_more_related_than_less_at_every_step():
    *_, more = synthetic_sequences("more")
    *_, less = synthetic_sequences("less")
    assert (more >= less).all() and more.mean() > 0.9 and less.mean() < 0.5


# Over all turns of the other planes, the mean of `x_t x_{t-1}^T` is `signal * E R E^T`, with the
# turn R of the task's plane E. Without a turn, `E_1 E_1^T` and `E_2 E_2^T` have the inner product
# `2 r^2`.
def test_data_have_the_relatedness_that_is_returned():
    _, train, _, _ = synthetic_sequences(
        THREE_SEGMENTS, num_train=20000, num_steps=12, input_dim=6, signal=0.8
    )
    first, second = (lag_matrices(x[y == 0], 3) for x, y in train.values())
    products = [np.sum(a * b) / (2 * 0.8**2) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(products, THREE_SEGMENTS[:, 0, 1] ** 2, atol=0.05)


def test_label_is_the_turn_in_every_segment():
    _, train, _, _ = synthetic_sequences(
        THREE_SEGMENTS, num_train=20000, num_steps=12, input_dim=6, signal=0.8, num_classes=4
    )
    x, y = train["task_2"]
    by_label = np.array([lag_matrices(x[y == label], 3) for label in range(4)]) / 0.8
    for plane, quarter, half, three_quarters in by_label.swapaxes(0, 1):
        np.testing.assert_allclose(plane @ plane, plane, atol=0.12)  # a projection
        assert np.trace(plane) == pytest.approx(2, abs=0.15)
        np.testing.assert_allclose(half, -plane, atol=0.12)
        np.testing.assert_allclose(quarter @ quarter, -plane, atol=0.12)
        np.testing.assert_allclose(three_quarters, -quarter, atol=0.12)


def test_segments_turn_different_planes():
    _, train, _, _ = synthetic_sequences(
        THREE_SEGMENTS, num_train=20000, num_steps=12, input_dim=6, signal=0.8
    )
    x, y = train["task_1"]
    planes = lag_matrices(x[y == 0], 3)
    assert min(np.abs(planes[i] - planes[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.2


def test_tagging_labels_are_the_turn_of_their_segment():
    tagging, classes = (
        synthetic_sequences(
            THREE_SEGMENTS, kind=kind, num_train=20000, num_steps=12, input_dim=6, signal=0.8
        )
        for kind in ("tagging", "classes")
    )
    assert tagging[0]["task_2"].kind == "tagging"
    (x, y), (same_x, same_y) = tagging[1]["task_2"], classes[1]["task_2"]
    assert y.shape == (20000, 12) and y.dtype == "int32"
    segments = y.reshape(20000, 3, 4)
    assert (segments == segments[:, :, :1]).all()
    assert abs((y[:, 0] == y[:, 4]).mean() - 1 / 3) < 0.02
    planes = lag_matrices(same_x[same_y == 0], 3)
    for segment, plane in enumerate(planes):
        same_plane = lag_matrices(x[segments[:, segment, 0] == 0], 3)[segment]
        np.testing.assert_allclose(same_plane, plane, atol=0.12)


def test_a_step_alone_says_nothing_about_the_label():
    _, train, _, _ = synthetic_sequences(THREE_SEGMENTS, num_train=20000, input_dim=4, signal=0.9)
    x, y = train["task_1"]
    for label in range(3):
        last = x[y == label, -1]
        np.testing.assert_allclose(last.mean(axis=0), 0, atol=0.05)
        np.testing.assert_allclose(np.cov(last.T), np.eye(4), atol=0.06)


def test_products_of_neighbouring_steps_tell_the_label_and_a_linear_model_does_not():
    _, train, test, _ = synthetic_sequences("less", num_train=1000, seed=1)

    def accuracy(features):
        (x, y), (test_x, test_y) = train["task_2"], test["task_2"]
        weights = np.linalg.lstsq(features(x), np.eye(3)[y], rcond=None)[0]
        return ((features(test_x) @ weights).argmax(axis=1) == test_y).mean()

    def products(x):
        sums = [
            np.einsum("nti,ntj->nij", x[:, start + 1 : start + 7], x[:, start : start + 6])
            for start in (0, 7, 14, 21)
        ]
        return np.concatenate([matrix.reshape(len(x), -1) for matrix in sums], axis=1)

    assert abs(accuracy(lambda x: x.reshape(len(x), -1)) - 1 / 3) < 0.06
    assert accuracy(products) > 0.8


def test_without_signal_steps_are_independent():
    _, train, _, _ = synthetic_sequences(
        THREE_SEGMENTS, num_train=20000, num_steps=12, input_dim=4, signal=0
    )
    x, y = train["task_1"]
    np.testing.assert_allclose(lag_matrices(x[y == 0], 3), 0, atol=0.03)


def test_full_signal_has_no_noise():
    _, train, _, _ = synthetic_sequences(THREE_SEGMENTS, num_train=5, input_dim=4, signal=1)
    lengths = np.linalg.norm(train["task_1"][0], axis=2)
    np.testing.assert_allclose(lengths, np.tile(lengths[:, :1], 28), rtol=1e-5)


def test_same_seed_same_data():
    _, train, test, _ = synthetic_sequences(num_train=5, num_test=4, seed=3)
    _, train_again, test_again, _ = synthetic_sequences(num_train=5, num_test=4, seed=3)
    for part, again in ((train, train_again), (test, test_again)):
        for name in part:
            np.testing.assert_array_equal(part[name][0], again[name][0])
            np.testing.assert_array_equal(part[name][1], again[name][1])


def test_seeds_tasks_and_parts_have_data_of_their_own():
    drawn = [synthetic_sequences(num_train=50, num_test=50, seed=seed)[1:3] for seed in (0, 1)]
    values = [x.ravel() for parts in drawn for part in parts for x, _ in part.values()]
    together = np.concatenate(values)
    assert len(np.unique(together)) > 0.99 * len(together)  # float32 repeats a few


def test_test_examples_do_not_depend_on_the_number_of_training_examples():
    _, _, test, _ = synthetic_sequences(num_train=5, num_test=4)
    _, _, again, _ = synthetic_sequences(num_train=6, num_test=4)
    np.testing.assert_array_equal(test["task_2"][0], again["task_2"][0])


def test_task_batches_take_both_kinds():
    for kind, shape in (("classes", (4,)), ("tagging", (4, 8))):
        tasks, train, _, _ = synthetic_sequences(kind=kind, num_train=6, num_steps=8)
        inputs, y = task_batches(tasks, train, batch_size=4, seed=0)[0]
        assert inputs["inputs"].shape == (4, 8, 10)
        assert y.shape == shape


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match='relatedness must be "more" or "less".*\'some\''):
        synthetic_sequences("some")
    with pytest.raises(ValueError, match='kind must be "classes" or "tagging".*\'binary\''):
        synthetic_sequences(kind="binary")


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 4), (0, 3, 3)])
def test_other_shapes_of_relatedness_are_refused(shape):
    with pytest.raises(ValueError, match=r"'less' or an array of shape \(segments, tasks, tasks\)"):
        synthetic_sequences(np.ones(shape))


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0.2], [0.3, 1]],
        [[1, 1.1], [1.1, 1]],
        [[1, -0.1], [-0.1, 1]],
        [[0.9, 0], [0, 1]],
        [[1, np.nan], [np.nan, 1]],
    ],
)
def test_invalid_relatedness_is_refused_with_its_segment(matrix):
    with pytest.raises(ValueError, match="symmetric in each segment.*in segment 1"):
        synthetic_sequences([np.eye(2), matrix])


def test_impossible_relatedness_is_refused():
    matrix = [[1, 1, 1], [1, 1, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match="closely related to one task.*in segment 0"):
        synthetic_sequences([matrix])


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="input_dim must be an integer of at least 6.*5"):
        synthetic_sequences(input_dim=5)
    with pytest.raises(ValueError, match="input_dim must be even.*7"):
        synthetic_sequences(input_dim=7)
    with pytest.raises(ValueError, match="num_steps must be an integer of at least 4.*3"):
        synthetic_sequences(num_steps=3)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 2.*1"):
        synthetic_sequences(num_classes=1)
    with pytest.raises(ValueError, match="num_train must be an integer of at least 1.*0"):
        synthetic_sequences(num_train=0)
    with pytest.raises(ValueError, match="num_test must be an integer of at least 1.*0"):
        synthetic_sequences(num_test=0)
    with pytest.raises(ValueError, match="seed must be an integer from 0 to .*-1"):
        synthetic_sequences(seed=-1)
    with pytest.raises(ValueError, match=r"signal must be in \[0, 1\].*1.5"):
        synthetic_sequences(signal=1.5)


# Segments in an order of each sequence's own


def test_content_says_which_segment_a_step_is_of():
    _, train, test, relatedness = synthetic_sequences(
        THREE_SEGMENTS, switch="content", num_train=40, num_test=4, num_steps=9, input_dim=4
    )
    x, _ = train["task_1"]
    assert x.shape == (40, 9, 4 + 3) and relatedness.shape == (9, 2, 2)
    marks = x[:, :, 4:]
    assert (marks.sum(axis=-1) == 1).all() and (marks.sum(axis=1) == 3).all()
    segments = marks.argmax(axis=-1).reshape(40, 3, 3)
    assert (segments == segments[:, :, :1]).all()  # three steps in a row
    assert len(np.unique(segments[:, :, 0], axis=0)) == 6  # all orders there are
    assert (test["task_2"][0][:, :, 4:].argmax(axis=-1) == [0, 0, 0, 1, 1, 1, 2, 2, 2]).all()


def test_what_follows_from_the_step_before_goes_with_the_mark():
    """Sorted by their marks, sequences have the statistics of sequences in order."""
    settings = {"num_train": 20000, "num_steps": 9, "input_dim": 4, "signal": 0.8}
    found = {}
    for switch in ("position", "content"):
        _, train, _, _ = synthetic_sequences(THREE_SEGMENTS, switch=switch, **settings)
        x, _ = train["task_2"]
        if switch == "content":
            order = np.argsort(x[:, :, 4:].argmax(axis=-1), axis=1, kind="stable")
            x = np.take_along_axis(x, order[:, :, None], axis=1)[:, :, :4]
        found[switch] = lag_matrices(x, 3)
    np.testing.assert_allclose(found["content"], found["position"], atol=0.03)


def test_tags_follow_the_segments():
    _, train, _, _ = synthetic_sequences(
        THREE_SEGMENTS, kind="tagging", switch="content", num_train=50, num_steps=9, input_dim=4
    )
    x, y = train["task_1"]
    blocks = y.reshape(50, 3, 3)
    assert (blocks == blocks[:, :, :1]).all() and len(np.unique(y)) == 3
    assert x.shape[:2] == y.shape
