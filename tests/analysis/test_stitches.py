from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import alphas, betas, cross_task_mass
from keras_mtl.analysis.stitches import stitch_layers

TASKS = {"upright": 3, "rotated": "binary", "mirrored": 5}  # not in the order of letters
dense = partial(keras.layers.Dense, 4)


def cross_stitch(alpha="imbalanced", num_lists=1, **settings):
    tasks = {"a": 3, "b": "binary"}
    layers = [[dense] * 2] * num_lists
    return keras_mtl.build_cross_stitch(keras.Input((5,)), tasks, layers, alpha=alpha, **settings)


def sluice(num_lists=2, **settings):
    return keras_mtl.build_sluice(keras.Input((5,)), TASKS, [[dense] * 3] * num_lists, **settings)


def test_alphas_are_those_of_the_layers_in_order_of_depth():
    model = cross_stitch(num_lists=11)
    for number in range(1, 12):
        model.get_layer(f"stitch_{number}").pair_weights.assign(np.full((2, 2), number))
    assert [alpha[0, 0] for alpha in alphas(model)] == list(range(1, 12))
    assert [layer.name for layer in stitch_layers(model)][8:] == [
        "stitch_9",
        "stitch_10",
        "stitch_11",
    ]


def test_alphas_have_a_row_for_each_subspace_and_a_last_axis_per_channel():
    assert [alpha.shape for alpha in alphas(sluice())] == [(6, 6), (6, 6)]
    assert [alpha.shape for alpha in alphas(cross_stitch(per_channel=True))] == [(2, 2, 4)]


def test_rows_are_targets():
    model = cross_stitch([[1.0, 0.5], [0.0, 1.0]])  # a reads b, b does not read a
    x = np.ones((3, 5), "float32")
    before = model.predict(x, verbose=0)
    for tower, changed in (("component_1_1", ["a"]), ("component_1_2", ["a", "b"])):
        layer = model.get_layer(tower)
        kept = layer.get_weights()
        layer.set_weights([weight + 1 for weight in kept])
        after = model.predict(x, verbose=0)
        layer.set_weights(kept)
        assert [t for t in ("a", "b") if np.any(after[t] != before[t])] == changed
    np.testing.assert_allclose(cross_task_mass(model), [[1 / 3, 0]])


def test_mass_sums_absolute_weights_over_subspaces():
    alpha = [[1, 2, -1, 0], [0, 1, 0, 3], [0, 0, 2, -2], [0, 0.5, 1, 0.5]]
    model = keras_mtl.build_sluice(
        keras.Input((5,)), {"a": 3, "b": 2}, [[dense] * 2] * 2, alpha=alpha
    )
    # a: |-1| + 3 of 8; b: 0.5 of 6
    np.testing.assert_allclose(cross_task_mass(model), [[4 / 8, 0.5 / 6]] * 2, rtol=1e-6)


def test_mass_sums_absolute_weights_over_channels():
    model = cross_stitch(per_channel=True)
    values = np.zeros((2, 2, 4))
    values[0, 0], values[0, 1], values[1, 1] = [1, 2, 3, 4], [-1, 1, 0, 0], 1
    model.get_layer("stitch_1").pair_weights.assign(values)
    np.testing.assert_allclose(cross_task_mass(model), [[2 / 12, 0]])


def test_mass_of_equal_weights_counts_the_other_tasks():
    model = sluice(alpha="balanced", normalize_alpha=True)
    np.testing.assert_allclose(cross_task_mass(model), np.full((2, 3), 2 / 3), rtol=1e-6)


def test_mass_of_identity_is_exactly_zero():
    np.testing.assert_array_equal(cross_task_mass(sluice(preset="single_task")), np.zeros((2, 3)))


def test_a_task_that_reads_nothing_has_no_mass():
    mass = cross_task_mass(cross_stitch([[0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_array_equal(mass, [[np.nan, 0.5]])


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_betas_stand_in_the_order_of_tasks(task_data):
    model = sluice(task_data=task_data)
    expected = np.array([[0.1, 0.9], [2.0, -3.0], [0.5, 0.25]], "float32")
    for number, beta in enumerate(expected, start=1):
        model.get_layer(f"mixture_{number}").layer_weights.assign(beta)
    np.testing.assert_array_equal(betas(model), expected)
    # the second task's head reads its own row
    task_id = list(TASKS).index("rotated")
    x = np.ones((3, 5), "float32")
    inputs = x if task_data == "shared" else {"inputs": x, "task_id": np.full(3, task_id)}

    def answer():
        outputs = model.predict(inputs, verbose=0)
        return outputs["rotated" if task_data == "shared" else "binary"]

    before = answer()
    model.get_layer("mixture_2").layer_weights.assign([5.0, 5.0])
    assert np.any(answer() != before)


def test_skip_connections_are_betas_of_one():
    np.testing.assert_array_equal(betas(sluice(connections="skip")), np.ones((3, 2)))


def test_a_reloaded_model_has_the_same_numbers(tmp_path):
    model = sluice()
    model.get_layer("mixture_3").layer_weights.assign([0.25, 0.5])
    model.get_layer("stitch_2").free_weights.assign(np.arange(36).reshape(6, 6))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(alphas(reloaded), alphas(model))
    np.testing.assert_array_equal(betas(reloaded), betas(model))


def test_a_model_that_stitches_nothing_is_refused():
    model = keras_mtl.build_shared_bottom(keras.Input((5,)), {"a": 3}, [dense])
    for numbers in (alphas, cross_task_mass):
        with pytest.raises(ValueError, match="stitches no towers together.*build_cross_stitch"):
            numbers(model)
    assert stitch_layers(model) == []
    with pytest.raises(ValueError, match="before it is frozen"):
        alphas(keras_mtl.freeze(cross_stitch()))


@pytest.mark.parametrize("connections", ["none", "concat"])
def test_a_model_that_mixes_no_layers_is_refused(connections):
    with pytest.raises(ValueError, match='mixes no layers.*connections="mixture"'):
        betas(sluice(connections=connections))
