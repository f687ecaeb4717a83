"""Recurrent modular networks on sequences whose tasks are related at some times: three questions.

`groups`: are they more accurate than other recurrent networks for several tasks, on more and on
less related tasks? `relatedness`: do tasks that are related at a step read the same sub-encoders
there? `transfer`: does what they learned help a new task with few examples?

Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Tables 1 and 2, figure 4.
Differs from the paper: synthetic sequences instead of functional MRI, small networks (16 units),
Adam at one learning rate without decay, one split for each seed.

    KERAS_BACKEND=jax python -m benchmarks.related_sequences.run groups --results groups.jsonl
    KERAS_BACKEND=jax python -m benchmarks.related_sequences.run relatedness --results routing.jsonl
    KERAS_BACKEND=jax python -m benchmarks.related_sequences.run transfer --results transfer.jsonl

A finished run is kept in the results and not run again; tables.py prints them.
"""

import argparse
import pathlib
from itertools import product

import numpy as np

import keras_mtl
from benchmarks.finished_runs import FinishedRuns
from benchmarks.related_sequences.networks import (
    METHODS,
    SETTINGS,
    VALIDATION,
    VARIANTS,
    Trainer,
    new_network,
    recurrent_modular,
)
from keras_mtl.analysis import open_connections, relatedness_over_time
from keras_mtl.data import synthetic_sequences


def pairs(*segments):
    """Returns the relatedness of three tasks from that of (1, 2), (1, 3), (2, 3)."""
    return np.array([[[1, a, b], [a, 1, c], [b, c, 1]] for a, b, c in segments], "float64")


# A different pair in each quarter, then all tasks.
TURNS = pairs((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))
TRUTHS = {"turns": TURNS, "less": "less", "more": "more"}
# Four tasks: all of them in the first half, two pairs in the second.
ALL, TWO_PAIRS = np.ones((4, 4)), np.kron(np.eye(2), np.ones((2, 2)))
FOUR_TASKS = np.array([ALL, ALL, TWO_PAIRS, TWO_PAIRS])


def run_groups(arguments, keep):
    """Table 1: accuracy of each method on the more and on the less related group."""
    for method in arguments.only or METHODS:
        trainer = Trainer(arguments)
        for seed, group in product(range(arguments.seeds), ("more", "less")):
            key = {
                "experiment": "groups",
                "group": group,
                "method": method,
                "seed": seed,
            }
            if keep.has(key):
                continue
            tasks, train, test, _ = synthetic_sequences(
                group, signal=0.7, num_train=arguments.examples + VALIDATION, seed=seed
            )
            network = new_network((METHODS | VARIANTS)[method], tasks, seed)
            facts = trainer(network, train, seed, arguments.epochs)
            facts |= {"test": trainer.accuracy(test)}
            if method in VARIANTS:
                x = {name: own for name, (own, _) in test.items()}
                facts |= {"open": open_connections(trainer.model, x).decoders}
            keep(key, facts)


def run_relatedness(arguments, keep):
    """Figure 4: do tasks read the same sub-encoders when they are related?"""
    trainers = {setting: Trainer(arguments) for setting in arguments.only or SETTINGS}
    for (data, setting), seed in product(product(arguments.data, trainers), range(arguments.seeds)):
        key = {
            "experiment": "relatedness",
            "data": data,
            "setting": setting,
            "seed": seed,
        }
        if keep.has(key):
            continue
        tasks, train, test, truth = synthetic_sequences(
            TRUTHS[data], kind="tagging", signal=0.8, seed=seed,
            num_train=2 * arguments.examples + VALIDATION,
        )  # fmt: skip
        x = {name: own for name, (own, _) in test.items()}
        network = new_network(recurrent_modular, tasks, seed, **SETTINGS[setting])
        untrained = relatedness_over_time(network, x)
        facts = trainers[setting](network, train, seed, arguments.epochs)
        found = relatedness_over_time(trainers[setting].model, x)
        opened = open_connections(trainers[setting].model, x)
        facts |= {
            "test": trainers[setting].accuracy(test),
            "untrained": np.round(untrained, 4).tolist(),
            "found": np.round(found, 4).tolist(),
            "truth": truth.tolist(),
            "open": opened.decoders,
            "drawn": opened.expected_decoders,
            "spread": opened.spread,
        }
        keep(key, facts)


def run_transfer(arguments, keep):
    """Table 2: a new task with few examples, on a network that three other tasks trained."""
    for seed, number in product(range(arguments.seeds), range(4)):
        new = f"task_{number + 1}"
        key = {"experiment": "transfer", "new": new, "seed": seed}
        if keep.has(key):
            continue
        tasks, train, test, _ = synthetic_sequences(
            FOUR_TASKS,
            signal=0.7,
            num_train=2 * arguments.examples + VALIDATION,
            seed=seed,
        )
        old, grown, alone = (Trainer(arguments) for _ in range(3))  # networks name their tasks
        task, of_new = tasks.pop(new), {new: test[new]}
        few = {new: tuple(array[: arguments.few + VALIDATION] for array in train.pop(new))}
        untrained, network = (new_network(recurrent_modular, tasks, seed) for _ in range(2))
        untrained = keras_mtl.add_task(untrained, new, task)
        before = old(network, train, seed, arguments.epochs)
        old_test = {name: test[name] for name in tasks}
        facts = {"old": old.accuracy(old_test), "old_epoch": before["best_epoch"]}
        epochs = 4 * arguments.epochs  # of few batches
        trained = keras_mtl.add_task(old.model, new, task)
        networks = {
            "RMN_tr": (grown, trained),
            "RMN_un": (grown, untrained),
            "LSTM": (alone, new_network(METHODS["LSTM"], {new: task}, seed)),
        }
        for method, (trainer, its) in networks.items():
            run = trainer(its, few, seed, epochs)
            facts[method] = run | {"test": trainer.accuracy(of_new)[new]}
        keep(key, facts)


RUNS = {"groups": run_groups, "relatedness": run_relatedness, "transfer": run_transfer}
EPOCHS = {"groups": 160, "relatedness": 18, "transfer": 20}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=RUNS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="18 for relatedness, 20 for transfer, else 160")
    parser.add_argument("--batch_size", type=int, default=48)
    parser.add_argument("--learning_rate", type=float, default=5e-3)
    parser.add_argument("--examples", type=int, default=300, help="of a task, to train on")
    parser.add_argument("--few", type=int, default=100, help="examples of a new task")
    parser.add_argument("--data", nargs="+", choices=TRUTHS, default=[*TRUTHS], help="relatedness")
    parser.add_argument(
        "--only",
        nargs="+",
        help="methods, or for relatedness settings",
    )
    parser.add_argument("--results", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    arguments.epochs = arguments.epochs or EPOCHS[arguments.experiment]
    RUNS[arguments.experiment](arguments, FinishedRuns(arguments.results))


if __name__ == "__main__":
    main()
