"""Networks of towers freeze to stock layers, without the ties that are cut."""

import functools
import json
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import BiLSTM, JoinDirections

TASKS = {"a": 5, "b": 4, "c": 2}
TAGS = {"chunk": keras_mtl.Task("tagging", 3), "pos": keras_mtl.Task("tagging", 5)}
X = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
TOKENS = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8], [8, 1, 0, 0]])  # 0 = padding
dense = partial(keras.layers.Dense, 6, activation="tanh")
embed = partial(keras.layers.Embedding, 9, 3, mask_zero=True)
lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
bilstm, join = partial(BiLSTM, 4), JoinDirections

cross_stitch, sluice = keras_mtl.build_cross_stitch, keras_mtl.build_sluice
soft_ordering, low_supervision = keras_mtl.build_soft_ordering, keras_mtl.build_low_supervision
SETTINGS = {
    "cross-stitch": (cross_stitch, {}),
    "per channel": (cross_stitch, {"per_channel": True}),
    "mixture": (sluice, {}),
    "three subspaces": (sluice, {"num_subspaces": 3, "beta": "balanced"}),
    "skip": (sluice, {"connections": "skip"}),
    "concat": (sluice, {"connections": "concat", "tower_units": (3,)}),
    "none": (sluice, {"connections": "none", "normalize_alpha": True}),
    "hard_sharing": (sluice, {"preset": "hard_sharing"}),
    "group_lasso": (sluice, {"preset": "group_lasso"}),
    "easy_adaptation": (sluice, {"preset": "easy_adaptation"}),
    "levels": (sluice, {"preset": "low_supervision", "levels": {"b": 1}}),
    "one subspace": (sluice, {"preset": "cross_stitch"}),
    "single_task": (sluice, {"preset": "single_task"}),
    "soft ordering": (soft_ordering, {"stem": [dense]}),
    "low supervision": (low_supervision, {"levels": {"b": 1}}),
}


def network(builder=cross_stitch, tasks=TASKS, layers=None, **settings):
    layers = [[dense] * len(tasks), [dense] * len(tasks)] if layers is None else layers
    return scrambled(builder(keras.Input((5,)), tasks, layers, **settings))


def tagger(builder, component, **settings):
    tokens = keras.Input((None,), dtype="int32")
    layers = settings.pop("layers", [[component] * 2] * 2)
    return scrambled(builder(tokens, TAGS, layers, stem=[embed], **settings))


def scrambled(model, seed=0):
    """Gives everything that is learned random values."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if not variable.path.endswith("logits"):
            variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def called(model, x):
    """Calls a model, all at once with JAX, which compiles every LSTM of an eager call anew."""
    if keras.backend.backend() == "jax" and x is TOKENS:
        return model.predict_on_batch(x)
    return model(x, training=False)


def answers(model, x=X):
    """Returns each task's answers of a network that is not frozen."""
    if model.task_data == "shared":
        outputs = called(model, x)
        return {task: array(outputs[task]) for task in model.tasks}
    found = {}
    for place, (name, task) in enumerate(model.tasks.items()):
        given = {"inputs": x, "task_id": np.full(len(x), place, "int32")}
        found[name] = array(model(given, training=False))[..., : task.size]
    return found


def assert_answers_are(frozen, expected, x=X, tolerance=1e-6):
    outputs = called(frozen, x)
    assert set(outputs) == set(expected)
    for task in expected:
        np.testing.assert_allclose(
            array(outputs[task]), expected[task], rtol=tolerance, atol=tolerance, err_msg=task
        )


def components(frozen):
    return {layer.name for layer in frozen.layers if layer.name.startswith("component")}


def towers(*numbers):
    return {f"component_{depth}_{number}" for depth in (1, 2) for number in numbers}


# Equal answers, of stock layers


@pytest.mark.parametrize(
    ("setting", "task_data"),
    [
        *((setting, "shared") for setting in SETTINGS),
        *(
            (setting, "separate")
            for setting in ("per channel", "concat", "levels", "soft ordering")
        ),
    ],
)
def test_frozen_answers_are_the_networks_own(setting, task_data):
    builder, settings = SETTINGS[setting]
    model = network(builder, task_data=task_data, **settings)
    expected = answers(model)
    frozen, alone = keras_mtl.freeze(model), keras_mtl.freeze(model, "b")
    assert_answers_are(frozen, expected)
    np.testing.assert_allclose(array(alone(X)), expected["b"], rtol=1e-6, atol=1e-6)
    assert_is_stock(frozen)
    assert_is_stock(alone)


def assert_is_stock(frozen):
    assert "keras_mtl" not in json.dumps(frozen.get_config())
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)


@pytest.mark.parametrize(
    ("builder", "component", "settings"),
    [
        (cross_stitch, bilstm, {}),
        (sluice, lstm, {"connections": "concat"}),
        (sluice, bilstm, {"task_data": "separate"}),
        (sluice, partial(bilstm, direction="concat"), {"preset": "easy_adaptation"}),
        (low_supervision, bilstm, {"levels": {"pos": 1}, "layers": [bilstm, bilstm]}),
        (soft_ordering, bilstm, {"layers": [bilstm, [bilstm] * 2]}),
        (soft_ordering, lstm, {"layers": [lstm, [lstm] * 2], "task_data": "separate"}),
        (keras_mtl.build_gumbel_matrix, bilstm, {}),
        (keras_mtl.build_shared_bottom, bilstm, {"layers": [[bilstm] * 2, join, [lstm] * 2]}),
    ],
    ids=["stitch", "lstm", "sluice", "easy", "low", "soft", "soft lstm", "gumbel", "joined"],
)
def test_frozen_taggers_ignore_padding_as_the_network_does(builder, component, settings):
    model = tagger(builder, component, **settings)
    frozen = keras_mtl.freeze(model)
    assert_answers_are(frozen, answers(model, TOKENS), TOKENS)
    assert_is_stock(frozen)


def test_penalties_stay_behind():
    for model in (
        network(sluice, orthogonality_weight=0.1),
        tagger(sluice, bilstm, orthogonality_weight=0.1, orthogonality="all"),
    ):
        frozen = keras_mtl.freeze(model)
        assert len(model.losses) > 0 and frozen.losses == []
        assert_is_stock(frozen)


@pytest.mark.parametrize(("component", "per_tower"), [(lstm, 1), (bilstm, 2)], ids=["one", "bi"])
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_every_tower_is_computed_once_for_all_tasks(component, per_tower, task_data):
    model = tagger(sluice, component, task_data=task_data)
    frozen = keras_mtl.freeze(model)
    lstms = [layer for layer in frozen.layers if isinstance(layer, keras.layers.LSTM)]
    assert len(lstms) == 2 * 2 * per_tower
    assert all(len(layer._inbound_nodes) == 1 for layer in lstms)
    assert frozen.count_params() == model.count_params() - 2 * 4 * 4 - 2 * 2  # alphas and betas


def test_the_directions_are_layers_of_their_own_by_name():
    names = {layer.name for layer in keras_mtl.freeze(tagger(sluice, bilstm)).layers}
    assert {f"component_2_1_{way}" for way in ("forward", "backward")} <= names


def test_soft_ordering_stores_its_components_once():
    model = network(soft_ordering, stem=[dense])
    frozen = keras_mtl.freeze(model)
    dense_layers = [layer for layer in frozen.layers if isinstance(layer, keras.layers.Dense)]
    assert len(dense_layers) == 1 + 2 * 3 + 3  # stem, components of two lists, heads


@pytest.mark.slow
def test_frozen_networks_reload(tmp_path):
    frozen = keras_mtl.freeze(tagger(sluice, bilstm))
    frozen.save(tmp_path / "frozen.keras")
    expected = {task: array(tagged) for task, tagged in called(frozen, TOKENS).items()}
    assert_answers_are(keras.models.load_model(tmp_path / "frozen.keras"), expected, TOKENS, 0)


# Cutting

ALPHA = np.array([[0.9, 0.04, -0.3], [0.0, 0.01, -0.05], [0.2, 0.06, 1.0]], "float32")


def given_alpha(model, alpha):
    for layer in model.layers:
        if layer.name.startswith("stitch"):
            layer.weights[0].assign(alpha)
    return model


def without(*pairs):
    alpha = ALPHA.copy()
    for target, source in pairs:
        alpha[target, source] = 0
    return alpha


@pytest.fixture(scope="module")
def stitched():
    """Returns a function of a mode of data: towers, whose weights between tasks are given anew."""
    return functools.cache(lambda task_data: network(task_data=task_data))


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize(
    ("cut_below", "pairs"),
    [
        (0.0, []),
        (0.039, []),
        (0.045, [(0, 1)]),
        (0.1, [(0, 1), (1, 2), (2, 1)]),
        (0.5, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),
        (5.0, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]),  # never a task's own
    ],
)
def test_cutting_is_zeros_where_a_task_reads_another_with_little_weight(
    stitched, cut_below, pairs, task_data
):
    model = given_alpha(stitched(task_data), ALPHA)
    frozen = keras_mtl.freeze(model, cut_below=cut_below)
    expected = answers(given_alpha(model, without(*pairs)))
    assert_answers_are(frozen, expected)
    if pairs:
        whole = answers(given_alpha(model, ALPHA))
        assert max(np.abs(whole[task] - expected[task]).max() for task in TASKS) > 1e-3


def test_a_weight_as_large_as_the_limit_is_cut():
    model = given_alpha(network(), np.array([[1, 0.5, 0], [0, 1, 0], [0.5, 0, 1]]))
    assert components(keras_mtl.freeze(model, "a", cut_below=0.5)) == towers(1)
    assert components(keras_mtl.freeze(model, "a", cut_below=0.49)) == towers(1, 2)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
@pytest.mark.parametrize(("builder", "size"), [(cross_stitch, 3), (sluice, 6)])
def test_a_task_whose_ties_are_cut_keeps_its_own_tower_only(builder, size, task_data):
    model = network(builder, task_data=task_data, tower_units=(3,))
    given_alpha(model, np.random.default_rng(1).uniform(-0.3, 0.3, (size, size)))
    for number, task in enumerate(TASKS, start=1):
        alone = keras_mtl.freeze(model, task, cut_below=0.31)
        assert components(alone) == towers(number)
        assert {layer.name for layer in alone.layers if "tower" in layer.name} == {
            f"tower_1_{number}"
        }
        assert components(keras_mtl.freeze(model, task)) == towers(1, 2, 3)


def test_cut_towers_are_whole_where_they_are_needed():
    alpha = np.array([[1, 0.2, 0], [0, 1, 0.2], [0, 0, 1]])
    model = given_alpha(network(), alpha)
    # a reads c through b: the first layer of c, not the second
    assert components(keras_mtl.freeze(model, "a")) == towers(1, 2) | {"component_1_3"}
    assert components(keras_mtl.freeze(model, "b")) == towers(2, 3)
    assert components(keras_mtl.freeze(model, "c")) == towers(3)


def test_one_strong_weight_between_subspaces_keeps_all_of_the_pair():
    alpha = np.zeros((4, 4), "float32")
    alpha[:2, :2] = alpha[2:, 2:] = [[1.0, 0.01], [0.02, 1.0]]  # own: never cut
    alpha[:2, 2:] = [[0.01, 0.02], [-0.4, 0.03]]
    alpha[2:, :2] = 0.05
    model = given_alpha(network(sluice, tasks={"a": 5, "b": 4}), alpha)
    frozen = keras_mtl.freeze(model, cut_below=0.1)
    alpha[2:, :2] = 0
    assert_answers_are(frozen, answers(given_alpha(model, alpha)))
    assert components(keras_mtl.freeze(model, "b", cut_below=0.1)) == towers(2)
    assert components(keras_mtl.freeze(model, "a", cut_below=0.1)) == towers(1, 2)


def test_one_strong_channel_keeps_all_of_the_pair():
    alpha = np.zeros((2, 2, 6), "float32")
    alpha[0, 0] = alpha[1, 1] = 1
    alpha[0, 1] = [0.01, 0.02, -0.4, 0, 0.01, 0.02]
    alpha[1, 0] = 0.05
    model = given_alpha(network(tasks={"a": 5, "b": 4}, per_channel=True), alpha)
    frozen = keras_mtl.freeze(model, cut_below=0.1)
    alpha[1, 0] = 0
    assert_answers_are(frozen, answers(given_alpha(model, alpha)))
    assert components(keras_mtl.freeze(model, "b", cut_below=0.1)) == towers(2)


@pytest.mark.slow
def test_cut_taggers_still_ignore_padding():
    alpha = np.eye(4) + np.kron([[0, 0.05], [0.4, 0]], np.ones((2, 2)))
    model = given_alpha(tagger(sluice, bilstm), alpha)
    alone = keras_mtl.freeze(model, "chunk", cut_below=0.1)
    assert components(alone) == {
        f"component_{depth}_1_{way}" for depth in (1, 2) for way in ("forward", "backward")
    }
    alpha[:2, 2:] = 0
    expected = answers(given_alpha(model, alpha), TOKENS)["chunk"]
    np.testing.assert_allclose(array(called(alone, TOKENS)), expected, rtol=1e-6, atol=1e-6)


def test_a_task_that_reads_nothing_sees_zeros():
    model = given_alpha(network(), np.diag([1.0, 0.0, 1.0]))
    assert_answers_are(keras_mtl.freeze(model), answers(model))
    alone = array(keras_mtl.freeze(model, "b")(X))
    np.testing.assert_allclose(alone, np.tile(alone[:1], (7, 1)), rtol=1e-6)


@pytest.mark.parametrize("cut_below", [0.0, 0.5])
def test_cutting_leaves_networks_without_ties_as_they_are(cut_below):
    model = network(keras_mtl.build_gumbel_matrix)
    assert_answers_are(keras_mtl.freeze(model, cut_below=cut_below), answers(model))


def test_a_negative_cut_is_refused():
    model = cross_stitch(keras.Input((5,)), TASKS, [[dense] * 3])
    with pytest.raises(ValueError, match="cut_below must be a number of at least 0. Received: -1"):
        keras_mtl.freeze(model, cut_below=-1)
