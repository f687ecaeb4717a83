"""Census-Income: three tasks on one table, execution paths against what they are compared with.

AUC of each task on the test file, and Delta, the mean relative gain over single-task networks.
Validation is cut from the training file; it chooses the epoch, and the best of several policies
that are drawn from what AdaShare learned. The mean over drawn policies stands beside it.

Source: Rahimian et al., "DynaShare", ICLR 2022 submission, Table 2. Differs from the paper: a dense
residual backbone, labels and inputs of `keras_mtl.data.load_census_income`.

    KERAS_BACKEND=jax python benchmarks/census.py run --data DATA --results census.jsonl
    python benchmarks/census.py table census.jsonl

DATA is the folder of census-income.data.gz. A finished run is kept and not run again.
"""

import argparse
import json
import pathlib
import time
from functools import partial

import keras
import numpy as np
from finished_runs import FinishedRuns
from sklearn.metrics import roc_auc_score

import keras_mtl
from keras_mtl.analysis import executed_blocks, task_delta
from keras_mtl.data import alternating_batches, load_census_income
from keras_mtl.layers import ResidualDense

TASKS = {"income": "binary", "never_married": "binary", "college": "binary"}
UNITS, BATCH, NUM_POLICIES = 256, 1024, 4
WIDE = [partial(keras.layers.Dense, 512, activation="relu")]
BLOCKS = [
    partial(keras.layers.Dense, UNITS, activation="relu"),
    *[[partial(ResidualDense, UNITS)]] * 4,
]
RATES = [1, 0.8, 0.8, 0.8]
PHASES = keras_mtl.PolicyPhases(warm_up=300, weights=30, policy=30)
METHODS = {
    "single task": partial(keras_mtl.build_single_tasks, layers=WIDE),
    "shared bottom": partial(keras_mtl.build_shared_bottom, layers=WIDE),
    "single task, blocks": partial(
        keras_mtl.build_single_tasks, layers=[b[0] if isinstance(b, list) else b for b in BLOCKS]
    ),
    "shared blocks": partial(keras_mtl.build_dynashare, layers=BLOCKS),
    "gates only": partial(keras_mtl.build_dynashare, layers=BLOCKS, target_rates=RATES),
    "AdaShare": None,
    "DynaShare": None,
}


def aucs(model, part):
    """Returns the area under the curve of each task."""
    answers = model.predict(part.x, batch_size=8192, verbose=0)
    return {task: float(roc_auc_score(part.y[task], answers[task][:, 0])) for task in TASKS}


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights with the largest mean area under the curve on validation data."""

    def __init__(self, part, patience):
        super().__init__()
        self._part, self._patience, self.best, self.epoch = part, patience, 0.0, 0

    def on_epoch_end(self, epoch, logs=None):
        score = np.mean(list(aucs(self.model, self._part).values()))
        if score > self.best:
            self.best, self.epoch, self._weights = score, epoch + 1, self.model.get_weights()
        self.model.stop_training = epoch + 1 - self.epoch >= self._patience

    def on_train_end(self, logs=None):
        self.model.set_weights(self._weights)


def trained(model, train, validation, arguments):
    """Trains a network and returns it, its best epoch and score."""
    model.compile(keras.optimizers.Adam(arguments.learning_rate))
    best = BestEpoch(validation, arguments.patience)
    model.fit(
        train.x, train.y, batch_size=BATCH, epochs=arguments.epochs, callbacks=[best], verbose=0
    )
    return model, {"best_epoch": best.epoch, "validation": float(best.best)}


def learned_policy(train, seed, arguments):
    """Returns AdaShare's network after its phases, weights on 80 % of the data."""
    cut = int(0.8 * len(train.x))
    order = np.random.default_rng(seed).permutation(len(train.x))
    parts = [
        (train.x[rows], {task: y[rows] for task, y in train.y.items()})
        for rows in (order[:cut], order[cut:])
    ]
    model = keras_mtl.build_adashare(
        keras.Input(train.x.shape[1:]), TASKS, BLOCKS, phases=PHASES, cycles_per_block=2, seed=seed
    )
    model.compile(
        keras_mtl.alternating_optimizer(
            keras.optimizers.Adam(1e-3), keras.optimizers.Adam(0.01), PHASES
        )
    )
    batches = alternating_batches(*parts, PHASES, batch_size=BATCH, seed=seed)
    model.fit(batches, epochs=arguments.cycles, verbose=0)
    return model


def run_policies(method, train, validation, test, seed, arguments):
    """Trains several policies that AdaShare learned; validation chooses among them."""
    inputs = keras.Input(train.x.shape[1:])
    learned = learned_policy(train, seed, arguments)
    runs = []
    for draw in range(NUM_POLICIES):
        policy = keras_mtl.sample_policy(learned, seed=draw)
        rates = RATES if method == "DynaShare" else 1.0
        model = keras_mtl.build_dynashare(
            inputs, TASKS, BLOCKS, policy=policy, target_rates=rates, seed=seed
        )
        model, facts = trained(model, train, validation, arguments)
        executed = executed_blocks(model, validation.x[:5000])
        runs.append(facts | {
            "policy": policy.tolist(),
            "test": aucs(model, test),
            "executed": {task: float(rows.mean()) for task, rows in executed.items()},
        })  # fmt: skip
    best = max(runs, key=lambda run: run["validation"])
    probabilities = np.concatenate(keras_mtl.allocation_probabilities(learned), axis=1)
    return best | {"draws": runs, "probabilities": np.round(probabilities, 3).tolist()}


def run(arguments):
    keep = FinishedRuns(arguments.results)
    parts = load_census_income(arguments.data)
    for seed in range(arguments.seeds):
        for method in arguments.methods:
            keep.once(
                {"method": method, "seed": seed}, partial(facts_of, method, *parts, seed, arguments)
            )


def facts_of(method, train, validation, test, seed, arguments):
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    if METHODS[method] is None:
        facts = run_policies(method, train, validation, test, seed, arguments)
    else:
        model = METHODS[method](keras.Input(train.x.shape[1:]), TASKS, seed=seed)
        model, facts = trained(model, train, validation, arguments)
        facts |= {"test": aucs(model, test), "parameters": model.count_params()}
    return facts | {"minutes": round((time.perf_counter() - start) / 60, 2)}


def table(arguments):
    rows = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    single = {row["seed"]: row["test"] for row in rows if row["method"] == "single task"}
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        kinds = {method: [(row["seed"], row["test"]) for row in own]}
        if own and "draws" in own[0]:
            kinds[f"{method}, mean of draws"] = [
                (row["seed"], {t: np.mean([d["test"][t] for d in row["draws"]]) for t in TASKS})
                for row in own
            ]
        for name, tests in kinds.items():
            deltas = [task_delta(test, single[seed]).mean for seed, test in tests if seed in single]
            cells = [spread([100 * test[task] for _, test in tests]) for task in TASKS]
            print(f"| {name} | {' | '.join(cells)} | {spread(deltas)} | {len(tests)} |")


def spread(values):
    if len(values) < 2:
        return " ".join(f"{value:.2f}" for value in values)
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run")
    runs.set_defaults(call=run)
    runs.add_argument("--data", type=pathlib.Path, required=True)
    runs.add_argument("--results", type=pathlib.Path, required=True)
    runs.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    runs.add_argument("--seeds", type=int, default=3)
    runs.add_argument("--epochs", type=int, default=20, help="at most")
    runs.add_argument("--patience", type=int, default=3)
    runs.add_argument("--cycles", type=int, default=30, help="of weights and policy, warm-up too")
    runs.add_argument("--learning_rate", type=float, default=1e-3)
    tables = commands.add_parser("table")
    tables.set_defaults(call=table)
    tables.add_argument("results", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
