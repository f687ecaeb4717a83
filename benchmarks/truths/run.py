"""Which methods find a structure that was planted for them, and what do they gain by it?

All methods that apply, with their defaults, over seeds that change data and weights; everything is
measured on the frozen network at the epoch that validation chooses.

    KERAS_BACKEND=jax python -m benchmarks.truths.run --folder truths
    KERAS_BACKEND=jax python -m benchmarks.truths.run --folder truths --only views bandit --seeds 1

A finished run is kept in the folder and not made again.
"""

import argparse
import pathlib
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.finished_runs import FinishedRuns
from benchmarks.routes.tables import spread
from benchmarks.truths.methods import BY_THEIR_OWN_RECIPE, METHODS
from benchmarks.truths.problems import PROBLEMS


def run(name, seed, folder):
    """Returns the problem of a seed, and the runs of all methods on it."""
    problem = PROBLEMS[name](seed)

    def findings(model):
        found = problem.found(model) if len(model.tasks) == len(problem.tasks) else None
        return {} if found is None else {"found": found}

    comparison = keras_mtl.compare(
        METHODS[name],
        problem.inputs,
        problem.tasks,
        problem.layers,
        **problem.data,
        folder=folder / name.replace(" ", "_") / str(seed),
        seeds=[seed],
        epochs=problem.epochs,
        batch_size=96,
        task_data=problem.task_data,
        optimizer=optimizer,
        findings=findings,
        baselines=problem.layers is not None,
    )
    return problem, comparison


def own_recipes(name, num_seeds, folder):
    """Yields methods that are trained in a way of their own, with their findings, seed by seed."""
    keep = FinishedRuns(folder / "own_recipes.jsonl")
    for method, make in BY_THEIR_OWN_RECIPE.get(name, {}).items():
        for seed in range(num_seeds):
            keep.once({"problem": name, "method": method, "seed": seed}, partial(make, seed))
        rows = [row for row in keep.rows if (row["problem"], row["method"]) == (name, method)]
        yield method, rows[:num_seeds]


def optimizer(model):
    """Adam, five times as fast for allocations, as in `keras_mtl.compare`."""
    return keras_mtl.allocation_optimizer(keras.optimizers.Adam(5e-3), 2.5e-2)


def table(name, seeds, others):
    """Yields the lines of a problem's table.

    Args:
        name: Of the problem.
        seeds: For each seed the problem and its comparison.
        others: Pairs, a method that is trained in its own way, and its findings seed by seed.
    """
    problem, first = seeds[0]
    judged = problem.judged or tuple(problem.tasks)
    yield f"\n| {name} | found | accuracy, % |"
    yield "|---|---|---|"
    for method in first.methods:
        found = [run["findings"].get("found") for _, one in seeds for run in one.runs[method]]
        accuracy = [
            100 * np.mean([one.scores(method, task, "accuracy") for task in judged])
            for _, one in seeds
        ]
        shown = "" if None in found else spread(found, ".2f")
        yield f"| {method} | {shown} | {spread(accuracy, '.1f')} |"
    for method, rows in others:
        found = spread([row["found"] for row in rows], ".2f")
        accuracy = spread([100 * row["accuracy"] for row in rows], ".1f")
        yield f"| {method} | {found} | {accuracy} |"
    for who, (found, accuracy) in (("chance", problem.chance), ("oracle", problem.oracle)):
        yield f"| {who} | {found:.2f} | {100 * accuracy:.1f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    arguments = parser.parse_args()
    for name in arguments.only:
        seeds = [run(name, seed, arguments.folder) for seed in range(arguments.seeds)]
        others = own_recipes(name, arguments.seeds, arguments.folder)
        print("\n".join(table(name, seeds, others)), flush=True)


if __name__ == "__main__":
    main()
