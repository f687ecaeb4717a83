"""Backups of training: what they hold, where a run goes on, what a kill can leave."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

TASKS = {"a": 3, "b": "binary"}
dense = partial(keras.layers.Dense, 4, activation="tanh")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5)).astype("float32")
DATA = {"a": (X, np.arange(12) % 3), "b": (X[:7], np.arange(7) % 2)}  # a batch of each an epoch


class Stop(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.seen = epochs, []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)
        if epoch == self.epochs:
            raise Stop


def model_of(units=4, seed=3):
    layers = [[partial(keras.layers.Dense, units, activation="tanh")] * 2]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), TASKS, layers, task_data="separate", seed=seed, init_probability=0.7
    )
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)  # compiles nothing, in a fast test
    return model


def fit(model, backup, epochs, stop_after=None):
    """Returns the numbers of the epochs that were begun."""
    batches = keras_mtl.task_batches(TASKS, DATA, batch_size=12, seed=0)
    callbacks = [backup, watch := StopAfter(stop_after)]
    try:
        model.fit(batches, epochs=epochs, callbacks=callbacks, verbose=0)
    except Stop:
        pass
    return watch.seen


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in [*model.variables, *model.optimizer.variables]]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_stopped_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path):
    straight = model_of()
    straight_dir, stopped_dir = tmp_path / "straight", tmp_path / "stopped"
    fit(straight, keras_mtl.AtomicBackup(straight_dir), 2)
    assert not straight_dir.exists()
    assert fit(model_of(), keras_mtl.AtomicBackup(stopped_dir), 2, stop_after=1) == [0, 1]
    assert names(stopped_dir) == ["epoch_1.weights.h5"]
    resumed = model_of(seed=9)
    assert fit(resumed, keras_mtl.AtomicBackup(stopped_dir), 2) == [1]
    assert not stopped_dir.exists()
    for ours, theirs in zip(state(resumed), state(straight), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_kept_backup_trains_no_epoch_again_and_a_longer_run_goes_on(tmp_path):
    first = model_of()
    fit(first, keras_mtl.AtomicBackup(tmp_path, delete_checkpoint=False), 1)
    assert names(tmp_path) == ["epoch_1.weights.h5"]
    again = model_of(seed=9)
    backup = keras_mtl.AtomicBackup(tmp_path, delete_checkpoint=False)
    assert fit(again, backup, 1) == []
    for ours, theirs in zip(state(again), state(first), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert fit(again, backup, 2) == [1]
    assert names(tmp_path) == ["epoch_2.weights.h5"]


def test_a_later_fit_of_the_same_network_begins_where_it_is_told_to(tmp_path):
    model = model_of()
    fit(model, keras_mtl.AtomicBackup(tmp_path, delete_checkpoint=False), 1)
    fit(model, keras_mtl.AtomicBackup(tmp_path), 2)
    assert fit(model, keras.callbacks.Callback(), 1) == [0]


@pytest.fixture
def killed(tmp_path):
    """Returns a folder as it is when a process is killed between its last two renames."""
    for epochs in (9, 10):
        model = model_of()
        model.optimizer.build(model.trainable_variables)
        model.save_weights(tmp_path / f"epoch_{epochs}.weights.h5")
    return tmp_path


def test_the_newest_of_two_backups_counts_and_unfinished_ones_do_not(killed):
    (killed / "unfinished.weights.h5").write_bytes(b"\x89HDF")
    backup = keras_mtl.AtomicBackup(killed, delete_checkpoint=False)
    assert fit(model_of(), backup, 11) == [10]
    assert names(killed) == ["epoch_11.weights.h5"]


def test_files_of_others_stay(killed):
    (killed / "notes.txt").write_text("mine")
    fit(model_of(), keras_mtl.AtomicBackup(killed), 10)
    assert names(killed) == ["notes.txt"]


def test_a_damaged_backup_is_named(killed):
    file = killed / "epoch_10.weights.h5"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"epoch_10.weights.h5 cannot be restored: it is damaged"):
        fit(model_of(), keras_mtl.AtomicBackup(killed), 11)


def test_a_backup_of_another_optimizer_is_named(killed):
    model = model_of()
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="the backup of another network or optimizer. Delete it"):
        fit(model, keras_mtl.AtomicBackup(killed), 11)


def test_a_backup_of_another_network_is_named(killed):
    with pytest.raises(ValueError, match="the backup of another network or optimizer. Delete it"):
        fit(model_of(units=6), keras_mtl.AtomicBackup(killed), 11)


@pytest.mark.parametrize("path", [None, "", 3])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="backup_dir must be the path of a folder. Received: "):
        keras_mtl.AtomicBackup(path)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder, but .* is a file"):
        keras_mtl.AtomicBackup(tmp_path / "file")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="fit builds it before")
def test_a_network_that_is_not_built_is_refused(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="restores the weights at the beginning of fit"):
        model.fit(X, X[:, :1], callbacks=[keras_mtl.AtomicBackup(tmp_path)], verbose=0)


SCRIPT = """
import sys
from functools import partial
import keras, numpy as np
import keras_mtl

backup_dir, result = sys.argv[1:]
x = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
data = {"a": (x, np.arange(12) % 3), "b": (x[:7], np.arange(7) % 2)}
tasks = {"a": 3, "b": 2}
dense = partial(keras.layers.Dense, 500, activation="tanh")  # 13 MB, which take a while to write
model = keras_mtl.build_gumbel_matrix(
    keras.Input((5,)), tasks, [[dense] * 2, [dense] * 2], task_data="separate", seed=11)
model.compile(keras.optimizers.Adam(1e-3))
tell = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: print(epoch, flush=True))
callbacks = [tell, keras_mtl.AtomicBackup(backup_dir, delete_checkpoint=False)]
batches = keras_mtl.task_batches(tasks, data, batch_size=12, seed=0)
model.fit(batches, epochs=100, callbacks=callbacks, verbose=0)
state = [*model.variables, *model.optimizer.variables]
np.savez(result, *[keras.ops.convert_to_numpy(variable) for variable in state])
"""


def start(*arguments):
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def finish(*arguments):
    """Returns what a process printed that ran to its end."""
    with start(*arguments) as run:
        output, errors = run.communicate()
    assert run.returncode == 0, errors
    return output.split()


@pytest.mark.slow
def test_ten_kills_at_random_moments_and_the_run_ends_as_an_uninterrupted_one(tmp_path):
    finish(tmp_path / "straight", tmp_path / "straight.npz")
    draw, begun = random.Random(0), 0
    for _ in range(10):
        with start(tmp_path / "killed", tmp_path / "killed.npz") as run:
            first = run.stdout.readline()
            assert first, run.stderr.read()
            assert int(first) in (begun, begun + 1)  # it was killed in it, or when it was over
            for _ in range(2):
                begun = int(run.stdout.readline())
            time.sleep(draw.uniform(0, 0.15))
            run.send_signal(signal.SIGKILL)
            rest = run.communicate()[0].split()
        begun = int(rest[-1]) if rest else begun
        assert run.returncode == -signal.SIGKILL
    assert finish(tmp_path / "killed", tmp_path / "killed.npz")[-1] == "99"
    ours, theirs = np.load(tmp_path / "killed.npz"), np.load(tmp_path / "straight.npz")
    assert len(ours.files) == len(theirs.files) > 20
    for name in theirs.files:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
