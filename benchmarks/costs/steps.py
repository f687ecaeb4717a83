"""Compiled training steps, timed side by side in interleaved rounds."""

import pathlib
import time

import keras
import numpy as np


def compiled_step(model, data):
    """Returns a function that makes one compiled training step, data at hand."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        batches = iter(tf.data.Dataset.from_tensors(data).repeat())
        model.make_train_function()
        return lambda: model.train_function(batches)
    model.train_on_batch(*data)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = [tuple([variable.value for variable in group] for group in groups)]

    def step():
        logs, state[0] = model.train_function(state[0], iter([data]))
        return logs["loss"].block_until_ready()

    return step


def first_call(step):
    """Makes a step for the first time and returns the seconds it takes to compile and run."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def interleaved(functions, rounds, steps, warm_up=3):
    """Returns a dict, name -> milliseconds of one step in each round, rounds interleaved."""
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, step in functions.items():
            for _ in range(warm_up):
                step()
            start = time.perf_counter()
            for _ in range(steps):
                step()
            times[name].append(1000 * (time.perf_counter() - start) / steps)
    return {name: np.array(values) for name, values in times.items()}


def peak_megabytes():
    """Returns the most memory that this process has held; Linux."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
