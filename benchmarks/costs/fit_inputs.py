"""What `fit` costs before it trains: its first step and its epochs, on arrays and on tf.data.

    python -m benchmarks.costs.fit_inputs --rounds 5

To compare two trees, run it in both by turns and take the least of each figure. `--cpu` counts the
seconds of all processors that this process uses, which others on the machine hardly change.
"""

import argparse
import time
from functools import partial

import keras
import numpy as np

import keras_mtl

TASKS = {f"task_{i}": "binary" for i in range(4)} | {"age": 5, "income": "regression"}
FEATURES = 20


def table(examples, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, FEATURES)).astype("float32")
    y = {name: (x[:, i] > 0).astype("float32") for i, name in enumerate(list(TASKS)[:4])}
    y["task_0"][rng.random(examples) < 0.3] = np.nan
    return x, y | {"age": rng.integers(0, 5, examples), "income": x.sum(axis=1)}


def network():
    dense = partial(keras.layers.Dense, 32, activation="relu")
    model = keras_mtl.build_mmoe(keras.Input((FEATURES,)), TASKS, [[dense] * 4])
    model.compile(keras.optimizers.Adam(1e-3))
    return model


class Clock(keras.callbacks.Callback):
    """Notes when the first step and the epochs end."""

    def __init__(self, now):
        super().__init__()
        self.now, self.begin, self.first, self.epochs = now, now(), None, []

    def on_train_batch_end(self, batch, logs=None):
        self.first = self.first or self.now() - self.begin

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.now())


def seconds(now, form, data, batch_size, epochs):
    """Returns the seconds until the first step is made, and of the fastest later epoch."""
    model = network()
    clock = Clock(now)
    if form == "arrays":
        model.fit(*data, batch_size=batch_size, epochs=epochs, callbacks=[clock], verbose=0)
    else:
        import tensorflow as tf

        batches = tf.data.Dataset.from_tensor_slices(data).batch(batch_size).prefetch(2)
        model.fit(batches, epochs=epochs, shuffle=False, callbacks=[clock], verbose=0)
    return clock.first, min(np.diff(clock.epochs))


def on_batch(now, data, batch_size, steps=200):
    """Returns the milliseconds of `train_on_batch`, the median of some steps."""
    model = network()
    batch = keras.tree.map_structure(lambda array: array[:batch_size], data)
    model.train_on_batch(*batch)
    times = []
    for _ in range(steps):
        start = now()
        model.train_on_batch(*batch)
        times.append(now() - start)
    return 1000 * np.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    now = time.process_time if given.cpu else time.perf_counter
    data = table(given.examples)
    found = {"arrays": [], "tf.data": []}
    single = []
    for _ in range(given.rounds):
        for form, times in found.items():
            times.append(seconds(now, form, data, given.batch_size, given.epochs))
        single.append(on_batch(now, data, given.batch_size))
    for form, times in found.items():
        first, epoch = np.min(times, axis=0)
        print(f"{form:8} first step {first:6.3f} s   epoch {epoch:6.3f} s")
    print(f"train_on_batch {min(single):6.3f} ms")


if __name__ == "__main__":
    main()
