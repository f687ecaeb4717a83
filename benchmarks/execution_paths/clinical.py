"""Intensive care stays: what a policy and gates add to a backbone of causal convolutions.

The ablation of a policy alone, gates alone, and both, on four labels of a stay.

Source: Rahimian et al., "DynaShare", ICLR 2022 submission, Table 3. Differs from the paper: the
data (PhysioNet Challenge 2012; MIMIC-III is not free), causal convolutions of 32 to 64 channels,
labels of whole stays. The stays, labels and scores are those of
`benchmarks.clinical`.

    export KERAS_BACKEND=jax
    python -m benchmarks.execution_paths.clinical --data physionet2012 --results paths.jsonl
    python -m benchmarks.execution_paths.tables paths.jsonl

Validation chooses the epoch and the best of several drawn policies, by the mean of the tasks'
losses. A finished run is kept and not run again.
"""

import argparse
import pathlib
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.clinical.data import TASKS, Stays
from benchmarks.execution_paths.experiment import Experiment, run
from benchmarks.finished_runs import FinishedRuns
from keras_mtl.layers import ResidualConv1D

DROPOUT = 0.5  # of input columns and before the heads
STAGES = [(32, 1, 1), (32, 2, 1), (64, 1, 2), (64, 1, 4)]  # filters, strides, dilation


def backbone():
    """Returns eight blocks in four stages, as the paper's, narrower, and a mean over time."""
    layers = [partial(keras.layers.Conv1D, 32, 2, padding="causal", activation="relu")]
    for filters, strides, dilation in STAGES:
        layers += [
            [partial(ResidualConv1D, filters, strides=strides, dilation_rate=dilation)],
            [partial(ResidualConv1D, filters, dilation_rate=dilation)],
        ]
    mean = keras.layers.GlobalAveragePooling1D
    return [*layers, mean, partial(keras.layers.Dropout, DROPOUT)]


def experiment(arguments):
    data = Stays(arguments.data)
    y = {part: {task: data.y(part, task) for task in TASKS} for part in ("train", "validation")}

    def validate(model):
        labels = {task: y["validation"][task] for task in model.tasks}
        logs = model.evaluate(
            data.x["validation"], labels, batch_size=800, return_dict=True, verbose=0
        )
        return -np.mean([logs[f"{task}_loss"] for task in model.tasks])

    def test(model):
        answers = model.predict(data.x["test"], batch_size=800, verbose=0)
        return {task: data.score(task, answer) for task, answer in answers.items()}

    return Experiment(
        tasks=TASKS, stem=[partial(keras.layers.SpatialDropout1D, DROPOUT)],
        layers=backbone(), target_rates=[1, 1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8],
        phases=keras_mtl.PolicyPhases(warm_up=200, weights=20, policy=20),
        cycles=arguments.cycles, cycles_per_block=3, train=(data.x["train"], y["train"]),
        validate=validate, test=test,
        batch_size=64, learning_rate=3e-3, epochs=arguments.epochs, patience=4,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40, help="at most")
    parser.add_argument("--cycles", type=int, default=40, help="of weights and policy, warm-up too")
    parser.add_argument("--methods", nargs="+", help="some of all, by name")
    arguments = parser.parse_args()
    methods = experiment(arguments).methods()
    chosen = {name: methods[name] for name in arguments.methods or methods}
    run(FinishedRuns(arguments.results), chosen, arguments.seeds)


if __name__ == "__main__":
    main()
