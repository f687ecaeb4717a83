"""Census-Income: three tasks on one table, by execution paths and experts, and by what is simpler.

AUC of each task on the test file. Validation is cut from the training file; it chooses the epoch,
and the best of several policies that are drawn from what AdaShare learned.

Source: Rahimian et al., "DynaShare", ICLR 2022 submission, Table 2; Aoki et al., "Heterogeneous
Multi-task Learning with Expert Diversity", 2021. Differs from the papers: a dense residual
backbone, wider experts, labels and inputs of `keras_mtl.data.load_census_income`.

    KERAS_BACKEND=jax python -m benchmarks.execution_paths.census --data DATA --results census.jsonl
    python -m benchmarks.execution_paths.tables census.jsonl

DATA is the folder of census-income.data.gz. A finished run is kept and not run again.
"""

import argparse
import pathlib
from functools import partial

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import keras_mtl
from benchmarks.execution_paths.experiment import Experiment, run
from benchmarks.finished_runs import FinishedRuns
from keras_mtl.data import load_census_income
from keras_mtl.layers import ResidualDense

TASKS = {"income": "binary", "never_married": "binary", "college": "binary"}
UNITS, DROPOUT = 64, 0.2  # of six pairs, those with the best validation score of shared blocks
WIDE = [partial(keras.layers.Dense, 512, activation="relu")]
BLOCKS = [
    partial(keras.layers.Dense, UNITS, activation="relu"),
    partial(keras.layers.Dropout, DROPOUT),
    *[[partial(ResidualDense, UNITS)]] * 4,
]


def aucs(model, part):
    """Returns the area under the curve of each task of a model."""
    answers = model.predict(part.x, batch_size=8192, verbose=0)
    return {
        task: {"AUC": float(roc_auc_score(part.y[task], answers[task][:, 0]))} for task in answers
    }


def mean_auc(scores):
    return np.mean([scores[task]["AUC"] for task in scores])


def experiment(arguments):
    train, validation, test = load_census_income(arguments.data)
    return Experiment(
        tasks=TASKS, layers=BLOCKS, target_rates=[1, 0.8, 0.8, 0.8],
        phases=keras_mtl.PolicyPhases(warm_up=300, weights=30, policy=30),
        cycles=arguments.cycles, cycles_per_block=2, train=(train.x, train.y),
        validate=lambda model: mean_auc(aucs(model, validation)),
        test=lambda model: aucs(model, test),
        batch_size=1024, learning_rate=1e-3, epochs=arguments.epochs, patience=3,
    )  # fmt: skip


def methods_of_experts(census, number, tower_units):
    """Returns the methods whose experts, as wide as `WIDE` together, each example weighs."""
    expert = partial(keras.layers.Dense, 512 // number, activation="relu")
    builders = {
        "MMoE": keras_mtl.build_mmoe,
        "MMoEEx": keras_mtl.build_mmoeex,
        "PLE": partial(keras_mtl.build_ple, task_experts=2),
    }
    return {
        method: partial(
            census.together, builder, layers=[[expert] * number], tower_units=tower_units
        )
        for method, builder in builders.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20, help="at most")
    parser.add_argument("--cycles", type=int, default=30, help="of weights and policy, warm-up too")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--tower_units", type=int, nargs="*", default=[128], help="of experts")
    parser.add_argument("--methods", nargs="+", help="some of all, by name")
    arguments = parser.parse_args()
    census = experiment(arguments)
    of_blocks = census.methods()
    methods = {
        "single task": partial(census.alone, layers=WIDE),
        "shared bottom": partial(census.together, keras_mtl.build_shared_bottom, layers=WIDE),
        "single task, blocks": of_blocks.pop("single task"),
    }
    methods |= of_blocks | methods_of_experts(census, arguments.experts, arguments.tower_units)
    chosen = {name: methods[name] for name in arguments.methods or methods}
    run(FinishedRuns(arguments.results), chosen, arguments.seeds)


if __name__ == "__main__":
    main()
