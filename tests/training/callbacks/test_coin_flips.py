import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import build_recurrent_modular
from keras_mtl.analysis import open_connections
from keras_mtl.training.callbacks.coin_flips import CoinFlipWarning, PolicyTracker
from tests.layers.modular import force

TASKS = {"color": 3, "chunk": 2}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3, 4)).astype("float32")
Y = {"color": RNG.integers(3, size=8), "chunk": RNG.integers(2, size=8)}


def network(task_data="shared", optimizer="sgd", **settings):
    """Builds a small network: 2 cells, 3 + 2 sub-encoders, half of the connections free."""
    model = build_recurrent_modular(
        keras.Input((3, 4)), TASKS, task_data=task_data, num_cells=2, cell_units=3,
        num_sub_encoders=(3, 2), units=(4,), open_fraction=0.5, seed=0, **settings
    )  # fmt: skip
    model.compile(optimizer)
    return model


def tracked(log_odds, mask=None, task_id=None, before=None):
    tracker = PolicyTracker(len(log_odds))
    if before is not None:
        tracker.latest.assign(before)
    tracker.update_state([None if o is None else np.array(o) for o in log_odds], mask, task_id)
    return keras.ops.convert_to_numpy(tracker.latest)


def test_log_odds_have_a_size_and_open_connections():
    odds = [[[1.0, -2.0], [5.0, -2.0]], [[1.0, 2.0], [5.0, 2.0]]]  # 2 examples, steps, connections
    size = np.sqrt((1 + 25) / 4 + 4 / 2)
    np.testing.assert_allclose(tracked([odds]), [[size, 1.0 + 0.5]], rtol=1e-6)


def test_padding_does_not_count():
    odds, mask = [[[1.0], [9.0]], [[3.0], [-9.0]]], np.array([[True, False], [True, False]])
    np.testing.assert_allclose(tracked([odds], mask), [[np.sqrt((1 + 9) / 2), 1.0]], rtol=1e-6)


def test_a_decoder_is_asked_about_its_own_tasks_examples():
    odds, task_id = [[[1.0]], [[3.0]], [[-5.0]]], np.array([0, 0, 1])
    found = tracked([odds, odds, odds], task_id=task_id)
    sizes = np.sqrt([(1 + 9 + 25) / 3, (1 + 9) / 2, 25])
    np.testing.assert_allclose(found, np.stack([sizes, [2 / 3, 1, 0]], axis=1), rtol=1e-6)


def test_frozen_layers_and_tasks_without_examples_stay_as_they_were():
    odds, before = [[[1.0]], [[3.0]]], np.array([[0.5, 2.0], [0.25, 1.0]])
    np.testing.assert_allclose(tracked([None, odds], task_id=[1, 1], before=before), before)


# A word during `fit`


def told(model, found, epoch=7):
    """Returns what is said at the end of an epoch, twice."""
    callback = CoinFlipWarning()
    callback.set_model(model)
    model.policy_tracker.latest.assign(np.array(found))
    with pytest.warns(UserWarning) as record:
        callback.on_epoch_end(epoch)
        callback.on_epoch_end(epoch + 1)
    return [str(warning.message) for warning in record if warning.category is UserWarning]


def test_coin_flips_are_told_once():
    [text] = told(network(), [[2.0, 5.0], [0.3, 1.0], [2.0, 1.0]])
    assert text.startswith("Policies of task 'color' (0.30) flip coins: their log-odds (root")
    assert "normalize_policies=True" in text


@pytest.mark.parametrize(
    ("task_data", "who"),
    [
        ("shared", "the encoder (9.0 of 6), all tasks (7.5 of 5) open more"),
        ("separate", "the encoder (9.0 of 6), task 'color' (5.0 of 2.5) open more"),
    ],
)
def test_too_many_open_connections_are_told_once(task_data, who):
    [text] = told(network(task_data), [[2.0, 9.0], [2.0, 5.0], [2.0, 2.5]])
    assert text.startswith(f"Policies of {who} connections in inference than open_fraction")


def silent(model, found, epoch=7):
    callback = CoinFlipWarning()
    callback.set_model(model)
    model.policy_tracker.latest.assign(np.array(found))
    callback.on_epoch_end(epoch)  # a warning is an error


def test_nothing_is_said_of_policies_that_choose_or_have_not_learned_yet():
    silent(network(), [[2.0, 6.0], [2.0, 2.0], [2.0, 3.0]])
    silent(network(), [[0.1, 12.0], [0.1, 5.0], [0.1, 5.0]], epoch=6)


def test_without_a_price_there_is_no_limit():
    silent(network(sparsity_weight=0.0), [[2.0, 12.0], [2.0, 5.0], [2.0, 5.0]])


def test_other_networks_have_no_policies():
    model = keras_mtl.build_communicating(keras.Input((3, 4)), TASKS, units=2)
    model.compile("sgd")
    assert model.policy_tracker is None


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_fit_follows_the_policies(task_data):
    model = network(task_data, keras.optimizers.SGD(0.0))
    force(model.get_layer("encoder").cell.sub_encoders, True)  # else decoders read what it draws
    if task_data == "shared":
        logs = model.fit(X, Y, batch_size=8, validation_data=(X, Y), verbose=0).history
        x = X
    else:
        x = dict.fromkeys(TASKS, X)
        data = {task: (X, Y[task]) for task in TASKS}
        batches = keras_mtl.task_batches(TASKS, data, batch_size=16, order="sequential")
        logs = model.fit(batches, validation_data=batches, verbose=0).history
    assert not any("polic" in name for name in logs)
    opened = open_connections(model, x)
    encoder, *decoders = keras.ops.convert_to_numpy(model.policy_tracker.latest)
    assert encoder[1] == opened.num_encoder
    np.testing.assert_allclose([n for _, n in decoders], [*opened.decoders.values()], rtol=1e-5)
    assert all(size > opened.spread[task] for task, (size, _) in zip(TASKS, decoders, strict=True))


@pytest.mark.slow
def test_fit_warns_of_coin_flips(tmp_path):
    model = network(normalize_policies=False, sparsity_weight=0.0)
    with pytest.warns(UserWarning, match="Policies of the encoder .* flip coins"):
        model.fit(X, Y, batch_size=8, initial_epoch=7, epochs=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.policy_tracker.latest, 0)
