"""Padding changes nothing, whatever the components do with masks, frozen or not."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving.check_answers import task_answers_of

TASKS = {"a": 3, "b": "binary"}
WORDS = np.random.default_rng(0).integers(1, 9, (6, 4))
WORDS[[0, 2, 3], 2:] = 0
dense = partial(keras.layers.Dense, 4, activation="tanh")
embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
lstm = partial(keras.layers.LSTM, 3)
bilstm = partial(keras_mtl.layers.BiLSTM, 2, "concat")
FLATTENED = [keras_mtl.layers.JoinDirections, lstm]


def normalized():
    """Keeps masks inside a nested model."""
    return keras.Sequential([dense(), keras.layers.LayerNormalization()])


def shifted():
    """Makes a mask in the middle of a nested model."""
    return keras.Sequential([dense(), keras.layers.Masking(2.0), keras.layers.Dense(4)])


conv = partial(keras.layers.Conv1D, 4, 1, activation="tanh")  # drops masks
masking = partial(keras.layers.Masking, 7.0)  # makes one, in which all steps are valid
COMPONENTS = {
    "keep": [dense, dense],
    "nested": [normalized, normalized],
    "some nested": [dense, normalized],
    "drop": [conv, conv],
    "some drop": [conv, dense],
    "drop and nested": [conv, normalized],
    "make": [masking, dense],
    "make inside": [shifted, dense],
}
BY_TASK = [
    keras_mtl.build_single_tasks,
    keras_mtl.build_shared_bottom,
    keras_mtl.build_no_sharing,
    partial(keras_mtl.build_fixed_random, seed=1),
    partial(keras_mtl.build_gumbel_matrix, init_probability=0.8),
    keras_mtl.build_routing_network,
]
STEP_WEIGHTS = [
    keras_mtl.build_soft_ordering,
    keras_mtl.build_mmoe,
    keras_mtl.build_mmoeex,
    keras_mtl.build_moe,
    keras_mtl.build_dselect_k,
    keras_mtl.build_ple,
]
TOWERS = [keras_mtl.build_cross_stitch, keras_mtl.build_sluice, keras_mtl.build_snr]
ignore_drops = pytest.mark.filterwarnings("ignore:Layer .* does not support masking")


def network(build, components, task_data="shared", stem=(embed,), last=lstm):
    if getattr(build, "func", build) is keras_mtl.build_ple:
        components = [*components, components[0]]
    layers = [components, components, last]
    model = build(
        keras.Input((None,), dtype="int32"), TASKS, layers, stem=stem, task_data=task_data
    )
    weights = [v for v in model.trainable_variables if not v.path.endswith("logits")]
    for index, variable in enumerate(weights):
        rng = np.random.default_rng(index)
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return model


def assert_padding_is_nothing(model):
    found = task_answers_of(model, WORDS)
    longer = task_answers_of(model, np.pad(WORDS, ((0, 0), (0, 1))))
    frozen = keras_mtl.freeze(model)(WORDS)
    for task in TASKS:
        np.testing.assert_allclose(longer[task], found[task], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(frozen[task]), found[task], rtol=1e-6, atol=1e-6
        )


@ignore_drops
@pytest.mark.parametrize(
    ("build", "kind"),
    [(keras_mtl.build_gumbel_matrix, kind) for kind in COMPONENTS]
    + [(keras_mtl.build_mmoe, kind) for kind in ("nested", "some drop")],
)
def test_padding_changes_nothing(build, kind):
    assert_padding_is_nothing(network(build, COMPONENTS[kind]))


@pytest.mark.slow
@ignore_drops
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("kind", COMPONENTS)
@pytest.mark.parametrize("build", [*BY_TASK, *STEP_WEIGHTS])
def test_padding_changes_nothing_for_any_method(build, kind, task_data):
    components = COMPONENTS[kind]
    if build is keras_mtl.build_single_tasks:
        components = [components[0]] * 2
    assert_padding_is_nothing(network(build, components, task_data))


@pytest.mark.slow
@ignore_drops
@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize("kind", COMPONENTS)
@pytest.mark.parametrize("build", TOWERS)
def test_towers_pass_the_masks_of_each_other(build, kind, task_data):
    assert_padding_is_nothing(network(build, COMPONENTS[kind], task_data))


@pytest.mark.parametrize(
    ("build", "task_data"),
    [(keras_mtl.build_single_tasks, "shared"), (keras_mtl.build_no_sharing, "separate")],
)
def test_embeddings_of_each_task_make_masks(build, task_data):
    model = build(
        keras.Input((None,), dtype="int32"), TASKS, [[embed] * 2, lstm], task_data=task_data
    )
    assert_padding_is_nothing(model)


@ignore_drops
@pytest.mark.parametrize(
    "build",
    [keras_mtl.build_no_sharing, keras_mtl.build_gumbel_matrix, keras_mtl.build_routing_network],
)
def test_convolutions_of_several_steps_are_frozen_too(build):
    wide = partial(keras.layers.Conv1D, 4, 3, padding="same")
    model = network(build, [wide, normalized])
    frozen, found = keras_mtl.freeze(model)(WORDS), task_answers_of(model, WORDS)
    for task in TASKS:
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(frozen[task]), found[task], rtol=1e-6, atol=1e-6
        )


def test_steps_that_are_gone_have_no_mask():
    layer = keras_mtl.layers.Modular([keras.layers.Conv1D(4, 2), keras.layers.Conv1D(4, 2)])
    x = np.zeros((2, 5, 3), "float32")
    layer(x, np.ones((2, 2), "float32"))
    assert layer.compute_mask(keras.ops.convert_to_tensor(x), np.ones((2, 5), bool)) is None
