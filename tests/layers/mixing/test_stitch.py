import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import CrossStitch, Sluice, Stitch
from tests.gradients import gradients

RNG = np.random.default_rng(0)
STREAMS = RNG.normal(size=(3, 5, 4)).astype("float32")  # T = 3 tasks, B = 5, width 4
ALPHA = np.array([[1, 2, -1], [0.5, 0, 3], [-2, 0.25, 1]], "float32")
STITCHES = [CrossStitch, Sluice]


def arrays(streams):
    return [ops.convert_to_numpy(ops.cast(stream, "float32")) for stream in streams]


def stitched(streams=STREAMS, **settings):
    return np.stack(arrays(CrossStitch(**settings)(list(streams))))


# Numbers


def test_a_row_is_a_target_and_a_column_a_source():
    layer = CrossStitch(alpha=[[1.0, 0.5], [-2.0, 3.0]])
    first, second = arrays(layer([np.array([[1.0, 2.0]]), np.array([[4.0, 8.0]])]))
    np.testing.assert_allclose(first, [[1 + 0.5 * 4, 2 + 0.5 * 8]])
    np.testing.assert_allclose(second, [[-2 * 1 + 3 * 4, -2 * 2 + 3 * 8]])


def test_three_tasks_are_mixed_by_the_matrix():
    expected = np.einsum("ij,jbw->ibw", ALPHA, STREAMS)
    np.testing.assert_allclose(stitched(alpha=ALPHA), expected, rtol=1e-5, atol=1e-6)


def test_each_channel_may_have_its_own_weights():
    layer = CrossStitch(alpha="identity", per_channel=True)
    streams = [np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 20.0, 30.0]])]
    layer(streams)
    layer.pair_weights.assign(
        [[[1, 0, 0.5], [0, 1, 0.5]], [[0.1, 0.2, 0.3], [1, 2, 3]]]  # target, source, channel
    )
    first, second = arrays(layer(streams))
    np.testing.assert_allclose(first, [[1, 20, 16.5]], rtol=1e-6)
    np.testing.assert_allclose(second, [[10.1, 40.4, 90.9]], rtol=1e-6)


def test_equal_weights_of_all_channels_are_one_weight():
    np.testing.assert_allclose(
        stitched(alpha=ALPHA, per_channel=True), stitched(alpha=ALPHA), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("imbalanced", [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]),
        ("balanced", np.full((3, 3), 1 / 3)),
        ("identity", np.eye(3)),
        (0.25, np.full((3, 3), 0.25)),
        (ALPHA, ALPHA),
    ],
    ids=["imbalanced", "balanced", "identity", "number", "array"],
)
def test_weights_start_as_asked(start, expected):
    layer = CrossStitch(start)
    layer(list(STREAMS))
    assert isinstance(layer.alpha, np.ndarray)
    np.testing.assert_allclose(layer.alpha, expected, rtol=1e-6)


def test_one_task_keeps_its_features():
    np.testing.assert_array_equal(stitched(STREAMS[:1]), STREAMS[:1])


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_weight_stands_for_each_pair_and_with_channels_for_each_channel(per_channel):
    layer = CrossStitch(per_channel=per_channel)
    layer(list(STREAMS))
    assert layer.count_params() == 3 * 3 * (4 if per_channel else 1)
    assert layer.alpha.shape == ((3, 3, 4) if per_channel else (3, 3))


@pytest.mark.parametrize("shape", [(2, 7, 3), (2, 6, 5, 3)], ids=["steps", "positions"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_features_may_have_steps_or_positions(shape, per_channel):
    streams = RNG.normal(size=(3, *shape)).astype("float32")
    expected = np.tensordot(ALPHA, streams, axes=1)
    found = stitched(streams, alpha=ALPHA, per_channel=per_channel)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# Properties


def test_the_answer_is_linear_in_the_weights():
    other = RNG.normal(size=(3, 3)).astype("float32")
    mixed = stitched(alpha=2 * ALPHA - 3 * other)
    expected = 2 * stitched(alpha=ALPHA) - 3 * stitched(alpha=other)
    np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-4)


def test_tasks_can_be_permuted_with_rows_and_columns():
    order = [2, 0, 1]
    permuted = stitched(STREAMS[order], alpha=ALPHA[order][:, order])
    np.testing.assert_allclose(permuted, stitched(alpha=ALPHA)[order], rtol=1e-5, atol=1e-6)


def test_equal_weights_give_all_tasks_the_same_features():
    found = stitched(alpha=0.5)
    np.testing.assert_allclose(found[0], 0.5 * STREAMS.sum(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


# Gradients


@pytest.mark.parametrize("stitch", STITCHES)
@pytest.mark.parametrize("target", range(3))
def test_the_identity_passes_no_gradient_between_tasks(stitch, target):
    layer = stitch(alpha="identity")
    streams = [keras.Variable(stream) for stream in STREAMS]
    layer(streams)
    slopes = gradients(lambda: ops.sum(layer(streams)[target] ** 2), streams)
    for source, slope in enumerate(slopes):
        assert np.all(slope != 0) if source == target else np.all(slope == 0)


def test_the_slope_of_a_weight_is_what_its_source_says():
    layer = CrossStitch()
    layer(list(STREAMS))
    slope = gradients(lambda: ops.sum(layer(list(STREAMS))[1]), [layer.pair_weights])[0]
    expected = np.zeros((3, 3))
    expected[1] = STREAMS.sum(axis=(1, 2))
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-5)


# Masks and precision


@pytest.mark.parametrize("stitch", STITCHES)
def test_every_stream_keeps_its_mask(stitch):
    tokens = [np.array([[1, 2, 0], [1, 0, 0]]), np.array([[2, 0, 0], [2, 2, 2]])]
    embed = keras.layers.Embedding(3, 4, mask_zero=True)
    for stream, rows in zip(stitch()([embed(row) for row in tokens]), tokens, strict=True):
        mask = ops.convert_to_numpy(keras.src.backend.get_keras_mask(stream))
        np.testing.assert_array_equal(mask, rows != 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"per_channel": True}], ids=["pairs", "channels"])
def test_half_precision_mixes_halves_by_full_weights(policy, settings):
    layer = CrossStitch(ALPHA, dtype=policy, **settings)
    streams = layer(list(STREAMS))
    kind = policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(stream.dtype) for stream in streams} == {kind}
    assert layer.pair_weights.dtype == "float32"
    np.testing.assert_allclose(np.stack(arrays(streams)), stitched(alpha=ALPHA), rtol=0, atol=0.2)


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("stitch", STITCHES)
def test_features_of_different_shapes_cannot_be_mixed(stitch):
    wanted = r"'stitch_1' mixes the features of all tasks.*one output shape.*\(5, 4\), \(5, 6\)"
    with refused(wanted):
        stitch(name="stitch_1")([np.zeros((5, 4)), np.zeros((5, 6))])


@pytest.mark.parametrize("stitch", STITCHES)
def test_an_unknown_start_is_an_error(stitch):
    wanted = "alpha must be one of 'imbalanced', 'balanced', .*a number or an array.*'diagonal'"
    with refused(wanted):
        stitch(alpha="diagonal")(list(STREAMS))


def test_an_array_has_a_row_and_a_column_per_task():
    with refused(r"array of shape \(3, 3\): a row and a column for each of 1 subspaces of 3 tasks"):
        CrossStitch(np.eye(2))(list(STREAMS))


def test_the_reference_codes_start_is_for_subspaces():
    with refused('alpha="sluice2".*2 tasks and 2 subspaces. Received 3 tasks and 1 subspaces'):
        CrossStitch("sluice2")(list(STREAMS))


def test_a_stitch_without_weights_is_abstract():
    with pytest.raises(NotImplementedError):
        Stitch().add_alpha(2, 4)
    with pytest.raises(NotImplementedError):
        _ = Stitch().alpha
