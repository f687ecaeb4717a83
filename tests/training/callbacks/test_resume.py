"""A killed run that is started again ends as if it had not been killed."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() == "tensorflow":  # three processes that import it
    pytestmark = pytest.mark.slow

SCRIPT = '''
import os, signal, sys
from functools import partial
import keras, numpy as np
import keras_mtl

backup_dir, kill_at, result = sys.argv[1:]
rng = np.random.default_rng(0)
x = rng.normal(size=(12, 5)).astype("float32")
data = {"a": (x, np.arange(12) % 3), "b": (x[:7], np.arange(7) % 2)}
tasks = {"a": 3, "b": 2, "c": 4}
dense = partial(keras.layers.Dense, 4, activation="tanh")
# Without a seed of its own, torch draws dropout from a generator that no model owns.
dropout = partial(keras.layers.Dropout, 0.5, seed=4 if keras.backend.backend() == "torch" else None)
keras.utils.set_random_seed(5 if kill_at == "-1" else int(kill_at))  # no run may lean on it
model = keras_mtl.build_gumbel_matrix(
    keras.Input((5,)), tasks, [[dense] * 3, dropout],
    task_data="separate", init_probability=0.7, budget=0.5, seed=11,
    entropy_weight=keras_mtl.RampSchedule(0.1, 30),
)
model.compile(keras_mtl.allocation_optimizer(
    keras.optimizers.Adam(0.05), 0.1, update_absent_tasks=False))
batches = keras_mtl.task_batches(tasks, data, batch_size=3, seed=0)


class Kill(keras.callbacks.Callback):
    """Ends the process in the third of four epochs, without a chance to clean up."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        print("epoch", epoch, flush=True)


callbacks = [keras.callbacks.BackupAndRestore(backup_dir, delete_checkpoint=False), Kill()]
validation = keras_mtl.task_batches(tasks, data, batch_size=4, order="sequential")
model.fit(batches, epochs=4, validation_data=validation, callbacks=callbacks, verbose=0)
state = [*model.variables, *model.optimizer.variables]
np.savez(result, *[keras.ops.convert_to_numpy(variable) for variable in state])
'''


def run(*arguments):
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ)


def test_killed_run_ends_as_an_uninterrupted_one(tmp_path):
    straight = run(tmp_path / "straight", -1, tmp_path / "straight.npz")
    assert straight.returncode == 0, straight.stderr
    killed = run(tmp_path / "killed", 3, tmp_path / "killed.npz")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split("\n")[:3] == ["epoch 0", "epoch 1", "epoch 2"]
    assert not (tmp_path / "killed.npz").exists()
    resumed = run(tmp_path / "killed", -1, tmp_path / "killed.npz")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split("\n")[:2] == ["epoch 2", "epoch 3"]
    ours, theirs = np.load(tmp_path / "killed.npz"), np.load(tmp_path / "straight.npz")
    assert len(ours.files) == len(theirs.files) > 20
    for name in theirs.files:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
