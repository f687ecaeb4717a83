import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import CrossStitch, Sluice
from tests.gradients import gradient

RNG = np.random.default_rng(0)
STREAMS = RNG.normal(size=(2, 5, 6)).astype("float32")  # T = 2 tasks, B = 5, width 6
ALPHA = RNG.normal(size=(4, 4)).astype("float32")  # of 2 tasks with 2 subspaces
TIES = [[0, 1, -1, 2], [1, 0, 2, -1], [-1, 2, 3, 1], [2, -1, 1, 3]]


def arrays(streams):
    return np.stack([ops.convert_to_numpy(ops.cast(stream, "float32")) for stream in streams])


def stitched(streams=STREAMS, **settings):
    return arrays(Sluice(**settings)(list(streams)))


def built(streams=STREAMS, **settings):
    layer = Sluice(**settings)
    layer(list(streams))
    return layer


def by_hand(alpha, streams, num_subspaces):
    """Eq. 3 in NumPy: rows = targets, ordered by task, then subspace."""
    tasks, *rest, width = streams.shape
    chunks = streams.reshape(tasks, *rest, num_subspaces, width // num_subspaces)
    alpha = alpha.reshape(tasks, num_subspaces, tasks, num_subspaces)
    return np.einsum("tsuv,u...vw->t...sw", alpha, chunks).reshape(streams.shape)


# Numbers


def test_subspaces_are_mixed_by_task_then_subspace():
    layer = Sluice(
        num_subspaces=2,
        alpha=[[1, 0, 0, 2], [0, 1, -1, 0], [0.5, 0, 1, 0], [0, 0, 10, 1]],
    )
    a = np.array([[1.0, 2.0, 3.0, 4.0]])  # A1 = (1, 2), A2 = (3, 4)
    b = np.array([[5.0, 6.0, 7.0, 8.0]])  # B1 = (5, 6), B2 = (7, 8)
    first, second = arrays(layer([a, b]))
    # A1 + 2 B2, A2 - B1; A1 / 2 + B1, 10 B1 + B2
    np.testing.assert_allclose(first, [[15, 18, -2, -2]])
    np.testing.assert_allclose(second, [[5.5, 7, 57, 68]])


@pytest.mark.parametrize("shape", [(4, 6), (4, 5, 6), (4, 5, 2, 6)], ids=["", "steps", "places"])
def test_three_tasks_with_three_subspaces_are_mixed_by_the_matrix(shape):
    alpha = RNG.normal(size=(9, 9)).astype("float32")
    streams = RNG.normal(size=(3, *shape)).astype("float32")
    found = stitched(streams, num_subspaces=3, alpha=alpha)
    np.testing.assert_allclose(found, by_hand(alpha, streams, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("imbalanced", 0.9 * np.eye(4) + 0.1 / 3 * (1 - np.eye(4))),
        ("balanced", np.full((4, 4), 0.25)),
        ("identity", np.eye(4)),
        (
            "sluice2",  # the reference code's rows A1, A2, B1, B2
            [[0.05, 0.95, 0.05, 0.95]] * 2 + [[0.95, 0.05, 0.95, 0.05]] * 2,
        ),
        (-1.5, np.full((4, 4), -1.5)),
        (ALPHA, ALPHA),
    ],
    ids=["imbalanced", "balanced", "identity", "sluice2", "number", "array"],
)
def test_weights_start_as_asked(start, expected):
    alpha = built(alpha=start).alpha
    assert isinstance(alpha, np.ndarray)
    np.testing.assert_allclose(alpha, expected, rtol=1e-6)


@pytest.mark.parametrize(("tasks", "subspaces"), [(1, 1), (1, 3), (3, 1), (3, 2)])
def test_a_weight_stands_for_each_pair_of_subspaces_and_rows_sum_to_one(tasks, subspaces):
    streams = RNG.normal(size=(tasks, 5, 6)).astype("float32")
    layer = built(streams, num_subspaces=subspaces)
    assert layer.count_params() == (tasks * subspaces) ** 2
    np.testing.assert_allclose(layer.alpha.sum(axis=1), np.ones(tasks * subspaces), rtol=1e-6)


# Properties


@pytest.mark.parametrize("tasks", [1, 3])
def test_one_subspace_is_a_cross_stitch(tasks):
    alpha = RNG.normal(size=(tasks, tasks)).astype("float32")
    streams = list(RNG.normal(size=(tasks, 5, 6)).astype("float32"))
    expected = arrays(CrossStitch(alpha)(streams))
    found = stitched(streams, num_subspaces=1, alpha=alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("subspaces", [2, 3])
def test_equal_weights_of_all_subspaces_are_a_cross_stitch(subspaces):
    alpha = ALPHA[:2, :2]
    found = stitched(num_subspaces=subspaces, alpha=np.kron(alpha, np.eye(subspaces)))
    expected = arrays(CrossStitch(alpha)(list(STREAMS)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_weights_that_see_no_subspaces_give_subspaces_the_same_features():
    found = stitched(alpha=np.kron(ALPHA[:2, :2], np.ones((2, 2))))
    np.testing.assert_array_equal(found[..., :3], found[..., 3:])
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_equal_weights_give_all_tasks_and_subspaces_the_same_features():
    found = stitched(alpha=0.25)
    mean = STREAMS.reshape(2, 5, 2, 3).mean(axis=(0, 2))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], np.tile(mean, 2), rtol=1e-5, atol=1e-6)


def test_the_answer_is_linear_in_the_weights():
    other = RNG.normal(size=(4, 4)).astype("float32")
    expected = 2 * stitched(alpha=ALPHA) - 3 * stitched(alpha=other)
    np.testing.assert_allclose(stitched(alpha=2 * ALPHA - 3 * other), expected, atol=1e-4)


def test_tasks_can_be_permuted_with_rows_and_columns():
    streams = RNG.normal(size=(3, 5, 6)).astype("float32")
    alpha = RNG.normal(size=(6, 6)).astype("float32")
    order = np.array([2, 0, 1])
    places = (2 * order[:, None] + [0, 1]).ravel()  # a task's subspaces move together
    permuted = stitched(streams[order], alpha=alpha[places][:, places])
    expected = stitched(streams, alpha=alpha)[order]
    np.testing.assert_allclose(permuted, expected, rtol=1e-5, atol=1e-5)


def test_the_slope_of_a_weight_is_what_its_source_says():
    layer = built()
    slope = gradient(lambda: ops.sum(layer(list(STREAMS))[1][:, :3]), layer.free_weights)
    expected = np.zeros((4, 4))
    expected[2] = STREAMS.reshape(2, 5, 2, 3).sum(axis=(1, 3)).ravel()
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-5)


# Ties


def tied_start():
    """Weights that hold the ties, and the start of the layer's four variables."""
    ties, weights = np.array(TIES), np.array([0.5, -1.0, 2.0, 0.25], "float32")
    return np.where(ties == -1, ALPHA, weights[ties]).astype("float32"), weights


def test_tied_entries_are_one_weight_and_fixed_ones_stay():
    alpha, weights = tied_start()
    layer = built(alpha=alpha, ties=TIES)
    np.testing.assert_array_equal(layer.free_weights.numpy(), weights)
    np.testing.assert_array_equal(layer.alpha, alpha)
    np.testing.assert_allclose(
        arrays(layer(list(STREAMS))), by_hand(alpha, STREAMS, 2), rtol=1e-5, atol=1e-5
    )
    layer.free_weights.assign([1.0, 2.0, 3.0, 4.0])
    moved = np.where(np.array(TIES) == -1, alpha, np.array([1, 2, 3, 4])[TIES])
    np.testing.assert_array_equal(layer.alpha, moved)
    np.testing.assert_allclose(
        arrays(layer(list(STREAMS))), by_hand(moved, STREAMS, 2), rtol=1e-5, atol=1e-5
    )


def test_a_tied_weight_starts_at_the_mean_of_its_entries():
    layer = built(alpha=ALPHA, ties=TIES)
    means = [ALPHA[np.array(TIES) == number].mean() for number in range(4)]
    np.testing.assert_allclose(layer.free_weights.numpy(), means, rtol=1e-6)
    fixed = np.array(TIES) == -1
    np.testing.assert_array_equal(layer.alpha[fixed], ALPHA[fixed])


def test_the_slope_of_a_tied_weight_is_the_sum_of_those_of_its_entries():
    alpha, _ = tied_start()
    slope = RNG.normal(size=STREAMS.shape).astype("float32")

    def slope_of(layer):
        def loss():
            return ops.sum(ops.multiply(slope, ops.stack(layer(list(STREAMS)))))

        return gradient(loss, layer.free_weights)

    free = slope_of(built(alpha=alpha))
    expected = [free[np.array(TIES) == number].sum() for number in range(4)]
    np.testing.assert_allclose(
        slope_of(built(alpha=alpha, ties=TIES)), expected, rtol=1e-4, atol=1e-5
    )


def test_ties_survive_the_config():
    alpha, _ = tied_start()
    layer = built(alpha=alpha, ties=TIES)
    copy = Sluice.from_config(layer.get_config())
    copy(list(STREAMS))
    np.testing.assert_array_equal(copy.alpha, layer.alpha)
    assert copy.free_weights.shape == (4,)


# Normalized rows


@pytest.mark.parametrize("start", ["imbalanced", "balanced", 0.3])
def test_normalized_rows_start_where_they_are_asked_to_when_that_sums_to_one(start):
    plain, layer = built(alpha=start), built(alpha=start, normalize=True)
    expected = plain.alpha / plain.alpha.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.alpha, expected, rtol=1e-5)


def test_normalized_rows_are_a_softmax():
    layer = built(normalize=True)
    scores = RNG.normal(size=(4, 4)).astype("float32")
    layer.free_weights.assign(scores)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.alpha, expected, rtol=1e-5)
    np.testing.assert_allclose(
        arrays(layer(list(STREAMS))), by_hand(expected, STREAMS, 2), rtol=1e-4, atol=1e-5
    )
    slope = gradient(lambda: ops.sum(layer(list(STREAMS))[0] ** 2), layer.free_weights)
    np.testing.assert_allclose(slope.sum(axis=1), np.zeros(4), atol=1e-4)
    assert np.all(slope[:2] != 0) and np.all(slope[2:] == 0)


# Precision, training


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "settings", [{}, {"alpha": tied_start()[0], "ties": TIES}, {"normalize": True}], ids=str
)
def test_half_precision_mixes_halves_by_full_weights(policy, settings):
    layer = Sluice(dtype=policy, **settings)
    streams = layer(list(STREAMS))
    kind = policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(stream.dtype) for stream in streams} == {kind}
    assert layer.free_weights.dtype == "float32"
    np.testing.assert_allclose(arrays(streams), stitched(**settings), rtol=0, atol=0.1)


def test_a_layer_that_does_not_learn_has_no_weight_to_train():
    layer = built(trainable=False)
    assert layer.trainable_variables == [] and len(layer.weights) == 1


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_subspaces_divide_the_width():
    with refused("'stitch_2' splits features into 4 subspaces of one size, but .* width 6. Choose"):
        Sluice(num_subspaces=4, name="stitch_2")(list(STREAMS))


def test_the_width_must_be_known():
    with refused("needs features of a known width"):
        Sluice()([keras.Input((None,)), keras.Input((None,))])


def test_there_is_at_least_one_subspace():
    with refused("num_subspaces must be an integer of at least 1. Received: 0"):
        Sluice(num_subspaces=0)


def test_an_array_has_a_row_and_a_column_per_subspace():
    wanted = r"shape \(4, 4\): a row and a column for each of 2 subspaces of 2 tasks.*\(2, 2\)"
    with refused(wanted):
        stitched(alpha=np.eye(2))


def test_the_reference_codes_start_is_for_two_tasks_and_subspaces():
    with refused('alpha="sluice2".*2 tasks and 2 subspaces. Received 2 tasks and 3 subspaces'):
        stitched(num_subspaces=3, alpha="sluice2")


@pytest.mark.parametrize(
    "ties",
    [np.zeros((2, 2)), np.zeros(4), np.full((4, 4), 1), np.eye(4) * 2, np.full((4, 4), -2)],
    ids=["too small", "a vector", "no 0", "no 1", "below -1"],
)
def test_ties_number_the_weights_in_the_shape_of_alpha(ties):
    with refused(r"ties must have the shape of alpha, \(4, 4\), and number the weights 0, 1, \.\."):
        stitched(ties=ties)


def test_ties_leave_something_to_learn():
    with refused("ties leave no weight to learn. Use Sluice"):
        stitched(ties=np.full((4, 4), -1))


def test_normalized_rows_have_no_ties():
    with refused("normalize=True makes every row sum to 1, so ties cannot hold"):
        Sluice(ties=TIES, normalize=True)


@pytest.mark.parametrize("start", ["identity", -0.5, np.eye(4)], ids=["identity", "-0.5", "array"])
def test_normalized_rows_start_above_zero(start):
    with refused("normalize=True needs a start with numbers above 0 only"):
        stitched(alpha=start, normalize=True)
