"""Intensive care stays: what a recurrent modular extension adds to two clinical networks.

Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, clinical experiment: the
multitask LSTM and the channel-wise LSTM of Harutyunyan et al. 2019, with and without MT-RMN.
Differs from the paper: the data (PhysioNet Challenge 2012, 48 hours of each stay, four labels a
stay; MIMIC-III is not free), 64 units instead of 256 to 512, the tasks.

    python -m benchmarks.clinical.run methods --data physionet2012 --results clinical.jsonl
    python -m benchmarks.clinical.run ablation --data physionet2012 --results clinical.jsonl
    python -m benchmarks.clinical.tables clinical.jsonl

`methods` tries every dropout with seed 0, then runs the one with the smallest validation loss with
the other seeds. A finished run is kept in the results and not run again.
"""

import argparse
import pathlib
import time
from functools import partial

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_mtl
from benchmarks.clinical.data import TASKS, Stays, summary
from benchmarks.clinical.tables import chosen_dropout
from benchmarks.finished_runs import FinishedRuns
from keras_mtl.layers import ChannelwiseLSTM

METHODS = ("MS", "MS + MT-RMN", "single task", "wide MS", "MC", "MC + MT-RMN")
LEARNING_RATE, BATCH_SIZE = 3e-3, 64
STRENGTHS = (1, 10, 100, 1000)
UNITS, CHANNEL_UNITS = 64, 8
WIDE_UNITS = 130  # as many weights as MS + MT-RMN
CELLS = {"num_cells": 4, "cell_units": 32, "units": (16, 16)}  # an eighth of the paper's
MEAN_LOSS = "val_mean_loss"
OPEN_FRACTIONS, OPEN_FRACTION = (0.25, 0.5, 0.75, 1.0), 0.75


def network(method, channels, tasks, dropout, seed, open_fraction):
    """Returns the network of a method; all read the same input through dropout of columns."""
    extended = method.endswith("MT-RMN")
    units = WIDE_UNITS if method == "wide MS" else UNITS
    lstm = partial(keras.layers.LSTM, units, return_sequences=extended)
    channelwise = partial(ChannelwiseLSTM, CHANNEL_UNITS, channels)
    layers = [channelwise, lstm] if method.startswith("MC") else [lstm]
    inputs = keras.Input((None, sum(map(len, channels))))
    settings = {"stem": [partial(keras.layers.SpatialDropout1D, dropout)], "seed": seed}
    if not extended:
        return keras_mtl.build_shared_bottom(inputs, tasks, layers, **settings)
    base = partial(keras_mtl.build_shared_bottom, layers=layers)
    return keras_mtl.build_recurrent_modular(
        inputs, tasks, base=base, open_fraction=open_fraction, **CELLS, **settings
    )


def add_mean_loss(epoch, logs):
    """Logs the mean over tasks of the validation losses, without penalties."""
    losses = [logs[f"val_{task}_loss"] for task in TASKS if f"val_{task}_loss" in logs]
    logs[MEAN_LOSS] = float(np.mean(losses))


def train(data, method, tasks, key, arguments):
    """Trains one network with early stopping and returns its predictions and some facts."""
    keras.utils.set_random_seed(key["seed"])
    model = network(
        method, data.parts["train"].channels, tasks, key["dropout"], key["seed"],
        key.get("open_fraction", OPEN_FRACTION),
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0))
    y = {part: {task: data.y(part, task) for task in tasks} for part in ("train", "validation")}
    stop = keras.callbacks.EarlyStopping(
        MEAN_LOSS, patience=arguments.patience, mode="min", restore_best_weights=True
    )
    history = model.fit(
        data.x["train"], y["train"], validation_data=(data.x["validation"], y["validation"]),
        epochs=arguments.epochs, batch_size=BATCH_SIZE, validation_batch_size=400,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=add_mean_loss), stop], verbose=0,
    )  # fmt: skip
    curve = [round(float(value), 4) for value in history.history[MEAN_LOSS]]
    facts = {"curve": curve, "parameters": model.count_params()}
    return model.predict(data.x["test"], batch_size=500, verbose=0), facts


def run(data, key, arguments):
    """Trains the network of a method, or one for each task, and returns what is to keep."""
    start = time.time()
    groups = [TASKS]
    if key["method"] == "single task":  # apart, so that each stops when it is best
        groups = [{task: kind} for task, kind in TASKS.items()]
    runs = [train(data, key["method"], tasks, key, arguments) for tasks in groups]
    test = {task: data.score(task, predicted[task]) for predicted, _ in runs for task in predicted}
    return {
        "validation_loss": float(np.mean([min(facts["curve"]) for _, facts in runs])),
        "curves": [facts["curve"] for _, facts in runs],
        "parameters": sum(facts["parameters"] for _, facts in runs),
        "minutes": round((time.time() - start) / 60, 2),
        "backend": keras.backend.backend(),
        "test": test,
    }


def run_median(data):
    """Answers every stay with the training median: what a score is worth without any input."""
    size = len(data.x["test"])
    test = {
        task: data.score(task, np.full(size, np.nanmedian(data.y("train", task)))) for task in TASKS
    }
    return {"parameters": len(TASKS), "test": test}


def run_linear(data):
    """Fits logistic and ridge regressions of a summary; validation chooses their penalty."""
    x = {part: summary(stays) for part, stays in data.parts.items()}
    test = {}
    for task, kind in TASKS.items():
        y = {part: data.y(part, task) for part in ("train", "validation")}
        known = {part: ~np.isnan(label) for part, label in y.items()}
        fitted = []
        for strength in STRENGTHS:
            binary = kind == "binary"
            last = LogisticRegression(C=1 / strength, max_iter=2000) if binary else Ridge(strength)
            model = make_pipeline(StandardScaler(), last)
            fitted.append(model.fit(x["train"][known["train"]], y["train"][known["train"]]))
        predict = "decision_function" if kind == "binary" else "predict"
        measure = roc_auc_score if kind == "binary" else r2_score
        rows = known["validation"]
        best = max(
            fitted,
            key=lambda model: measure(
                y["validation"][rows], getattr(model, predict)(x["validation"][rows])
            ),
        )
        test[task] = data.score(task, getattr(best, predict)(x["test"]))
    return {"parameters": len(TASKS) * (x["test"].shape[1] + 1), "test": test}


def run_methods(arguments, keep):
    data = Stays(arguments.data)
    for method, fit in (("median", run_median), ("linear", run_linear)):
        keep.once({"experiment": "methods", "method": method, "seed": 0}, partial(fit, data))
    for method in arguments.methods:
        key = {"experiment": "methods", "method": method}
        for dropout in arguments.dropouts:
            first = key | {"dropout": dropout, "seed": 0}
            keep.once(first, partial(run, data, first, arguments))
        for seed in range(1, arguments.seeds):
            other = key | {"dropout": chosen_dropout(keep.rows, method), "seed": seed}
            keep.once(other, partial(run, data, other, arguments))


def run_ablation(arguments, keep):
    """How many connections may be open without a penalty, with the dropout chosen before."""
    data = Stays(arguments.data)
    method = "MS + MT-RMN"
    for seed in range(arguments.seeds):
        for fraction in OPEN_FRACTIONS:
            key = {"experiment": "ablation", "method": method, "open_fraction": fraction}
            key |= {"dropout": chosen_dropout(keep.rows, method), "seed": seed}
            keep.once(key, partial(run, data, key, arguments))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=RUNS)
    parser.add_argument("--data", type=pathlib.Path, help="folder of the challenge's parts a and b")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--dropouts", nargs="+", type=float, default=[0.3, 0.5], help="tried")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=25, help="at most")
    parser.add_argument("--patience", type=int, default=3, help="epochs without improvement")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    RUNS[arguments.experiment](arguments, FinishedRuns(arguments.results))


RUNS = {"methods": run_methods, "ablation": run_ablation}

if __name__ == "__main__":
    main()
