"""The networks of run.py, and how they are trained."""

from functools import partial

import keras
import numpy as np
from keras import ops

import keras_mtl
from keras_mtl.data import task_batches
from keras_mtl.layers.recurrent.step_clock import CLOCK_SIZE, step_clock

UNITS, STEPS, FEATURES = 16, 28, 10
VALIDATION = 200  # examples of a task that choose the epoch
lstm = partial(keras.layers.LSTM, UNITS)


def recurrent_modular(inputs, tasks, **settings):
    return keras_mtl.build_recurrent_modular(
        inputs, tasks, **{"cell_units": UNITS, "units": (12,), **settings}
    )


def small_base(inputs, tasks, **settings):
    """Builds LSTMs that are too small to do without the encoder."""
    layers = [[partial(keras.layers.LSTM, 4, return_sequences=True)] * len(tasks)]
    return keras_mtl.build_no_sharing(inputs, tasks, layers, **settings)


def no_memory(inputs, tasks, **settings):
    """Builds dense layers, which see one step: what came before is for the encoder to say."""
    layers = [[partial(keras.layers.Dense, 4, activation="relu")] * len(tasks)]
    return keras_mtl.build_no_sharing(inputs, tasks, layers, **settings)


class Clock(keras.layers.Layer):
    """Appends where in the sequence a step is, for all to read."""

    def call(self, x):
        clock = ops.broadcast_to(step_clock(x), (*ops.shape(x)[:2], CLOCK_SIZE))
        return ops.concatenate([x, clock], axis=-1)


METHODS = {
    "MT-RMN": recurrent_modular,
    "FS-MTL": partial(keras_mtl.build_shared_bottom, layers=[lstm]),
    "FS-MTL, as many weights": partial(
        keras_mtl.build_shared_bottom, layers=[partial(keras.layers.LSTM, 54)]
    ),
    "IC-MTL": partial(keras_mtl.build_communicating, graph="star", units=UNITS),
    "RRN": partial(
        keras_mtl.build_recursive_routing,
        stem=[partial(keras.layers.Dense, 4 * UNITS)],
        units=UNITS,
    ),
    "LSTM": partial(keras_mtl.build_single_tasks, layers=[lstm]),
}
FEW = {  # as many sub-encoders as there are different tasks at a step; a decoder reads one
    "num_sub_encoders": (2,), "open_fraction": 1.0, "decoder_open_fraction": 0.5,
    "base": no_memory, "temperature": 1.0,
}  # fmt: skip
SETTINGS = {
    "default": {},
    "literal": {"normalize_policies": False, "policy_reads_base": False},  # Eq. 7, as printed
    "by step": {"sparsity_scope": "step"},
    "all": {"open_fraction": 1.0},
    "all, small base": {"open_fraction": 1.0, "base": small_base},
    "cool": {"temperature": keras_mtl.HalvingSchedule(4.0, minimum=0.5)},
    "quarter": {"open_fraction": 0.25},
    "quarter, small base": {"open_fraction": 0.25, "base": small_base},
    "half": {"open_fraction": 0.5},
    "quarter, reads base": {"open_fraction": 0.25, "policy_reads_base": True},
    "quarter, heavy": {"open_fraction": 0.25, "sparsity_weight": 4.0},
    "quarter, cool": {
        "open_fraction": 0.25, "temperature": keras_mtl.HalvingSchedule(4.0, minimum=0.5)
    },
    "few": FEW,
    "few, decided by step": {**FEW, "decide_by": "step"},
    "clock": {"stem": [Clock], "temperature": 1.0},
    "clock, decided by step": {"stem": [Clock], "temperature": 1.0, "decide_by": "step"},
    "clock, decided by step, from 100": {"stem": [Clock], "decide_by": "step"},
}  # fmt: skip


VARIANTS = {
    f"MT-RMN, {name}": partial(recurrent_modular, **settings) for name, settings in SETTINGS.items()
}


class Trainer:
    """Trains networks of one structure one after the other, compiled once.

    `model` is the one trained last, with the weights of its best epoch on held-out examples.

    Args:
        arguments: Those of the command line.
    """

    def __init__(self, arguments):
        self._arguments, self.model = arguments, None

    def __call__(self, network, train, seed, epochs):
        """Trains from the weights of a new network and returns facts of the run."""
        self._restart(network)
        used = {name: (x[VALIDATION:], y[VALIDATION:]) for name, (x, y) in train.items()}
        held_out = {name: (x[:VALIDATION], y[:VALIDATION]) for name, (x, y) in train.items()}
        batches = partial(task_batches, network.tasks)
        best = keras.callbacks.EarlyStopping(
            "val_mean_accuracy", patience=epochs, mode="max", restore_best_weights=True
        )
        history = self.model.fit(
            batches(used, self._arguments.batch_size, seed=seed, order="mixed"),
            validation_data=batches(held_out, VALIDATION, order="sequential"),
            epochs=epochs,
            callbacks=[best],
            verbose=0,
        ).history
        return {
            "parameters": self.model.count_params(),
            "best_epoch": best.best_epoch + 1,
            "curve": [round(float(value), 4) for value in history["val_mean_accuracy"]],
            "train_curve": [round(float(value), 4) for value in history["mean_accuracy"]],
            "backend": keras.backend.backend(),
        }

    def _restart(self, new):
        if self.model is None:
            new.compile(keras.optimizers.Adam(self._arguments.learning_rate))
            new.optimizer.build(new.trainable_variables)
            self._optimizer_start = [np.array(v.numpy()) for v in new.optimizer.variables]
            self.model = new
            return
        pairs = zip(self.model.variables, new.variables, strict=True)
        starts = [(old, np.array(start.numpy())) for old, start in pairs]
        starts += zip(self.model.optimizer.variables, self._optimizer_start, strict=True)
        for variable, start in starts:
            variable.assign(start)

    def accuracy(self, test):
        """Returns the accuracy on each task's own examples."""
        batches = task_batches(self.model.tasks, test, 500, order="sequential")
        logs = self.model.evaluate(batches, return_dict=True, verbose=0)
        return {name: round(float(logs[f"{name}_accuracy"]), 4) for name in test}


def new_network(build, tasks, seed, **settings):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((STEPS, FEATURES))
    return build(inputs, tasks, task_data="separate", seed=seed, **settings)
