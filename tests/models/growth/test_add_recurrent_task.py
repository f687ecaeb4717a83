"""A new task on a recurrent modular network: what it adds, what it leaves as it is."""

from functools import cache, partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import GumbelRouter
from tests.models.tower_networks import EAGER

TASKS = {"gambling": 3, "motor": 4}  # T = 2
X = np.random.default_rng(0).normal(size=(6, 3, 5)).astype("float32")  # B = 6, S = 3, D = 5
LSTM = partial(keras.layers.LSTM, 6, return_sequences=True)
BASES = {
    "lstm": {},
    "cross_stitch": {
        "base": partial(keras_mtl.build_cross_stitch, layers=[[LSTM] * 2]),
        "policy_reads_base": True,
    },
    "star": {"base": partial(keras_mtl.build_communicating, graph="star", units=4)},
}


def network(task_data, **settings):
    return keras_mtl.build_recurrent_modular(
        keras.Input((3, 5)), TASKS, task_data=task_data, num_cells=2, cell_units=6,
        num_sub_encoders=(3, 2), units=(4,), open_fraction=0.3, seed=1, **settings,
    )  # fmt: skip


@cache
def only_read(task_data):
    """Returns the network that all tests which change no weight of it look at."""
    return network(task_data)


def answer(model, task, x=X):
    """Returns one task's own columns."""
    if model.task_data == "shared":
        return keras.ops.convert_to_numpy(model(x, training=False)[task])
    place = list(model.tasks).index(task)
    outputs = model({"inputs": x, "task_id": np.full(6, place, "int32")}, training=False)
    return keras.ops.convert_to_numpy(outputs)[:, : model.tasks[task].size]


def train_on(model, task, epochs=2):
    """Trains one task with an optimizer that moves whatever it may."""
    labels = np.random.default_rng(1).integers(0, model.tasks[task].size, 6)
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), run_eagerly=EAGER)
    if model.task_data == "shared":
        y = {name: np.full(6, -1) for name in model.tasks} | {task: labels}
        return model.fit(X, y, epochs=epochs, verbose=0)
    batches = keras_mtl.task_batches(model.tasks, {task: (X, labels)}, batch_size=6)
    return model.fit(batches, epochs=epochs, verbose=0)


@pytest.fixture(params=[pytest.param("shared", marks=pytest.mark.slow), "separate"])
def task_data(request):
    return request.param


def test_a_network_that_reads_padded_words_grows(task_data):
    words = np.array([[3, 5, 0], [7, 0, 0], [2, 2, 6], [1, 4, 0], [5, 6, 7], [8, 8, 8]])
    model = keras_mtl.build_recurrent_modular(
        keras.Input((None,), dtype="int32"), TASKS, task_data=task_data, num_cells=1, cell_units=4,
        stem=[partial(keras.layers.Embedding, 9, 4, mask_zero=True)], num_sub_encoders=(2,),
        units=(4,), seed=1,
    )  # fmt: skip
    grown = keras_mtl.add_task(model, "language", 5)
    for task in TASKS:
        before = answer(model, task, words)
        np.testing.assert_allclose(answer(grown, task, words), before, rtol=0, atol=1e-6)
    found = answer(grown, "language", words)
    longer = answer(grown, "language", np.pad(words, ((0, 0), (0, 2))))
    np.testing.assert_allclose(longer, found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "base",
    ["lstm", *(pytest.param(base, marks=pytest.mark.slow) for base in ("cross_stitch", "star"))],
)
def test_old_tasks_answer_as_before_also_after_training(base, task_data):
    model = network(task_data, **BASES[base])
    grown = keras_mtl.add_task(model, "language", 5)
    assert list(grown.tasks) == ["gambling", "motor", "language"]
    old = {task: answer(model, task) for task in TASKS}
    for task in TASKS:
        np.testing.assert_allclose(answer(grown, task), old[task], atol=1e-6)
    before = answer(grown, "language")
    train_on(grown, "language")
    assert np.abs(answer(grown, "language") - before).max() > 1e-3
    for task in TASKS:
        np.testing.assert_allclose(answer(grown, task), old[task], atol=1e-6)


def test_the_new_task_trains_an_lstm_a_decoder_and_a_head_of_its_own(task_data):
    grown = keras_mtl.add_task(only_read(task_data), "language", 5)
    owners = {variable.path.split("/")[0] for variable in grown.trainable_variables}
    head = "language" if task_data == "shared" else "heads"
    assert owners == {"lstm_3", "decoder_3", head}
    # LSTM, 2 sub-decoders and 2 policy layers of kernel and bias, what the policy reads, a head
    assert len(grown.trainable_variables) == 3 + 2 * 2 + 2 * 2 + 1 + 2


@pytest.mark.slow
def test_old_weights_stay_bit_for_bit(task_data):
    grown = keras_mtl.add_task(network(task_data), "language", 5)
    train_on(grown, "motor", epochs=1)  # also when an old task has labels
    moved = ("updates", "epochs", "penalty", "seed")
    old = [v for v in grown.non_trainable_variables if not any(m in v.path for m in moved)]
    before = [np.array(v.numpy()) for v in old]
    train_on(grown, "language")
    assert len(old) > 30
    for variable, value in zip(old, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


@pytest.mark.slow
def test_the_old_network_can_train_on(task_data):
    model = network(task_data)
    grown = keras_mtl.add_task(model, "language", 5)
    before = answer(grown, "gambling")
    train_on(model, "gambling")
    np.testing.assert_array_equal(answer(grown, "gambling"), before)


def test_frozen_routers_do_not_draw_and_the_new_one_does():
    grown = keras_mtl.add_task(only_read("shared"), "language", 5)
    routers = [layer for layer in grown._flatten_layers() if isinstance(layer, GumbelRouter)]
    assert len(routers) == 2 + 3  # two layers of sub-encoders, three tasks
    assert [router.trainable for router in routers].count(True) == 1
    reference = keras.Model(grown.input, grown.get_layer("encoder").output[1])
    draws = [keras.ops.convert_to_numpy(reference(X, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


@pytest.mark.slow
def test_a_grown_network_is_saved_grown_again_and_frozen(task_data, tmp_path):
    grown = keras_mtl.add_task(network(task_data), "language", 5)
    train_on(grown, "language")
    grown.save(tmp_path / "grown.keras")
    loaded = keras.models.load_model(tmp_path / "grown.keras")
    again = keras_mtl.add_task(loaded, "social", 2)
    assert len(again.trainable_variables) == len(grown.trainable_variables)
    assert {v.path.split("/")[0] for v in again.trainable_variables} >= {"lstm_4", "decoder_4"}
    for task in grown.tasks:
        expected = answer(grown, task)
        np.testing.assert_allclose(answer(again, task), expected, atol=1e-6)
        frozen = keras.ops.convert_to_numpy(keras_mtl.freeze(again, task)(X))
        np.testing.assert_allclose(frozen, expected, atol=1e-6)


def test_settings_of_allocations_are_refused():
    with pytest.raises(ValueError, match="init_probability was given, but no layer learns"):
        keras_mtl.add_task(only_read("shared"), "language", 5, init_probability=0.5)


def test_a_base_that_gives_components_to_tasks_is_refused():
    base = partial(keras_mtl.build_no_sharing, layers=[[LSTM] * 2])
    with pytest.raises(ValueError, match="'allocation_1', which has no row for a new one"):
        keras_mtl.add_task(network("shared", base=base), "language", 5)


def test_a_base_whose_tasks_have_routes_is_refused():
    base = partial(keras_mtl.build_recursive_routing, units=2, depth=1)
    with pytest.raises(ValueError, match="'routed_lstm', which has no row for a new one"):
        keras_mtl.add_task(network("separate", base=base), "language", 5)
